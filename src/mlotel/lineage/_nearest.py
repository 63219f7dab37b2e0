"""What somebody may have meant who asked for something that is not there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mlotel import uris
from mlotel.errors import nearest
from mlotel.lineage._components import component_names
from mlotel.store import Store

__all__ = ["meant", "meant_run"]

_RUNS, _NAMES = 200, 2000
_SHORTEST_ID = 8
# More digits of an id agree by chance than letters of a name.
_ID_CUTOFF = 0.8
_WAYS = frozenset({"run", "trace", "digest", "path", "name"})


@runtime_checkable
class _KnowsNames(Protocol):
    """A store that knows names of artifacts without reading their runs."""

    def artifact_names(self, limit: int) -> Sequence[str]: ...


def meant_run(store: Store, what: str) -> str:
    """Return what a reference to a run may be a slip of, as the end of a sentence: a component, an id; or nothing."""
    return _lists_runs(what) if what in component_names(store) else _nearest_id(store, what.lower())


def meant(store: Store, what: str) -> str:
    """Return what a reference may be a slip of: a component, an artifact, a place, or an id; or nothing."""
    way, _, rest = what.partition(":")
    text = rest.partition(":")[0] if way == "model" else rest if way in _WAYS else what
    known = component_names(store)
    if text in known:
        return _lists_runs(text)
    ios = [io for run in store.runs(limit=_RUNS) for io in (*run.inputs, *run.outputs)]
    names = store.artifact_names(_NAMES) if isinstance(store, _KnowsNames) else [io.name for io in ios]
    slip = nearest(text, list(dict.fromkeys((*names, *known))))
    if not slip and ("/" in text or "." in text):
        slip = nearest(uris.clean(text), list(dict.fromkeys(io.uri for io in ios if io.uri)))
    return slip or _nearest_id(store, text.lower())


def _lists_runs(component: str) -> str:
    return f": it is a component, and `mlotel history {shlex.quote(component)}` lists its runs"


def _nearest_id(store: Store, reference: str) -> str:
    """The latest runs that an id may be a slip of."""
    if len(reference) < _SHORTEST_ID:
        return ""
    ids = (identity[: len(reference)] for run in store.runs(limit=_RUNS) for identity in (run.run_id, run.trace_id))
    return nearest(reference, list(dict.fromkeys(ids)), cutoff=_ID_CUTOFF)
