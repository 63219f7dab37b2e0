"""The API's documentation in the form that machines read: OpenAPI 3.1, made of the table of operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlotel._version import __version__
from mlotel.ui import schemas
from mlotel.ui.operations import Operation, Parameter

__all__ = ["openapi_document"]

_PROBLEMS = {
    "400": "A parameter is unknown, missing or cannot be used.",
    "401": "The token, or the cookie that stands for it, is missing or wrong.",
    "403": "The request was made by another site, or means another host.",
    "404": "Nothing answers to the reference.",
    "409": "The reference stands for several things; `candidates` lists them.",
    "422": "The answer has more nodes than were asked for.",
    "503": "The store cannot be read.",
}
_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do."},
        "candidates": {"type": "array", "items": {"type": "string"}, "description": "What a reference may have meant."},
    },
    "required": ["title", "status", "detail"],
    "additionalProperties": False,
}


def openapi_document(operations: Iterable[Operation]) -> Mapping[str, Any]:
    """Return the OpenAPI document of these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    paths["/openapi.json"] = {
        "get": {
            "operationId": "getOpenapi",
            "summary": "This document.",
            "responses": {"200": _answer({"type": "object"}), **_refusals("401", "403")},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mlotel",
            "version": __version__,
            "description": "Component runs, their artifacts and their lineage, as `mlotel ui` serves them on loopback. "
            "Texts come from the data and are to be shown as text.",
        },
        "servers": [{"url": "/api"}],
        "security": [{"token": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas.components(), "problem": _PROBLEM},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token in the address that `mlotel ui` prints.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "mlotel_PORT",
                    "description": "What a browser gets that opens this address; PORT is the server's.",
                },
            },
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": operation.name, "summary": operation.summary}
    in_path = [each for each in operation.parameters if f"{{{each.name}}}" in operation.path]
    others = [each for each in operation.parameters if each not in in_path]
    if operation.method == "POST":
        described["requestBody"] = _body(others)
        others = []
    if in_path or others:
        described["parameters"] = [*(_in(each, "path") for each in in_path), *(_in(each, "query") for each in others)]
    refusals = [status for status in _PROBLEMS if operation.parameters or status not in ("400", "404", "409", "422")]
    described["responses"] = {"200": _answer(operation.answer), **_refusals(*refusals)}
    return described


def _in(parameter: Parameter, place: str) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": place,
        "description": parameter.description,
        "required": parameter.required,
        "schema": _schema(parameter),
    }


def _body(members: Iterable[Parameter]) -> dict[str, Any]:
    members = tuple(members)
    schema = {
        "type": "object",
        "properties": {each.name: {**_schema(each), "description": each.description} for each in members},
        "required": [each.name for each in members if each.required],
        "additionalProperties": False,
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string" if parameter.minimum is None else "integer"}
    known = {
        "enum": list(parameter.choices) or None,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "default": parameter.default,
    }
    schema |= {key: value for key, value in known.items() if value is not None}
    return {"type": "array", "items": schema} if parameter.repeated else schema


def _answer(schema: Mapping[str, Any]) -> dict[str, Any]:
    partial = {
        "description": "Of a remote store: what could not be read for this answer, a JSON list of texts.",
        "schema": {"type": "string"},
    }
    return {
        "description": "The answer.",
        "headers": {"Mlotel-Problems": partial},
        "content": {"application/json": {"schema": schema}},
    }


def _refusals(*statuses: str) -> dict[str, Any]:
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": {"schema": schemas.reference("problem")}},
        }
        for status in statuses
    }
