"""ESMM and ESCM2: exact losses, what is trained by what, learners' slips."""

import json
from dataclasses import replace
from decimal import Decimal, getcontext

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from funnel_cases import (
    BOTH,
    BUY,
    CLICK,
    SCHEMA,
    esmm,
    logit,
    losses_and_gradients,
    rows_of_a_funnel,
    set_bias,
    sigmoid,
)
from models_under_test import predict, shift_every_weight, small_schema

from mtlrec_utils import learning, models
from mtlrec_utils.data.schema import Number, Schema, SchemaError, Task
from mtlrec_utils.learning.losses import TaskLosses
from mtlrec_utils.models.funnel_layers import (
    CounterfactualChance,
    ProductOfChances,
)

getcontext().prec = 80
ROWS = rows_of_a_funnel()
VARIANTS = [None, "ips", "dr"]


# -- the label that lives on all rows ------------------------------------


def funnel_frame(**columns):
    frame = {
        "price": [1.0, 2.0, 3.0, 4.0],
        "click": [1, 0, 1, 0],
        "buy": [1.0, np.nan, 0.0, np.nan],
    }
    return pd.DataFrame({**frame, **columns})


def encoded(task, frame):
    schema = Schema([Number("price")], [CLICK, task]).fit(frame)
    examples = schema.encode(frame)
    return examples.labels[task.name], examples.masks[task.name]


def test_outside_is_the_label_where_the_sample_space_is_closed():
    for buy in ([1, np.nan, 0, np.nan], [1, 0, 0, 0], [1, np.nan, 0, 0]):
        labels, mask = encoded(BOTH, funnel_frame(buy=buy))
        np.testing.assert_array_equal(labels, [1, 0, 0, 0])
        np.testing.assert_array_equal(mask, [1, 1, 1, 1])
        labels, mask = encoded(BUY, funnel_frame(buy=buy))
        np.testing.assert_array_equal(mask, [1, 0, 1, 0])


def test_outside_may_be_an_amount_or_a_class():
    spend = Task("spend", "regression", sample_space="click", outside=-1.5)
    frame = funnel_frame(spend=[7.5, np.nan, 3.0, -1.5])
    np.testing.assert_array_equal(
        encoded(spend, frame)[0], [7.5, -1.5, 3, -1.5]
    )
    end = Task("end", "multiclass", classes=3, sample_space="click", outside=2)
    labels, mask = encoded(end, funnel_frame(end=[0, np.nan, 1, 2]))
    np.testing.assert_array_equal(labels, [0, 2, 1, 2])
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(mask, 1)


def test_a_label_missing_inside_stays_an_error_or_masked():
    frame = funnel_frame(buy=[np.nan, np.nan, 0, np.nan])
    with pytest.raises(SchemaError, match=r"NaN on 1 row\(s\)"):
        encoded(BOTH, frame)
    labels, mask = encoded(replace(BOTH, missing="masked"), frame)
    np.testing.assert_array_equal(mask, [0, 1, 1, 1])
    np.testing.assert_array_equal(labels, 0)


def test_a_conversion_without_a_click_is_refused():
    frame = funnel_frame(buy=[1, 1, 0, np.nan])
    message = "'buy' must be 0 or missing where 'click' is 0.*position 1: 1"
    with pytest.raises(SchemaError, match=message):
        encoded(BOTH, frame)
    schema = Schema([Number("price")], [CLICK, BOTH]).fit(funnel_frame())
    with pytest.raises(SchemaError, match="position 1"):
        schema.encode(frame)


def test_a_conversion_that_is_not_binary_is_refused():
    with pytest.raises(SchemaError, match="must be 0 or 1.*example 3"):
        encoded(BOTH, funnel_frame(buy=[3, np.nan, 0, np.nan]))


def test_the_label_of_both_is_no_feature():
    for column in ("buy", "click"):
        with pytest.raises(SchemaError, match="Remove it from the features"):
            Schema([Number(column)], [BOTH])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outside": 0}, "the task has none"),
        ({"outside": 2, "sample_space": "click"}, "outside=2 must be 0 or 1"),
        ({"outside": np.nan, "sample_space": "click"}, "must be 0 or 1"),
        ({"outside": "0", "sample_space": "click"}, "a number such as 0"),
        ({"outside": True, "sample_space": "click"}, "a number such as 0"),
    ],
)
def test_an_outside_that_means_nothing(options, message):
    with pytest.raises(SchemaError, match=message):
        Task("buy", **options)


def test_outside_survives_a_file():
    form = json.loads(json.dumps(SCHEMA.to_dict()))
    copy = Schema.from_dict(form)
    assert copy == SCHEMA
    assert copy.task("click_and_buy").outside == 0
    for entry in form["tasks"]:  # as written before there was such a thing
        del entry["outside"]
    assert Schema.from_dict(form).task("click_and_buy").outside is None


# -- the three tasks -----------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "names", "message"),
    [
        ((CLICK, BUY, BOTH), ("buy", "click"), "swapped: say click='click'"),
        ((CLICK, BUY, BOTH), ("click", "click"), "two tasks"),
        ((CLICK, BUY, BOTH), ("click", "order"), "Unknown task 'order'"),
        ((CLICK, BUY), ("click", "buy"), r"Add Task\('click_and_buy', label"),
        (
            (CLICK, BUY, replace(BOTH, outside=None)),
            ("click", "buy"),
            "outside=0",
        ),
        (
            (CLICK, BUY, replace(BOTH, outside=1)),
            ("click", "buy"),
            "outside=0",
        ),
        (
            (CLICK, BUY, replace(BOTH, kind="regression")),
            ("click", "buy"),
            "no task of 'click' and 'buy'",
        ),
        (
            (CLICK, Task("buy"), BOTH),
            ("click", "buy"),
            r"Write Task\('buy', label='buy', sample_space='click'\)",
        ),
        ((CLICK, BUY, BOTH), ("click", "click_and_buy"), "Write Task"),
        (
            (CLICK, replace(BUY, kind="regression"), BOTH),
            ("click", "buy"),
            "'buy' is of kind 'regression'",
        ),
        (
            (replace(CLICK, sample_space="seen"), BUY, BOTH),
            ("click", "buy"),
            "entire space is all rows",
        ),
    ],
)
def test_tasks_that_make_no_funnel(tasks, names, message):
    class Funnel:
        def __init__(self):
            self.tasks = tasks

    with pytest.raises(ValueError, match=message):
        models.esmm(Funnel(), *names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"debiasing": "snips"}, "choose None, 'ips' or 'dr'"),
        ({"debiasing": "ips", "propensity_floor": 0.0}, r"\(0, 1\]"),
        ({"debiasing": "dr", "propensity_floor": 1.5}, r"\(0, 1\]"),
        ({"tower_units": (8, 0)}, "tower_units holds 0"),
        ({"embedding_dimension": 0}, "embedding_dimension"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        esmm(**options)


def test_a_task_named_like_a_layer_is_refused():
    tasks = (Task("imputation"), Task("buy", sample_space="imputation"))
    with pytest.raises(ValueError, match="cannot be called 'imputation'"):
        models.esmm(small_schema(tasks), "imputation", "buy")


def test_any_column_and_any_order_of_tasks():
    tasks = (
        Task("bought_in_all", label="y", sample_space="o", outside=0),
        Task("bought", label="y", sample_space="o"),
        Task("opened", label="o"),
    )

    class Funnel:
        def __init__(self):
            self.tasks = tasks
            self.number_names = SCHEMA.number_names
            self.id_columns, self.field_sizes = (), ()

    model = models.esmm(Funnel(), "opened", "bought")
    assert list(model.output) == ["opened", "bought", "bought_in_all"]


# -- property 17: the product --------------------------------------------


@pytest.mark.parametrize("debiasing", VARIANTS)
def test_outputs_are_two_chances_and_their_product(debiasing):
    model = esmm(debiasing=debiasing, seed=1)
    shift_every_weight(model)
    for name in ("click", "buy"):  # logits of both signs
        layer = model.get_layer(f"logit_{name}")
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel - kernel.mean(), bias * 0])
    found = predict(model, ROWS.inputs)
    assert list(found) == ["click", "buy", "click_and_buy"]
    for value in found.values():
        assert value.shape == (24, 1)
        assert value.dtype == np.float32
    ends = keras.Model(
        model.inputs,
        [model.get_layer(f"logit_{t}").output for t in ("click", "buy")],
    )(ROWS.inputs)
    click, buy = (sigmoid(end) for end in ends)
    np.testing.assert_allclose(found["click"], click, atol=1e-6)
    np.testing.assert_allclose(found["buy"], buy, atol=1e-6)
    np.testing.assert_allclose(found["click_and_buy"], click * buy, atol=1e-6)
    # Chances lie on both sides of 1/2: nothing squashes a logit.
    for chance in (click, buy):
        assert chance.min() < 0.5 < chance.max()
    for name in ("click", "buy"):
        assert (found["click_and_buy"] <= found[name]).all()


@pytest.mark.parametrize("debiasing", VARIANTS)
def test_towers_share_the_embedding_and_nothing_else(debiasing):
    model = esmm(debiasing=debiasing, seed=1)
    shift_every_weight(model)
    names = {layer.name for layer in model.layers if layer.weights}
    towers = ["click", "buy", *["imputation"] * (debiasing == "dr")]
    assert names == {
        "embedding",
        *(f"tower_{t}" for t in towers),
        *(f"logit_{t}" for t in towers),
    }
    before = predict(model, ROWS.inputs)
    for weight in model.get_layer("tower_click").weights:
        weight.assign(-np.asarray(weight) + 0.2)
    after = predict(model, ROWS.inputs)
    np.testing.assert_array_equal(after["buy"], before["buy"])
    assert np.abs(after["click"] - before["click"]).max() > 1e-3


def exact(a, b):
    """-log(pq), -log(1 - pq) and the slopes by a, to 80 digits."""
    p, q = (1 / (1 + (-Decimal(x)).exp()) for x in (a, b))
    product = p * q
    return {
        "yes": (-product.ln(), -(1 - p)),
        "no": (
            -(1 - product).ln(),
            product * (1 - p) / (1 - product),
        ),
    }


def product_loss(a, b, label):
    """Loss and slopes by both logits, in float32."""
    layer = ProductOfChances()
    ends = [tf.constant([[x]], tf.float32) for x in (a, b)]
    with tf.GradientTape() as tape:
        tape.watch(ends)
        loss = layer.row_loss(ends, tf.constant([label]), tf.ones(1))
    found = (loss, *tape.gradient(loss, ends))
    return [float(x.numpy().item()) for x in found]


@pytest.mark.parametrize("a", [-100.0, -40.0, -3.0, 0.1, 3.0, 40.0, 100.0])
@pytest.mark.parametrize("b", [-40.0, -1.0, 0.0, 0.9, 20.0, 100.0])
def test_loss_of_the_product_is_exact_for_logits_of_any_size(a, b):
    for label, name in ((1.0, "yes"), (0.0, "no")):
        loss, by_a, by_b = product_loss(a, b, label)
        wanted, slope_a = (float(x) for x in exact(a, b)[name])
        slope_b = float(exact(b, a)[name][1])
        # Float32 holds nothing between 0 and 1e-38.
        tiny = 1e-37
        assert loss == pytest.approx(wanted, rel=2e-5, abs=tiny)
        assert by_a == pytest.approx(slope_a, rel=2e-5, abs=tiny)
        assert by_b == pytest.approx(slope_b, rel=2e-5, abs=tiny)


def test_hopeless_logits_still_learn():
    """Where a clipped probability would have no slope left."""
    assert product_loss(-40, -40, 1.0) == pytest.approx([80, -1, -1])
    loss, by_a, by_b = product_loss(-40, -40, 0.0)
    assert 0 < by_a == pytest.approx(np.exp(-80.0), rel=1e-4)
    assert 0 < by_b == pytest.approx(np.exp(-80.0), rel=1e-4)
    assert 0 <= loss < 1e-30
    # Seen as sure, and wrong: log(1 - pq) = log(2 e^-40).
    wrong = product_loss(40, 40, 0.0)
    assert wrong == pytest.approx([40 - np.log(2), 0.5, 0.5])


def test_loss_equals_the_direct_one_in_the_safe_range():
    rng = np.random.default_rng(3)
    a, b = rng.uniform(-4, 4, (2, 500)).astype("float32")
    y = (rng.random(500) < 0.5).astype("float32")
    found = ProductOfChances().row_loss([a[:, None], b[:, None]], y, y * 0)
    p = sigmoid(a) * sigmoid(b)
    direct = -y * np.log(p) - (1 - y) * np.log(1 - p)
    np.testing.assert_allclose(found, direct, rtol=2e-6, atol=1e-6)


# -- properties 18, 19 ---------------------------------------------------


def test_a_row_without_click_pushes_conversion_down_only_a_little():
    for pc in (0.01, 0.2, 0.9):
        for pv in (0.05, 0.5):
            _, by_click, by_buy = product_loss(logit(pc), logit(pv), 0.0)
            rest = 1 - pc * pv
            assert by_buy == pytest.approx(pc * pv * (1 - pv) / rest, rel=1e-4)
            assert by_click == pytest.approx(
                pc * pv * (1 - pc) / rest, rel=1e-4
            )
            _, by_click, by_buy = product_loss(logit(pc), logit(pv), 1.0)
            assert by_buy == pytest.approx(-(1 - pv), rel=1e-5)
            assert by_click == pytest.approx(-(1 - pc), rel=1e-5)


def test_when_all_is_clicked_the_loss_is_that_of_conversion():
    model = esmm(seed=1)
    shift_every_weight(model)
    set_bias(model, click=60.0)
    everything = rows_of_a_funnel(click=np.ones(24))
    means, gradients = losses_and_gradients(model, everything, "click_and_buy")
    z = keras.Model(model.inputs, model.get_layer("logit_buy").output)(
        everything.inputs
    ).numpy()[:, 0]
    y = everything.labels["buy"]
    wanted = np.mean(np.logaddexp(0, z.astype("float64")) - y * z)
    assert means["click_and_buy"] == pytest.approx(wanted, rel=1e-5)
    bias = gradients["logit_buy/bias"][0]
    assert bias == pytest.approx(np.mean(sigmoid(z) - y), abs=1e-6)
    np.testing.assert_allclose(gradients["logit_click/bias"], 0, atol=1e-6)


@pytest.mark.parametrize("debiasing", VARIANTS)
@pytest.mark.parametrize("clicks", [0.0, 1.0])
def test_a_batch_without_conversions_is_finite(debiasing, clicks):
    model = esmm(debiasing=debiasing, seed=1)
    shift_every_weight(model)
    quiet = rows_of_a_funnel(click=np.full(24, clicks), buy=np.zeros(24))
    means, gradients = losses_and_gradients(model, quiet)
    assert np.isfinite(list(means.values())).all()
    assert all(np.isfinite(g).all() for g in gradients.values())


# -- what is trained, by what --------------------------------------------


def test_conversion_is_read_and_not_trained():
    model = esmm(seed=1)
    losses = TaskLosses(model)
    assert losses.tasks == ("click", "click_and_buy")
    assert losses.kinds == dict.fromkeys(model.output, "binary")
    without = ROWS.with_tasks(["click", "click_and_buy"])
    history = learning.fit(model, without, without, epochs=1)
    assert set(history.table["task"]) == {"click", "click_and_buy", "total"}
    assert set(learning.predict(model, ROWS)) == set(model.output)
    measured = learning.evaluate(model, ROWS)
    assert set(measured["task"]) == set(model.output)
    with pytest.raises(ValueError, match="names 'buy'"):
        learning.fit(model, ROWS, loss_weights={"buy": 1.0})


def test_conversion_is_measured_on_clicked_rows():
    model = esmm(seed=1)
    shift_every_weight(model)
    found = learning.evaluate(model, ROWS).set_index(["task", "metric"])
    clicked = ROWS.labels["click"] == 1
    p = learning.predict(model, ROWS)["buy"].astype("float64")[clicked]
    y = ROWS.labels["buy"][clicked]
    wanted = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    value = found.loc[("buy", "log_loss"), "value"]
    assert value == pytest.approx(wanted, rel=1e-5)


def test_a_run_over_seeds_reports_all_three():
    run = learning.replicate(
        {"funnel": lambda seed: esmm(seed=seed)},
        ROWS,
        ROWS,
        ROWS,
        seeds=(0, 1),
        epochs=1,
    )
    assert run.predictions["funnel"]["buy"].shape == (2, 24)
    assert set(run.table["task"]) == {"click", "buy", "click_and_buy"}


@pytest.mark.parametrize("debiasing", [None, "dr"])
def test_constant_chances_end_at_the_shares(debiasing):
    """Without inputs, the best chances are the shares themselves."""
    click = np.arange(200) < 80
    rows = rows_of_a_funnel(200, click=click, buy=np.arange(200) < 20)
    rows = replace(rows, ids=rows.ids * 0, numbers=rows.numbers * 0)
    model = esmm(debiasing=debiasing, tower_units=(), seed=1)
    adam = keras.optimizers.Adam(0.1)
    learning.fit(model, rows, epochs=150, batch_size=200, optimizer=adam)
    found = {t: p[0] for t, p in learning.predict(model, rows).items()}
    wanted = {"click": 0.4, "buy": 0.25, "click_and_buy": 0.1}
    assert found == pytest.approx(wanted, abs=2e-3)


# -- property 20 and the counterfactual risk -----------------------------


def risk(ends, label, clicked, floor=0.05, slopes=False):
    """Mean of CounterfactualChance's row losses, in float32."""
    layer = CounterfactualChance(floor)
    ends = [tf.constant(x[:, None], tf.float32) for x in ends]
    with tf.GradientTape() as tape:
        tape.watch(ends)
        rows = layer.row_loss(
            ends,
            tf.constant(label, tf.float32),
            tf.constant(clicked, tf.float32),
        )
        mean = tf.reduce_mean(rows)
    if not slopes:
        return rows.numpy()
    found = tape.gradient(
        mean, ends, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return [x.numpy()[:, 0] for x in found]


def drawn(n=300, seed=4):
    rng = np.random.default_rng(seed)
    z, c, d = rng.normal(0, 2, (3, n)).astype("float32")
    clicked = rng.random(n) < sigmoid(c)
    label = (rng.random(n) < sigmoid(z)) & clicked
    return (z, c, d), label.astype(float), clicked.astype(float)


def pieces(ends, label, floor):
    """Error, propensity, imputed error, in float64."""
    z, c, *d = (x.astype("float64") for x in ends)
    error = np.logaddexp(0, z) - label * z
    propensity = np.maximum(sigmoid(c), floor)
    imputed = np.logaddexp(0, d[0]) if d else 0.0
    return error, propensity, imputed


@pytest.mark.parametrize("floor", [0.05, 0.4])
def test_risks_are_their_formulas(floor):
    ends, y, o = drawn()
    e, q, d = pieces(ends, y, floor)
    np.testing.assert_allclose(risk(ends[:2], y, o, floor), o * e / q, 2e-5)
    wanted = d + o * (e - d) / q + o * (e - d) ** 2 / q
    np.testing.assert_allclose(risk(ends, y, o, floor), wanted, 2e-5, 1e-6)


def test_slopes_train_one_part_each():
    ends, y, o = drawn()
    (z, _, imputation), n = ends, len(y)
    e, q, d = pieces(ends, y, 0.05)
    for used in (ends[:2], ends):
        by_z, by_click, *by_d = risk(used, y, o, slopes=True)
        np.testing.assert_allclose(by_z, o * (sigmoid(z) - y) / q / n, 1e-4)
        np.testing.assert_array_equal(by_click, 0)
    wanted = -2 * o * (e - d) * sigmoid(imputation) / q / n
    np.testing.assert_allclose(by_d[0], wanted, rtol=1e-4, atol=1e-8)


def test_true_propensities_give_the_risk_of_the_entire_space():
    """The risk is linear in the clicks: put their chances in their place."""
    ends, y, _ = drawn()
    e, q, d = pieces(ends, y, 1e-6)
    chances = q.astype("float32")
    found = risk(ends[:2], y, chances, 1e-6)
    np.testing.assert_allclose(found, e, rtol=2e-5)
    found = risk(ends, y, chances, 1e-6)
    np.testing.assert_allclose(found, e + (e - d) ** 2, rtol=2e-4, atol=1e-5)


def test_perfect_imputation_leaves_no_trace_of_the_weights():
    (z, c, _), y, o = drawn()
    label = np.round(sigmoid(z))
    e, _, _ = pieces((z, c), label, 0.05)
    imputation = np.log(np.expm1(e)).astype("float32")
    for floor in (0.05, 0.5):
        found = risk((z, c, imputation), label, o, floor)
        np.testing.assert_allclose(found, e, rtol=2e-3)


def test_ips_with_propensity_one_is_the_click_mean_times_the_click_share():
    model = esmm(debiasing="ips", propensity_floor=1.0, seed=1)
    shift_every_weight(model)
    means, _ = losses_and_gradients(model, ROWS)
    clicked = ROWS.labels["click"] == 1
    p = learning.predict(model, ROWS)["buy"].astype("float64")[clicked]
    y = ROWS.labels["buy"][clicked]
    each = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    assert 0 < clicked.mean() < 1
    wanted = each.mean() * clicked.mean()
    assert means["buy"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("debiasing", ["ips", "dr"])
def test_risk_of_a_model_is_a_mean_over_all_rows(debiasing):
    model = esmm(debiasing=debiasing, seed=1)
    shift_every_weight(model)
    reads = ["buy", "click", *["imputation"] * (debiasing == "dr")]
    ends = keras.Model(
        model.inputs, [model.get_layer(f"logit_{t}").output for t in reads]
    )(ROWS.inputs)
    ends = [end.numpy()[:, 0] for end in ends]
    rows = risk(ends, ROWS.labels["buy"], ROWS.labels["click"])
    means, _ = losses_and_gradients(model, ROWS)
    assert means["buy"] == pytest.approx(rows.mean(), rel=1e-5)
    # As the training loop and its validation report it.
    history = learning.fit(
        model,
        ROWS,
        ROWS,
        epochs=1,
        batch_size=10,
        optimizer=keras.optimizers.SGD(0.0),
    )
    for part in ("train", "validation"):
        found = history.losses(part, "buy").to_numpy()[0]
        assert found == pytest.approx(rows.mean(), rel=1e-5)


@pytest.mark.parametrize("debiasing", ["ips", "dr"])
def test_labels_of_rows_without_click_are_never_looked_at(debiasing):
    model = esmm(debiasing=debiasing, seed=1)
    shift_every_weight(model)
    reference, _ = losses_and_gradients(model, ROWS)
    for filler in (1.0, -1.0, 1e6):
        buy = np.where(ROWS.labels["click"] == 1, ROWS.labels["buy"], filler)
        rows = replace(ROWS, labels={**ROWS.labels, "buy": buy})
        assert losses_and_gradients(model, rows)[0] == reference


@pytest.mark.parametrize("debiasing", VARIANTS)
def test_a_batch_twice_over_leaves_losses_and_gradients(debiasing):
    model = esmm(debiasing=debiasing, seed=1)
    shift_every_weight(model)
    twice = ROWS.subset(np.r_[np.arange(24), np.arange(24)])
    means, gradients = losses_and_gradients(model, ROWS)
    again, same = losses_and_gradients(model, twice)
    assert again == pytest.approx(means, rel=1e-5)
    for path, gradient in gradients.items():
        np.testing.assert_allclose(same[path], gradient, atol=1e-6)


def test_masked_rows_weigh_nothing_in_the_product_task():
    """A mean over the rows that count, whatever sits on the others."""
    model = esmm(seed=1)
    shift_every_weight(model)
    mask = (np.arange(24) % 3 > 0).astype("float32")
    masks = {**ROWS.masks, "click_and_buy": mask}
    means, _ = losses_and_gradients(model, replace(ROWS, masks=masks))
    p = learning.predict(model, ROWS)["click_and_buy"].astype("float64")
    y = ROWS.labels["click_and_buy"]
    each = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    wanted = each[mask > 0].mean()
    assert means["click_and_buy"] == pytest.approx(wanted, rel=1e-5)
    assert abs(wanted - (each * mask).mean()) > 0.05
