"""The evidence runner: resumes, notices changed code, writes whole tables."""

from __future__ import annotations

import sys

import pytest

from mtlrec_utils.evidence import read_results
from tools import checksums, evidence

EXPERIMENT = """
import pandas as pd

SEEDS = range(5)
calls = []


def units():
    return [{"correlation": c} for c in (0.0, 0.5, 1.0)]


def run(unit):
    with open(%r, "a") as log:
        log.write(f"{unit['correlation']}\\n")
    if unit["correlation"] == 1.0 and %r:
        raise KeyboardInterrupt
    return pd.DataFrame({"correlation": [unit["correlation"]], "gain": [0.1]})


def table(results):
    return results.sort_values("correlation")
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    for name in ("EXPERIMENTS", "STORE", "RESULTS"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setattr(evidence, name, folder)
    monkeypatch.setattr(evidence, "ROOT", tmp_path)
    return tmp_path


def write(house, interrupted):
    text = EXPERIMENT % (str(house / "log"), interrupted)
    (evidence.EXPERIMENTS / "gain.py").write_text(text)


def runs(house):
    return (house / "log").read_text().split()


def test_interrupted_run_goes_on_where_it_stopped(house, monkeypatch):
    write(house, interrupted=True)
    with pytest.raises(KeyboardInterrupt):
        evidence.make("gain")
    assert not list(evidence.RESULTS.iterdir())
    monkeypatch.setattr(evidence, "code_hash", lambda name: "as before")
    with pytest.raises(KeyboardInterrupt):
        evidence.make("gain")
    write(house, interrupted=False)
    evidence.make("gain")
    assert runs(house) == ["0.0", "0.5", "1.0"] * 2 + ["1.0"]
    found = read_results(evidence.RESULTS / "gain.csv")
    assert found.frame["correlation"].tolist() == [0.0, 0.5, 1.0]
    assert found.metadata["seeds"] == [0, 1, 2, 3, 4]
    assert found.metadata["command"] == "python -m tools.evidence gain"


def test_changed_experiment_runs_anew(house):
    write(house, interrupted=False)
    evidence.make("gain")
    evidence.make("gain")
    assert runs(house) == ["0.0", "0.5", "1.0"]
    path = evidence.EXPERIMENTS / "gain.py"
    path.write_text(path.read_text() + "\n# changed\n")
    evidence.make("gain")
    assert runs(house) == ["0.0", "0.5", "1.0"] * 2


def test_experiment_without_its_data_keeps_the_table(house, capsys):
    write(house, interrupted=False)
    path = evidence.EXPERIMENTS / "gain.py"
    path.write_text(path.read_text() + "\ndef missing():\n    return 'No.'\n")
    evidence.make("gain")
    assert "No." in capsys.readouterr().out
    assert not list(evidence.RESULTS.iterdir())


def test_unknown_experiment_is_named(house, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["evidence", "nothing"])
    with pytest.raises(SystemExit, match="nothing"):
        evidence.main()


def test_checksums_are_those_of_the_files():
    assert checksums.SUMS.read_text() == checksums.checksums(), (
        "run python -m tools.checksums"
    )
