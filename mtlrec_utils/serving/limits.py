"""How much, how often, and how many wrong guesses.

Everything is kept in memory: a restart forgets it. Keys come from outside, so
each table holds a bounded number of them and forgets the oldest.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")
Clock = Callable[[], float]


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        body_bytes: of a request's body.
        rows: of one request.
        rows_waiting: in the queue of a model.
        seconds_of_headers: from a request's first byte to its last header
            (and from the connection to the first byte).
        seconds_of_body: for the body.
        seconds_idle: of a connection between two requests.
        connections: at a time.
        rate: requests per second of one token, and of one address.
        burst: requests at once before the rate counts.
        free_guesses: wrong tokens before a lock-out.
        first_lock: seconds of the first lock-out; each later one doubles.
        longest_lock: seconds of the longest.
    """

    body_bytes: int = 256 * 1024
    rows: int = 512
    rows_waiting: int = 4096
    seconds_of_headers: float = 5.0
    seconds_of_body: float = 5.0
    seconds_idle: float = 15.0
    connections: int = 256
    rate: float = 200.0
    burst: float = 400.0
    free_guesses: int = 5
    first_lock: float = 1.0
    longest_lock: float = 3600.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"Limits: {name}={value!r} must be above 0.")


class Recent(Generic[Value]):
    """A dictionary that forgets the key that was longest unused."""

    def __init__(self, make: Callable[[], Value], size: int = 10_000) -> None:
        self._make, self._size = make, size
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Value:
        """Return the key's value, a new one if there is none."""
        value = self._kept.get(key)
        if value is None:
            value = self._kept[key] = self._make()
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return value

    def forget(self, key: Hashable) -> None:
        """Drop a key, if it is there."""
        self._kept.pop(key, None)


@dataclass
class _Bucket:
    left: float
    at: float


class RateLimit:
    """A token bucket per key: ``burst`` at once, ``rate`` per second.

    Args:
        rate: requests per second.
        burst: size of the bucket, at least 1.
        clock: seconds, never going back.
    """

    def __init__(
        self, rate: float, burst: float, clock: Clock = time.monotonic
    ) -> None:
        if not rate > 0 or not burst >= 1:
            raise ValueError(
                f"rate={rate} must be above 0 and burst={burst} at least 1."
            )
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets = Recent(lambda: _Bucket(burst, clock()))

    def take(self, key: Hashable) -> float:
        """Count one request; return 0, or the seconds until one is free."""
        bucket, now = self._buckets.get(key), self._clock()
        bucket.left = min(
            self._burst, bucket.left + (now - bucket.at) * self._rate
        )
        bucket.at = now
        if bucket.left >= 1:
            bucket.left -= 1
            return 0.0
        return (1 - bucket.left) / self._rate


@dataclass
class _Guesses:
    wrong: int = 0
    locked_until: float = 0.0


class LockOut:
    """Locks a key after wrong guesses, each time for twice as long.

    The first ``free`` wrong guesses cost nothing. The next one locks for
    ``first`` seconds, and each one after a lock has ended locks anew, for
    twice the time, up to ``longest``. A right answer forgets all.

    Args:
        free: wrong guesses before the first lock.
        first: its seconds.
        longest: of all later ones.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        free: int = 5,
        first: float = 1.0,
        longest: float = 3600.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._free, self._first, self._longest = free, first, longest
        self._clock = clock
        self._guesses = Recent(_Guesses)

    def left(self, key: Hashable) -> float:
        """Return the seconds that a key is still locked, 0 if it is not."""
        until = self._guesses.get(key).locked_until
        return max(0.0, until - self._clock())

    def wrong(self, key: Hashable) -> float:
        """Count a wrong guess; return the seconds of the lock it causes."""
        guesses = self._guesses.get(key)
        guesses.wrong += 1
        if guesses.wrong <= self._free:
            return 0.0
        doublings = min(guesses.wrong - self._free - 1, 60)
        seconds = min(self._first * 2.0**doublings, self._longest)
        guesses.locked_until = self._clock() + seconds
        return seconds

    def right(self, key: Hashable) -> None:
        """Forget the wrong guesses of a key."""
        self._guesses.forget(key)
