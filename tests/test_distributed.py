"""One training function in five places: the same weights everywhere."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mtlrec_utils.data import Categorical, Number, Schema, Task
from mtlrec_utils.data.shards import write_shards
from mtlrec_utils.data.stream import ShardStream
from mtlrec_utils.learning import distributed, fit
from mtlrec_utils.learning.checkpoints import CheckpointError
from mtlrec_utils.learning.distributed import (
    Job,
    TensorFlowSteps,
    WorkerDiedError,
    largest_difference,
    launch,
    loop,
    save_start,
    start_workers,
    train,
)
from mtlrec_utils.learning.distributed.batches import padded, part
from mtlrec_utils.learning.distributed.launch import (
    Workers,
    free_ports,
    worker_environment,
)
from mtlrec_utils.learning.streaming import batch_dataset

# The package offers a function of this name.
launch_module = sys.modules["mtlrec_utils.learning.distributed.launch"]

TIMEOUT = 240


def rows(n=600, seed=0):
    rng = np.random.default_rng(seed)
    item = rng.integers(13, size=n)
    price = rng.normal(size=n)
    click = rng.random(n) < 1 / (1 + np.exp(-(item - 6) / 3 - price))
    return {
        "item": item,
        "price": price,
        "click": click.astype(int),
        "bought": (click & (rng.random(n) < 0.3)).astype(int),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("job")
    frame = pd.DataFrame(rows())
    schema = Schema(
        [Categorical("item"), Number("price")],
        [Task("click"), Task("bought", sample_space="click")],
    ).fit(frame)
    schema.save(place / "schema.json")
    write_shards(frame, place / "shards", 200, rows_per_group=50)
    return place


def job(folder, name, **more):
    made = Job(
        shards=str(folder / "shards"),
        schema=str(folder / "schema.json"),
        output=str(folder / name),
        arguments={
            "embedding_dimension": 2,
            "bottom_units": [4],
            "tower_units": [],
        },
        **{
            "batch_size": 37,  # odd, so that parts are padded
            "epochs": 2,
            "learning_rate": 0.01,
            "checkpoint_every": 5,
            **more,
        },
    )
    made.save(folder / f"{name}.json")
    return made


def apart(one, other):
    return max(
        float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def alone(folder):
    made = job(folder, "alone")
    steps = TensorFlowSteps(made)
    before = steps.model.get_weights()
    summary = train(made, steps)
    assert apart(before, steps.model.get_weights()) > 0.05
    return made, summary


def test_a_step_is_that_of_fit(folder):
    made = job(folder, "like fit", epochs=1, batch_size=600)
    steps = TensorFlowSteps(made)
    train(made, steps)
    model = made.build_model()
    (_, batch), *_ = made.stream().batches()
    fit(model, batch, epochs=1, batch_size=600, learning_rate=0.01)
    assert apart(steps.model.get_weights(), model.get_weights()) < 1e-6


def test_the_summary_says_what_was_done(alone):
    made, summary = alone
    assert (summary.steps, summary.resumed_at, summary.devices) == (34, 0, 1)
    assert set(summary.losses) == {"click", "bought"}
    again = replace(
        loop.read_summary(made), rows_per_second=summary.rows_per_second
    )
    assert again == summary


def test_a_finished_job_does_nothing_more(alone):
    made, summary = alone
    before = made.checkpoint().load().weights
    again = train(made, TensorFlowSteps(made))
    assert (again.steps, again.resumed_at) == (34, 34)
    assert apart(made.checkpoint().load().weights, before) == 0


@pytest.mark.parametrize("last", [3, 5, 17, 21])
def test_a_run_that_stops_goes_on_from_its_checkpoint(folder, alone, last):
    made = job(folder, f"stopped {last}")
    steps = TensorFlowSteps(made)
    real, left = steps.step, [last]

    def step(batch):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(batch)

    steps.step = step
    with pytest.raises(KeyboardInterrupt):
        train(made, steps)
    summary = train(made, TensorFlowSteps(made))
    assert summary.resumed_at == last // 5 * 5
    assert largest_difference(made, alone[0]) == 0


def test_a_job_without_a_checkpoint_has_no_weights(folder, alone):
    with pytest.raises(ValueError, match="holds no checkpoint"):
        largest_difference(alone[0], job(folder, "new"))


def test_another_job_is_refused(folder, alone):
    other = replace(alone[0], learning_rate=0.02)
    with pytest.raises(CheckpointError, match="learning_rate"):
        train(other, TensorFlowSteps(other))


def test_a_loss_that_is_not_finite_stops_the_run(folder):
    made = job(folder, "diverged", optimizer="sgd", learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="Lower the learning rate"):
        train(made, TensorFlowSteps(made))


def test_padding_changes_no_loss(folder):
    steps = TensorFlowSteps(job(folder, "padded"))
    (_, batch), *_ = steps_stream(folder)
    found = padded(batch, 50, steps.losses)
    assert found["inputs"]["ids"].shape == (50, 1)
    assert found["masks"]["bought"][37:].tolist() == [0] * 13
    cut = [part(found, k, 2) for k in range(2)]
    for name in ("click", "bought"):
        both = np.concatenate([c["labels"][name] for c in cut])
        assert np.array_equal(both, found["labels"][name])
        assert np.array_equal(both[:37], batch.labels[name])


def steps_stream(folder):
    schema = Schema.load(folder / "schema.json")
    return ShardStream(folder / "shards", schema, 37).batches()


def test_the_dataset_has_the_batches_of_the_stream(folder):
    model = job(folder, "dataset").build_model()
    schema = Schema.load(folder / "schema.json")
    stream = ShardStream(folder / "shards", schema, 70, seed=1)
    start = stream.position(2)
    found = list(batch_dataset(stream, model, start, epochs=2))
    wanted = [batch for _, batch in stream.batches(start, 2)]
    assert len(found) == len(wanted) == 16
    for ours, batch in zip(found, wanted, strict=True):
        assert np.array_equal(ours["inputs"]["ids"], batch.ids)
        assert np.array_equal(ours["labels"]["click"], batch.labels["click"])
        assert np.array_equal(ours["masks"]["bought"], batch.masks["bought"])


def test_mirrored_devices_end_where_one_does(folder, alone):
    made = job(folder, "mirrored")
    summary = launch(folder / "mirrored.json", "mirrored", 2, timeout=TIMEOUT)
    assert (summary.devices, summary.steps) == (2, 34)
    assert largest_difference(made, alone[0]) < 1e-6


def test_a_killed_worker_ends_all_and_one_device_ends_the_job(folder, alone):
    made = job(folder, "workers", checkpoint_every=3)
    workers = start_workers(folder / "workers.json", "workers", 2)

    def kill_after_a_checkpoint():
        end = time.monotonic() + TIMEOUT
        while not (folder / "workers" / "summary.json").exists():
            if time.monotonic() > end or workers.processes[1].poll():
                return
            time.sleep(0.002)
        workers.processes[1].kill()

    killer = threading.Thread(target=kill_after_a_checkpoint)
    killer.start()
    with pytest.raises(WorkerDiedError, match="Worker 1 ended by signal 9"):
        workers.wait(TIMEOUT)
    killer.join()
    assert all(p.poll() is not None for p in workers.processes)
    at = made.checkpoint().load().steps
    assert 3 <= at < 34
    assert loop.read_summary(made).devices == 2
    assert train(made, TensorFlowSteps(made)).resumed_at == at
    assert largest_difference(made, alone[0]) < 1e-6


ON_JAX = """
import sys
from mtlrec_utils.learning.distributed import Job, JaxSteps, train
for kind in ("data", "table"):
    job = Job.load(sys.argv[1] + f"/{kind}.json")
    steps = JaxSteps(job, kind)
    assert train(job, steps).devices == 2
    table = steps.model.get_layer("embedding").table.value
    print(kind, steps.table_layout, table.addressable_shards[0].data.shape)
"""


def test_jax_devices_end_where_one_of_tensorflow_does(folder):
    pytest.importorskip("jax")
    made = job(folder, "for jax", optimizer="sgd", learning_rate=0.1)
    steps = TensorFlowSteps(made)
    there = [replace(made, output=str(folder / k)) for k in ("data", "table")]
    for one, kind in zip(there, ("data", "table"), strict=True):
        save_start(one, steps)
        one.save(folder / f"{kind}.json")
    train(made, steps)
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX, str(folder)],
        env=worker_environment("data", 2, 0, ()),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        "data (None, None) (15, 2)",  # a whole table on each device
        "table (None, 'model') (15, 1)",  # 15 rows: shared by columns
    ]
    for one in there:
        assert largest_difference(one, made) < 1e-6


def processes(tmp_path, *programs):
    logs = [tmp_path / f"{k}.log" for k in range(len(programs))]
    started = []
    for program, log in zip(programs, logs, strict=True):
        with open(log, "wb") as file:
            started.append(
                subprocess.Popen([sys.executable, "-c", program], stdout=file)
            )
    return Workers(started, logs)


def test_a_worker_that_fails_is_quoted_and_the_others_end(tmp_path):
    workers = processes(
        tmp_path, "import time; time.sleep(600)", "print('why'); exit(3)"
    )
    with pytest.raises(
        WorkerDiedError, match=r"(?s)Worker 1 .* status 3.*why"
    ):
        workers.wait(60)
    assert workers.processes[0].returncode == -signal.SIGKILL


def test_a_worker_that_takes_too_long_is_ended(tmp_path):
    workers = processes(tmp_path, "import time; time.sleep(600)")
    with pytest.raises(TimeoutError, match="0.1 s and was stopped"):
        workers.wait(0.1)
    assert workers.processes[0].returncode == -signal.SIGKILL


def test_a_launch_starts_again_as_often_as_it_may(
    folder, tmp_path, monkeypatch
):
    made = job(folder, "alone")
    programs = ["exit(1)", "exit(1)", "exit(0)"]
    monkeypatch.setattr(
        launch_module,
        "start_workers",
        lambda *_, **__: processes(tmp_path, programs.pop(0)),
    )
    with pytest.raises(WorkerDiedError):
        launch(folder / "alone.json", restarts=0)
    summary = loop.Summary(1, 0, 1, 1.0, 1.0, 1.0, {})
    path = Path(made.output) / "summary.json"
    path.write_text(json.dumps(asdict(summary)), "utf-8")
    assert launch(folder / "alone.json", restarts=1).steps == 1
    assert programs == []


def test_what_keras_would_ignore_or_break_is_refused(folder):
    assert keras.backend.backend() == "tensorflow"
    with pytest.raises(ValueError, match="does nothing on the tensorflow"):
        distributed.JaxSteps(job(folder, "refused"), "data")
    strategy = object.__new__(tf.distribute.MultiWorkerMirroredStrategy)
    with pytest.raises(ValueError, match="does not work under a strategy of"):
        distributed.refuse_fit_on_workers(strategy)
    distributed.refuse_fit_on_workers(tf.distribute.get_strategy())


def test_every_worker_gets_its_own_number_and_all_addresses():
    environment = worker_environment("workers", 2, 1, ["a:1", "b:2"])
    assert environment["TF_CONFIG"] == (
        '{"cluster": {"worker": ["a:1", "b:2"]}, '
        '"task": {"type": "worker", "index": 1}}'
    )
    jax = worker_environment("table", 4, 0, ())
    assert "device_count=4" in jax["XLA_FLAGS"]
    assert jax["KERAS_BACKEND"] == "jax"
    assert "TF_CONFIG" not in jax
    assert jax["MTLREC_PARENT"] == str(os.getpid())
    assert len(set(free_ports(3))) == 3


def test_bad_arguments_are_refused(folder):
    file = folder / "alone.json"
    job(folder, "alone")
    for bad, message in (
        ({"place": "cloud"}, "place='cloud'"),
        ({"place": "workers", "count": 0}, "count=0"),
        ({"place": "workers", "index": 1}, "index=1"),
        ({"place": "one", "addresses": ["a:1"]}, "addresses are for"),
    ):
        with pytest.raises(ValueError, match=message):
            start_workers(file, **bad)
    with pytest.raises(ValueError, match="optimizer='lamb'"):
        job(folder, "bad", optimizer="lamb")
    with pytest.raises(ValueError, match="epochs=0"):
        job(folder, "bad", epochs=0)
    (folder / "no.json").write_text('{"shard": 1}')
    with pytest.raises(ValueError, match="is not a job"):
        Job.load(folder / "no.json")
    with pytest.raises(ValueError, match="has no 'nothing'"):
        job(folder, "bad", model="nothing").build_model()
