"""The application: pages, their files and the API, behind the guard."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mlotel._json import UNDECODABLE
from mlotel.errors import QueryError
from mlotel.ui.assets import Asset, load_assets
from mlotel.ui.guard import Guard
from mlotel.ui.openapi import openapi_document
from mlotel.ui.operations import Operation, read_parameters
from mlotel.ui.problems import problem_of
from mlotel.ui.reading import Reading
from mlotel.ui.routes import OPERATIONS
from mlotel.ui.session import Session

__all__ = ["PAGES", "create_app"]

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]

PAGES = ("/", "/components", "/component", "/run", "/compare", "/lineage", "/review", "/labels", "/notes")
"""Addresses of pages: one document for all, whose script looks at the address."""

_LARGEST_BODY = 65_536


def create_app(reading: Reading, session: Session) -> ASGIApp:
    """Return the whole application over one store for one session."""
    assets = load_assets()
    document = msgspec.json.encode(openapi_document(OPERATIONS))
    routes = [
        *(Route(path, _file(lambda _: assets["index.html"])) for path in PAGES),
        Route("/favicon.ico", _file(lambda _: assets["icon.svg"])),
        Route("/static/{name}", _file(lambda request: assets.get(request.path_params["name"]))),
        Route("/api/openapi.json", _document(document)),
        *(Route(path, _answering(reading, by_method), methods=[*by_method]) for path, by_method in _by_path()),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: problem_of})
    app.router.redirect_slashes = False
    return Guard(app, session)


def _file(find: Callable[[Request], Asset | None]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        asset = find(request)
        if asset is None:
            raise HTTPException(404, "there is no such page")
        headers = {"cache-control": "no-cache", "etag": asset.tag}
        if asset.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers={**headers, "content-type": asset.media_type})

    return endpoint


def _document(content: bytes) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return _json(content)

    return endpoint


def _json(content: bytes) -> Response:
    return Response(content, headers={"cache-control": "no-store"}, media_type="application/json")


def _by_path() -> Iterable[tuple[str, Mapping[str, Operation]]]:
    found: dict[str, dict[str, Operation]] = {}
    for each in OPERATIONS:
        # A path parameter takes the rest of the address: a key may have slashes in it.
        found.setdefault(f"/api{each.path}".replace("}", ":path}"), {})[each.method] = each
    return found.items()


def _answering(reading: Reading, by_method: Mapping[str, Operation]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        operation = by_method["GET" if request.method == "HEAD" else request.method]
        try:
            given = [*request.path_params.items(), *request.query_params.multi_items()]
            if operation.method == "POST":
                given = [*request.path_params.items(), *await _body(request)]
            values = read_parameters(operation, given)
            return await run_in_threadpool(_answer, reading, operation, values)
        except Exception as error:
            return problem_of(request, error)

    return endpoint


def _answer(reading: Reading, operation: Operation, values: Mapping[str, Any]) -> Response:
    """Ask the store, and write the answer down, in a thread that may take its time."""
    with reading.answering() as answering:
        document = operation.handler(reading, answering, values)
    answer = _json(msgspec.json.encode(document))
    if answering.problems:
        answer.headers["mlotel-problems"] = json.dumps(answering.problems)  # ASCII, as a header must be
    return answer


async def _body(request: Request) -> list[tuple[str, str]]:
    """Return the members of a JSON object, all of them texts."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _LARGEST_BODY:
            raise HTTPException(413, f"more than {_LARGEST_BODY} bytes")
    try:
        members = msgspec.json.decode(content)
    except UNDECODABLE as error:
        raise QueryError(f"the body is no JSON: {error}") from error
    if not isinstance(members, dict) or not all(isinstance(value, str) for value in members.values()):
        raise QueryError("the body has to be a JSON object of texts")
    return list(members.items())
