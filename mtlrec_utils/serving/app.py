"""The routes of the server.

| route | scope | answers |
|---|---|---|
| POST /v1/score | score | {"version": ..., "scores": {task: [...]}} |
| GET /v1/model | score | {"version": ..., "tasks": ..., ...} |
| POST /v1/activate | admin | swaps to {"version": ...} |
| POST /v1/rollback | admin | back to the version before |
| GET /metrics | metrics | Prometheus' text |
| GET /health/live, /health/ready | none | {"status": ...} |

Statuses: 200; 400 not JSON; 401 no valid token; 403 a token without the
scope; 404 and 405 no such route; 408 a body that comes too slowly; 409 a
version that cannot be swapped to; 413 too many bytes or rows; 415 another
type than plain JSON; 422 rows that do not fit the schema; 429 too many
requests, or wrong tokens (Retry-After says how long); 500 our own fault; 503
not ready, or too much waits. Every error has the same form,
{"error": {"code": ..., "message": ...}}.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mtlrec_utils.serving.batching import ClosedError, OverloadedError
from mtlrec_utils.serving.bodies import read_object, rows_of
from mtlrec_utils.serving.guard import Guard, RefusalError, retry_header
from mtlrec_utils.serving.limits import Limits
from mtlrec_utils.serving.monitoring import LOG, Metrics, Watch
from mtlrec_utils.serving.releases import Release, Releases
from mtlrec_utils.serving.rows import RowError
from mtlrec_utils.serving.store import ModelError


def make_app(
    releases: Releases,
    guard: Guard,
    limits: Limits,
    metrics: Metrics,
    decimals: int | None = None,
) -> Watch:
    """Build the application.

    Args:
        releases: what answers; started and closed with the application.
        guard: who is let in.
        limits: sizes and times.
        metrics: what is counted.
        decimals: round scores to so many; None gives them as they are.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await releases.start()
        metrics.set_version(_active(releases).manifest.version)
        yield
        await releases.close()

    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, lifespan=life
    )
    _handle_errors(app)

    def admitted(request: Request, scope: str) -> None:
        address = request.client.host if request.client else "unknown"
        header = request.headers.get("authorization")
        token = guard.admit(address, header, scope)
        request.scope.setdefault("state", {})["token_name"] = token.name

    @app.get("/health/live")
    async def live() -> Response:
        return JSONResponse({"status": "live"})

    @app.get("/health/ready")
    async def ready() -> Response:
        release = _active(releases)
        metrics.waiting.set(release.batcher.rows_waiting)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics")
    async def metrics_text(request: Request) -> Response:
        admitted(request, "metrics")
        metrics.waiting.set(_active(releases).batcher.rows_waiting)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/model")
    async def model(request: Request) -> Response:
        admitted(request, "score")
        release = _active(releases)
        return JSONResponse(
            {
                "version": release.manifest.version,
                "tasks": release.manifest.tasks,
                "created": release.manifest.created,
                "difference": release.difference,
            }
        )

    @app.post("/v1/score")
    async def score(request: Request) -> Response:
        admitted(request, "score")
        form = await read_object(request, limits)
        rows = rows_of(form, limits.rows)
        release = _active(releases)
        scores = await _scores(release, rows, decimals)
        return JSONResponse(
            {"version": release.manifest.version, "scores": scores}
        )

    @app.post("/v1/activate")
    async def activate(request: Request) -> Response:
        admitted(request, "admin")
        form = await read_object(request, limits)
        version = form.get("version")
        if form.keys() != {"version"} or not isinstance(version, str):
            raise RefusalError(422, "version", 'Send {"version": "NAME"}.')
        return await swapped(lambda: releases.activate(version))

    @app.post("/v1/rollback")
    async def roll_back(request: Request) -> Response:
        admitted(request, "admin")
        return await swapped(releases.roll_back)

    async def swapped(swap: Callable[[], Any]) -> Response:
        try:
            # Shielded: a client that hangs up does not stop it half-way.
            release = await asyncio.shield(asyncio.ensure_future(swap()))
        except ModelError as error:
            metrics.swaps.labels("refused").inc()
            LOG.warning("swap refused: %s", error)
            raise RefusalError(409, "version", str(error)) from None
        metrics.swaps.labels("done").inc()
        metrics.set_version(release.manifest.version)
        return JSONResponse({"version": release.manifest.version})

    routes = {str(getattr(route, "path", "")) for route in app.routes}
    return Watch(app, metrics, routes)


def _active(releases: Releases) -> Release:
    if releases.active is None:
        raise RefusalError(503, "not_ready", "No model is loaded yet.", 1)
    return releases.active


async def _scores(
    release: Release, rows: list[Any], decimals: int | None
) -> dict[str, list[Any]]:
    try:
        inputs = release.encoder.encode(rows)
    except RowError as error:
        raise RefusalError(422, "row", str(error)) from None
    wanted = {name: inputs[name] for name in release.manifest.inputs}
    try:
        found = await release.batcher.score(wanted)
    except (OverloadedError, ClosedError):
        raise RefusalError(503, "busy", "Too much waits already.", 1) from None
    scores = {}
    for task, values in found.items():
        flat = values[:, 0] if values.shape[1] == 1 else values
        if decimals is not None:
            flat = flat.astype(float).round(decimals)
        scores[task] = flat.tolist()
    return scores


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusalError)
    async def refused(_: Request, error: RefusalError) -> Response:
        headers = {}
        if error.retry_after is not None:
            headers["retry-after"] = retry_header(error.retry_after)
        if error.status == 401:
            headers["www-authenticate"] = "Bearer"
        if error.status in (408, 413):  # the rest of the body is not read
            headers["connection"] = "close"
        return _error(error.status, error.code, error.message, headers)

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        code = {404: "no_route", 405: "method"}.get(error.status_code, "http")
        return _error(
            error.status_code, code, "There is nothing here.", error.headers
        )


def _error(status: int, code: str, message: str, headers: Any) -> Response:
    return JSONResponse(
        {"error": {"code": code, "message": message}},
        status_code=status,
        headers=dict(headers or {}),
    )
