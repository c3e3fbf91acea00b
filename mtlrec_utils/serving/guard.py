"""Lets a request in, or says with which status it stays out.

The order matters: what is cheap comes first, and before a right token nothing
of the request is read but its headers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from mtlrec_utils.serving.limits import Limits, LockOut, RateLimit, Recent
from mtlrec_utils.serving.tokens import Token, TokenStore


class RefusalError(Exception):
    """A request that is not answered, with the reason its sender may know.

    Attributes:
        status: HTTP status.
        code: a short name of the reason that does not change.
        message: a sentence; holds nothing of the request.
        retry_after: seconds after which to try again, if that helps.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after = retry_after


class Guard:
    """Checks tokens, counts guesses and requests.

    A wrong token counts against the address it came from. If it names a
    token that exists, it counts against that token too: many addresses that
    guess at one token are locked out together. An address that has used the
    token rightly before stays free, so that guessing locks nobody else out.

    Args:
        tokens: who may call.
        limits: rate and lock-out.
        on_lock: called at each new lock.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        tokens: TokenStore,
        limits: Limits,
        on_lock: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens, self._on_lock = tokens, on_lock
        self._lock = LockOut(
            limits.free_guesses, limits.first_lock, limits.longest_lock, clock
        )
        self._rate = RateLimit(limits.rate, limits.burst, clock)
        self._trusted: Recent[set[str]] = Recent(set)

    def admit(
        self, address: str, authorization: str | None, scope: str
    ) -> Token:
        """Return the token of a request that may go on.

        Args:
            address: of the client.
            authorization: the header, "Bearer TOKEN".
            scope: what the token must allow.

        Raises:
            RefusalError: 401 no valid token; 403 a valid one without the
                scope; 429 locked out, or too many requests.
        """
        self._limit(("address", address))
        self._locked(("address", address))
        kind, _, presented = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not presented:
            raise RefusalError(401, "no_token", "Send a valid bearer token.")
        identity = presented.partition(".")[0]
        trusted = address in self._trusted.get(identity)
        if not trusted:
            self._locked(("token", identity))
        token = self._tokens.find(presented)
        if token is None:
            self._wrong(address, identity, trusted)
            raise RefusalError(401, "no_token", "Send a valid bearer token.")
        self._right(address, identity, trusted)
        self._limit(("token", identity))
        if scope not in token.scopes:
            raise RefusalError(403, "scope", f"This token may not {scope}.")
        return token

    def _limit(self, key: tuple[str, str]) -> None:
        wait = self._rate.take(key)
        if wait > 0:
            raise RefusalError(429, "rate", "Too many requests.", wait)

    def _locked(self, key: tuple[str, str]) -> None:
        wait = self._lock.left(key)
        if wait > 0:
            raise RefusalError(429, "locked", "Too many wrong tokens.", wait)

    def _wrong(self, address: str, identity: str, trusted: bool) -> None:
        seconds = self._lock.wrong(("address", address))
        if self._tokens.knows(identity) and not trusted:
            seconds += self._lock.wrong(("token", identity))
        if seconds:
            self._on_lock()

    def _right(self, address: str, identity: str, trusted: bool) -> None:
        self._lock.right(("address", address))
        if not trusted:  # its owner's calls give nobody new guesses
            self._lock.right(("token", identity))
        addresses = self._trusted.get(identity)
        if len(addresses) < 1000:
            addresses.add(address)


def retry_header(seconds: float) -> str:
    """Return whole seconds for the header Retry-After, at least 1."""
    return str(max(1, math.ceil(seconds)))
