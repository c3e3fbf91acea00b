"""Losses that compare what a user took with what they did not.

A log of clicks holds no "no": what was not taken was mostly never seen. So
the losses here ask for an order instead of a value. They are functions of
scores in ``keras.ops``; ``retrieval_layers.py`` puts them behind a model.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# So far below every score that exp(HIDDEN - score) is exactly 0.
HIDDEN = -1e30


def accidental_hits(items: Any, candidates: Any) -> Any:
    """Tell which candidates are the row's own item, not a negative.

    Args:
        items: item of each row, [B].
        candidates: items drawn for all rows, [C], or for each, [B, C].

    Returns:
        Booleans, [B, C].
    """
    if len(candidates.shape) == 1:
        candidates = ops.expand_dims(candidates, 0)
    return ops.equal(ops.expand_dims(items, 1), candidates)


def hide(scores: Any, hits: Any) -> Any:
    """Put ``HIDDEN`` in the place of some scores, [B, C].

    A hidden score gets no weight and no gradient: whatever stood there, the
    loss stays what it was.
    """
    return ops.where(hits, ops.cast(HIDDEN, scores.dtype), scores)


def hardest(scores: Any, count: int) -> Any:
    """Keep the ``count`` highest scores of each row, [B, count].

    All of them where there are no more.
    """
    width = scores.shape[1]
    if width is not None and width <= count:
        return scores
    if width is None:  # a batch against itself
        missing = ops.full_like(scores[:, :1], HIDDEN)
        scores = ops.concatenate(
            [scores, ops.repeat(missing, count, axis=1)], axis=1
        )
    return ops.top_k(scores, count)[0]


def softmax_loss(positive: Any, others: Any) -> Any:
    """Return -log of the positive's share of the softmax, [B].

    -log(e^p / (e^p + sum_c e^(o_c))), with p [B] and o [B, C].
    """
    every = ops.concatenate([ops.expand_dims(positive, 1), others], axis=1)
    return ops.logsumexp(every, axis=1) - positive


def bpr_loss(positive: Any, others: Any, hits: Any = None) -> Any:
    """Return the mean of -log sigmoid(p - o_c) over the negatives, [B].

    Args:
        positive: score p of what was taken, [B].
        others: scores o of the negatives, [B, C].
        hits: negatives to leave out, [B, C]; a row without any other has
            loss 0.

    Source: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit
    Feedback", UAI 2009, section 4.
    """
    losses = ops.softplus(others - ops.expand_dims(positive, 1))
    kept = ops.ones_like(losses)
    if hits is not None:
        kept = ops.cast(ops.logical_not(hits), losses.dtype)
    count = ops.maximum(ops.sum(kept, axis=1), 1.0)
    return ops.sum(losses * kept, axis=1) / count


def log_expected_count(
    log_share: Any, batch_size: Any, drawn: int, n_items: int
) -> Any:
    """Return log of how often an item is expected among the candidates.

    log(B p_i + n / I): a batch brings items as often as they are taken,
    the n drawn ones come from the whole catalogue alike. With n = 0 it is
    log p_i up to a constant, the "logQ" of the correction.

    Args:
        log_share: log p_i, p_i the share of item i in the training rows,
            any shape.
        batch_size: B, a number.
        drawn: n.
        n_items: I.

    Source: Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large
    Corpus Item Recommendations", RecSys 2019, equation 3; with drawn
    negatives Yang et al., "Mixed Negative Sampling for Learning Two-tower
    Neural Networks in Recommendations", WWW 2020 companion.
    """
    count = ops.cast(batch_size, log_share.dtype) * ops.exp(log_share)
    return ops.log(count + drawn / max(n_items, 1))
