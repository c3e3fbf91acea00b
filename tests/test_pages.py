"""README, FAQ, CONTRIBUTING: links lead somewhere, code runs as written."""

import re
from pathlib import Path

import numpy as np
import pytest

from mtlrec_utils.data import World

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "FAQ.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page):
    text = (ROOT / page).read_text("utf-8")
    links = [
        link.split("#")[0]
        for link in re.findall(r"\]\(([^)]+)\)", text)
        if "://" not in link and not link.startswith("#")
    ]
    assert links
    absent = [link for link in links if not (ROOT / link).exists()]
    assert absent == []


def test_every_lesson_has_its_row_in_the_readme():
    text = (ROOT / "README.md").read_text("utf-8")
    lessons = sorted(path.name for path in ROOT.glob("notebooks/*.ipynb"))
    rows = re.findall(r"^\| \[.*?\]\(notebooks/(.*?)\)", text, re.M)
    assert rows == lessons


def test_modules_named_in_the_faq_exist():
    text = (ROOT / "FAQ.md").read_text("utf-8")
    for name in set(re.findall(r"-m (mtlrec_utils[\w.]*)", text)):
        place = ROOT.joinpath(*name.split("."))
        assert (
            place.with_suffix(".py").exists()
            or (place / "__main__.py").exists()
        ), name


def test_the_code_of_the_faq_runs():
    text = (ROOT / "FAQ.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) == 3
    world = World(n_users=150, n_items=40)
    names = {"log": world.with_features(world.log(3000, domain="films"))}
    for block in blocks:
        exec(block, names)
    model, test = names["model"], names["test"]
    assert set(model.output) == {"click", "like"}
    assert len(np.ravel(names["verdict"])) == 1
    assert names["verdict"] in ("helps", "hurts", "cannot tell")
    assert len(test) == 600
