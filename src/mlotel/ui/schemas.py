"""The JSON Schemas of the answers, as an OpenAPI document holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["array", "components", "mapping", "reference"]

_SUFFIX = ".schema.json"
_PREFIX = "#/components/schemas/"


def reference(name: str) -> dict[str, Any]:
    """Return what stands for the committed schema ``schemas/NAME.schema.json``."""
    return {"$ref": _PREFIX + name}


def mapping(description: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with these properties and no others, all of them required."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def array(items: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


@cache
def components() -> Mapping[str, Any]:
    """Return every committed schema by name, with references as they are written within an OpenAPI document."""
    folder = files("mlotel") / "schemas"
    found = (each for each in folder.iterdir() if each.name.endswith(_SUFFIX))
    loaded = {each.name.removesuffix(_SUFFIX): json.loads(each.read_text(encoding="utf-8")) for each in found}
    return {name: _rebased(loaded[name], name) for name in sorted(loaded)}


def _rebased(node: Any, name: str) -> Any:
    if isinstance(node, list):
        return [_rebased(each, name) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _target(value, name) if key == "$ref" else _rebased(value, name)
        for key, value in node.items()
        if key != "$schema"  # OpenAPI 3.1 says it once for all of them
    }


def _target(target: str, name: str) -> str:
    """``#/$defs/x`` is within this schema, ``run.schema.json#/$defs/x`` within that one."""
    document, _, fragment = target.partition("#")
    return _PREFIX + (document.removesuffix(_SUFFIX) or name) + fragment
