"""Draw the README's picture from its table: python -m tools.readme_figure."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from mtlrec_utils.classroom.plots import use_house_style
from mtlrec_utils.classroom.sharing_figures import gain_figure
from mtlrec_utils.evidence import read_results

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "datasets" / "results" / "gain_of_sharing.csv"
PICTURE = ROOT / "source" / "figures" / "gain_of_sharing.png"
WIDTH = 1200  # pixels


def main() -> None:
    """Write the picture."""
    use_house_style()
    frame = read_results(TABLE).frame
    figure, _ = gain_figure(frame)
    stream = io.BytesIO()
    dpi = WIDTH / figure.get_size_inches()[0]
    figure.savefig(stream, format="png", dpi=dpi, facecolor="white")
    picture = Image.open(stream).convert("RGB").quantize(256)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    picture.save(PICTURE, format="png", optimize=True)
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
