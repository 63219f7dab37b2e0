"""A lineage as one HTML file that needs nothing else: scripts, style and data are in it, and its policy allows no more.

The page's Content-Security-Policy lets exactly the scripts and the style in it run, by their hashes, and no request be
made (https://www.w3.org/TR/CSP3/). The lineage stands in it as JSON, in which no character can end the element.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Any

import orjson

from mlotel import web
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
    scripts = [*(web.read_text(name) for name in web.SCRIPTS), _START]
    styles = [*(web.read_text(name) for name in web.STYLES), _STYLE]
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_source, scripts))}",
            f"style-src {' '.join(map(_source, styles))}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    title = escape(f"Lineage of {_root_name(document)}")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="generator" content="mlotel">',
            f"<title>{title}</title>",
            *(f"<style>{style}</style>" for style in styles),
            "</head>",
            "<body>",
            f"<h1>{title}</h1>",
            '<main id="lineage"></main>',
            "<noscript>This page draws its graph with a script, which is switched off here.</noscript>",
            f'<script type="application/json" id="lineage-document">{_embedded(document)}</script>',
            "<!-- dagre and graphlib, the first script:",
            web.read_text("dagre.LICENSE.txt").strip(),
            "-->",
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
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


def _source(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def _embedded(document: object) -> str:
    """Return a document as JSON in which no element of HTML can begin or end."""
    text = orjson.dumps(_readable(document)).decode()
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
