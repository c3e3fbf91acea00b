"""Write the bundled log of the simulated world.

    python -m tools.make_bundled_log

writes `datasets/lantern_log.parquet` and the checksum in its data card. The
log is what `World().log()` returns, joined with the features of its users and
items.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pandas as pd

from mtlrec_utils.data import World
from mtlrec_utils.whole_file import whole_file

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / "datasets" / "lantern_log.parquet"
CARD = LOG.with_suffix(".md")
CHECKSUM = re.compile(r"(?<=sha256: `)[0-9a-f]{64}(?=`)")


def bundled_log() -> pd.DataFrame:
    """Return the log as it is bundled."""
    world = World()
    return world.with_features(world.log())


def checksum_in_card() -> str:
    """Return the sha256 that the data card states."""
    found = CHECKSUM.search(CARD.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{CARD.name} has no line with sha256: `...`.")
    return found.group()


def main() -> None:
    """Write the log and its checksum, each whole or not at all."""
    with whole_file(CARD) as card, whole_file(LOG) as log:
        bundled_log().to_parquet(log, index=False, compression="zstd")
        checksum = hashlib.sha256(log.read_bytes()).hexdigest()
        text = CHECKSUM.sub(checksum, CARD.read_text(encoding="utf-8"))
        card.write_text(text, encoding="utf-8")
    print(f"{LOG.relative_to(ROOT)}: {LOG.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
