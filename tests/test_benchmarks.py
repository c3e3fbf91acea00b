"""The benchmark's own parts: a wrong ruler would go unnoticed."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks import data, report
from benchmarks.architecture import Setting, flop_per_sample
from benchmarks.environments import (
    PEERS,
    RETRIEVAL,
    NoEnvironmentError,
    python_of,
)
from benchmarks.protocol import Worker, WorkerError
from benchmarks.turns import Turns


def measured(seconds: dict[str, list[float]], **more) -> pd.DataFrame:
    """The long table of one setting from each library's seconds per round."""
    rows = [
        (library, quantity, turn, value)
        for library, values in seconds.items()
        for turn, spent in enumerate(values)
        for quantity, value in {
            "train_s": spent,
            "train_cpu_s": spent,
            "train_rows": 1000.0,
            "gemm_gflops": 100.0,
            "peak_mb": 1.0,
            **{q: v[library][turn] for q, v in more.items()},
        }.items()
    ]
    frame = pd.DataFrame(
        rows, columns=["library", "quantity", "round", "value"]
    )
    return frame.assign(model="shared_bottom", batch_size=512)


def row(table: pd.DataFrame, library: str) -> pd.Series:
    return table.set_index("library").loc[library]


def test_ratios_are_taken_within_rounds_and_the_first_is_dropped():
    table = report.summary(
        measured({"ours": [9, 1, 2, 4], "DeepCTR": [1, 3, 4, 16]})
    )
    peer = row(table, "DeepCTR")
    assert peer["train_ratio"] == 3.0  # of 3, 2, 4; medians give 4 / 2
    assert (peer["train_low"], peer["train_high"]) == (2.0, 4.0)
    assert peer["train_per_s"] == 250.0
    assert row(table, "ours")["train_ratio"] == 1.0


def test_share_of_peak_is_work_done_over_work_possible():
    table = report.summary(measured({"ours": [1, 1, 1]}))
    flop = flop_per_sample("shared_bottom", 20, 5, 2)
    expected = 1000 * flop / 100e9
    assert row(table, "ours")["share_of_peak"] == pytest.approx(expected)


def test_time_to_the_same_auc_needs_both_tasks():
    click = {"ours": [0.6, 0.8, 0.8], "DeepCTR": [0.5, 0.6, 0.7]}
    conversion = {"ours": [0.6, 0.6, 0.8], "DeepCTR": [0.5, 0.6, 0.7]}
    seconds = {"ours": [1, 1, 1], "DeepCTR": [4, 4, 4]}
    table = report.summary(
        measured(seconds, auc_click=click, auc_conversion=conversion)
    )
    assert row(table, "DeepCTR")["time_to_same_auc"] == 3 / 12
    conversion["ours"][2] = 0.69
    table = report.summary(
        measured(seconds, auc_click=click, auc_conversion=conversion)
    )
    assert pd.isna(row(table, "DeepCTR")["time_to_same_auc"])


def test_aims_are_missed_when_the_ratio_is_too_small_or_not_reached():
    frame = measured({"ours": [1, 1], "DeepCTR": [1, 3.9]})
    lines = report.aims(report.summary(frame))
    assert [line for line in lines if "train_ratio" in line] == [
        "  MISSED shared_bottom, batch 512, DeepCTR: train_ratio 3.90 "
        "(aim >= 4.00)"
    ]
    assert "not reached" in next(x for x in lines if "same_auc" in x)


def test_work_per_sample_counts_every_product_three_times():
    # 325 -> 256 -> 128, two towers 128 -> 64 -> 1
    forward = 325 * 256 + 256 * 128 + 2 * (128 * 64 + 64)
    assert flop_per_sample("shared_bottom", 20, 5, 2) == 6 * forward
    experts = 8 * (325 * 128 + 128 * 64)
    forward = experts + 2 * 325 * 8 + 2 * (64 * 64 + 64)
    assert flop_per_sample("mmoe", 20, 5, 2) == 6 * forward


def test_table_is_reproducible_and_its_labels_follow_its_truth(tmp_path):
    table = data.generate(20_000, 16_000, seed=3)
    again = data.generate(20_000, 16_000, seed=3)
    assert (table.ids == again.ids).all()
    assert (table.ids < np.array(table.field_sizes)).all()
    assert table.field_sizes[0] == 10
    assert table.field_sizes[-1] == 200_000
    error = (table.labels - table.truth).mean(axis=0)
    spread = np.sqrt((table.truth * (1 - table.truth)).mean(axis=0) / 20_000)
    assert (np.abs(error) < 4 * spread).all()
    # Zipf: rank 1 is 2 ** 1.1 times as frequent as rank 2.
    counts = np.bincount(table.ids[:, -1])
    assert counts[0] / counts[1] == pytest.approx(2**1.1, rel=0.2)
    data.save(table, tmp_path / "table.npz")
    back = data.load(tmp_path / "table.npz")
    assert (back.numbers == table.numbers).all()
    assert (back.field_sizes, back.n_train) == (table.field_sizes, 16_000)
    assert [p.name for p in tmp_path.iterdir()] == ["table.npz"]


def test_a_loop_stands_still_between_its_turns():
    seen: list[int] = []

    def loop() -> None:
        for batch in turns.counted(range(6)):
            seen.append(batch)

    turns = Turns(loop)
    turns.take(1)
    assert seen == [0]
    turns.take(3)
    assert seen == [0, 1, 2, 3]
    turns.take(99)
    assert seen == [0, 1, 2, 3, 4, 5]
    with pytest.raises(RuntimeError, match="ended"):
        turns.take(1)


def test_a_loop_that_fails_says_so():
    def loop() -> None:
        raise KeyError("no such field")

    with pytest.raises(RuntimeError, match="failed"):
        Turns(loop).take(1)


LIBRARY = """
import numpy as np
print("noise of an import")
class Library:
    packages = ("numpy",)
    def __init__(self, table, setting):
        print("noise")
        self.rows = len(table.ids)
    def train(self, steps):
        return steps * self.rows
    def predict(self):
        return np.full((2, 2), 0.5)
    def fail(self):
        raise ValueError("on purpose")
    def die(self):
        import os
        os._exit(3)
LIBRARY = Library
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    (tmp_path / "a_library.py").write_text(LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    data.save(data.generate(500, 400), tmp_path / "table.npz")
    worker = Worker(sys.executable, "a_library", tmp_path / "log")
    setting = vars(Setting("mmoe", 32, 1e-3, 0))
    answer = worker.ask(
        "load", path=str(tmp_path / "table.npz"), setting=setting
    )
    assert answer == {"versions": {"numpy": np.__version__}}
    yield worker
    worker.close()


def test_a_worker_answers_in_spite_of_prints(worker, tmp_path):
    answer = worker.ask("train", steps=2)
    assert answer["result"] == 1000
    assert answer["wall"] >= 0
    worker.ask("predict", save_to=str(tmp_path / "found.npy"))
    assert (np.load(tmp_path / "found.npy") == 0.5).all()
    assert "noise of an import" in worker.log.read_text()


def test_a_worker_says_why_it_failed_and_goes_on(worker):
    with pytest.raises(WorkerError, match="on purpose"):
        worker.ask("fail")
    assert worker.ask("train", steps=1)["result"] == 500
    with pytest.raises(WorkerError, match="ended"):
        worker.ask("die")


def test_an_environment_that_cannot_be_had_says_why():
    with pytest.raises(NoEnvironmentError, match="not a program"):
        python_of(PEERS[0], "/nowhere/python")


@pytest.mark.parametrize("peer", [*PEERS, RETRIEVAL], ids=lambda p: p.key)
def test_peers_are_pinned_without_an_index(peer):
    lines = peer.requirements.read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert packages
    assert all("==" in line for line in packages)
    assert not any("://" in line or line.startswith("-") for line in lines)


def test_a_rate_falls_in_a_line_to_a_twentieth():
    falling = Setting("mmoe", 32, 2e-3, 0, falls=True)
    found = [falling.rate_at(share) for share in (0, 0.5, 0.95, 1)]
    np.testing.assert_allclose(found, [2e-3, 1e-3, 1e-4, 1e-4])
    constant = Setting("mmoe", 32, 2e-3, 0)
    assert {constant.rate_at(share) for share in (0, 0.5, 1)} == {2e-3}
