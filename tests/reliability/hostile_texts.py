"""Values that would rather be something else: strategies of Hypothesis, and changes to good documents."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

PIECES = (
    *("\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x00", "\r", "\n", "\t", "\x7f", "\u202e", "\u2066", "\u2028"),
    *("<script>alert(1)</script>", "</script>", "<!--", "-->", "]]>", "&lt;", '" onload="', "'", '"', "`", "\\"),
    *("../", "/etc/passwd", "..\\", "file:///", "~", "$(id)", "${HOME}", "%00", "%2e%2e%2f", "{{ .Labels }}", "\\n"),
    *("{", "}", "[", "]", "(", ")", "|", "#", ";", "%%", "-->|x|", "end", "click a href", "=~", '"} or vector(1) #'),
    *(
        "'; DROP TABLE run; --",
        "[red]",
        ":smile:",
        "null",
        "NaN",
        "-0",
        "1e999",
        "\ud800",
        "é",
        "\U0001d518",
        "x" * 300,
    ),
    *("$labels", "\ufeff", "\U0001d518"),
)
text = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=6).map("".join)
"""Any text, more often than not such as means something to somebody."""

storable = text.map(lambda each: each.encode("utf-8", "replace").decode())
"""The same without halves of surrogate pairs, which no file can hold."""

scalar = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([float("inf"), 10**400, -1, 0, 2**53, 2**63])
    | text
)
anything = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=5
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to every value of a JSON document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *[deeper for key, child in children for deeper in places(child, (*path, key))]]


def changed(document: Any, path: tuple[Any, ...], by: Any) -> Any:
    """Return a document with another value in one place."""
    if not path:
        return by
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = changed(document[path[0]], path[1:], by)
    return copy
