"""Paired comparison: coverage, symmetry, oracles, words."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from mtlrec_utils import evidence as ev
from mtlrec_utils.evidence.families import with_interval
from mtlrec_utils.evidence.resampling import SortedRows, multiplicities

METRICS = [
    "auc",
    "gauc",
    "log_loss",
    "normalised_entropy",
    "brier",
    "rmse",
    "mae",
    "r2",
    "accuracy",
]
quick = settings(max_examples=50, deadline=None)


def trained(seed, n=600, n_seeds=5, noise=(0.3, 1.0), n_users=60):
    """Labels, candidate and baseline probabilities [S, N], users."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    shape = (n_seeds, n)
    models = [
        1 / (1 + np.exp(-logit - sd * rng.normal(size=shape))) for sd in noise
    ]
    return labels, *models, rng.integers(0, n_users, n)


def crossed(rng, n_seeds, n_users, of_seed, of_user, of_both, mean=0.0):
    """Differences per seed and user with known variance components."""
    return (
        mean
        + of_seed * rng.normal(size=(n_seeds, 1))
        + of_user * rng.normal(size=(1, n_users))
        + of_both * rng.normal(size=(n_seeds, n_users))
    )


# --- does the interval hold what it promises? ---------------------------


@pytest.mark.parametrize(
    ("of_seed", "of_user", "of_both"),
    [
        (0.1, 0.0, 0.0),  # seeds only
        (0.0, 1.0, 0.0),  # users only
        (0.0, 0.0, 1.0),  # a different luck for every seed and user
        (0.22, 1.0, 1.0),  # all three, the first two of equal weight
        (0.5, 1.0, 0.2),
    ],
)
def test_the_interval_holds_the_truth_in_95_of_100_worlds(
    of_seed, of_user, of_both
):
    rng = np.random.default_rng(0)
    worlds, held = 500, 0
    for _ in range(worlds):
        values = crossed(rng, 5, 100, of_seed, of_user, of_both, mean=0.3)
        ours = ev.compare_per_group(
            values, np.zeros(100), metric="ndcg", resamples=200
        )
        held += ours.low <= 0.3 <= ours.high
    # Three standard errors of a share of 0.95 in 500 worlds: 0.029.
    assert 0.921 <= held / worlds <= 0.979


def test_identical_methods_have_uniform_p_values():
    """Same architecture under other seeds: no user prefers either."""
    rng = np.random.default_rng(1)
    p_values = [
        ev.compare_per_group(
            crossed(rng, 5, 80, 0.1, 0.0, 1.0),
            np.zeros(80),
            metric="recall",
            resamples=100,
        ).p_value
        for _ in range(400)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.085


def test_the_interval_of_an_auc_holds_its_closed_form():
    """Binormal scores, whose spread differs by seed and mean by user."""
    n_seeds, n_users, per_user, spread_of_users = 5, 120, 6, 0.5
    rng = np.random.default_rng(2)

    def true_auc(noise):
        return stats.norm.cdf(
            1 / np.sqrt(2 + spread_of_users**2 + 2 * noise**2)
        )

    noise_of_seed = np.exp(0.3 * rng.normal(size=(2, 100_000)))
    truth = true_auc(0.4 * noise_of_seed[0]) - true_auc(noise_of_seed[1])
    truth = truth.mean()
    worlds, held = 120, 0
    for _ in range(worlds):
        users = np.repeat(np.arange(n_users), per_user)
        labels = rng.integers(0, 2, len(users))
        lift = 1 + spread_of_users * rng.normal(size=n_users)
        signal = labels * lift[users] + rng.normal(size=len(users))
        noise = np.exp(0.3 * rng.normal(size=(2, n_seeds, 1)))
        noise = noise * rng.normal(size=(2, n_seeds, len(users)))
        ours = ev.compare(
            labels,
            signal + 0.4 * noise[0],
            signal + noise[1],
            groups=users,
            resamples=60,
        )
        held += ours.low <= truth <= ours.high
    assert 0.88 <= held / worlds <= 0.995


# --- exact oracles ------------------------------------------------------


@quick
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_a_resampled_auc_is_the_auc_of_the_repeated_rows(seed, rate):
    rng = np.random.default_rng(seed)
    n, n_groups = 40, 8
    positive = rng.random(n) < rate
    positive[:2] = True, False
    score = rng.normal(size=n).round(1)
    codes = rng.integers(0, n_groups, n)
    drawn = rng.integers(1, 4, n_groups)
    ours = SortedRows.of(positive, score, codes).auc(drawn)
    assert ours == pytest.approx(
        ev.auc(positive, score, drawn[codes]), abs=1e-14
    )


def test_resamples_draw_each_group_once_on_average():
    chunks = list(multiplicities(1000, 5000, np.random.default_rng(0)))
    drawn = np.concatenate(chunks)
    assert len(chunks) > 1
    assert (drawn.sum(axis=1) == 1000).all()
    assert drawn.mean(axis=0) == pytest.approx(1, abs=0.07)
    assert drawn.var() == pytest.approx(0.999, abs=0.01)


def test_standard_error_of_a_mean_is_the_textbook_one():
    rng = np.random.default_rng(3)
    values = rng.gamma(1.0, size=200)
    ours = ev.compare_per_group(
        values, np.zeros(200), metric="recall", resamples=4000
    )
    assert ours.difference == pytest.approx(values.mean())
    assert ours.standard_error == pytest.approx(
        values.std(ddof=1) / np.sqrt(200), rel=0.05
    )
    assert ours.degrees_of_freedom == 199
    many = ev.compare_per_group(
        crossed(rng, 5, 30, 0.4, 0, 0) + 1, np.zeros(30), metric="recall"
    )
    assert many.degrees_of_freedom == pytest.approx(4)


def test_standard_error_without_user_effects_is_that_of_a_t_test():
    per_seed = np.array([0.1, 0.3, 0.2, 0.5, 0.1])
    ours = ev.compare_per_group(
        np.repeat(per_seed[:, None], 20, axis=1), np.zeros(20), metric="mrr"
    )
    expected = stats.ttest_1samp(per_seed, 0)
    interval = expected.confidence_interval(0.95)
    assert ours.p_value == pytest.approx(expected.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(interval))


def test_standard_error_of_an_auc_is_delongs():
    """DeLong, DeLong & Clarke-Pearson, Biometrics 1988, one row per user."""
    labels, candidate, baseline, _ = trained(4, n=400, n_seeds=1)
    up, down = labels == 1, labels == 0

    def placements(score):
        won = (score[up][:, None] > score[down]) * 1.0
        return won.mean(axis=1), won.mean(axis=0)

    ours_up, ours_down = placements(candidate[0])
    their_up, their_down = placements(baseline[0])
    variance = np.var(ours_up - their_up, ddof=1) / up.sum()
    variance += np.var(ours_down - their_down, ddof=1) / down.sum()
    ours = ev.compare(labels, candidate, baseline, resamples=3000)
    assert ours.standard_error == pytest.approx(np.sqrt(variance), rel=0.06)


@pytest.mark.parametrize("metric", METRICS)
def test_values_are_those_of_the_metric_under_a_mask(metric):
    labels, candidate, baseline, users = trained(5)
    mask = np.random.default_rng(5).random(len(labels)) < 0.7
    target = np.where(mask, labels, np.nan)
    candidate[:, ~mask] = np.nan
    ours = ev.compare(
        target,
        candidate,
        baseline,
        metric=metric,
        groups=users,
        mask=mask,
        resamples=60,
    )
    function = getattr(ev, metric)
    extra = (users[mask],) if metric == "gauc" else ()
    values = [
        np.mean([function(labels[mask], p[mask], *extra) for p in model])
        for model in (candidate, baseline)
    ]
    assert [ours.candidate, ours.baseline] == pytest.approx(values)
    assert ours.difference == pytest.approx(values[0] - values[1])
    assert ours.low < ours.difference < ours.high
    assert ours.n_seeds == 5
    assert ours.n_groups + ours.n_skipped == len(np.unique(users[mask]))
    assert ours.unit == "users"
    # The candidate is the truth with less noise; sharper is not nearer to
    # 0/1 labels in the mean, so the absolute error may not see it.
    if metric != "mae":
        assert ours.verdict == "helps"


def test_several_classes():
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 3, 90)
    sharp = rng.dirichlet([1, 1, 1], (2, 90))
    sharp[:, np.arange(90), labels] += 1
    sharp /= sharp.sum(axis=2, keepdims=True)
    flat = np.full((90, 3), 1 / 3)
    ours = ev.compare(labels, sharp, flat, metric="multiclass_log_loss")
    assert ours.baseline == pytest.approx(np.log(3))
    assert ours.verdict == "helps"
    right = ev.compare(labels, sharp, flat[None], metric="accuracy")
    assert right.baseline == pytest.approx(np.mean(labels == 0))
    assert right.candidate == pytest.approx(np.mean(sharp.argmax(2) == labels))


# --- symmetries ---------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_swapping_the_models_mirrors_everything(metric):
    labels, candidate, baseline, users = trained(7)
    options = {"metric": metric, "groups": users, "resamples": 60}
    one = ev.compare(labels, candidate, baseline, **options)
    two = ev.compare(labels, baseline, candidate, **options)
    assert (one.verdict, two.verdict) == ("helps", "hurts")
    assert two.difference == pytest.approx(-one.difference, rel=1e-9)
    assert two.low == pytest.approx(-one.high, rel=1e-9)
    assert two.high == pytest.approx(-one.low, rel=1e-9)
    assert two.p_value == pytest.approx(one.p_value, rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_seeds", [1, 5])
def test_two_identical_models_cannot_be_told_apart(metric, n_seeds):
    labels, candidate, _, users = trained(8, n_seeds=n_seeds)
    ours = ev.compare(
        labels,
        candidate,
        candidate.copy(),
        metric=metric,
        groups=users,
        resamples=60,
    )
    assert ours.verdict == "cannot tell"
    assert ours.difference == 0
    assert ours.low <= 0 <= ours.high
    assert ours.p_value == 1


def test_rounding_is_no_finding():
    labels, candidate, _, users = trained(9)
    nudged = candidate * (1 + 4e-16)
    for metric in ("log_loss", "rmse"):
        ours = ev.compare(
            labels, nudged, candidate, metric=metric, groups=users
        )
        assert ours.verdict == "cannot tell"
        assert ours.difference == 0


def test_rows_of_a_user_stay_together():
    """Logging each row four times is no new evidence."""
    labels, candidate, baseline, users = trained(10)
    for metric in ("auc", "gauc", "log_loss"):
        once, often = (
            ev.compare(
                np.repeat(labels, n),
                np.repeat(candidate, n, axis=1),
                np.repeat(baseline, n, axis=1),
                metric=metric,
                groups=np.repeat(users, n),
                resamples=80,
            )
            for n in (1, 4)
        )
        assert often.low == pytest.approx(once.low)
        assert often.high == pytest.approx(once.high)
    by_user, by_row = (
        ev.compare(
            np.repeat(labels, 4),
            np.repeat(candidate[0], 4),
            np.repeat(baseline[0], 4),
            groups=groups,
        )
        for groups in (np.repeat(users, 4), None)
    )
    assert by_row.unit == "rows"
    assert by_row.standard_error < 0.65 * by_user.standard_error


def test_same_seed_same_interval_other_seed_other_interval():
    labels, candidate, baseline, users = trained(11)
    one, two, other = (
        ev.compare(labels, candidate, baseline, groups=users, seed=s)
        for s in (0, 0, 1)
    )
    assert one == two
    assert one.low != other.low
    assert one.low == pytest.approx(other.low, rel=0.1)


def test_a_model_without_seeds_stands_beside_any_number():
    labels, candidate, baseline, _ = trained(12)
    alone = ev.compare(labels, candidate, baseline[0])
    repeated = ev.compare(labels, candidate, np.stack([baseline[0]] * 5))
    assert alone == repeated
    assert alone.n_seeds == 5


def test_more_confidence_is_a_wider_interval():
    labels, candidate, baseline, _ = trained(13)
    widths = []
    for confidence in (0.8, 0.95, 0.999):
        ours = ev.compare(labels, candidate, baseline, confidence=confidence)
        widths.append(ours.high - ours.low)
    assert widths[0] < widths[1] < widths[2]


def test_users_with_one_class_are_counted():
    labels, candidate, baseline, users = trained(14, n=200)
    ours = ev.compare(labels, candidate, baseline, metric="gauc", groups=users)
    counts = ev.gauc_with_counts(labels, candidate[0], users)
    assert ours.n_groups == counts.n_groups
    assert ours.n_skipped == counts.n_skipped > 0


# --- words --------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "upward", "word"),
    [
        (0.1, 0.2, True, "helps"),
        (0.1, 0.2, False, "hurts"),
        (-0.2, -0.1, True, "hurts"),
        (-0.2, -0.1, False, "helps"),
        (-0.1, 0.2, True, "cannot tell"),
        (0.0, 0.2, True, "cannot tell"),
        (-0.2, 0.0, False, "cannot tell"),
        (-np.inf, np.inf, True, "cannot tell"),
    ],
)
def test_verdict(low, high, upward, word):
    assert ev.verdict(low, high, upward) == word


@pytest.mark.parametrize(("low", "high"), [(1, 0), (np.nan, 1), (0, np.nan)])
def test_no_verdict_without_an_interval(low, high):
    with pytest.raises(ValueError, match="no interval"):
        ev.verdict(low, high)


def made(difference=0.012, error=0.002, freedom=500.0, **changes):
    """A comparison with a chosen result."""
    p_value = 2 * stats.t.sf(abs(difference) / error, freedom)
    plain = ev.Comparison(
        metric="auc",
        candidate=0.7 + difference,
        baseline=0.7,
        difference=difference,
        low=difference,
        high=difference,
        p_value=p_value,
        standard_error=error,
        degrees_of_freedom=freedom,
        n_seeds=5,
        n_groups=2931,
        n_skipped=69,
        unit="users",
        confidence=0.95,
        n_compared=1,
        adjusted_p_value=p_value,
        higher_is_better=True,
    )
    plain = dataclasses.replace(plain, **changes)
    return with_interval(plain, 1 - plain.confidence)


def test_sentence():
    names = {
        "candidate": "shared-bottom",
        "baseline": "single-task",
        "task": "like",
    }
    assert made().sentence(**names) == (
        "For like, shared-bottom helps: AUC +0.012 against single-task "
        "(95 % interval +0.008 to +0.016, 5 seeds, 2,931 users)."
    )
    assert made(-0.012).sentence(**names) == (
        "For like, shared-bottom hurts: AUC -0.012 against single-task "
        "(95 % interval -0.016 to -0.008, 5 seeds, 2,931 users)."
    )
    assert made(0.001).sentence(**names) == (
        "For like, we cannot tell shared-bottom from single-task: AUC +0.001 "
        "(95 % interval -0.003 to +0.005, 5 seeds, 2,931 users)."
    )
    better = made(
        -0.5,
        0.1,
        metric="rmse",
        higher_is_better=False,
        n_seeds=1,
        n_groups=1,
        unit="rows",
        confidence=0.9,
    )
    assert better.sentence() == (
        "The candidate helps: RMSE -0.500 against the baseline (90 % "
        "interval -0.665 to -0.335, 1 seed, 1 row)."
    )
    assert "NDCG@10 +0.012" in made(metric="ndcg@10").sentence()


@quick
@given(st.floats(-0.01, 0.01), st.floats(1e-6, 0.01))
@example(0.0041, 0.002)  # the lower end is +0.0002
@example(-1e-5, 1e-6)
def test_shown_digits_bear_out_the_verdict(difference, error):
    ours = made(difference, error)
    text = ours.sentence("a", "b")
    numbers = text.split("interval ")[1].split(", ")[0].split(" to ")
    low, high = map(float, numbers)
    assert low < high
    assert ev.verdict(low, high) == ours.verdict
    assert ours.verdict in text
    assert "-0.000 " not in text


# --- many comparisons ---------------------------------------------------


def test_holm_by_hand():
    np.testing.assert_allclose(
        ev.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]
    )
    np.testing.assert_allclose(ev.holm([0.0, 0.7, 0.9]), [0, 1, 1])
    assert ev.holm([0.3]) == pytest.approx([0.3])


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values):
    p = np.array(p_values)
    adjusted = ev.holm(p)
    assert (adjusted >= p - 1e-15).all()
    assert (adjusted <= np.minimum(1, p * len(p)) + 1e-12).all()
    for level in (0.01, 0.0503, 0.2003):
        rejected = np.zeros(len(p), dtype=bool)
        for k, i in enumerate(np.argsort(p, kind="stable")):
            if p[i] * (len(p) - k) > level:
                break
            rejected[i] = True
        assert np.array_equal(adjusted <= level, rejected)


@quick
@given(
    st.lists(
        st.tuples(st.floats(-0.02, 0.02), st.floats(0.001, 0.01)),
        min_size=1,
        max_size=7,
    )
)
def test_a_corrected_interval_agrees_with_holm(pairs):
    family = {str(i): made(d, e) for i, (d, e) in enumerate(pairs)}
    corrected = ev.holm_corrected(family)
    adjusted = ev.holm([c.p_value for c in family.values()])
    for (name, ours), p in zip(corrected.items(), adjusted, strict=True):
        assert ours.adjusted_p_value == pytest.approx(p)
        if abs(p - 0.05) > 1e-9:
            assert (ours.verdict != "cannot tell") == (p < 0.05)
        assert ours.low <= family[name].low
        assert ours.high >= family[name].high
        assert ours.n_compared == len(pairs)


def test_compare_many_takes_back_a_lucky_find():
    labels, good, baseline, users = trained(15)
    candidates = {"good": good}
    for i in range(6):
        candidates[f"copy {i}"] = trained(15, noise=(1.0, 1.0))[1] + 0.0
    ours = ev.compare_many(
        labels, candidates, baseline, groups=users, resamples=60
    )
    assert list(ours) == list(candidates)
    assert ours["good"].verdict == "helps"
    alone = ev.compare(labels, good, baseline, groups=users, resamples=60)
    assert ours["good"].low < alone.low
    assert ours["good"].p_value == alone.p_value
    assert (
        "Holm-corrected 95 % interval over 7 comparisons"
        in ours["good"].sentence()
    )
    # Found alone at p = 0.03, not found as one of seven.
    lucky = {f"m{i}": made(0.0001) for i in range(6)}
    lucky["lucky"] = made(0.0044)
    assert lucky["lucky"].verdict == "helps"
    assert ev.holm_corrected(lucky)["lucky"].verdict == "cannot tell"


def test_families_are_corrected_once_and_with_one_confidence():
    family = ev.holm_corrected({"a": made(), "b": made()})
    with pytest.raises(ValueError, match="corrected already"):
        ev.holm_corrected(family)
    with pytest.raises(ValueError, match="empty"):
        ev.holm_corrected({})
    with pytest.raises(ValueError, match="confidences differ"):
        ev.holm_corrected({"a": made(), "b": made(confidence=0.9)})


def test_comparison_table_is_tidy():
    table = ev.comparison_table(
        {("mmoe", "like"): made(), ("mmoe", "click"): made(-0.001)},
        names=("model", "task"),
    )
    assert table.columns[:2].tolist() == ["model", "task"]
    assert table.task.tolist() == ["like", "click"]
    assert table.verdict.tolist() == ["helps", "cannot tell"]
    assert ev.verdict_disagreements(table) == []
    assert ev.comparison_table([made()]).difference.tolist() == [0.012]
    with pytest.raises(ValueError, match="2 parts"):
        ev.comparison_table({("mmoe", "like"): made()})


def test_paired_interval_is_the_t_interval():
    values = np.random.default_rng(16).normal(0.3, 1, 8)
    mean, low, high = ev.paired_interval(values, 0.9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(tuple(expected))
    assert ev.paired_interval([1.0, 1.0]) == (1, 1, 1)


# --- bad input ----------------------------------------------------------

Y, P = np.tile([0, 1], 20), np.linspace(0, 1, 40)
BAD = {
    "nan": ((Y, P * np.nan, P), {}, "candidate holds 40 NaN"),
    "rows": ((Y, P[:5], P), {}, "labels 40, candidate 5"),
    "seeds": ((Y, [P] * 2, [P] * 3), {}, "2 seeds, baseline 3"),
    "shape": ((Y, [[P]], P), {}, "candidate has shape"),
    "labels": ((Y + 1, P, P), {}, "must be 0 or 1"),
    "labels 2-d": (([Y], P, P), {}, "labels has shape"),
    "one class": ((0 * Y, P, P), {}, "both classes"),
    "metric": ((Y, P, P), {"metric": "recall"}, "per_group"),
    "logits": ((Y, P * 9, P), {"metric": "log_loss"}, "sigmoid"),
    "infinite": (
        (Y, np.where(P == 0, np.inf, P), P),
        {"metric": "rmse"},
        "infinite",
    ),
    "no users": ((Y, P, P), {"metric": "gauc"}, "needs groups"),
    "one user": ((Y, P, P), {"groups": 0 * Y}, "at least 2 users"),
    "groups": ((Y, P, P), {"groups": Y[:3]}, "groups 3"),
    "alone": ((Y, P, P), {"metric": "gauc", "groups": Y}, "of 2 users 0"),
    "mask": ((Y, P, P), {"mask": Y * 0}, "no row"),
    "mask weights": ((Y, P, P), {"mask": P}, "0 and 1"),
    "confidence": ((Y, P, P), {"confidence": 95}, "confidence is 95"),
    "resamples": ((Y, P, P), {"resamples": 10}, "at least 50"),
    "rare": ((np.arange(40) == 3, P, P), {}, "nearly absent"),
    "constant": ((0 * Y, P, P), {"metric": "r2"}, "vary"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_and_where(case):
    arrays, options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        ev.compare(*arrays, **options)


def test_an_interval_needs_two_worlds():
    for differences in ([], [1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="differences"):
            ev.paired_interval(differences)
    with pytest.raises(ValueError, match="confidence"):
        ev.paired_interval([1.0, 2.0], 95)


def test_a_paired_row_is_both_intervals_and_the_word():
    """Differences 1, 2, 3: mean 2, error 1 / sqrt(3), t of 2 is 4.3027."""
    own, base = [2.0, 4.0, 9.0], [1.0, 2.0, 6.0]
    row = ev.paired_row(own, base)
    level, gain = ev.paired_interval(own), ev.paired_interval([1.0, 2.0, 3.0])
    assert tuple(row.values())[:3] == level
    assert tuple(row.values())[3:6] == gain
    assert row["low"] == pytest.approx(2 - 4.3027 / 3**0.5, abs=1e-4)
    assert row["verdict"] == "cannot tell"
    assert (
        ev.paired_row([5.0, 6.0, 7.1], [1.0, 2.0, 3.0])["verdict"] == "helps"
    )
    worse = ev.paired_row([5.0, 6.0, 7.1], [1.0, 2.0, 3.0], False)
    assert worse["verdict"] == "hurts"
    with pytest.raises(ValueError, match="one value per world"):
        ev.paired_row(own, base[:2])
