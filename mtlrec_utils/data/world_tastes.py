"""Latent tastes: for every user one vector per response and shop.

For user *u* five orthonormal directions f_0 ... f_4 in R^6 are drawn (one per
response), each of them partly the direction of the user's segment and partly
the user's own. With rho = `task_correlation`, the tastes in films are

    a_click = f_0
    a_t     = rho f_0 + sqrt(1 - rho^2) f_t          (every other response t)

so that cos(a_click, a_t) = rho and cos(a_t, a_t') = rho^2, exactly. As the
segment's share of f_t differs from segment to segment, so does the direction
in which `like` departs from `click`.

Tastes in books are the tastes in films, turned. With s = `domain_similarity`

    a_t^books = (s I + sqrt(1 - s^2) J_u) a_t^films

where J_u is a skew-symmetric orthogonal matrix: J_u x is orthogonal to x for
every x. Hence every one of the five tastes keeps cosine s with its
counterpart in the other shop, and the angles between the five stay what they
were. J_u turns films tastes towards five directions drawn independently for
books (again part segment, part personal), so with s = 0 a taste in films tells
nothing about the taste in books.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtlrec_utils.data.world_dials import stream

Floats = npt.NDArray[np.float64]

TASTE_DIMENSION = 6
RESPONSES = ("click", "like", "finish", "purchase", "watch_minutes")


def draw_segments(seed: int, n_users: int, n_segments: int) -> npt.NDArray:
    """Return the segment of every user, int64 `[n_users]`."""
    return stream(seed, "segments").integers(n_segments, size=n_users)


def taste_vectors(
    seed: int,
    segments: npt.NDArray,
    n_segments: int,
    segment_strength: float,
    task_correlation: float,
    domain_similarity: float,
) -> Floats:
    """Return unit taste vectors, `[2 shops, 5 responses, n_users, 6]`."""
    films = _orthonormal(
        _directions(seed, "films", segments, n_segments, segment_strength)
    )
    own = _directions(seed, "books", segments, n_segments, segment_strength)
    turn = _quarter_turns(films, own)
    mix = np.zeros((len(RESPONSES), len(RESPONSES)))
    mix[:, 0] = task_correlation
    mix[0, 0] = 1.0
    rest = np.sqrt(1.0 - task_correlation**2)
    mix[range(1, len(RESPONSES)), range(1, len(RESPONSES))] = rest
    tastes = np.empty((2, len(RESPONSES), len(segments), TASTE_DIMENSION))
    tastes[0] = np.einsum("tr,udr->tud", mix, films)
    tastes[1] = domain_similarity * tastes[0]
    tastes[1] += np.sqrt(1.0 - domain_similarity**2) * np.einsum(
        "ude,tue->tud", turn, tastes[0]
    )
    return tastes


def generosity(
    seed: int,
    n_users: int,
    task_correlation: float,
    domain_similarity: float,
) -> Floats:
    """Return how readily each user responds, `[2 shops, 5, n_users]`.

    Standard normal; mixes over responses and shops by the same two dials as
    the tastes.
    """
    draws = stream(seed, "generosity").normal(
        size=(2, len(RESPONSES), n_users)
    )
    films = mix_with_click(draws[0], task_correlation)
    own = mix_with_click(draws[1], task_correlation)
    rest = np.sqrt(1.0 - domain_similarity**2)
    return np.stack([films, domain_similarity * films + rest * own])


def mix_with_click(draws: Floats, task_correlation: float) -> Floats:
    """Mix rows 1... of `draws` with row 0 so that their correlation is rho."""
    mixed = task_correlation * draws[:1] + (
        np.sqrt(1.0 - task_correlation**2) * draws
    )
    mixed[0] = draws[0]
    return mixed


def drift_turn(seed: int) -> Floats:
    """Return the quarter turn along which all tastes drift, `[6, 6]`.

    Skew-symmetric and orthogonal: after an angle phi a taste a has become
    cos(phi) a + sin(phi) J a, at cosine cos(phi) from where it began.
    """
    basis = _orthonormal(
        stream(seed, "drift").normal(size=(TASTE_DIMENSION, TASTE_DIMENSION))
    )
    swap = np.kron(np.eye(TASTE_DIMENSION // 2), [[0.0, -1.0], [1.0, 0.0]])
    return basis @ swap @ basis.T


def _directions(
    seed: int,
    shop: str,
    segments: npt.NDArray,
    n_segments: int,
    segment_strength: float,
) -> Floats:
    """Draw `[n_users, 6, 5]` directions: part segment, part personal."""
    size = (TASTE_DIMENSION, len(RESPONSES))
    centres = _orthonormal(
        stream(seed, f"segment tastes in {shop}").normal(
            size=(n_segments, *size)
        )
    )
    # The first six segments want different things: their click tastes are
    # orthogonal. A random pair of directions could be nearly parallel.
    different = _orthonormal(
        stream(seed, f"segment clicks in {shop}").normal(
            size=(TASTE_DIMENSION, TASTE_DIMENSION)
        )
    )[:n_segments]
    centres[: len(different), :, 0] = different
    personal = stream(seed, f"personal tastes in {shop}").normal(
        size=(len(segments), *size)
    )
    personal /= np.sqrt(TASTE_DIMENSION)
    return (
        np.sqrt(segment_strength) * centres[segments]
        + np.sqrt(1.0 - segment_strength) * personal
    )


def _orthonormal(matrices: Floats) -> Floats:
    """Gram-Schmidt on the columns, keeping their order and direction."""
    q, r = np.linalg.qr(matrices)
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]


def _quarter_turns(films: Floats, own: Floats) -> Floats:
    """Return per user a skew-symmetric orthogonal matrix, `[n, 6, 6]`.

    The nearest orthogonal matrix of a skew-symmetric one is skew-symmetric;
    own films' - films own' sends films to the part of own beside films.
    """
    skew = own @ films.swapaxes(1, 2)
    skew -= skew.swapaxes(1, 2)
    left, _, right = np.linalg.svd(skew)
    return left @ right
