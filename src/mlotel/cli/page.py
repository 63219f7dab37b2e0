"""HTML pages that need nothing else: scripts, style and data are in them, and their policy allows no more.

A page's Content-Security-Policy lets exactly the scripts and the styles in it run, by their hashes, and no request be
made (https://www.w3.org/TR/CSP3/).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256

__all__ = ["page"]


def page(title: str, body: Iterable[str], *, styles: Sequence[str], scripts: Sequence[str] = ()) -> str:
    """Return the text of a page.

    Args:
        title: its title, as HTML.
        body: the lines of its body, as HTML; the scripts come after them.
        styles: style sheets.
        scripts: scripts that run when the page is loaded.
    """
    allowed = ["default-src 'none'", *_sources("script-src", scripts), *_sources("style-src", styles)]
    policy = "; ".join([*allowed, "base-uri 'none'", "form-action 'none'"])
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
            *body,
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def _sources(directive: str, contents: Sequence[str]) -> list[str]:
    hashes = (b64encode(sha256(content.encode()).digest()).decode() for content in contents)
    return [" ".join([directive, *(f"'sha256-{each}'" for each in hashes)])] if contents else []
