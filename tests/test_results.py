"""Result tables: round trip, metadata, no half-written file, no wrong word."""

import datetime
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtlrec_utils import evidence as ev

STORED = Path(__file__).parents[1] / "datasets" / "results"
FRAME = pd.DataFrame(
    {
        "model": ["mmoe", "shared, #1", 'single "task"'],
        "seed": [0, 1, 2],
        "value": [0.1 + 0.2, 1e-17, np.pi],
        "low": [0.1, -0.1, -2.0],
        "high": [0.2, 0.1, -1.0],
        "metric": ["auc", "auc", "rmse"],
        "verdict": ["helps", "cannot tell", "helps"],
    }
)
ORIGIN = {"seeds": range(3), "command": "make evidence"}


@pytest.fixture(params=["table.csv", "table.parquet"])
def path(request, tmp_path):
    return tmp_path / "new folder" / request.param


def test_a_table_comes_back_as_it_was(path):
    assert ev.write_results(FRAME, path, **ORIGIN) == path
    table = ev.read_results(str(path))
    pd.testing.assert_frame_equal(table.frame, FRAME, check_exact=True)
    assert os.listdir(path.parent) == [path.name]


def test_a_table_says_where_it_comes_from(path):
    ev.write_results(FRAME, path, data_set="Lantern: films", rows=7, **ORIGIN)
    found = ev.read_results(path).metadata
    assert found["seeds"] == [0, 1, 2]
    assert found["command"] == "make evidence"
    assert found["data_set"] == "Lantern: films"
    assert found["rows"] == 7
    assert found["versions"]["numpy"] == np.__version__
    assert {"python", "keras", "tensorflow"} <= set(found["versions"])
    datetime.date.fromisoformat(found["date"])


def test_a_table_does_not_depend_on_the_day_if_told_so(path):
    told = {"date": "2026-01-02", "versions": {"numpy": "2.0"}, **ORIGIN}
    ev.write_results(FRAME, path, **told)
    content = path.read_bytes()
    ev.write_results(FRAME, path, **told)
    assert path.read_bytes() == content
    assert ev.read_results(path).metadata["date"] == "2026-01-02"


def test_a_csv_header_can_be_read_by_people(tmp_path):
    path = ev.write_results(FRAME, tmp_path / "a.csv", **ORIGIN)
    first, *_, last = path.read_text(encoding="utf-8").splitlines()
    assert first == "# seeds: [0, 1, 2]"
    assert last.endswith(",helps")
    assert b"\r" not in path.read_bytes()


def test_a_failed_write_leaves_the_old_table(path, monkeypatch):
    ev.write_results(FRAME, path, **ORIGIN)
    content = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        ev.write_results(FRAME.head(1), path, **ORIGIN)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": FRAME.head(0)}, "empty"),
        ({"command": " "}, "command"),
        ({"seeds": []}, "seeds"),
        ({"path": "table.txt"}, "table.txt"),
        ({"note": {1, 2}}, "note"),
        ({"note": np.nan}, "note"),
        ({"frame": FRAME.assign(verdict="helps")}, "row 1 says 'helps'"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path, changes, message):
    path = tmp_path / changes.pop("path", "table.csv")
    frame = changes.pop("frame", FRAME)
    with pytest.raises(ValueError, match=message):
        ev.write_results(frame, path, **{**ORIGIN, **changes})
    assert os.listdir(tmp_path) == []


def test_a_table_without_origin_is_refused(tmp_path):
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    FRAME.to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(ValueError, match="does not say its seeds, date"):
            ev.read_results(tmp_path / name)
    (tmp_path / "b.csv").write_text("# seeds: one\na\n1\n")
    with pytest.raises(ValueError, match="line 1"):
        ev.read_results(tmp_path / "b.csv")
    with pytest.raises(FileNotFoundError):
        ev.read_results(tmp_path / "c.csv")


def test_a_wrong_word_is_found():
    assert ev.verdict_disagreements(FRAME) == []
    for row, word in enumerate(["hurts", "hurts", "cannot tell"]):
        wrong = FRAME.copy()
        wrong.loc[row, "verdict"] = word
        (message,) = ev.verdict_disagreements(wrong)
        assert f"row {row} says '{word}'" in message
    # The direction comes from the column, if there is one.
    told = FRAME.drop(columns="metric").assign(higher_is_better=False)
    assert len(ev.verdict_disagreements(told)) == 1
    # Tables of something else are left alone.
    assert ev.verdict_disagreements(FRAME.drop(columns="low")) == []


def test_a_table_of_comparisons_survives_the_file(path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    good = labels + rng.normal(size=(5, 300))
    noise = rng.normal(size=(5, 300))
    compared = ev.compare_many(labels, {"good": good, "same": noise}, noise)
    frame = ev.comparison_table(compared, names=("model",))
    ev.write_results(frame, path, **ORIGIN)
    again = ev.read_results(path).frame
    assert again.verdict.tolist() == ["helps", "cannot tell"]
    assert ev.verdict_disagreements(again) == []
    assert again.low.tolist() == frame.low.tolist()


def stored_tables():
    return sorted(
        path
        for path in STORED.glob("**/*")
        if path.suffix in (".csv", ".parquet")
    )


@pytest.mark.parametrize("table", stored_tables(), ids=lambda path: path.name)
def test_stored_tables_say_their_origin_and_the_right_word(table):
    frame, metadata = ev.read_results(table)
    assert not frame.empty
    assert len(metadata["seeds"]) > 0
    assert metadata["command"]
    datetime.date.fromisoformat(metadata["date"])
    assert ev.verdict_disagreements(frame) == []
    # No path of the machine that made it.
    assert not re.search(r"(/home/|/root/|/tmp/|C:\\)", json.dumps(metadata))
