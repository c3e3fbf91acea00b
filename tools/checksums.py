"""Write ``datasets/SHA256SUMS``, which the doctor compares with the files.

    python -m tools.checksums

The bundled log and every result table have a line; run it after one of them
changed (``make evidence`` does).  The format is that of ``sha256sum``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from mtlrec_utils.whole_file import whole_file

ROOT = Path(__file__).resolve().parents[1]
DATASETS = ROOT / "datasets"
SUMS = DATASETS / "SHA256SUMS"


def checksums() -> str:
    """Return the file's content for the data as they are now."""
    files = [*DATASETS.glob("*.parquet"), *DATASETS.glob("results/*.csv")]
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}"
        f"  {path.relative_to(DATASETS).as_posix()}\n"
        for path in sorted(files)
    )


def main() -> None:
    """Write the file whole or not at all."""
    with whole_file(SUMS) as part:
        part.write_text(checksums(), encoding="utf-8")


if __name__ == "__main__":
    main()
