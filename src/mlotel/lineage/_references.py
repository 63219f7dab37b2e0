"""What a reference typed by a person stands for: a run, a trace, or an artifact by digest, path or name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from mlotel import uris
from mlotel.errors import AmbiguousReferenceError, ArtifactError, RunNotFoundError
from mlotel.lineage._models import models_named
from mlotel.lineage._nearest import meant, meant_run
from mlotel.lineage._record_keys import RECORD, resolve_record
from mlotel.model import Artifact, Run
from mlotel.store import Store

__all__ = ["Root", "is_empty", "node_id", "resolve", "resolve_run", "root_id"]

Root = Run | Artifact | tuple[Run, ...]
"""A run, an artifact as one run read or wrote it, or all runs of one trace."""


@runtime_checkable
class _KnowsDigests(Protocol):
    """A store that finds the latest artifact of a digest without reading the others."""

    def latest_of_each_digest(self, beginning: str) -> Sequence[Artifact]: ...


_AT_ONE_TIME = 8
_HEX = re.compile(r"[0-9a-f]{4,64}")
_DIGEST_FORM = re.compile(r"([a-z0-9]+):([0-9a-f]{4,})")
_FIX = (
    "`mlotel runs` lists what there is; say run:, trace:, digest:, path:, name:, model: or record: in front "
    "to say what it is"
)


def node_id(artifact: Artifact) -> str:
    """Return what names the artifact in a lineage graph: its digest, or its span id where that identifies nothing."""
    return artifact.digest if artifact.digest and not is_empty(artifact) else artifact.span_id


def is_empty(artifact: Artifact) -> bool:
    """Whether the artifact has no content: its digest then says nothing about where it came from."""
    return artifact.rows == 0 or artifact.size == 0


def root_id(root: Root) -> str:
    """Return what names a root in a lineage graph: a run id, an artifact's node, or a trace id."""
    if isinstance(root, Run):
        return root.run_id
    if isinstance(root, Artifact):
        return node_id(root)
    return root[0].trace_id if root else ""


def resolve(store: Store, what: str) -> Root:
    """Return what `what` stands for: a run id, trace id, digest, path or URI, or the name of an artifact.

    Whole ids, whole digests, paths and names are tried first, in that order; then the beginning (4 digits or more) of
    a run id, trace id or digest. ``run:``, ``trace:``, ``digest:``, ``path:`` or ``name:`` in front allows one way
    alone. A path is looked up as it was recorded and, failing that, by the digest of the local file (of a local folder
    where nothing has that name). A name stands for
    the latest output of that name, or the latest input where no run wrote it. A trace of several runs stands for all
    of them. ``model:NAME`` or ``model:NAME:VERSION`` stands for a model, and ``record:KEY`` for the run that made the
    latest prediction for that record (`resolve_record` tells which one that is).

    Raises:
        AmbiguousReferenceError: a beginning stands for several runs or artifacts.
        RunNotFoundError: nothing answers.
    """
    what = what.strip()
    kind, colon, rest = what.partition(":")
    if colon and kind in _WAYS:
        exact, prefix = _WAYS[kind]
        return _first(store, rest, what, exact, prefix)
    return _first(
        store,
        what,
        what,
        (_whole_id, _whole_digest, _path, _name, _folder),
        (_run_prefix, _trace_prefix, _digest_prefix),
    )


def resolve_run(store: Store, what: str) -> Run:
    """Return the one run that a run id, a trace id, a span id or the beginning of one, or ``record:KEY``, stands for.

    Raises:
        AmbiguousReferenceError: it stands for several runs.
        RunNotFoundError: no run answers.
    """
    if what.strip().startswith(RECORD):
        return resolve_record(store, what.strip()).run
    text = what.strip().removeprefix("run:").removeprefix("trace:")
    reference = text.lower()
    found = store.find_runs(reference) if _HEX.fullmatch(reference) else ()
    runs = {run.run_id: run for run in found if run.run_id == reference} or {run.run_id: run for run in found}
    if not runs:
        advice = meant_run(store, text) or ": `mlotel runs` lists the runs; an id needs 4 digits or more"
        raise RunNotFoundError(f"no run {what!r}{advice}")
    if len(runs) > 1:
        raise _ambiguous(what, [_describe_run(run) for run in runs.values()])
    return next(iter(runs.values()))


_Way = Callable[[Store, str], Iterable[Root]]


def _first(store: Store, text: str, what: str, exact: Iterable[_Way], prefix: Iterable[_Way]) -> Root:
    for way in exact:
        for root in way(store, text):
            return root
    # Two ways to one thing are one candidate.
    candidates = {root_id(root): root for way in prefix for root in way(store, text)}
    if not candidates:
        raise RunNotFoundError(f"no run or artifact answers to {what!r}{meant(store, what) or f': {_FIX}'}")
    if len(candidates) > 1:
        raise _ambiguous(what, [_describe(root) for root in candidates.values()])
    return next(iter(candidates.values()))


def _whole_id(store: Store, text: str) -> Iterable[Root]:
    yield from _whole_run(store, text)
    yield from _whole_trace(store, text)


def _whole_run(store: Store, text: str) -> Iterable[Root]:
    if re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{16}", text := text.lower()):
        found = store.find_runs(text)
        yield from (run for run in found if run.run_id == text)
        yield from (run for run in found if run.span_id == text)


def _whole_trace(store: Store, text: str) -> Iterable[Root]:
    if re.fullmatch(r"[0-9a-f]{32}", text := text.lower()):
        yield from _traces(run for run in store.find_runs(text) if run.trace_id == text)


def _run_prefix(store: Store, text: str) -> Iterable[Root]:
    if _HEX.fullmatch(text := text.lower()):
        yield from (run for run in store.find_runs(text) if run.run_id.startswith(text))


def _trace_prefix(store: Store, text: str) -> Iterable[Root]:
    if _HEX.fullmatch(text := text.lower()):
        yield from _traces(run for run in store.find_runs(text) if run.trace_id.startswith(text))


def _traces(runs: Iterable[Run]) -> Iterable[Root]:
    """The runs, by trace: a trace of one run is that run."""
    traces: dict[str, list[Run]] = {}
    for run in runs:
        traces.setdefault(run.trace_id, []).append(run)
    for members in traces.values():
        yield members[0] if len(members) == 1 else tuple(sorted(members, key=lambda run: run.start_ns))


def _whole_digest(store: Store, text: str) -> Iterable[Root]:
    algorithm, value = _digest_parts(text)
    if len(value) >= 64:
        yield from _latest_of_each(store, algorithm, value)


def _digest_prefix(store: Store, text: str) -> Iterable[Root]:
    algorithm, value = _digest_parts(text)
    if value:
        yield from _latest_of_each(store, algorithm, value)


def _digest_parts(text: str) -> tuple[str, str]:
    """Split ``algorithm:hex`` or ``hex``; the hex is empty if `text` is neither."""
    text = text.lower()
    if match := _DIGEST_FORM.fullmatch(text):
        return match[1], match[2]
    return "", text if re.fullmatch(r"[0-9a-f]{4,}", text) else ""


def _latest_of_each(store: Store, algorithm: str, value: str) -> Iterable[Artifact]:
    """For each digest that begins so, its latest output, or its latest input where no run wrote it."""
    beginning = f"{algorithm}:{value}" if algorithm else value
    if isinstance(store, _KnowsDigests):
        return store.latest_of_each_digest(beginning)
    found: dict[str, Artifact] = {}
    for each in store.find_artifacts(digest=beginning):
        if each.digest and (each.direction == "output" or each.digest not in found):
            known = found.get(each.digest)
            if known is None or known.direction == "input" or each.time_ns > known.time_ns:
                found[each.digest] = each
    return found.values()


def _path(store: Store, text: str) -> Iterable[Artifact]:
    if not text:
        return
    spellings = dict.fromkeys((text, uris.clean(text)))
    # several: of a read and a write at the same time the write counts
    found = [each for spelling in spellings for each in store.find_artifacts(uri=spelling, limit=_AT_ONE_TIME)]
    if found:
        yield max(found, key=lambda each: (each.time_ns, each.direction == "output"))
    elif (path := _local(text)) is not None and not path.is_dir():
        yield from _of_content(store, path)


def _folder(store: Store, text: str) -> Iterable[Artifact]:
    """What a local folder holds, which may take minutes to read: other ways come before."""
    path = _local(text)
    if path is not None and path.is_dir():
        yield from _of_content(store, path)


def _local(text: str) -> Path | None:
    path = Path(text.removeprefix("file://"))
    try:
        return path if text and path.exists() else None
    except (OSError, ValueError):  # too long or with a null byte: no path
        return None


def _of_content(store: Store, path: Path) -> Iterable[Artifact]:
    for scope in (None, "bytes"):
        digest = _digest_of(path, scope)
        if digest:
            yield from _latest_of_each(store, *_digest_parts(digest))


def _digest_of(path: os.PathLike[str], scope: str | None) -> str | None:
    from mlotel.hashing import fingerprint  # only for files that the store knows by content alone

    try:
        found = fingerprint(path, scope=scope)
    except (ArtifactError, OSError):
        return None
    return None if found.empty else found.digest


def _name(store: Store, text: str) -> Iterable[Artifact]:
    if text:
        yield from store.find_artifacts(name=text, direction="output", limit=1)
        yield from store.find_artifacts(name=text, direction="input", limit=1)


def _record(store: Store, text: str) -> Iterable[Run]:
    yield resolve_record(store, RECORD + text).run


_WAYS: dict[str, tuple[tuple[_Way, ...], tuple[_Way, ...]]] = {
    "run": ((_whole_run,), (_run_prefix,)),
    "trace": ((_whole_trace,), (_trace_prefix,)),
    "digest": ((_whole_digest,), (_digest_prefix,)),
    "path": ((_path, _folder), ()),
    "name": ((_name,), ()),
    "model": ((models_named,), ()),
    "record": ((_record,), ()),
}


def _ambiguous(what: str, candidates: Sequence[str]) -> AmbiguousReferenceError:
    shown = "; ".join(candidates[:5]) + (f"; and {len(candidates) - 5} more" if len(candidates) > 5 else "")
    return AmbiguousReferenceError(
        f"{what!r} stands for {len(candidates)} things: {shown}. Type more of it", tuple(candidates)
    )


def _describe(root: Root) -> str:
    if isinstance(root, Run):
        return _describe_run(root)
    if isinstance(root, Artifact):
        return f"digest:{root.digest} (artifact {root.name!r})"
    return f"trace:{root[0].trace_id} ({len(root)} runs)"


def _describe_run(run: Run) -> str:
    return f"run:{run.run_id} ({run.component!r})"
