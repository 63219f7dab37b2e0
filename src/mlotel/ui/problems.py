"""Errors as the API tells them: problem details for HTTP APIs (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mlotel.errors import AmbiguousReferenceError, ConfigurationError, MlotelError, QueryError, RunNotFoundError

__all__ = ["TooManyNodesError", "problem", "problem_of"]


class TooManyNodesError(MlotelError):
    """A lineage has more runs and artifacts than were asked for."""


_logger = logging.getLogger(__name__)


def problem(status: int, detail: str, *, candidates: Sequence[str] = ()) -> Response:
    """Return an answer that says what is wrong, and what `candidates` a reference may have meant."""
    body: dict[str, object] = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if candidates:
        body["candidates"] = list(candidates)
    return Response(
        msgspec.json.encode(body), status, headers={"cache-control": "no-store"}, media_type="application/problem+json"
    )


def problem_of(request: Request, error: Exception) -> Response:
    """Return the answer to a request that ended in `error`; what is a fault of ours is logged, and not shown."""
    if isinstance(error, HTTPException):
        answer = problem(error.status_code, error.detail)
        answer.headers.update(error.headers or {})
        return answer
    if isinstance(error, AmbiguousReferenceError):
        return problem(409, str(error), candidates=error.candidates)
    if isinstance(error, RunNotFoundError):
        return problem(404, str(error))
    if isinstance(error, TooManyNodesError):
        return problem(422, str(error))
    if isinstance(error, QueryError | ConfigurationError):
        return problem(400, str(error))
    if isinstance(error, MlotelError | OSError):
        return problem(503, str(error))
    # The path alone: a query may hold what is nobody's business
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "a fault in mlotel: its terminal says which")
