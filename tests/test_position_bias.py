"""MMoE with a shallow tower for position bias: a sum, then a part of it."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from models_under_test import (
    assert_same_outputs,
    gradients,
    predict,
    random_inputs,
    shift_every_weight,
    small_schema,
)

from mtlrec_utils import learning, models
from mtlrec_utils.data.schema import (
    Categorical,
    Number,
    Schema,
    Sequence,
    Task,
)
from mtlrec_utils.models.feature_parts import TakeColumns, split_features
from mtlrec_utils.models.position_bias import AddInTraining

TASKS = (
    Task("click"),
    Task("minutes", "regression"),
    Task("mood", "multiclass", classes=3),
)
BIAS = ("position", "device")
SMALL = {"embedding_dimension": 3, "expert_units": (5,), "tower_units": (4,)}


def frame_of(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user": rng.integers(0, 9, n),
            "position": rng.integers(0, 5, n),
            "seen": [list(rng.integers(0, 6, 2)) for _ in range(n)],
            "item": rng.integers(0, 6, n),
            "price": rng.normal(size=n),
            "depth": np.where(rng.random(n) < 0.2, np.nan, rng.random(n)),
            "age": rng.normal(size=n),
            "device": rng.integers(0, 3, n),
            "click": rng.integers(0, 2, n),
            "minutes": rng.normal(size=n),
            "mood": rng.integers(0, 3, n),
        }
    )


FRAME = frame_of()
SCHEMA = Schema(
    features=[
        Categorical("user"),
        Categorical("position"),
        Sequence("seen", length=2, vocabulary_of="item"),
        Number("price"),
        Number("depth"),
        Number("age"),
        Categorical("item"),
        Categorical("device"),
    ],
    tasks=TASKS,
).fit(FRAME)
EXAMPLES = SCHEMA.encode(FRAME)
INPUTS = EXAMPLES.inputs


def built(bias_features=BIAS, schema=SCHEMA, **options):
    options = SMALL | {"seed": 1} | options
    model = models.mmoe_with_position_bias(
        schema, bias_features=bias_features, **options
    )
    shift_every_weight(model)
    return model


def moved(**columns):
    """The rows with other values in some columns of the frame."""
    return SCHEMA.encode(FRAME.assign(**columns)).inputs


def logits(model, inputs, training):
    ends = {
        task: model.get_layer(f"biased_logit_{task}").output
        for task in model.output
    }
    values = keras.Model(model.inputs, ends)(inputs, training=training)
    return {task: np.asarray(value) for task, value in values.items()}


# -- splitting a schema ---------------------------------------------------


def test_features_are_split_by_name():
    main, side = split_features(SCHEMA, ("depth", "position"), "names")
    ids, numbers = np.asarray(INPUTS["ids"]), np.asarray(INPUTS["numbers"])
    # user 0, position 1, seen 2-3, item 4, device 5
    assert main.ids == (0, 2, 3, 4, 5)
    assert side.ids == (1,)
    assert SCHEMA.number_names == ("price", "depth", "depth_missing", "age")
    assert main.number_names == ("price", "age")
    assert side.number_names == ("depth", "depth_missing")
    assert (main.numbers, side.numbers) == ((0, 3), (1, 2))
    assert [c.name for c in main.id_columns] == [
        "user",
        "seen",
        "item",
        "device",
    ]
    # Two rows of every table are for the unknown and for padding.
    assert main.field_sizes == (9 + 2, 6 + 2, 3 + 2)
    assert side.field_sizes == (5 + 2,)
    assert [c.field for c in main.id_columns] == [0, 1, 1, 2]
    assert [(c.start, c.stop) for c in main.id_columns] == [
        (0, 1),
        (1, 3),
        (3, 4),
        (4, 5),
    ]
    for part in (main, side):
        found = part.inputs({"ids": ids, "numbers": numbers}, "x_")
        np.testing.assert_array_equal(found["ids"], ids[:, part.ids])
        np.testing.assert_array_equal(
            found["numbers"], numbers[:, part.numbers]
        )


def test_a_number_named_like_an_indicator_is_a_feature_of_its_own():
    frame = pd.DataFrame({"x": ["a", "b"], "x_missing": [1.0, 2.0]})
    schema = Schema([Categorical("x"), Number("x_missing")]).fit(frame)
    main, side = split_features(schema, ["x"], "names")
    assert (main.number_names, side.number_names) == (("x_missing",), ())
    assert (main.ids, side.ids) == ((), (0,))


def test_a_field_that_both_parts_use_has_a_table_in_each():
    main, side = split_features(SCHEMA, ["item"], "names")
    assert 6 + 2 in main.field_sizes  # of "seen"
    assert side.field_sizes == (6 + 2,)


def test_columns_keep_their_type():
    layer = TakeColumns([2, 0])
    for dtype in ("int32", "float32"):
        x = np.arange(6, dtype=dtype).reshape(2, 3)
        assert layer(keras.KerasTensor((None, 3), dtype)).dtype == dtype
        assert np.asarray(layer(x)).tolist() == [[2, 0], [5, 3]]
    big = np.array([[2**24 + 1, 5]], "int32")
    assert int(TakeColumns([0])(big)[0, 0]) == 2**24 + 1
    copy = TakeColumns.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


# -- training: a sum ------------------------------------------------------


def test_training_adds_the_shallow_logit_to_the_main_one():
    model = built()
    shallow = models.position_bias(model, EXAMPLES)
    with_bias = logits(model, INPUTS, training=True)
    without = logits(model, INPUTS, training=False)
    for task, width in (("click", 1), ("minutes", 1), ("mood", 3)):
        assert shallow[task].shape == (200, width)
        assert np.abs(shallow[task]).max() > 0.1
        np.testing.assert_allclose(
            with_bias[task], without[task] + shallow[task], atol=1e-5
        )


def test_the_shallow_logit_follows_only_the_bias_features():
    model = built()
    shallow = models.position_bias(model, EXAMPLES)
    other_rows = moved(
        user=0, item=0, seen=[[0]] * 200, price=9.0, age=9.0, depth=np.nan
    )
    for task, value in models.position_bias(model, other_rows).items():
        np.testing.assert_array_equal(value, shallow[task])
    # Among rows of one device it has one value for each position.
    same_device = models.position_bias(model, moved(device=1))["click"][:, 0]
    for position in range(5):
        at = same_device[FRAME["position"] == position]
        np.testing.assert_allclose(at, at[0], atol=1e-6)
    assert len(np.unique(same_device.round(4))) == 5


@pytest.mark.parametrize("bias_features", [BIAS, ("position",), ("depth",)])
def test_moving_the_bias_moves_every_training_logit_by_its_own(bias_features):
    model = built(bias_features)
    first, second = (
        moved(**dict.fromkeys(bias_features, value)) for value in (0, 2)
    )
    shift = {
        task: models.position_bias(model, second)[task]
        - models.position_bias(model, first)[task]
        for task in model.output
    }
    before = logits(model, first, training=True)
    after = logits(model, second, training=True)
    for task in model.output:
        assert np.abs(shift[task]).max() > 1e-3
        # The same for all rows, whatever user and item.
        assert np.ptp(shift[task], axis=0).max() < 1e-5
        np.testing.assert_allclose(
            after[task] - before[task], shift[task], atol=1e-5
        )


def test_without_hidden_units_effects_of_features_add_up():
    model = built(bias_units=())

    def value(position, device):
        inputs = moved(position=position, device=device)
        return models.position_bias(model, inputs)["click"][0, 0]

    both = value(3, 2) - value(0, 0)
    each = value(3, 0) - value(0, 0) + value(0, 2) - value(0, 0)
    np.testing.assert_allclose(both, each, atol=1e-5)
    deep = built(bias_units=(8,))
    shallow = models.position_bias(deep, moved(position=3, device=2))
    assert shallow["click"].shape == (200, 1)


# -- serving: the main part alone -----------------------------------------


def test_at_inference_predictions_do_not_depend_on_the_bias():
    model = built()
    before = predict(model, INPUTS)
    after = predict(model, moved(position=4, device=2))
    for task, value in before.items():
        np.testing.assert_array_equal(value, after[task])
    trained = model(INPUTS, training=True)["click"]
    assert np.abs(np.asarray(trained) - before["click"]).max() > 0.01
    # They do depend on the rest.
    other = predict(model, moved(item=0))["click"]
    assert np.abs(other - before["click"]).max() > 1e-3


def test_at_inference_it_is_an_mmoe_without_the_bias_features():
    rest = Schema(
        [f for f in SCHEMA.features if f.column not in BIAS], TASKS
    ).fit(FRAME)
    model = built()
    plain = models.mmoe(rest, **SMALL)
    for layer in plain.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    inputs = rest.encode(FRAME).inputs
    assert_same_outputs(predict(plain, inputs), predict(model, INPUTS))


def test_a_saved_and_an_exported_model_leave_the_bias_out(tmp_path):
    model = built(bias_dropout=0.2)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(copy, INPUTS), predict(model, INPUTS), 1e-7)
    for task, value in models.position_bias(copy, EXAMPLES).items():
        np.testing.assert_array_equal(
            value, models.position_bias(model, EXAMPLES)[task]
        )
    model.export(tmp_path / "served", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "served")
    served = loaded.serve(
        {k: tf.constant(v) for k, v in moved(position=4).items()}
    )
    np.testing.assert_allclose(
        served["click"], predict(model, INPUTS)["click"], atol=1e-5
    )


# -- dropping the bias ----------------------------------------------------


def test_dropout_leaves_whole_rows_with_the_main_logit():
    layer = AddInTraining(0.3, seed=1)
    main = np.zeros((4000, 3), "float32")
    added = np.ones((4000, 3), "float32")
    out = np.asarray(layer([main, added], training=True))
    assert set(np.unique(out)) == {0.0, 1.0}
    np.testing.assert_array_equal(out, np.repeat(out[:, :1], 3, axis=1))
    error = np.sqrt(0.3 * 0.7 / 4000)
    np.testing.assert_allclose(1 - out.mean(), 0.3, atol=5 * error)
    np.testing.assert_array_equal(layer([main, added]), main)
    again = AddInTraining.from_config(layer.get_config())
    np.testing.assert_array_equal(again([main, added], training=True), out)
    with pytest.raises(ValueError, match="dropout"):
        AddInTraining(1.0)


def test_every_weight_learns_and_none_of_the_shallow_ones_at_inference():
    model = built()

    def loss(outputs):
        return sum(
            tf.reduce_sum(value * np.arange(1, value.shape[1] + 1.0))
            for value in outputs.values()
        )

    found = gradients(model, INPUTS, loss)
    for path, gradient in found.items():
        assert np.abs(gradient).max() > 0, path
    with tf.GradientTape() as tape:
        value = loss(model(INPUTS, training=False))
    still = {
        weight.path.split("/")[0]
        for weight, gradient in zip(
            model.trainable_weights,
            tape.gradient(value, model.trainable_weights),
            strict=True,
        )
        if gradient is None
    }
    assert still == {
        "bias_embedding",
        "bias_tower",
        *(f"bias_logit_{task}" for task in model.output),
    }


# -- does it do what it is for --------------------------------------------


def test_quality_and_position_are_told_apart():
    """Good items stand on top; their place alone would draw clicks."""
    rng = np.random.default_rng(3)
    n = 20000
    item = rng.integers(0, 6, n)
    quality = np.linspace(-1, 1, 6)
    top = rng.random(n) < 1 / (1 + np.exp(-4 * quality[item]))
    chance = 1 / (1 + np.exp(-(quality[item] + 2.0 * top - 1)))
    frame = pd.DataFrame(
        {
            "item": item,
            "top": top.astype(int),
            "click": rng.random(n) < chance,
        }
    ).astype(int)
    schema = Schema(
        [Categorical("item"), Categorical("top")], [Task("click")]
    ).fit(frame)
    model = models.mmoe_with_position_bias(
        schema,
        bias_features=("top",),
        bias_units=(),
        embedding_dimension=4,
        n_experts=2,
        expert_units=(8,),
        tower_units=(),
        seed=1,
    )
    learning.fit(
        model,
        schema.encode(frame),
        epochs=8,
        batch_size=500,
        learning_rate=0.02,
        progress=False,
    )
    one_each = pd.DataFrame({"item": range(6), "top": 0, "click": 0})
    inputs = schema.encode(one_each).inputs
    main = logits(model, inputs, training=False)["click"][:, 0]
    slope = np.polyfit(quality, main, 1)[0]
    both = [
        models.position_bias(model, schema.encode(one_each.assign(top=t)))
        for t in (0, 1)
    ]
    effect = (both[1]["click"] - both[0]["click"])[0, 0]
    # True values 1 and 2; an MMoE without the tower finds a slope of 1.9.
    np.testing.assert_allclose(slope, 1.0, atol=0.25)
    np.testing.assert_allclose(effect, 2.0, atol=0.25)


def test_an_id_out_of_range_is_refused_by_its_own_column():
    ids = np.array(INPUTS["ids"])
    ids[7, 5] = 99  # "device", the second of the shallow tower's columns
    bad = dataclasses.replace(EXAMPLES, ids=ids)
    with pytest.raises(ValueError, match="column 5 holds 2 to 99"):
        learning.fit(built(), bad)


# -- friendly errors ------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("position", r"write \('position',\)"),
        (("place",), "names 'place', but the schema's features are 'user'"),
        ((), "bias_features is empty"),
        ([f.column for f in SCHEMA.features], "names every feature"),
    ],
)
def test_bad_bias_features(names, message):
    with pytest.raises(ValueError, match=message):
        models.mmoe_with_position_bias(SCHEMA, bias_features=names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bias_dimension": 0}, "bias_dimension holds 0"),
        ({"bias_units": 8}, r"bias_units.*write \(8,\)"),
        ({"bias_dropout": 1.0}, "dropout"),
        ({"n_experts": 0}, "n_experts"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        built(**options)


def test_position_bias_of_another_model():
    with pytest.raises(ValueError, match="no shallow tower"):
        models.position_bias(models.mmoe(SCHEMA), EXAMPLES)


def test_a_task_named_like_a_layer_is_refused():
    schema = small_schema([Task("bias_tower")])
    with pytest.raises(ValueError, match="cannot be called 'bias_tower'"):
        models.mmoe_with_position_bias(schema, bias_features=["age"])
    assert random_inputs(schema)
