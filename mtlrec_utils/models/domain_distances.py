"""Distances of two domains' rows within a batch, as losses."""

from __future__ import annotations

from typing import Any

from keras import ops


def coral_loss(vectors: Any, domain: Any, known: Any = None) -> Any:
    """Return the distance of two domains' covariances, a scalar.

        ||C_source - C_target||^2_F / (4 h^2)

    Covariances divide by n - 1. It does not see means: a shift of one
    domain leaves it as it is.

    Args:
        vectors: [B, h], one row each.
        domain: [B], 1 for the target and 0 for the source.
        known: [B], 0 for rows to leave out.

    Returns:
        From 0 up; 0 where a domain has fewer than 2 rows.

    Source: Sun & Saenko, "Deep CORAL", ECCV 2016 workshops.
    """
    vectors, source, target = _sides(vectors, domain, known)
    gap = _covariance(vectors, source) - _covariance(vectors, target)
    enough = ops.minimum(ops.sum(source), ops.sum(target)) > 1.5
    distance = ops.sum(ops.square(gap)) / (4.0 * vectors.shape[-1] ** 2)
    return ops.where(enough, distance, 0.0)


def mmd_loss(vectors: Any, domain: Any, known: Any = None) -> Any:
    """Return the squared maximum mean discrepancy of two domains, a scalar.

        mean k(s, s') + mean k(t, t') - 2 mean k(s, t),
        k(a, b) = exp(-||a - b||^2 / m)

    The biased estimator: means run over all pairs, a row with itself too,
    so that it is never below 0. m is the median of ||a - b||^2 over all
    pairs of rows of the batch, as a constant: the scale of the vectors
    cancels. Where most rows are alike the median is 0, or rounding; it then
    is at least a thousandth of the mean.

    Args:
        vectors: [B, h], one row each.
        domain: [B], 1 for the target and 0 for the source.
        known: [B], 0 for rows to leave out.

    Returns:
        0 ... 2; 0 where a domain has no row.

    Source: Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012,
    equation 5; as a penalty Long et al., ICML 2015.
    """
    vectors, source, target = _sides(vectors, domain, known)
    # The mean of all rows cancels, and with it most of the rounding.
    vectors = vectors - ops.mean(vectors, axis=0, keepdims=True)
    squares = ops.sum(ops.square(vectors), axis=1)
    products = ops.matmul(vectors, ops.transpose(vectors))
    distances = squares[:, None] + squares[None, :] - 2.0 * products
    distances = ops.maximum(distances, 0.0)
    kernel = ops.exp(-distances / _width(ops.stop_gradient(distances)))
    n_source, n_target = ops.sum(source), ops.sum(target)
    weights = source / ops.maximum(n_source, 1.0)
    weights = weights - target / ops.maximum(n_target, 1.0)
    distance = ops.sum(weights[:, None] * kernel * weights[None, :])
    both = ops.minimum(n_source, n_target) > 0.5
    return ops.where(both, ops.maximum(distance, 0.0), 0.0)


def _sides(vectors: Any, domain: Any, known: Any) -> tuple[Any, Any, Any]:
    """Return float32 vectors, and 0/1 [B] of either domain's rows."""
    vectors = ops.cast(vectors, "float32")
    target = ops.cast(domain, "float32")
    source = 1.0 - target
    if known is not None:
        known = ops.cast(known, "float32")
        source, target = source * known, target * known
    return vectors, source, target


def _covariance(vectors: Any, chosen: Any) -> Any:
    """Return the covariance [h, h] of the rows where ``chosen`` is 1."""
    n = ops.sum(chosen)
    chosen = chosen[:, None]
    mean = ops.sum(chosen * vectors, axis=0) / ops.maximum(n, 1.0)
    centred = chosen * (vectors - mean)
    products = ops.matmul(ops.transpose(centred), centred)
    return products / ops.maximum(n - 1.0, 1.0)


def _width(distances: Any) -> Any:
    """Return the kernel's width, from the distances of all pairs."""
    least = ops.maximum(1e-3 * ops.mean(distances), 1e-12)
    return ops.maximum(_median_of_pairs(distances), least)


def _median_of_pairs(distances: Any) -> Any:
    """Return the median of [B, B] without its diagonal of zeros."""
    n = ops.shape(distances)[0]
    ordered = ops.sort(ops.reshape(distances, (-1,)))
    # The diagonal is the B smallest; of an even number, the upper middle.
    return ops.take(ordered, ops.minimum(n + (n * n - n) // 2, n * n - 1))
