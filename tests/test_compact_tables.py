"""Hashed and compositional tables, exactly."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from models_under_test import (
    assert_same_outputs,
    gradients,
    predict,
    random_inputs,
    shift_every_weight,
    small_schema,
)

from mtlrec_utils.models import (
    CompactEmbedding,
    FusedEmbedding,
    mmoe,
    parameters_by_layer,
    shared_bottom,
    with_compact_tables,
)

COLUMNS = [
    {"start": 0, "stop": 1, "field": 0, "pooled": False},
    {"start": 1, "stop": 4, "field": 1, "pooled": True},
]
SIZES = (11, 7)
SCHEMA = small_schema()
INPUTS = random_inputs(SCHEMA)


def built():
    """A model of compositional tables whose weights are all at odds."""
    model = with_compact_tables(shared_bottom(SCHEMA, seed=1), 4)
    shift_every_weight(model)
    return model


def layer(rows, kind, **options):
    return CompactEmbedding(SIZES, COLUMNS, 4, rows, kind, seed=3, **options)


def column(rows_of_field, other=1):
    """Ids that look a field's rows up, the pooled feature empty."""
    ids = np.full((len(rows_of_field), 4), other, "int32")
    ids[:, 0] = rows_of_field
    return ids


@pytest.mark.parametrize("kind", ["hashed", "compositional"])
def test_a_row_for_every_id_is_the_plain_table(kind):
    ids = np.random.default_rng(0).integers(0, 7, (30, 4)).astype("int32")
    plain = FusedEmbedding(SIZES, COLUMNS, 4, seed=3)
    compact = layer(11, kind)
    np.testing.assert_array_equal(plain(ids), compact(ids))
    assert compact.table.shape == plain.table.shape


def test_hashing_shares_the_row_of_the_remainder():
    hashed = layer(4, "hashed")
    vectors = np.asarray(hashed(column(range(11))))[:, :4]
    assert hashed.table.shape == (8, 4)
    for a, b in itertools.combinations(range(11), 2):
        same = np.array_equal(vectors[a], vectors[b])
        assert same == (a % 4 == b % 4), (a, b)
    np.testing.assert_array_equal(vectors[6], np.asarray(hashed.table)[2])


def test_two_ids_never_share_both_rows():
    compact = layer(4, "compositional")
    compact(column([0]))
    assert compact.table.shape == (4 + 4, 4)
    assert compact.quotients.shape == (3 + 2, 4)
    compact.table.assign(np.arange(2, 34).reshape(8, 4))
    compact.quotients.assign(10.0 ** np.arange(5)[:, None] * np.ones((1, 4)))
    vectors = np.asarray(compact(column(range(11))))[:, :4]
    assert len(np.unique(vectors, axis=0)) == 11
    # By hand: row 6 reads remainder 2 (values 10 to 13) times quotient 1.
    np.testing.assert_array_equal(vectors[6], [100, 110, 120, 130])
    # The second field's rows follow the first one's in both tables: row 5
    # reads remainder 1 and quotient 1; padding (row 1) does not count.
    pooled = np.asarray(compact(np.array([[0, 5, 1, 1]])))[0, 4:]
    np.testing.assert_array_equal(pooled, 1e4 * np.arange(22, 26))


def test_a_guarded_id_reads_as_unknown():
    compact = layer(4, "hashed", guard=True)
    read = np.asarray(compact(column([0, 11, -5])))
    np.testing.assert_array_equal(read[1], read[0])
    np.testing.assert_array_equal(read[2], read[0])


@pytest.mark.parametrize("kind", ["hashed", "compositional"])
def test_a_model_keeps_all_but_its_table(kind):
    model = mmoe(SCHEMA, seed=1)
    small = with_compact_tables(model, 4, kind)
    before, after = parameters_by_layer(model), parameters_by_layer(small)
    assert after.pop("embedding") < before.pop("embedding")
    assert after == before
    for own in small.layers:
        if own.name != "embedding":
            for a, b in zip(
                own.get_weights(),
                model.get_layer(own.name).get_weights(),
                strict=True,
            ):
                np.testing.assert_array_equal(a, b)
    full = with_compact_tables(model, 100, kind)
    assert_same_outputs(predict(full, INPUTS), predict(model, INPUTS), 1e-6)


def test_every_weight_gets_a_gradient():
    found = gradients(
        built(), INPUTS, lambda out: sum(ops.sum(x) for x in out.values())
    )
    assert any("quotients" in path for path in found)
    for path, gradient in found.items():
        assert np.abs(gradient).max() > 0, path


def test_saved_and_loaded(tmp_path):
    model = built()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_outputs(predict(again, INPUTS), predict(model, INPUTS), 1e-6)


@pytest.mark.parametrize(
    ("rows", "kind", "says"),
    [
        (0, "hashed", "rows holds 0"),
        (4, "random", "'hashed' or 'compositional'"),
    ],
)
def test_bad_options(rows, kind, says):
    with pytest.raises(ValueError, match=says):
        layer(rows, kind)


def test_a_model_without_a_table():
    model = shared_bottom(small_schema(ids=False))
    with pytest.raises(ValueError, match="has no FusedEmbedding"):
        with_compact_tables(model, 4)
