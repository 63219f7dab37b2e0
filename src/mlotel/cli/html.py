"""A lineage as one HTML file; it stands in the page as JSON, in which no character can end the element."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import msgspec

from mlotel import web
from mlotel.cli.page import page
from mlotel.cli.text import clean

__all__ = ["html"]

_EXACT = 2**53
"""JavaScript reads integers past this one as others."""

_START = """\
"use strict";
mlotelLineage.draw(
  document.getElementById("lineage"),
  JSON.parse(document.getElementById("lineage-document").textContent),
);
"""
_STYLE = """\
html, body { height: 100%; margin: 0; }
body { display: flex; flex-direction: column; background: #fbfbfa; color: #1d2125; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { body { background: #16191c; color: #e8eaec; } }
h1 { margin: 0; padding: 0.6rem 0.75rem 0; font: 600 16px/1.4 system-ui, sans-serif; overflow-wrap: anywhere; }
#lineage { flex: 1; min-height: 0; }
noscript { padding: 1rem; }
"""


def html(document: Mapping[str, Any]) -> str:
    """Return the text of an HTML page that shows a lineage as a graph to search and to walk over.

    Args:
        document: the lineage, as `lineage.schema.json` describes it.
    """
    title = escape(f"Lineage of {_root_name(document)}")
    body = [
        f"<h1>{title}</h1>",
        '<main id="lineage"></main>',
        "<noscript>This page draws its graph with a script, which is switched off here.</noscript>",
        f'<script type="application/json" id="lineage-document">{_embedded(document)}</script>',
        "<!-- dagre and graphlib, the first script:",
        web.read_text("dagre.LICENSE.txt").strip(),
        "-->",
    ]
    return page(
        title,
        body,
        styles=[*(web.read_text(name) for name in web.STYLES), _STYLE],
        scripts=[*(web.read_text(name) for name in web.SCRIPTS), _START],
    )


def _root_name(document: Mapping[str, Any]) -> str:
    root = document["root"]
    for artifact in document["artifacts"]:
        if artifact["id"] == root:
            return clean(artifact["name"])
    for run in document["runs"]:
        if run["run_id"] == root:
            return clean(f"{run['component']} {root[:8]}")
    return clean(root)


def _embedded(document: object) -> str:
    """Return a document as JSON in which no element of HTML can begin or end."""
    text = msgspec.json.encode(_readable(document)).decode()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _readable(value: object) -> object:
    """Return a document with the integers that JavaScript would change as texts."""
    if isinstance(value, dict):
        return {key: _readable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT:
        return str(value)
    return value
