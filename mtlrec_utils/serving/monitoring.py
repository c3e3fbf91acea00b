"""What a server counts and logs: never a token, a row, or a query.

Paths that are no route are counted and logged as "other", since somebody may
put anything there.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

LOG = logging.getLogger("mtlrec.serving")
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"strict-transport-security", b"max-age=31536000"),
]


class Metrics:
    """Prometheus metrics of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        common: dict[str, Any] = {"registry": self._registry}
        self.requests = Counter(
            "mtlrec_requests",
            "Requests by route and status",
            ["route", "status"],
            **common,
        )
        self.seconds = Histogram(
            "mtlrec_request_seconds",
            "Seconds from the headers to the end of the answer",
            ["route"],
            buckets=_SECONDS,
            **common,
        )
        self.batch_rows = Histogram(
            "mtlrec_batch_rows", "Rows of a batch", buckets=_ROWS, **common
        )
        self.locks = Counter(
            "mtlrec_locks", "Lock-outs after wrong tokens", **common
        )
        self.swaps = Counter(
            "mtlrec_swaps", "Swaps of the version", ["outcome"], **common
        )
        self.version = Gauge(
            "mtlrec_version", "1 for the active version", ["version"], **common
        )
        self.waiting = Gauge(
            "mtlrec_rows_waiting", "Rows in the queue", **common
        )

    def set_version(self, version: str) -> None:
        """Say which version is active."""
        self.version.clear()
        self.version.labels(version).set(1)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)


class Watch:
    """Wraps an application: a number, a time and a log line per request.

    Whatever goes wrong inside becomes a 500 without a word about the cause;
    the log has the kind of the error and the request's number.
    """

    def __init__(self, app: Any, metrics: Metrics, routes: set[str]) -> None:
        self._app, self._metrics, self._routes = app, metrics, routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number, began = secrets.token_hex(8), time.perf_counter()
        status = 0

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    *_HEADERS,
                    (b"x-request-id", number.encode("ascii")),
                ]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            LOG.error(
                "%s", json.dumps({"id": number, "error": type(error).__name__})
            )
            if not status:
                await _internal(answer)
        finally:
            self._note(scope, number, status, time.perf_counter() - began)

    def _note(
        self, scope: Any, number: str, status: int, seconds: float
    ) -> None:
        path = scope["path"] if scope["path"] in self._routes else "other"
        self._metrics.requests.labels(path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        client = scope.get("client") or ("unknown", 0)
        line = {
            "id": number,
            "from": client[0],
            "path": path,
            "status": status,
            "ms": round(1e3 * seconds, 2),
            "token": scope.get("state", {}).get("token_name"),
        }
        LOG.info("%s", json.dumps(line))


async def _internal(send: Any) -> None:
    body = json.dumps(
        {"error": {"code": "internal", "message": "Something went wrong."}}
    ).encode("ascii")
    await send(
        {
            "type": "http.response.start",
            "status": 500,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode("ascii")),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
