"""Component runs of machine learning pipelines as OpenTelemetry spans, with artifacts, lineage and statistics."""

# No `from __future__ import annotations` here: it would be what `mlotel.annotations` is.

import importlib
from typing import Any

from mlotel import _forks

__all__ = [
    "ActiveRun",
    "ArtifactContext",
    "Reference",
    "RetractedError",
    "__version__",
    "annotations",
    "component",
    "configure",
    "current_run",
    "drift",
    "extract",
    "flush",
    "inject",
    "io",
    "profile",
    "register_fingerprint",
    "scrape",
    "serving",
    "shutdown",
    "start_component",
]

# Where each public name is defined. They load when first used (PEP 562): importing mlotel must cost next to nothing.
_HOME = {
    "ActiveRun": ("mlotel._run", "ActiveRun"),
    "ArtifactContext": ("mlotel.model", "ArtifactContext"),
    "Reference": ("mlotel.drift", "Reference"),
    "RetractedError": ("mlotel.errors", "RetractedError"),
    "__version__": ("mlotel._version", "__version__"),
    "annotations": ("mlotel.annotations", None),
    "component": ("mlotel._component", "component"),
    "configure": ("mlotel.sdk", "configure"),
    "current_run": ("mlotel._current", "current_run"),
    "drift": ("mlotel.drift", None),
    "extract": ("mlotel._component", "extract"),
    "flush": ("mlotel.sdk", "flush"),
    "inject": ("mlotel._component", "inject"),
    "io": ("mlotel.io", None),
    "profile": ("mlotel.profiling", "profile"),
    "register_fingerprint": ("mlotel.hashing", "register"),
    "scrape": ("mlotel.scrape", None),
    "serving": ("mlotel.serving", None),
    "shutdown": ("mlotel.sdk", "shutdown"),
    "start_component": ("mlotel._component", "start_component"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    with _forks.no_fork_meanwhile():
        found: Any = importlib.import_module(module)
    if attribute is not None:
        found = getattr(found, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
