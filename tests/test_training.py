"""fit: equal to Keras' own step, deterministic, stops well and clearly."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from learning_cases import (
    KINDS,
    examples,
    same_weights,
    small_model,
    weights,
)

from mtlrec_utils.learning import (
    RowSparseAdam,
    TrainingDiverged,
    fit,
    steps,
)

LOSS_WEIGHTS = {"click": 1.0, "minutes": 0.5, "mood": 2.0}


def keras_losses():
    kind = {
        "click": keras.losses.BinaryCrossentropy,
        "minutes": keras.losses.MeanSquaredError,
        "mood": keras.losses.SparseCategoricalCrossentropy,
    }
    return {
        t: loss(reduction="mean_with_sample_weight")
        for t, loss in kind.items()
    }


@pytest.mark.parametrize(
    "make_optimizer",
    [lambda: RowSparseAdam(0.01), lambda: keras.optimizers.SGD(0.1)],
    ids=["row-sparse Adam", "SGD"],
)
def test_step_equals_that_of_compile_and_fit(make_optimizer):
    ours, theirs, rows = small_model(), small_model(), examples(50)
    epochs, batch_size, seed = 2, 16, 3
    fit(
        ours,
        rows,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        loss_weights=LOSS_WEIGHTS,
        optimizer=make_optimizer(),
    )
    theirs.compile(
        make_optimizer(),
        keras_losses(),
        loss_weights=LOSS_WEIGHTS,
        jit_compile=False,
    )
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([seed, epoch]).permutation(len(rows))
        for start in range(0, len(rows), batch_size):
            batch = rows.subset(order[start : start + batch_size])
            theirs.train_on_batch(
                batch.inputs,
                {t: y[:, None] for t, y in batch.labels.items()},
                sample_weight=dict(batch.masks),
            )
    same_weights(weights(ours), weights(theirs), atol=1e-6)


def test_learns_and_tells_its_losses():
    model, rows, other = small_model(), examples(400), examples(100, seed=1)
    history = fit(
        model, rows, other, epochs=8, batch_size=32, learning_rate=0.02
    )
    assert history.steps == 8 * 13
    table = history.table
    assert list(table) == ["epoch", "part", "task", "loss", "seconds"]
    assert len(table) == 8 * 2 * 4
    for part in ("train", "validation"):
        curve = history.losses(part)
        assert curve.iloc[-1] < 0.8 * curve.iloc[0]
        total = sum(history.losses(part, task) for task in KINDS)
        np.testing.assert_allclose(curve, total)
    assert history.weights_of == 8
    assert history.best_epoch == history.losses("validation").idxmin()
    with pytest.raises(ValueError, match="clicks"):
        history.losses("train", "clicks")


def test_validation_loss_is_the_masked_mean_of_the_final_weights():
    model, other = small_model(dropout=0.5), examples(90, seed=1)
    history = fit(model, examples(), other, epochs=1, batch_size=16)
    known = other.masks["minutes"] > 0
    predicted = model(other.inputs)["minutes"].numpy()[:, 0]
    error = (predicted - other.labels["minutes"])[known] ** 2
    found = history.losses("validation", "minutes")[1]
    assert found == pytest.approx(error.mean(), rel=1e-6)


def test_training_loss_is_the_mean_over_known_labels():
    """With a rate of almost 0, the epoch's mean is that of one big batch."""
    model, rows = small_model(), examples(50)
    history = fit(model, rows, rows, batch_size=16, learning_rate=1e-12)
    for task in KINDS:
        train = history.losses("train", task)[1]
        score = history.losses("validation", task)[1]
        assert train == pytest.approx(score, rel=1e-5)


def trained(seed=0, model_seed=0, **options):
    model = small_model(model_seed, dropout=0.4)
    options = {"epochs": 2, "batch_size": 16, **options}
    fit(model, examples(), seed=seed, **options)
    return weights(model)


def test_same_seed_same_weights():
    first = trained(seed=5)
    same_weights(first, trained(seed=5))
    with pytest.raises(AssertionError):
        same_weights(first, trained(seed=6))


def test_dropout_follows_the_seed_alone():
    """One batch of all rows: the order cannot matter, only dropout can."""
    options = {"epochs": 1, "batch_size": 60}
    a, b = trained(seed=1, **options), trained(seed=2, **options)
    assert max(np.abs(x - y).max() for x, y in zip(a, b, strict=True)) > 1e-4


def test_a_task_the_model_lacks_is_left_alone():
    all_tasks, only = examples(), examples().with_tasks(["click"])
    a, b = small_model(tasks=("click",)), small_model(tasks=("click",))
    fit(a, all_tasks, batch_size=16)
    fit(b, only, batch_size=16)
    same_weights(weights(a), weights(b))


def test_a_task_the_examples_lack_is_an_error():
    with pytest.raises(ValueError, match=r"task 'mood'.*'click', 'minutes'"):
        fit(small_model(), examples().with_tasks(["click", "minutes"]))


def test_masked_labels_change_nothing():
    rows = examples()
    labels = {
        t: np.where(rows.masks[t] > 0, y, 77).astype(y.dtype)
        for t, y in rows.labels.items()
    }
    a, b = small_model(), small_model()
    fit(a, rows, batch_size=16, epochs=2)
    fit(b, replace(rows, labels=labels), batch_size=16, epochs=2)
    same_weights(weights(a), weights(b))


def test_weight_zero_trains_the_other_task_alone():
    both, alone = small_model(tasks=("click", "minutes")), None
    alone = small_model(tasks=("click",))
    start = both.get_layer("logit_minutes").get_weights()
    fit(both, examples(), batch_size=16, loss_weights={"minutes": 0})
    fit(alone, examples(), batch_size=16)
    for layer in ("embedding", "bottom", "logit_click"):
        a, b = (m.get_layer(layer).get_weights() for m in (both, alone))
        same_weights(a, b, atol=1e-6)
    same_weights(both.get_layer("logit_minutes").get_weights(), start)


def test_rows_without_any_known_label_cost_no_step():
    rows = examples(60, tasks=("minutes",))
    known = rows.subset(rows.masks["minutes"] > 0)
    assert len(known) < len(rows)
    a, b = (small_model(tasks=("minutes",)) for _ in range(2))
    history = fit(a, rows, batch_size=16, epochs=2)
    fit(b, known, batch_size=16, epochs=2)
    same_weights(weights(a), weights(b))
    assert history.steps == 2 * -(-len(known) // 16)


def test_a_batch_with_every_label_masked_moves_nothing():
    model, rows = small_model(), examples()
    nobody = {t: np.zeros_like(m) for t, m in rows.masks.items()}
    start = weights(model)
    history = fit(model, replace(rows, masks=nobody), batch_size=16)
    same_weights(weights(model), start)
    assert np.isnan(history.losses("train", "click")[1])


def test_patience_stops_and_gives_back_the_best_weights():
    # Validation labels contradict the training labels: it only gets worse.
    rows = examples(tasks=("click",))
    upside_down = replace(rows, labels={"click": 1 - rows.labels["click"]})
    options = {"batch_size": 16, "learning_rate": 0.05}
    model, once = (small_model(tasks=("click",)) for _ in range(2))
    history = fit(model, rows, upside_down, epochs=50, patience=3, **options)
    assert history.best_epoch == history.weights_of == 1
    assert history.losses("validation").index.max() == 4
    assert history.steps == 4 * 4
    fit(once, rows, epochs=1, **options)
    same_weights(weights(model), weights(once))


def test_without_patience_the_last_weights_stay():
    rows = examples(tasks=("click",))
    upside_down = replace(rows, labels={"click": 1 - rows.labels["click"]})
    options = {"epochs": 3, "batch_size": 16, "learning_rate": 0.05}
    judged, alone = (small_model(tasks=("click",)) for _ in range(2))
    history = fit(judged, rows, upside_down, **options)
    fit(alone, rows, **options)
    assert (history.best_epoch, history.weights_of) == (1, 3)
    same_weights(weights(judged), weights(alone))


def moves(decay, learning_rate=1.0):
    """Distance each step covers: SGD-like, as Adam's gradient is constant."""
    numbers = keras.Input((1,), name="numbers")
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    output = keras.layers.Activation("linear", name="minutes")(layer(numbers))
    model = keras.Model({"numbers": numbers}, {"minutes": output})
    rows = examples(n=8, tasks=("minutes",), hidden=0)
    rows = replace(
        rows,
        numbers=np.ones((8, 1)),
        labels={"minutes": np.full(8, 1e6, "float32")},
    )
    places = []
    for epochs in (1, 2, 4):
        layer.set_weights([np.zeros((1, 1))])
        fit(
            model,
            rows,
            epochs=epochs,
            batch_size=4,
            decay=decay,
            learning_rate=learning_rate,
        )
        places.append(float(layer.kernel.numpy()[0, 0]))
    return places


@pytest.mark.parametrize(
    ("decay", "shape"),
    [
        (None, lambda x: np.ones_like(x)),
        ("linear", lambda x: 1 - x),
        ("cosine", lambda x: (1 + np.cos(np.pi * x)) / 2),
    ],
)
def test_decay_takes_the_rate_from_full_to_zero(decay, shape):
    # The target is far: every Adam step is one learning rate long.
    for epochs, place in zip((1, 2, 4), moves(decay), strict=True):
        done = np.arange(2 * epochs) / (2 * epochs)
        assert place == pytest.approx(shape(done).sum(), rel=1e-3)


def test_keras_schedule_is_followed():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [1], [1.0, 0.5]
    )
    assert moves(None, schedule)[0] == pytest.approx(2.0, rel=1e-3)
    assert moves(None, schedule)[2] == pytest.approx(5.0, rel=1e-3)


def test_default_optimizer_is_row_sparse_where_there_is_a_table(monkeypatch):
    seen = []
    original = steps.TrainingProgram.__init__

    def spy(self, model, optimizer, *rest):
        seen.append(type(optimizer))
        original(self, model, optimizer, *rest)

    monkeypatch.setattr(steps.TrainingProgram, "__init__", spy)
    fit(small_model(tasks=("click",)), examples())
    moves(None)
    assert seen[:2] == [RowSparseAdam, keras.optimizers.Adam]


def test_an_optimizer_goes_on_from_its_state():
    parts, whole = small_model(tasks=("click",)), None
    whole = small_model(tasks=("click",))
    optimizer = RowSparseAdam(0.01)
    for _ in range(2):
        fit(parts, examples(), batch_size=60, optimizer=optimizer)
    fit(whole, examples(), batch_size=60, epochs=2, learning_rate=0.01)
    same_weights(weights(parts), weights(whole), atol=1e-6)
    with pytest.raises(ValueError, match="built for other weights"):
        fit(whole, examples(), optimizer=optimizer)


def test_divergence_names_epoch_step_and_task():
    rows = examples(64)
    huge = np.where(rows.masks["minutes"] > 0, 1e30, 0).astype("float32")
    labels = {**rows.labels, "minutes": huge}
    with pytest.raises(TrainingDiverged, match=r"'minutes'.*epoch 1, step 1 "):
        fit(small_model(), replace(rows, labels=labels), batch_size=16)


def test_divergence_later_on_is_found_at_its_step():
    model = small_model(tasks=("minutes",))
    with pytest.raises(TrainingDiverged) as caught:
        fit(
            model,
            examples(64, tasks=("minutes",), hidden=0),
            epochs=20,
            batch_size=16,
            optimizer=keras.optimizers.SGD(1e4),
        )
    assert caught.value.task == "minutes"
    assert caught.value.step > 1
    assert caught.value.epoch == (caught.value.step - 1) // 4 + 1
    assert "learning_rate" in str(caught.value)


def test_weights_spoilt_by_the_last_step_are_found():
    model, rows = small_model(tasks=("minutes",)), examples(tasks=("minutes",))
    far = np.where(rows.masks["minutes"] > 0, 1e15, 0).astype("float32")
    with pytest.raises(TrainingDiverged, match="Weight"):
        fit(
            model,
            replace(rows, labels={"minutes": far}),
            batch_size=60,
            optimizer=keras.optimizers.SGD(1e30),
        )


def spoilt(**parts):
    rows = examples()
    numbers = rows.numbers.copy()
    ids = rows.ids.copy()
    labels = {t: y.copy() for t, y in rows.labels.items()}
    if "number" in parts:
        numbers[7, 1] = parts["number"]
    if "id" in parts:
        ids[5, 1] = parts["id"]
    if "click" in parts:
        labels["click"][0] = parts["click"]
    if "mood" in parts:
        labels["mood"][np.flatnonzero(rows.masks["mood"])[0]] = parts["mood"]
    return replace(rows, numbers=numbers, ids=ids, labels=labels)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (spoilt(number=np.nan), "row 7, column 1"),
        (spoilt(number=np.inf), "row 7, column 1"),
        (spoilt(id=4), "column 1 holds 0 to 4"),
        (spoilt(id=-1), "column 1 holds -1"),
        (spoilt(click=np.inf), "labels.'click'. holds an infinite"),
        (spoilt(click=2), "labels go from 0 to 1"),
        (spoilt(mood=3), "labels go from 0 to 2"),
        (examples().subset(slice(0, 0)), "no rows"),
        (replace(examples(), numbers=np.zeros((60, 3))), "3 columns"),
    ],
)
def test_bad_examples_are_refused_before_training(rows, message):
    model = small_model()
    start = weights(model)
    with pytest.raises(ValueError, match=message):
        fit(model, rows)
    with pytest.raises(ValueError, match="validation.*" + message):
        fit(model, examples(), rows)
    same_weights(weights(model), start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"patience": 2}, "patience needs validation"),
        ({"patience": 0, "validation": examples()}, "patience=0"),
        ({"seed": -1}, "seed=-1"),
        ({"decay": "steps"}, "decay='steps'"),
        ({"decay": "linear", "optimizer": RowSparseAdam(0.1)}, "decay needs"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1"),
        ({"optimizer": "adam"}, "not a Keras optimizer"),
        (
            {"learning_rate": 0.1, "optimizer": RowSparseAdam(0.1)},
            "default optimizer",
        ),
        ({"loss_weights": {"clicks": 1}}, "'clicks'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        fit(small_model(), examples(), **options)


def test_validation_that_cannot_judge_is_refused():
    rows = examples()
    other = rows.keep_labels("minutes", 0, seed=0)
    with pytest.raises(ValueError, match="no known label of task 'minutes'"):
        fit(small_model(), rows, other, patience=1)


def test_one_trace_for_all_lengths_epochs_and_batch_sizes(monkeypatch):
    traced = []
    original = steps.TrainingProgram._step

    def spy(self, batch, weights):
        traced.append(1)
        return original(self, batch, weights)

    monkeypatch.setattr(steps.TrainingProgram, "_step", spy)
    program = steps.TrainingProgram(small_model(), RowSparseAdam(0.01), True)
    for n, batch_size in ((60, 16), (31, 7), (5, 500)):
        data = program.load(examples(n))
        order = tf.range(n)
        last = -(-n // batch_size)
        rates = np.full(last, 0.01)
        factors = dict.fromkeys(KINDS, 1.0)
        log = program.run(data, order, batch_size, range(last), rates, factors)
        assert log.shape == (last, 3, 2)
        assert log[:, 0, 1].sum() == n
    assert len(traced) == 1


def test_mixed_precision_trains_in_float32_weights():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_model(tasks=("click",))
    finally:
        keras.config.set_dtype_policy("float32")
    history = fit(model, examples(200), epochs=5, learning_rate=0.02)
    curve = history.losses()
    assert curve.iloc[-1] < curve.iloc[0]
    assert {str(w.dtype) for w in model.weights} == {"float32"}


def test_progress_is_text_on_demand_only(capsys, monkeypatch):
    fit(small_model(tasks=("click",)), examples(), progress=True, epochs=2)
    assert "2/2" in capsys.readouterr().out
    fit(small_model(tasks=("click",)), examples())
    fit(small_model(tasks=("click",)), examples(), progress=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("MTLREC_PROGRESS", "0")
    fit(small_model(tasks=("click",)), examples())
    assert capsys.readouterr().out == ""
