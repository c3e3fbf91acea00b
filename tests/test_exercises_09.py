"""Exercises of lesson 09: stub, plausible wrong answers, solution."""

import keras
import numpy as np
import pytest
from written_answers import written_solution

from mtlrec_utils.classroom.check import judge
from mtlrec_utils.models import FusedEmbedding

EXERCISES = ("09.1", "09.2", "09.3")


def written(exercise):
    return written_solution(
        exercise, keras=keras, FusedEmbedding=FusedEmbedding
    )


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_is_correct(exercise):
    assert judge(exercise, written(exercise)).state == "correct"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_stub_is_not_attempted(exercise):
    def stub(*arguments):
        raise NotImplementedError

    assert judge(exercise, stub).state == "not attempted yet"


def entropy(y, p):
    return -y * np.log(p) - (1 - y) * np.log(1 - p)


def sum_not_mean(y, p, mask):
    return entropy(y, p)[mask > 0].sum()


def mask_ignored(y, p, mask):
    return entropy(y, p).mean()


def mean_over_the_batch(y, p, mask):
    return (np.where(mask > 0, entropy(y, p), 0)).mean()


def multiplied_by_the_mask(y, p, mask):
    return (mask * entropy(y, p)).sum() / max(mask.sum(), 1)


def mean_of_nothing(y, p, mask):
    known = mask > 0
    return entropy(y[known], p[known]).sum() / np.float64(known.sum())


def sign_forgotten(y, p, mask):
    return -entropy(y, p)[mask > 0].mean()


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (sum_not_mean, "This is a sum"),
        (mask_ignored, "The mask is ignored"),
        (mean_over_the_batch, "divide by the 2 whose label is known"),
        (multiplied_by_the_mask, "NaN times 0 is NaN"),
        (mean_of_nothing, "must give 0"),
        (sign_forgotten, "The sign is wrong"),
        (lambda y, p, mask: entropy(y, p) * mask, "one number"),
    ],
)
def test_wrong_losses(answer, hint):
    result = judge("09.1", answer)
    assert result.state == "not yet"
    assert hint in result.message


def model(schema, *, bottoms=False, one_tower=False, end="sigmoid", tasks=3):
    """Build a model with one fault."""
    ids = keras.Input((schema.n_id_columns,), dtype="int32", name="ids")
    embedded = FusedEmbedding(schema.field_sizes, schema.id_columns, 4)(ids)

    def bottom():
        return keras.layers.Dense(16, activation="relu")(embedded)

    def tower(hidden):
        hidden = keras.layers.Dense(8, activation="relu")(hidden)
        return keras.layers.Dense(1, activation=end)(hidden)

    hidden = bottom()
    common = tower(hidden)
    outputs = {}
    for task in schema.task_names[:tasks]:
        outputs[task] = (
            common if one_tower else tower(bottom() if bottoms else hidden)
        )
    return keras.Model({"ids": ids}, outputs)


@pytest.mark.filterwarnings("ignore:You are using a softmax")
@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ({"bottoms": True}, "a bottom of its own"),
        ({"one_tower": True}, "no weights of its own"),
        ({"end": None}, "End with a sigmoid"),
        ({"end": "softmax"}, "a softmax over a single value"),
        ({"tasks": 2}, "The outputs are click, like"),
    ],
)
def test_wrong_models(fault, hint):
    result = judge("09.2", lambda schema: model(schema, **fault))
    assert result.state == "not yet"
    assert hint in result.message


@pytest.mark.parametrize("seed", [3, 22, 25, 30])
def test_no_start_makes_a_right_model_wrong(seed):
    """From these, enlarged weights round the sigmoid of a task to 1."""
    keras.utils.set_random_seed(seed)
    assert judge("09.2", written("09.2")).state == "correct"


def test_a_model_without_named_outputs():
    def answer(schema):
        found = model(schema)
        return keras.Model(found.inputs, list(found.output.values()))

    result = judge("09.2", answer)
    assert result.state == "not yet"
    assert "dictionary" in result.message


def by_the_difference(rows):
    others = rows[rows["difference"] <= 0]
    return None if others.empty else int(others["n_likes"].min())


def first_row(rows):
    others = rows[rows["low"] <= 0]
    return None if others.empty else int(others["n_likes"].iloc[0])


def only_cannot_tell(rows):
    others = rows[(rows["low"] <= 0) & (rows["high"] >= 0)]
    return None if others.empty else int(others["n_likes"].min())


def never_none(rows):
    others = rows[rows["low"] <= 0]
    return 0 if others.empty else int(others["n_likes"].min())


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (by_the_difference, "read `low`, not `difference`"),
        (first_row, "any order"),
        (only_cannot_tell, "“Hurts” is not “helps” either"),
        (never_none, "the answer is None"),
    ],
)
def test_wrong_readings(answer, hint):
    result = judge("09.3", answer)
    assert result.state == "not yet"
    assert hint in result.message
