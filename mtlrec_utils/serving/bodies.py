"""Reads a request's body: its type, its size, its JSON, in time."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from mtlrec_utils.serving.guard import RefusalError
from mtlrec_utils.serving.limits import Limits


async def read_object(request: Request, limits: Limits) -> dict[str, Any]:
    """Return the JSON object of a request.

    Raises:
        RefusalError: 415 not plain JSON, 413 too large, 408 too slow, 400
            not a JSON object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind.strip().lower() != "application/json":
        raise RefusalError(415, "content_type", "Send application/json.")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RefusalError(415, "content_encoding", "Send plain JSON.")
    try:
        async with asyncio.timeout(limits.seconds_of_body):
            body = await _read(request, limits.body_bytes)
    except TimeoutError:
        raise RefusalError(
            408, "too_slow", "The body took too long."
        ) from None
    except ClientDisconnect:
        raise RefusalError(400, "cut_off", "The body is cut off.") from None
    return parse_object(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; NaN and infinity are no JSON.

    Raises:
        RefusalError: 400 anything else, of any depth.
    """
    try:
        form = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RefusalError(400, "json", "The body is not JSON.") from None
    if not isinstance(form, dict):
        raise RefusalError(400, "json", "The body is not a JSON object.")
    return form


def rows_of(form: dict[str, Any], most: int) -> list[Any]:
    """Return the rows of a request to score.

    Raises:
        RefusalError: 422 no list of rows, 413 too many.
    """
    if form.keys() != {"rows"} or not isinstance(form["rows"], list):
        raise RefusalError(422, "rows", 'Send {"rows": [{...}, ...]}.')
    if not form["rows"]:
        raise RefusalError(422, "rows", "Send at least one row.")
    if len(form["rows"]) > most:
        raise RefusalError(413, "too_many_rows", f"Send at most {most} rows.")
    return form["rows"]


async def _read(request: Request, most: int) -> bytes:
    too_large = RefusalError(413, "too_large", f"Send at most {most} bytes.")
    told = request.headers.get("content-length", "0")
    # Digits only: int() would also take "1_000" and refuse the very long.
    if len(told) > 15 or (told.isdecimal() and int(told) > most):
        raise too_large
    parts, size = [], 0
    async for part in request.stream():  # a body may come without a length
        size += len(part)
        if size > most:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
