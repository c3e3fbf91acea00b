"""A killed run goes on and ends with the weights of one never killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from learning_cases import examples, same_weights, small_model, weights

from mtlrec_utils.learning import CheckpointError, RowSparseAdam, fit
from mtlrec_utils.learning.checkpoints import FILE, Checkpoint, fingerprint

HERE = Path(__file__).parent
OPTIONS = {"batch_size": 16, "learning_rate": 0.05, "seed": 3}


TASKS = ("click", "minutes")


def train(folder, epochs, **options):
    model = small_model(0, TASKS, dropout=0.3)
    history = fit(
        model,
        examples(),
        examples(40, seed=1),
        epochs=epochs,
        checkpoint=folder,
        **{**OPTIONS, **options},
    )
    return model, history


def losses(history):
    return history.table.drop(columns="seconds")


class Killed(BaseException):
    pass


@pytest.fixture
def killed_after(monkeypatch):
    """Make the n-th write of a checkpoint the last thing that happens."""

    def arrange(n):
        original, writes = Checkpoint.save, []

        def save(self, state):
            original(self, state)
            writes.append(state.epoch)
            if len(writes) == n:
                monkeypatch.setattr(Checkpoint, "save", original)
                raise Killed

        monkeypatch.setattr(Checkpoint, "save", save)

    return arrange


@pytest.mark.parametrize(
    "options", [{}, {"decay": "cosine"}], ids=["constant rate", "decay"]
)
def test_a_run_stopped_between_epochs_goes_on(tmp_path, killed_after, options):
    whole, expected = train(tmp_path / "whole", 6, **options)
    killed_after(3)
    with pytest.raises(Killed):
        train(tmp_path / "parts", 6, **options)
    parts, found = train(tmp_path / "parts", 6, **options)
    same_weights(weights(parts), weights(whole))
    assert losses(found).equals(losses(expected))
    assert found.steps == expected.steps


def test_patience_survives_a_stop_and_the_end(tmp_path, killed_after):
    # A rate this high overshoots, so the best epoch is not the last.
    options = {"patience": 3, "learning_rate": 0.3}
    whole, expected = train(None, 40, **options)
    stopped = expected.losses("validation").index.max()
    assert expected.best_epoch + 3 == stopped < 40
    killed_after(expected.best_epoch + 1)
    with pytest.raises(Killed):
        train(tmp_path, 40, **options)
    for _ in range(2):  # the second call finds the run at its end
        parts, found = train(tmp_path, 40, **options)
        same_weights(weights(parts), weights(whole))
        assert found.best_epoch == expected.best_epoch
        assert losses(found).equals(losses(expected))


def test_an_own_optimizer_goes_on_with_its_state(tmp_path, killed_after):
    def own():
        return {
            "optimizer": keras.optimizers.SGD(0.1, momentum=0.9),
            "learning_rate": 1e-3,
        }

    whole, _ = train(None, 5, **own())
    killed_after(2)
    with pytest.raises(Killed):
        train(tmp_path, 5, **own())
    parts, _ = train(tmp_path, 5, **own())
    same_weights(weights(parts), weights(whole))


SCRIPT = """
import sys, time
sys.path[:0] = {paths!r}
from mtlrec_utils.learning.checkpoints import Checkpoint
original = Checkpoint.save
def slow(self, state):
    original(self, state)
    time.sleep(0.2)
Checkpoint.save = slow
from test_resuming import train
train({folder!r}, 30)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_a_process_killed_outright_goes_on(tmp_path):
    whole, expected = train(None, 30)
    paths = [str(HERE), str(HERE.parent)]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SCRIPT.format(paths=paths, folder=str(tmp_path)),
        ],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not (tmp_path / FILE).exists() and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended without a checkpoint"
        time.sleep(0.05)
    time.sleep(0.5)  # some epochs more
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with np.load(tmp_path / FILE) as file:
        assert '"epoch": 30' not in str(file["note"])
    parts, found = train(tmp_path, 30)
    same_weights(weights(parts), weights(whole))
    assert losses(found).equals(losses(expected))


def test_more_epochs_go_on_and_fewer_are_refused(tmp_path):
    whole, _ = train(None, 5)
    train(tmp_path, 2)
    parts, history = train(tmp_path, 5)
    same_weights(weights(parts), weights(whole))
    assert history.losses().index.tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="epoch 5, past epochs=3"):
        train(tmp_path, 3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    train(folder, 1)
    return folder


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"seed": 4}, "seed"),
        ({"batch_size": 8}, "batch_size"),
        ({"learning_rate": 0.01}, "learning_rate"),
        ({"loss_weights": {"click": 2}}, "loss_weights"),
        ({"patience": 2}, "patience"),
        (
            {"learning_rate": 1e-3, "optimizer": RowSparseAdam(0.05)},
            "optimizer",
        ),
    ],
)
def test_another_configuration_is_refused(finished, options, difference):
    with pytest.raises(CheckpointError, match=f"another run.*{difference}"):
        train(finished, 2, **options)


def test_another_model_or_other_data_are_refused(finished):
    rows, other = examples(), examples(40, seed=1)
    options = {"epochs": 2, "checkpoint": finished, **OPTIONS}
    with pytest.raises(CheckpointError, match="model"):
        fit(
            small_model(0, TASKS, dropout=0.3, width=5), rows, other, **options
        )
    labels = {**rows.labels, "click": 1 - rows.labels["click"]}
    with pytest.raises(CheckpointError, match="train"):
        fit(
            small_model(0, TASKS, dropout=0.3),
            replace(rows, labels=labels),
            other,
            **options,
        )
    with pytest.raises(CheckpointError, match="validation"):
        fit(small_model(0, TASKS, dropout=0.3), rows, None, **options)


def test_a_damaged_file_is_refused(finished, tmp_path):
    whole = (finished / FILE).read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2]):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(CheckpointError, match="Delete it"):
            train(tmp_path, 2)


def test_a_failing_write_leaves_the_old_state(tmp_path, monkeypatch):
    train(tmp_path, 1)
    before = (tmp_path / FILE).read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        train(tmp_path, 2)
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_fingerprint_sees_every_array():
    rows = examples()
    seen = {fingerprint(rows), fingerprint(rows.with_tasks(["click"]))}
    for part in ("ids", "numbers"):
        array = getattr(rows, part).copy()
        array[3, 1] = array[3, 1] + 1
        seen.add(fingerprint(replace(rows, **{part: array})))
    hidden = rows.masks["click"].copy()
    hidden[0] = 0
    seen.add(fingerprint(replace(rows, masks={**rows.masks, "click": hidden})))
    assert len(seen) == 5
    assert fingerprint(examples()) == fingerprint(rows)
