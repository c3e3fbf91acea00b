"""Checks of lesson 23: a token, a lock-out, caps on rows."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from mtlrec_utils.classroom.checks import NotYet, exercise


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@exercise(
    "23.1",
    hints=[
        "`kept.get(name)` is None for a name that nobody has.",
        "Hash the secret, and compare hashes by hmac.compare_digest.",
        "A token is valid while now < expires; at `expires` it is not.",
    ],
)
def is_valid(answer: Callable[..., Any]) -> None:
    """Check right, wrong, unknown and old tokens, and how they compare."""
    stored = _hash("s3cret")
    kept = {"ada": {"sha256": stored, "expires": 100.0}}

    def found(name: str, secret: str, now: float) -> bool:
        try:
            value = answer(kept, name, secret, now)
        except (KeyError, TypeError) as error:
            if name in kept:
                raise
            raise NotYet(
                "A name that nobody has must give False; it raises "
                f"{type(error).__name__}."
            ) from None
        if value not in (True, False):
            raise NotYet(f"The answer is True or False, not {value!r}.")
        return bool(value)

    if not found("ada", "s3cret", 50.0):
        raise NotYet(
            "The right secret, in time, is refused. `sha256` holds the hash "
            "of the secret: hash what is presented."
        )
    if found("ada", stored, 50.0):
        raise NotYet(
            "The stored hash itself is let in: whoever reads the file could "
            "use it. Hash what is presented."
        )
    if found("ada", "guess", 50.0):
        raise NotYet("A wrong secret is let in.")
    if found("eve", "s3cret", 50.0):
        raise NotYet("A name that nobody has is let in.")
    if found("ada", "s3cret", 100.0) or found("ada", "s3cret", 1e9):
        raise NotYet("A token that has expired is let in.")
    with mock.patch.object(
        hmac, "compare_digest", wraps=hmac.compare_digest
    ) as compared:
        found("ada", "guess", 50.0)
    if not compared.called:
        raise NotYet(
            "`==` stops at the first difference, and its time tells where. "
            "Call `hmac.compare_digest`, with the module's name before it."
        )


@exercise(
    "23.2",
    hints=[
        "The first `free` guesses cost nothing: return 0.",
        "Guess number free + 1 locks for `first`, the next for 2 * first.",
        "min(..., longest); for a huge number of guesses too.",
    ],
)
def lock_seconds(answer: Callable[..., Any]) -> None:
    """Check the first, the doubling, and the longest lock."""
    found = [float(answer(n, 3, 2.0, 30.0)) for n in range(1, 10)]
    if any(found[:3]):
        raise NotYet(
            f"Guesses 1 to 3 are free, but the locks are {found[:3]}."
        )
    if found[3] != 2.0:
        raise NotYet(
            f"Guess 4 is the first that locks, for 2 s, not {found[3]:g} s."
        )
    if found[4] == 2.0 or found[5] == 6.0:
        raise NotYet(
            f"Locks double: 2, 4, 8 s. Yours are {found[3:6]}: a patient "
            "attacker would hardly notice."
        )
    if max(found) > 30.0:
        raise NotYet(
            f"The longest lock is 30 s, not {max(found):g} s: somebody with "
            "a wrong token in a script would be locked out for ever."
        )
    if found != [0, 0, 0, 2, 4, 8, 16, 30, 30]:
        raise NotYet(f"Expected 0 0 0 2 4 8 16 30 30, got {found}.")
    try:
        late = float(answer(5000, 3, 2.0, 30.0))
    except OverflowError:
        raise NotYet(
            "After 5,000 wrong guesses the power overflows: bound the "
            "exponent first."
        ) from None
    if late != 30.0:
        raise NotYet(f"After 5,000 guesses the lock is 30 s, not {late:g} s.")


@exercise(
    "23.3",
    hints=[
        "np.unique(users, return_inverse=True, return_counts=True).",
        "A user with n rows weighs n times the weight of a row: cap / n.",
        "np.minimum(1, cap / n) leaves users with few rows alone.",
    ],
)
def capped(answer: Callable[..., Any]) -> None:
    """Check who is capped, and to what."""
    users = np.array([30, 7, 30, 30, 8, 30, 8])
    found = np.asarray(answer(users.copy(), 2), dtype=float)
    if found.shape != (7,):
        raise NotYet(f"One weight per row: 7 of them, not {found.shape}.")
    totals = {u: found[users == u].sum() for u in (30, 7, 8)}
    if totals[7] != 1 or totals[8] != 2:
        raise NotYet(
            "Users 7 and 8 have no more rows than the cap; their rows keep "
            "the weight 1."
        )
    if totals[30] > 2 and not np.isclose(totals[30], 2):
        raise NotYet(
            f"User 30 has 4 rows and weighs {totals[30]:g} in all; the cap "
            "is 2 for all rows together."
        )
    if len(set(found[users == 30])) > 1:
        raise NotYet(
            "The total is right, but some rows of user 30 are dropped and "
            "some kept: which ones should not depend on their order."
        )
    if not np.isclose(totals[30], 2):
        raise NotYet(
            f"User 30 may weigh 2 in all; yours weighs {totals[30]:g}."
        )
