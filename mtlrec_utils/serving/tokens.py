"""Who may call: tokens with a name, scopes and an end.

A token is ``identity.secret``. The secret has 256 random bits, so its plain
sha256 is as good as a slow hash: there is no dictionary to try. Only the hash
is stored, and it is compared in constant time, against a stand-in when the
identity is unknown, so that the time tells nothing about what exists.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mtlrec_utils.whole_file import whole_file

SCOPES = ("score", "metrics", "admin")
SECRET_BYTES = 32
_NOBODY = hashlib.sha256(b"nobody").hexdigest()


@dataclass(frozen=True)
class Token:
    """What is kept of a token.

    Attributes:
        name: whose it is, for logs.
        sha256: of the secret.
        scopes: some of ``SCOPES``.
        expires: seconds since 1970.
    """

    name: str
    sha256: str
    scopes: tuple[str, ...]
    expires: float


class TokenStore:
    """Tokens in one file that only its owner may read.

    Args:
        path: of the file; made by the first ``issue``.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._clock = Path(path), clock
        self._read_at: int | None = None
        self._tokens: dict[str, Token] = {}

    def issue(
        self,
        name: str,
        scopes: tuple[str, ...] = ("score",),
        seconds: float = 30 * 86_400,
    ) -> str:
        """Make a token and return it: the only time it can be read.

        Raises:
            ValueError: no name, an unknown scope, or no life time.
        """
        if not name or not scopes or set(scopes) - set(SCOPES):
            raise ValueError(
                f"A token needs a name, and scopes of {', '.join(SCOPES)}; "
                f"got {name!r} and {scopes!r}."
            )
        if not seconds > 0:
            raise ValueError(f"seconds={seconds} must be above 0.")
        self._refresh()
        identity = secrets.token_hex(6)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        self._tokens[identity] = Token(
            name, _hash(secret), tuple(scopes), self._clock() + seconds
        )
        self._write()
        return f"{identity}.{secret}"

    def revoke(self, name: str) -> int:
        """Drop the tokens of a name; return how many."""
        self._refresh()
        kept = {i: t for i, t in self._tokens.items() if t.name != name}
        dropped = len(self._tokens) - len(kept)
        self._tokens = kept
        self._write()
        return dropped

    def find(self, presented: str) -> Token | None:
        """Return the token that was presented, None if it is not valid.

        Unknown, wrong and expired tokens are all the same to the caller.
        """
        self._refresh()
        identity, _, secret = presented.partition(".")
        token = self._tokens.get(identity)
        wanted = _NOBODY if token is None else token.sha256
        same = hmac.compare_digest(_hash(secret), wanted)
        if token is None or not same or self._clock() >= token.expires:
            return None
        return token

    def knows(self, identity: str) -> bool:
        """Whether a token has this identity; for counting guesses at it."""
        return identity in self._tokens

    def _refresh(self) -> None:
        """Read the file again if it has changed."""
        try:
            stamp = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            self._tokens, self._read_at = {}, None
            return
        if stamp == self._read_at:
            return
        form = json.loads(self._path.read_text("utf-8"))
        self._tokens = {
            identity: Token(**{**entry, "scopes": tuple(entry["scopes"])})
            for identity, entry in form.items()
        }
        self._read_at = stamp

    def _write(self) -> None:
        form = {identity: asdict(t) for identity, t in self._tokens.items()}
        with whole_file(self._path, mode=0o600) as part:
            part.write_text(json.dumps(form), "utf-8")
        self._read_at = self._path.stat().st_mtime_ns


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
