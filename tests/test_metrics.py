"""Metrics of shown items against scikit-learn, closed forms, properties."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from mtlrec_utils import evidence as ev


def rows(seed, n=400, ties=True):
    """Labels, scores (with many ties) and groups that fit together."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-scores))).astype(int)
    if ties:
        scores = np.round(scores, 1)
    return labels, scores, rng.integers(0, n // 8, n)


quick = settings(max_examples=50, deadline=None)
few_rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-4, 4), st.integers(0, 3)),
    min_size=2,
    max_size=40,
).filter(lambda r: len({label for label, _, _ in r}) == 2)


def brute_force_auc(labels, scores):
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, up in zip(scores, labels, strict=True)
        for b, down in zip(scores, labels, strict=True)
        if up and not down
    ]
    return np.mean(pairs)


# --- AUC ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [True, False])
def test_auc_equals_scikit_learn(seed, ties):
    labels, scores, _ = rows(seed, ties=ties)
    weights = np.random.default_rng(seed).gamma(1.0, size=len(labels))
    assert ev.auc(labels, scores) == pytest.approx(
        sk.roc_auc_score(labels, scores), abs=1e-14
    )
    assert ev.auc(labels, scores, weights) == pytest.approx(
        sk.roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12
    )


@quick
@given(few_rows)
def test_auc_is_the_share_of_pairs_in_order(data):
    labels, scores, _ = map(list, zip(*data, strict=True))
    assert ev.auc(labels, scores) == pytest.approx(
        brute_force_auc(labels, scores), abs=1e-14
    )


@quick
@given(few_rows)
def test_auc_under_monotone_flip_and_reversal(data):
    labels, scores, _ = map(np.array, zip(*data, strict=True))
    value = ev.auc(labels, scores)
    assert ev.auc(labels, np.exp(scores / 2) - 7) == value
    assert ev.auc(1 - labels, scores) == pytest.approx(1 - value, abs=1e-14)
    assert ev.auc(labels, -scores) == pytest.approx(1 - value, abs=1e-14)


@quick
@given(few_rows, st.integers(0, 2**32 - 1))
def test_auc_does_not_see_row_order_and_weights_are_repetitions(data, seed):
    labels, scores, _ = map(np.array, zip(*data, strict=True))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    assert ev.auc(labels[order], scores[order]) == ev.auc(labels, scores)
    times = rng.integers(1, 4, len(labels))
    assert ev.auc(labels, scores, times) == pytest.approx(
        ev.auc(np.repeat(labels, times), np.repeat(scores, times)), abs=1e-14
    )


def test_auc_by_hand():
    assert ev.auc([1, 0, 1, 0], [3, 2, 2, 1]) == 0.875
    assert ev.auc([0, 1], [-np.inf, np.inf]) == 1
    assert ev.auc([0, 1, 0], [5, 5, 5]) == 0.5
    assert ev.auc([True, False], np.float32([0.1, 0.2])) == 0
    # Weight 0 takes a row out, here the only wrong pair.
    assert ev.auc([1, 0, 0], [2, 1, 3], [1, 1, 0]) == 1


# --- GAUC ---------------------------------------------------------------


def gauc_by_pandas(labels, scores, groups):
    frame = pd.DataFrame({"y": labels, "s": scores, "g": groups})
    total = weight = skipped = 0
    for _, rows_of_user in frame.groupby("g"):
        if rows_of_user.y.nunique() < 2:
            skipped += 1
            continue
        n = len(rows_of_user)
        total += n * sk.roc_auc_score(rows_of_user.y, rows_of_user.s)
        weight += n
    return total / weight, skipped


@pytest.mark.parametrize("seed", range(3))
def test_gauc_equals_groupby_and_scikit_learn(seed):
    labels, scores, groups = rows(seed)
    value, skipped = gauc_by_pandas(labels, scores, groups)
    ours = ev.gauc_with_counts(labels, scores, groups)
    assert ours.value == pytest.approx(value, abs=1e-14)
    assert ours.n_skipped == skipped > 0
    assert ours.n_groups + skipped == len(np.unique(groups))
    assert ours.n_rows + ours.n_rows_skipped == len(labels)
    assert ev.gauc(labels, scores, groups) == ours.value


def test_gauc_skips_and_counts_users_with_one_class():
    labels = [1, 0, 1, 1, 0, 0, 0, 1]
    scores = [2, 1, 9, 8, 9, 1, 3, 2]
    groups = ["a", "a", "b", "b", "c", "d", "d", "d"]
    # a: 1 of 1 pair; d: the positive (2) beats 1 but not 3; b, c one class.
    ours = ev.gauc_with_counts(labels, scores, groups)
    assert ours == ((2 * 1 + 3 * 0.5) / 5, 2, 2, 5, 3)


@quick
@given(few_rows, st.integers(0, 2**32 - 1))
def test_a_number_per_user_changes_auc_but_not_gauc(data, seed):
    labels, scores, groups = map(np.array, zip(*data, strict=True))
    try:
        value = ev.gauc(labels, scores, groups)
    except ValueError:
        return
    offsets = np.random.default_rng(seed).integers(-50, 50, 4)
    assert ev.gauc(labels, scores + offsets[groups], groups) == value
    assert ev.gauc(labels, offsets[groups], groups) == 0.5


def test_offsets_change_auc():
    labels, scores, groups = rows(0)
    offset = 5 * np.random.default_rng(1).normal(size=groups.max() + 1)
    changed = ev.auc(labels, scores + offset[groups])
    assert abs(changed - ev.auc(labels, scores)) > 0.05


@quick
@given(few_rows)
def test_gauc_of_one_user_is_auc_and_row_order_does_not_matter(data):
    labels, scores, groups = map(np.array, zip(*data, strict=True))
    one = np.zeros(len(labels), dtype=int)
    assert ev.gauc(labels, scores, one) == pytest.approx(
        ev.auc(labels, scores), abs=1e-14
    )
    if any(len(set(labels[groups == g])) == 2 for g in groups):
        back = slice(None, None, -1)
        assert ev.gauc(
            labels[back], scores[back], groups[back]
        ) == pytest.approx(ev.gauc(labels, scores, groups), abs=1e-14)


@pytest.mark.parametrize(
    "convert",
    [
        lambda g: g + 10**12,
        lambda g: -g.astype(np.int32),
        lambda g: [f"user {i}" for i in g],
        lambda g: pd.Series(g).astype("category"),
        lambda g: pd.Series(g, dtype="Int64"),
        lambda g: g.astype(float),
    ],
)
def test_gauc_takes_groups_of_any_type(convert):
    labels, scores, groups = rows(3)
    assert ev.gauc(labels, scores, convert(groups)) == pytest.approx(
        ev.gauc(labels, scores, groups), abs=1e-14
    )


# --- probabilities ------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_probability_metrics_equal_scikit_learn(kind):
    labels, scores, _ = rows(5)
    p = (1 / (1 + np.exp(-scores))).astype(kind)
    p[:3] = 0, 1, 1
    weights = np.random.default_rng(5).gamma(1.0, size=len(labels))
    for weight in (None, weights):
        assert ev.log_loss(labels, p, weight) == pytest.approx(
            sk.log_loss(labels, p, sample_weight=weight), rel=1e-6
        )
        assert ev.brier(labels, p, weight) == pytest.approx(
            sk.brier_score_loss(labels, p, sample_weight=weight), rel=1e-6
        )
        assert ev.accuracy(labels, p, weight) == pytest.approx(
            sk.accuracy_score(labels, p >= 0.5, sample_weight=weight)
        )


def test_log_loss_by_hand():
    assert ev.log_loss([1, 0], [0.8, 0.5]) == pytest.approx(
        -(np.log(0.8) + np.log(0.5)) / 2
    )
    # Sure and wrong: the price is that of one machine epsilon.
    assert ev.log_loss([1], np.float32([0])) == pytest.approx(15.94, abs=0.01)
    assert ev.log_loss([0, 0], np.array([0.0, 0.0])) < 1e-15


def test_normalised_entropy_of_the_base_rate_is_one():
    labels, scores, _ = rows(6)
    weights = np.random.default_rng(6).gamma(1.0, size=len(labels))
    constant = np.full(len(labels), labels.mean())
    assert ev.normalised_entropy(labels, constant) == pytest.approx(1)
    constant[:] = np.average(labels, weights=weights)
    assert ev.normalised_entropy(labels, constant, weights) == pytest.approx(1)
    good = 1 / (1 + np.exp(-scores))
    assert ev.normalised_entropy(labels, good) < 0.95
    assert ev.normalised_entropy(labels, 1 - good) > 1


def test_calibration_ratio_by_hand():
    assert ev.calibration_ratio([1, 0, 0, 1], [0.5] * 4) == 1
    assert ev.calibration_ratio([1, 0, 0, 0], [0.5] * 4) == 2
    assert ev.calibration_ratio([1, 0, 1], [0.5] * 3, [1, 0, 1]) == 0.5


def test_calibration_bins_by_hand():
    p = [0.1, 0.2, 0.3, 0.4, 0.9, 0.8, 0.7]
    labels = [0, 0, 1, 0, 1, 1, 0]
    table = ev.calibration_bins(labels, p, bins=3)
    assert table.n_rows.tolist() == [2, 2, 3]
    np.testing.assert_allclose(table.predicted, [0.15, 0.35, 0.8])
    np.testing.assert_allclose(table.observed, [0, 0.5, 2 / 3])
    gaps = (2 * 0.15 + 2 * 0.15 + 3 * (0.8 - 2 / 3)) / 7
    assert ev.expected_calibration_error(labels, p, 3) == pytest.approx(gaps)


def test_calibration_error_of_tied_predictions_ignores_row_order():
    labels = np.array([1] * 30 + [0] * 70)
    constant = np.full(100, 0.3)
    assert ev.expected_calibration_error(labels, constant) < 1e-12
    off = ev.expected_calibration_error(labels, constant + 0.2)
    assert off == pytest.approx(0.2)


def test_calibration_error_has_its_limits():
    labels, scores, _ = rows(7, n=20_000, ties=False)
    true = 1 / (1 + np.exp(-scores))
    assert ev.expected_calibration_error(labels, true) < 0.02
    assert ev.expected_calibration_error(labels, true**2) > 0.1
    # One bin sees only the mean; a perfect oracle has no error.
    one_bin = ev.expected_calibration_error(labels, true, bins=1)
    assert one_bin == pytest.approx(abs(true.mean() - labels.mean()))
    assert ev.expected_calibration_error(labels, labels) == 0
    assert ev.expected_calibration_error([0, 1], [0.5, 0.5], bins=10) == 0


def test_several_classes_equal_scikit_learn():
    rng = np.random.default_rng(8)
    p = rng.dirichlet([1, 2, 3], 200)
    labels = rng.integers(0, 3, 200)
    weights = rng.gamma(1.0, size=200)
    assert ev.multiclass_log_loss(labels, p, weights) == pytest.approx(
        sk.log_loss(labels, p, sample_weight=weights)
    )
    assert ev.accuracy(labels, p, weights) == pytest.approx(
        sk.accuracy_score(labels, p.argmax(1), sample_weight=weights)
    )
    two = np.stack([1 - p[:, 0], p[:, 0]], axis=1)
    assert ev.multiclass_log_loss(labels == 0, two) == pytest.approx(
        ev.log_loss(labels == 0, p[:, 0])
    )


# --- values -------------------------------------------------------------


@quick
@given(st.integers(0, 2**32 - 1))
def test_errors_of_values_equal_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels, value = rng.normal(size=(2, 30))
    for weight in (None, rng.gamma(1.0, size=30)):
        given_weight = {"sample_weight": weight}
        assert ev.rmse(labels, value, weight) ** 2 == pytest.approx(
            sk.mean_squared_error(labels, value, **given_weight)
        )
        assert ev.mae(labels, value, weight) == pytest.approx(
            sk.mean_absolute_error(labels, value, **given_weight)
        )
        assert ev.r2(labels, value, weight) == pytest.approx(
            sk.r2_score(labels, value, **given_weight)
        )
    assert ev.r2(labels, np.full(30, labels.mean())) == pytest.approx(0)
    assert ev.rmse(labels, labels) == 0


# --- gain over tasks ----------------------------------------------------


def test_multi_task_gain_by_hand():
    values = {"like": 0.84, "minutes": 9.0}
    baselines = {"like": 0.80, "minutes": 10.0}
    metrics = {"like": "auc", "minutes": "rmse"}
    gain = ev.multi_task_gain(values, baselines, metrics)
    assert gain == pytest.approx((0.05 + 0.1) / 2)
    above = ev.multi_task_gain(values, baselines, metrics, "above_chance")
    assert above == pytest.approx((0.04 / 0.30 + 0.1) / 2)
    plain = ev.multi_task_gain(values, baselines, metrics, "difference")
    assert plain == pytest.approx((0.04 + 1.0) / 2)


@quick
@given(st.floats(0.51, 0.99), st.floats(0.51, 0.99))
def test_the_baseline_itself_gains_nothing(first, second):
    values = {"a": first, "b": second}
    for kind in ("relative", "above_chance", "difference"):
        assert ev.multi_task_gain(values, values, "auc", kind) == 0


def test_gain_of_every_seed():
    gain = ev.multi_task_gain(
        {"a": [0.6, 0.7], "b": [1.0, 2.0]},
        {"a": 0.5, "b": [2.0, 2.0]},
        {"a": "ndcg@10", "b": "log_loss"},
    )
    np.testing.assert_allclose(gain, [(0.2 + 0.5) / 2, 0.2])


# --- bad input ----------------------------------------------------------

BAD = {
    "nan score": (ev.auc, ([0, 1], [0.1, np.nan]), "scores holds 1 NaN"),
    "nan label": (ev.auc, ([0, np.nan], [1, 2]), "sample space"),
    "lengths": (ev.auc, ([0, 1, 1], [0.1, 0.2]), "labels 3, scores 2"),
    "labels": (ev.auc, ([0, 2], [0.1, 0.2]), "row 1 holds 2"),
    "one class": (ev.auc, ([1, 1], [0.1, 0.2]), "all 2 labels are 1"),
    "empty": (ev.auc, ([], []), "labels is empty"),
    "columns": (ev.auc, ([0, 1], [[1], [2]]), "reshape"),
    "text": (ev.auc, ([0, 1], ["a", "b"]), "scores cannot be read"),
    "negative": (ev.auc, ([0, 1], [1, 2], [1, -1]), "not be negative"),
    "no weight": (ev.auc, ([0, 1], [1, 2], [0, 0]), "all zero"),
    "weight length": (ev.auc, ([0, 1], [1, 2], [1]), "labels 2, weights 1"),
    "weighed away": (ev.auc, ([0, 1], [1, 2], [0, 1]), "both classes"),
    "no user": (ev.gauc, ([0, 1], [1, 2], ["a", "b"]), "none of the 2"),
    "lost user": (ev.gauc, ([0, 1], [1, 2], ["a", None]), "row 1"),
    "nan user": (ev.gauc, ([0, 1], [1, 2], [1, np.nan]), "row 1"),
    "users short": (ev.gauc, ([0, 1], [1, 2], [1]), "groups 1"),
    "logits": (ev.log_loss, ([0, 1], [-2.0, 2.0]), "sigmoid"),
    "ne": (ev.normalised_entropy, ([0, 0], [0.1, 0.2]), "both classes"),
    "ratio": (ev.calibration_ratio, ([0, 0], [0.1, 0.2]), "positives"),
    "bins": (ev.expected_calibration_error, ([0, 1], [0, 1], 0), "bins is 0"),
    "r2": (ev.r2, ([2, 2], [1, 2]), "vary"),
    "infinite": (ev.rmse, ([1, 2], [1, np.inf]), "infinite"),
    "softmax": (ev.multiclass_log_loss, ([0], [[0.2, 0.2]]), "softmax"),
    "class": (ev.multiclass_log_loss, ([2], [[0.5, 0.5]]), "from 0"),
    "shape": (ev.multiclass_log_loss, ([1], [0.5]), r"\[N, K\]"),
    "metric": (ev.improvement, (1, 2, "skill"), "unknown"),
    "kind": (ev.improvement, (1, 2, "auc", "best"), "kind"),
    "chance": (ev.improvement, (0.6, 0.5, "auc", "above_chance"), "0.5"),
    "tasks": (ev.multi_task_gain, ({"a": 1}, {"b": 1}, "auc"), "same tasks"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_and_where(case):
    function, arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        function(*arguments)
