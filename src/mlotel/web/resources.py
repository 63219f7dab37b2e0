"""The files beside this module, as a page or a server hands them out.

`dagre.min.js` is @dagrejs/dagre 3.1.3 as its authors publish it, with graphlib in it; both have the licence in
`dagre.LICENSE.txt`. It places the nodes of a graph in layers.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["DRIFT_STYLES", "LICENSES", "SCRIPTS", "STYLES", "read_text"]

SCRIPTS = (
    "dagre.min.js",
    "lineage-model.js",
    "lineage-layout.js",
    "lineage-details.js",
    "lineage-canvas.js",
    "lineage.js",
)
"""Classic scripts, in the order in which a page has to run them; they make the globals `dagre` and `mlotelLineage`."""

STYLES = ("lineage.css",)
"""Style sheets; all rules are below `.mlotel-lineage`."""

DRIFT_STYLES = ("drift.css",)
"""Style sheets of the page on drift, which has no scripts."""

LICENSES = ("dagre.LICENSE.txt",)
"""What has to go with copies of the scripts that others wrote."""


def read_text(name: str) -> str:
    """Return the content of one of `SCRIPTS`, `STYLES`, `DRIFT_STYLES` or `LICENSES`.

    Raises:
        KeyError: `name` is none of them, so that no path leads elsewhere.
    """
    if name not in (*SCRIPTS, *STYLES, *DRIFT_STYLES, *LICENSES):
        raise KeyError(name)
    return files("mlotel.web").joinpath(name).read_text(encoding="utf-8")
