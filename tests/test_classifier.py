"""One encoder, three classifications: what must hold exactly."""

import keras
import numpy as np
import pandas as pd
import pytest
from models_under_test import (
    assert_same_outputs,
    gradients,
    losses_of,
    predict,
    shift_every_weight,
)

from mtlrec_utils import learning, models
from mtlrec_utils.data import Categorical, Number, Schema, Sequence, Task
from mtlrec_utils.models import MaskedMean, Pair, PairFeatures, SelfAttention
from mtlrec_utils.models.classifier import ENCODERS

TASKS = (
    Task("segment", "multiclass", classes=4, missing="masked"),
    Task("category", "multiclass", classes=3, missing="masked"),
    Task("relation", "multiclass", classes=5, missing="masked"),
    Task("hit", "binary", missing="masked"),
)
READS = {
    "segment": "history",
    "category": ("item", "words"),
    "relation": Pair(("item", "words"), ("other_item", "other_words")),
    "hit": "words",
}
N = 24


def table(n=N, seed=0):
    """Rows of all kinds in one: some places empty, some sets too."""
    random = np.random.default_rng(seed)

    def words(longest):
        return [
            [
                f"w{k}"
                for k in random.integers(9, size=random.integers(longest))
            ]
            for _ in range(n)
        ]

    return pd.DataFrame(
        {
            "item": random.integers(6, size=n),
            "other_item": random.integers(6, size=n),
            "history": words(8),
            "words": words(6),
            "other_words": words(6),
            "price": random.normal(size=n),
            "segment": random.integers(4, size=n),
            "category": random.integers(3, size=n),
            "relation": random.integers(5, size=n),
            "hit": random.integers(2, size=n),
        }
    )


def schema_of(frame, tasks=TASKS):
    return Schema(
        [
            Categorical("item"),
            Categorical("other_item", vocabulary_of="item"),
            Sequence("words", 5),
            Sequence("other_words", 5, vocabulary_of="words"),
            Sequence("history", 7, vocabulary_of="words"),
            Number("price"),
        ],
        tasks,
    ).fit(frame)


FRAME = table()
SCHEMA = schema_of(FRAME)
INPUTS = {"ids": SCHEMA.encode(FRAME).ids}
SPANS = {c.name: (c.start, c.stop) for c in SCHEMA.id_columns}


def built(encoder="both", schema=SCHEMA, seed=1, **options):
    model = models.classifier(
        schema, READS, encoder=encoder, seed=seed, **options
    )
    shift_every_weight(model)
    return model


@pytest.fixture(params=ENCODERS, name="model", scope="module")
def _model(request):
    return built(request.param)


def with_columns(**columns):
    ids = INPUTS["ids"].copy()
    for name, values in columns.items():
        ids[:, slice(*SPANS[name])] = values
    return {"ids": ids}


def columns_of(name):
    return INPUTS["ids"][:, slice(*SPANS[name])]


def differing(ours, theirs):
    return {t for t in ours if np.abs(ours[t] - theirs[t]).max() > 1e-5}


# The layers


def tokens_and_places(seed=0, rows=4, length=5, width=3):
    random = np.random.default_rng(seed)
    tokens = random.normal(size=(rows, length, width)).astype("float32")
    places = (random.random((rows, length)) < 0.6).astype("float32")
    places[0] = 1
    places[1] = 0
    places[2, 1:] = 0
    places[2, 0] = 1
    return tokens, places


def attention_by_hand(layer, tokens, places):
    """Loops over rows, heads and tokens that are there."""
    w = {k: np.asarray(v, "float64") for k, v in layer.kernels.items()}
    k, heads = layer.head_dimension, layer.n_heads
    out = np.zeros(tokens.shape)
    for row in range(len(tokens)):
        there = np.flatnonzero(places[row])
        x = tokens[row, there].astype("float64")
        seen = np.zeros((len(there), heads * k))
        for h in range(heads):
            of = slice(h * k, (h + 1) * k)
            q, key = x @ w["query"][:, of], x @ w["key"][:, of]
            for i in range(len(there)):
                e = np.exp(key @ q[i] / np.sqrt(k))
                seen[i, of] = (e / e.sum()) @ (x @ w["value"][:, of])
        out[row, there] = seen @ w["output"]
    return out


def attention(seed=3, **options):
    layer = SelfAttention(2, 4, seed=seed, **options)
    layer.build([(None, 5, 3), (None, 5)])
    for weight in layer.weights:
        random = np.random.default_rng(len(weight.path))
        weight.assign(random.normal(size=weight.shape))
    return layer


def test_attention_equals_loops_over_the_tokens_that_are_there():
    layer = attention()
    tokens, places = tokens_and_places()
    found = np.asarray(layer([tokens, places]))
    expected = attention_by_hand(layer, tokens, places)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found[1] == 0).all() and (found[2, 1:] == 0).all()


def test_attention_equals_that_of_keras_with_the_same_weights():
    layer = attention()
    tokens, places = tokens_and_places()
    theirs = keras.layers.MultiHeadAttention(2, 4, use_bias=False)
    mask = places[:, None, :] * places[:, :, None] > 0
    theirs(tokens, tokens, attention_mask=mask)
    kernels = [np.asarray(layer.kernels[n]) for n in ("query", "key", "value")]
    theirs.set_weights(
        [
            *(k.reshape(3, 2, 4) for k in kernels),
            np.asarray(layer.kernels["output"]).reshape(2, 4, 3),
        ]
    )
    expected = np.asarray(theirs(tokens, tokens, attention_mask=mask))
    expected = expected * places[..., None]
    np.testing.assert_allclose(
        np.asarray(layer([tokens, places])), expected, atol=1e-5
    )


def test_weights_of_a_token_are_shares_of_the_tokens_that_are_there():
    tokens, places = tokens_and_places()
    weights = np.asarray(attention().weights_of([tokens, places]))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
    for row in (0, 2, 3):
        assert (weights[row][..., places[row] == 0] == 0).all()
    np.testing.assert_allclose(weights[2, :, 0, 0], 1)
    assert np.ptp(weights[0]) > 0.2  # not the uniform ones of dead queries


def test_a_query_of_zeros_takes_the_mean():
    layer = attention()
    layer.kernels["query"].assign(np.zeros((3, 8)))
    tokens, places = tokens_and_places()
    found = np.asarray(layer([tokens, places]))[0]
    mean = tokens[0].mean(axis=0)
    expected = (
        mean
        @ np.asarray(layer.kernels["value"])
        @ np.asarray(layer.kernels["output"])
    )
    np.testing.assert_allclose(found, np.tile(expected, (5, 1)), atol=1e-5)


@pytest.mark.parametrize("positions", [False, True])
def test_padding_changes_nothing_in_attention_and_mean(positions):
    tokens, places = tokens_and_places()
    rubbish = np.full((4, 5, 3), 50.0, "float32")
    longer = np.concatenate([tokens, rubbish], axis=1)
    empty = np.concatenate([places, np.zeros((4, 5), "float32")], axis=1)
    layer = attention()
    if positions:
        layer = SelfAttention(2, 4, positions=True, seed=1)
        layer.build([(None, 10, 3), (None, 10)])
    short = np.asarray(layer([tokens, places]))
    long = np.asarray(layer([longer, empty]))
    # Sums of another length round differently; the rubbish is 50.
    np.testing.assert_allclose(long[:, :5], short, atol=1e-5)
    assert (long[:, 5:] == 0).all()
    means = [
        np.asarray(MaskedMean()(pair))
        for pair in ([tokens, places], [longer, empty])
    ]
    np.testing.assert_allclose(*means, atol=1e-6)


def test_attention_returns_permuted_tokens_permuted_unless_it_knows_places():
    tokens, places = tokens_and_places()
    order = np.array([3, 0, 4, 1, 2])
    for positions in (False, True):
        layer = attention(positions=positions)
        found = np.asarray(layer([tokens, places]))[:, order]
        moved = np.asarray(layer([tokens[:, order], places[:, order]]))
        assert np.allclose(found, moved, atol=1e-5) is not positions


def test_masked_mean_by_hand():
    tokens = np.array([[[1.0, 2.0], [3.0, 4.0], [90.0, 90.0]]])
    mean = MaskedMean()
    places = np.array([[1.0, 1.0, 0.0]])
    np.testing.assert_allclose(mean([tokens, places]), [[2.0, 3.0]])
    np.testing.assert_allclose(mean([tokens, 0 * places]), [[0.0, 0.0]])


def test_pair_features_by_hand_and_without_direction():
    a, b = np.array([[1.0, 5.0]]), np.array([[3.0, 2.0]])
    expected = [[4.0, 7.0, 3.0, 10.0, 2.0, 3.0]]
    np.testing.assert_allclose(PairFeatures()([a, b]), expected)
    np.testing.assert_allclose(PairFeatures()([b, a]), expected)


# The model


def test_outputs_are_distributions_by_task(model):
    found = predict(model, INPUTS)
    widths = {"segment": 4, "category": 3, "relation": 5, "hit": 1}
    assert {t: v.shape for t, v in found.items()} == {
        t: (N, k) for t, k in widths.items()
    }
    for task in ("segment", "category", "relation"):
        np.testing.assert_allclose(found[task].sum(axis=1), 1, atol=1e-5)
    assert [x.name for x in model.inputs] == ["ids"]
    names = {layer.name for layer in model.layers}
    assert {"embedding", "encoder", "part_history", "pair_relation"} <= names


def test_each_task_reads_its_own_columns_only(model):
    base = predict(model, INPUTS)
    other = np.random.default_rng(9)
    readers = {
        "history": {"segment"},
        "words": {"category", "relation", "hit"},
        "item": {"category", "relation"},
        "other_words": {"relation"},
        "other_item": {"relation"},
    }
    for column, tasks in readers.items():
        values = other.permutation(columns_of(column))
        found = predict(model, with_columns(**{column: values}))
        assert differing(base, found) == tasks, column


def test_where_the_empty_places_are_does_not_matter(model):
    base = predict(model, INPUTS)
    moved = {c: columns_of(c)[:, ::-1] for c in ("history", "words")}
    assert_same_outputs(predict(model, with_columns(**moved)), base)


def test_a_longer_padding_changes_nothing(model):
    longer = Schema(
        [
            *SCHEMA.features[:4],
            Sequence("history", 20, vocabulary_of="words"),
        ],
        TASKS,
    ).fit(FRAME)
    theirs = built(model.name.removeprefix("classifier_"), longer)
    theirs.set_weights(model.get_weights())
    found = predict(theirs, {"ids": longer.encode(FRAME).ids})
    assert_same_outputs(found, predict(model, INPUTS))


def test_what_padding_would_mean_is_never_read(model):
    base = predict(model, INPUTS)
    kept = model.get_weights()
    table_ = model.get_layer("embedding").table
    changed = table_.numpy()
    starts = np.cumsum((0, *SCHEMA.field_sizes[:-1]))
    changed[starts + 1] = 1e3  # PADDING of each field
    table_.assign(changed)
    assert_same_outputs(predict(model, INPUTS), base)
    model.set_weights(kept)


def test_order_counts_only_with_positions():
    swapped = columns_of("history").copy()
    full = (swapped[:, :2] != 1).all(axis=1)
    swapped[:, :2] = swapped[:, 1::-1]
    apart = full & (swapped[:, 0] != swapped[:, 1])
    assert apart.any()
    inputs = with_columns(history=swapped)
    for encoder, positions in (
        ("attention", False),
        ("both", False),
        ("attention", True),
        ("both", True),
    ):
        model = built(encoder, positions=positions)
        a, b = predict(model, INPUTS), predict(model, inputs)
        moved = np.abs(a["segment"] - b["segment"]).max(axis=1)
        assert (moved[apart] > 1e-5).any() == positions


def test_a_pair_has_no_direction(model):
    base = predict(model, INPUTS)
    swapped = predict(
        model,
        with_columns(
            words=columns_of("other_words"),
            other_words=columns_of("words"),
            item=columns_of("other_item"),
            other_item=columns_of("item"),
        ),
    )
    np.testing.assert_allclose(
        swapped["relation"], base["relation"], atol=1e-5
    )
    assert "category" in differing(base, swapped)


def test_both_with_a_silent_attention_is_the_mlp():
    both, mlp = built("both"), built("mlp")
    for layer in mlp.layers:
        if layer.name != "encoder" and layer.get_weights():
            both.get_layer(layer.name).set_weights(layer.get_weights())
    kernel, bias = mlp.get_layer("encoder").get_weights()
    wide = both.get_layer("encoder").get_weights()[0]
    both.get_layer("encoder").set_weights(
        [np.concatenate([kernel, 0 * wide[len(kernel) :]]), bias]
    )
    assert_same_outputs(predict(both, INPUTS), predict(mlp, INPUTS))
    both.get_layer("encoder").set_weights([wide, bias])
    assert differing(predict(both, INPUTS), predict(mlp, INPUTS))


def test_one_encoder_serves_all_parts(model):
    base = predict(model, INPUTS)
    kept = model.get_weights()
    layer = model.get_layer("encoder")
    layer.set_weights([w + 0.3 for w in layer.get_weights()])
    assert differing(base, predict(model, INPUTS)) == set(base)
    model.set_weights(kept)


def test_every_weight_has_a_gradient_and_padding_has_none(model):
    labels = {
        t.name: FRAME[t.name].to_numpy()
        if t.kind == "multiclass"
        else FRAME[t.name].to_numpy("float32")[:, None]
        for t in TASKS
    }
    losses = losses_of(SCHEMA)
    found = gradients(
        model,
        INPUTS,
        lambda out: sum(losses[t](labels[t], out[t]) for t in out),
    )
    for path, gradient in found.items():
        assert gradient is not None and np.abs(gradient).max() > 0, path
    (table_,) = [g for p, g in found.items() if p.startswith("embedding")]
    starts = np.cumsum((0, *SCHEMA.field_sizes[:-1]))
    assert (table_[starts + 1] == 0).all()


def test_a_prediction_does_not_depend_on_its_batch(model):
    whole = predict(model, INPUTS)
    alone = predict(model, {"ids": INPUTS["ids"][5:6]})
    for task, values in alone.items():
        np.testing.assert_allclose(values[0], whole[task][5], atol=1e-5)


def test_an_empty_row_is_answered_with_finite_numbers(model):
    ids = np.ones_like(INPUTS["ids"])
    found = predict(model, {"ids": ids})
    for values in found.values():
        assert np.isfinite(values).all() and np.ptp(values, axis=0).max() == 0


def test_save_and_load(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(again, INPUTS), predict(model, INPUTS), 1e-6)


def test_save_and_load_with_positions(tmp_path):
    model = built("attention", positions=True)
    place = model.get_layer("attention").place
    assert place.shape == (7, 16)  # of the longest part, whatever came first
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(again, INPUTS), predict(model, INPUTS), 1e-6)


def test_same_seed_same_start_and_tasks_alone_start_alike():
    one, two, other = (
        models.classifier(SCHEMA, READS, encoder="both", seed=s)
        for s in (1, 1, 2)
    )
    assert not differing(predict(one, INPUTS), predict(two, INPUTS))
    assert differing(predict(one, INPUTS), predict(other, INPUTS))
    alone = models.classifier(
        SCHEMA.with_tasks(["category"]), READS, encoder="both", seed=1
    )
    a, b = predict(alone, INPUTS), predict(one, INPUTS)
    assert set(a) == {"category"}
    np.testing.assert_allclose(a["category"], b["category"], atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        half = models.classifier(SCHEMA, READS, encoder="both", seed=1)
        found = predict(half, INPUTS)
    finally:
        keras.config.set_dtype_policy(before)
    whole = models.classifier(SCHEMA, READS, encoder="both", seed=1)
    for task, values in predict(whole, INPUTS).items():
        assert found[task].dtype == np.float32
        np.testing.assert_allclose(found[task], values, atol=0.02)


def test_masked_tasks_learn_from_their_own_rows():
    """Hidden labels of one task change nothing; its own are learned."""
    frame = table(200, seed=4)
    frame["category"] = [len(w) % 3 for w in frame["words"]]
    frame["segment"] = frame["segment"].where(frame.index < 100)
    schema = schema_of(frame, TASKS[:2])
    rows = schema.encode(frame)
    model = models.classifier(schema, READS, encoder="attention", seed=0)
    before = learning.evaluate(model, rows)
    learning.fit(model, rows, epochs=30, batch_size=50, learning_rate=1e-2)
    after = learning.evaluate(model, rows)
    for table_, low, high in ((before, 1.0, 2.0), (after, 0.0, 0.95)):
        loss = table_.query("task == 'category' and metric == 'log_loss'")
        assert low < loss["value"].item() < high


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "gru"}, "choose one of mlp, attention, both"),
        ({"encoder": "mlp", "positions": True}, "knows no order"),
        ({"encoder_units": ()}, "encoder_units is empty"),
        ({"encoder_units": 3}, "encoder_units must be a sequence"),
        ({"n_heads": 0, "encoder": "both"}, "n_heads must be"),
        ({"head_dimension": 0, "encoder": "both"}, "head_dimension must be"),
        ({"embedding_dimension": 0}, "embedding_dimension"),
        ({"reads": {"segment": "history"}}, "what task 'category' reads"),
        ({"reads": {**READS, "hit": "wrds"}}, "'wrds', which is no feature"),
        ({"reads": {**READS, "hit": "price"}}, "a number; a set holds ids"),
        ({"reads": {**READS, "hit": ()}}, "a part of no columns"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        models.classifier(SCHEMA, **{"reads": READS, **options})


@pytest.mark.parametrize("name", ["encoder", "pair_a", "part_words", "mean"])
def test_a_task_named_like_a_layer(name):
    frame = FRAME.assign(**{name: FRAME["hit"]})
    schema = schema_of(frame, [Task(name)])
    with pytest.raises(ValueError, match="cannot be called"):
        models.classifier(schema, {name: "words"})


def test_an_unfitted_schema_is_refused():
    with pytest.raises(ValueError, match="fit"):
        models.classifier(Schema(SCHEMA.features, TASKS), READS)
