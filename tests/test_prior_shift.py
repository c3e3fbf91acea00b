"""Prior shift, recolouring and the two simulated domains: closed forms."""

import numpy as np
import pytest

from mtlrec_utils.data.two_domains import DISTANCE, INPUTS, two_domains
from mtlrec_utils.evidence import auc
from mtlrec_utils.learning.transfer import (
    corrected_probabilities,
    estimated_prior,
    prior_weights,
    recoloured,
    resampled_rows,
)


def test_weights_by_hand_and_their_mean():
    labels = np.array([1, 0, 0, 0])
    found = prior_weights(labels, 0.5)
    np.testing.assert_allclose(found, [2, 2 / 3, 2 / 3, 2 / 3])
    assert found.mean() == pytest.approx(1)
    assert (found * labels).mean() == pytest.approx(0.5)
    np.testing.assert_array_equal(prior_weights(labels, 0.25), np.ones(4))


def test_resampled_rows_have_the_prior_of_the_target():
    labels = (np.arange(1000) % 2).astype(int)
    rows = resampled_rows(labels, 0.1, seed=3)
    assert len(rows) == 1000 and labels[rows].sum() == 100
    np.testing.assert_array_equal(rows, resampled_rows(labels, 0.1, seed=3))
    assert len(np.unique(rows)) > 350
    # In no order of the labels.
    assert 20 < labels[rows[:500]].sum() < 80


def test_corrected_probabilities_by_hand():
    found = corrected_probabilities([0.5, 0.9, 0.0, 1.0], 0.5, 0.1)
    np.testing.assert_allclose(found, [0.1, 0.5, 0.0, 1.0])
    same = corrected_probabilities([0.2, 0.7], 0.3, 0.3)
    np.testing.assert_allclose(same, [0.2, 0.7])


def test_a_correction_there_and_back_is_none():
    p = np.linspace(0.01, 0.99, 50)
    there = corrected_probabilities(p, 0.4, 0.05)
    np.testing.assert_allclose(corrected_probabilities(there, 0.05, 0.4), p)
    assert (np.diff(there) > 0).all()


@pytest.mark.parametrize("prior", [0.05, 0.3, 0.5, 0.8])
def test_em_finds_the_prior_in_closed_form(prior):
    """A yes-or-no input: q says yes to 80 % of ones, 30 % of zeros."""
    source = 0.5
    yes = prior * 0.8 + (1 - prior) * 0.3
    p_yes = 0.8 * source / (0.8 * source + 0.3 * (1 - source))
    p_no = 0.2 * source / (0.2 * source + 0.7 * (1 - source))
    n = 100_000
    p = np.r_[
        np.full(round(yes * n), p_yes), np.full(n - round(yes * n), p_no)
    ]
    assert estimated_prior(p, source) == pytest.approx(prior, abs=1e-4)


def test_em_finds_the_prior_of_drawn_rows():
    domains = two_domains(20_000, target_prior=0.1, shift=0.0, seed=1)
    x = domains.test[list(INPUTS[:2])].sum(axis=1)
    logit = DISTANCE / np.sqrt(2) * x  # Bayes, at a source prior of 1/2
    p = 1 / (1 + np.exp(-logit))
    share = domains.test["label"].mean()
    assert estimated_prior(p, 0.5) == pytest.approx(share, abs=0.01)
    # The mean alone does not: it is drawn to the source's prior.
    assert p.mean() > share + 0.05


def test_em_at_the_ends():
    assert estimated_prior(np.zeros(5), 0.5) == 0
    assert estimated_prior(np.ones(5), 0.5) == 1
    assert estimated_prior(np.full(5, 0.3), 0.3) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prior_weights([1, 1], 0.5), "both classes"),
        (lambda: prior_weights([0, 2], 0.5), "0 and 1"),
        (lambda: prior_weights([0, 1], 1.0), "target_prior"),
        (lambda: corrected_probabilities([1.2], 0.5, 0.5), "0 ... 1"),
        (lambda: corrected_probabilities([0.2], 0.0, 0.5), "source_prior"),
        (lambda: estimated_prior([], 0.5), "at least one"),
        (lambda: two_domains(target_prior=0.0), "target_prior"),
        (lambda: two_domains(5), "n_rows"),
        (lambda: recoloured(np.ones((3, 2)), np.ones((3, 3))), "columns"),
        (lambda: recoloured(np.ones((3, 2)), np.eye(2), 0.0), "no inverse"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_recolouring_maps_covariance_on_covariance():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    y = rng.normal(size=(90, 4)) @ rng.normal(size=(4, 4))
    found = recoloured(x, y, ridge=0.0)
    np.testing.assert_allclose(
        np.cov(found, rowvar=False), np.cov(y, rowvar=False), atol=1e-8
    )
    np.testing.assert_allclose(recoloured(x, x, 0.0), x, atol=1e-8)
    # A huge ridge leaves rows as they are.
    np.testing.assert_allclose(recoloured(x, y, 1e9), x, atol=1e-6)


def test_the_domains_are_as_described():
    domains = two_domains(20_000, spurious=0.7, target_prior=0.2, seed=2)
    train = domains.train
    assert train.groupby("domain")["label"].mean().to_dict() == pytest.approx(
        {0: 0.5, 1: 0.2}, abs=0.02
    )
    assert (train["labelled"] == 1 - train["domain"]).all()
    nuisance = train[list(INPUTS[2:])].mean(axis=1)
    means = nuisance.groupby([train["domain"], train["label"]]).mean()
    np.testing.assert_allclose(means, [-0.7, 0.7, 1.5, 1.5], atol=0.03)


def test_the_best_scores_are_those_of_the_truth():
    domains = two_domains(50_000, target_prior=0.2, seed=4)
    x = domains.test[list(INPUTS[:2])].sum(axis=1)
    score = DISTANCE / np.sqrt(2) * x + np.log(0.2 / 0.8)
    label = domains.test["label"]
    assert auc(label, score) == pytest.approx(domains.best_auc, abs=0.005)
    right = ((score > 0) == label).mean()
    assert right == pytest.approx(domains.best_accuracy, abs=0.005)
