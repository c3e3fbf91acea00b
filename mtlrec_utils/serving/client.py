"""Calls the server: verifies its certificate, keeps the token to itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import httpx
import numpy as np

from mtlrec_utils.serving.certificates import client_context


class ServingError(RuntimeError):
    """The server said no.

    Attributes:
        status: HTTP status.
        code: short name of the reason.
        retry_after: seconds to wait, None if that does not help.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: float | None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.retry_after = status, code, retry_after


class Scores(NamedTuple):
    """An answer.

    Attributes:
        version: the version of the model that gave it.
        scores: task -> float [N] or [N, K].
    """

    version: str
    scores: dict[str, np.ndarray]


class Client:
    """One connection to a server, kept open; use it as a context manager.

    Args:
        address: "https://HOST:PORT".
        token: what to present; it appears in no message of this class.
        authority: path of the certificate that the server's must be signed
            by; None trusts the authorities of this machine.
        timeout: seconds for each step of a call.

    Raises:
        ValueError: an address without TLS.
    """

    def __init__(
        self,
        address: str,
        token: str,
        authority: str | os.PathLike[str] | None = None,
        timeout: float = 10.0,
    ) -> None:
        if not address.startswith("https://"):
            raise ValueError(
                f"address={address!r}: a token is sent over https only."
            )
        self.address = address
        verify: Any = True if authority is None else client_context(authority)
        self._http = httpx.Client(
            base_url=address,
            headers={"authorization": f"Bearer {token}"},
            verify=verify,
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
        )

    def __repr__(self) -> str:
        return f"Client({self.address!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def score(self, rows: Iterable[Mapping[str, Any]]) -> Scores:
        """Score rows, each a mapping of every column of the schema.

        NumPy's numbers are turned into Python's.

        Raises:
            ServingError: the server refuses; its status says why.
        """
        sent = [
            {
                column: value.item()
                if isinstance(value, np.generic)
                else value
                for column, value in row.items()
            }
            for row in rows
        ]
        form = self._call("POST", "/v1/score", {"rows": sent})
        return Scores(
            form["version"],
            {task: np.array(v) for task, v in form["scores"].items()},
        )

    def model(self) -> dict[str, Any]:
        """Return what the server says of its model."""
        return self._call("GET", "/v1/model")

    def activate(self, version: str) -> str:
        """Swap to a stored version; needs the scope "admin"."""
        form = self._call("POST", "/v1/activate", {"version": version})
        return str(form["version"])

    def roll_back(self) -> str:
        """Go back to the version before; needs the scope "admin"."""
        return str(self._call("POST", "/v1/rollback")["version"])

    def metrics(self) -> str:
        """Return the metrics' text; needs the scope "metrics"."""
        return self._answer("GET", "/metrics").text

    def ready(self) -> bool:
        """Whether the server takes requests."""
        try:
            return self._http.get("/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def _call(
        self, method: str, path: str, form: Any = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = self._answer(method, path, form).json()
        return found

    def _answer(
        self, method: str, path: str, form: Any = None
    ) -> httpx.Response:
        answer = self._http.request(method, path, json=form)
        if answer.status_code == 200:
            return answer
        try:
            error = answer.json()["error"]
            code, message = error["code"], error["message"]
        except (ValueError, KeyError, TypeError):
            code, message = "unknown", "the server gave no reason"
        wait = answer.headers.get("retry-after")
        raise ServingError(
            answer.status_code, code, message, float(wait) if wait else None
        )
