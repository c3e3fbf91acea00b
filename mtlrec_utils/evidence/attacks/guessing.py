"""How many guesses does a token take, how many does a lock-out leave?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def expected_guesses(possible: int, valid: int = 1) -> float:
    """Mean number of guesses until a valid token is hit, none tried twice.

    (S + 1) / (V + 1) for V valid of S possible tokens.

    Raises:
        ValueError: not 1 <= valid <= possible.
    """
    if not 1 <= valid <= possible:
        raise ValueError(f"valid={valid} must lie in 1..possible={possible}.")
    return (possible + 1) / (valid + 1)


def guesses_left(
    seconds: float, free: int, first: float, longest: float
) -> int:
    """Guesses that a growing lock-out leaves in some time.

    ``free`` guesses cost nothing; the next one locks for ``first`` seconds,
    each one after a lock for twice as long, up to ``longest``. A guess takes
    no time.

    Raises:
        ValueError: a negative time, or a lock of no length.
    """
    if seconds < 0 or free < 0 or not 0 < first <= longest:
        raise ValueError(
            f"seconds={seconds} and free={free} must not be negative, and "
            f"0 < first={first} <= longest={longest}."
        )
    guesses, wait, gone = free + 1, first, 0.0
    while wait < longest and gone + wait <= seconds:
        gone += wait
        guesses += 1
        wait = min(2 * wait, longest)
    if wait >= longest:
        guesses += int((seconds - gone) // longest)
    return guesses


def guess_token(
    is_right: Callable[[str], bool],
    alphabet: str,
    length: int,
    rng: np.random.Generator,
    most: int | None = None,
) -> int | None:
    """Guess a token in random order, none twice.

    Args:
        is_right: the server's answer.
        alphabet: characters of a token, all different.
        length: of a token.
        rng: of the order.
        most: guesses before giving up; None tries all.

    Returns:
        Guesses until the right one, or None.

    Raises:
        ValueError: more than ten million possible tokens.
    """
    base = len(set(alphabet))
    if base != len(alphabet) or base**length > 10_000_000:
        raise ValueError(
            f"{base}**{length} tokens are too many to try, or characters "
            "repeat. Use a shorter token: the closed form does the rest."
        )
    order = rng.permutation(base**length)[:most]
    for guess, number in enumerate(order.tolist(), start=1):
        letters = []
        for _ in range(length):
            number, place = divmod(number, base)
            letters.append(alphabet[place])
        if is_right("".join(letters)):
            return guess
    return None
