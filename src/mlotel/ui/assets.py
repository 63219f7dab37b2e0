"""The pages' files, read once: what is served is this list, so that no address leads to another file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

from mlotel.web.resources import SCRIPTS, STYLES, read_text

__all__ = ["Asset", "load_assets"]

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SHARED = (*SCRIPTS, *STYLES)
"""What the web view has in common with `mlotel lineage --format html`."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, media type, and the tag by which a browser asks whether it has changed."""

    content: bytes
    media_type: str
    tag: str


def load_assets() -> Mapping[str, Asset]:
    """Return every file by its name below ``/static/``."""
    found = {name: read_text(name) for name in _SHARED} | dict(_texts())
    return {name: _asset(name, text.encode()) for name, text in found.items()}


def _texts() -> Iterator[tuple[str, str]]:
    for each in (files("mlotel.ui") / "static").iterdir():
        if each.is_file() and _suffix(each.name) in _TYPES:
            yield each.name, each.read_text(encoding="utf-8")


def _asset(name: str, content: bytes) -> Asset:
    return Asset(content, _TYPES[_suffix(name)], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
