"""Write the bundled log of the simulated world.

    python -m tools.make_bundled_log

writes `datasets/lantern_log.parquet` and the checksum in its data card. The
log is what `World().log()` returns, joined with the features of its users and
items.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pandas as pd

from mtlrec_utils.data import World

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
    draft = LOG.with_name(LOG.name + ".part")
    bundled_log().to_parquet(draft, index=False, compression="zstd")
    checksum = hashlib.sha256(draft.read_bytes()).hexdigest()
    card = CHECKSUM.sub(checksum, CARD.read_text(encoding="utf-8"))
    card_draft = CARD.with_name(CARD.name + ".part")
    card_draft.write_text(card, encoding="utf-8")
    os.replace(draft, LOG)
    os.replace(card_draft, CARD)
    print(f"{LOG.relative_to(ROOT)}: {LOG.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
