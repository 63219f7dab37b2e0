"""A model by its name and version: ``model:NAME`` and ``model:NAME:VERSION``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from mlotel.lineage._records import Records
from mlotel.model import Artifact
from mlotel.semconv import attributes as A
from mlotel.store import Store
from mlotel.store.conditions import Condition

__all__ = ["models_named"]

_MODEL = "model"
_WRITTEN, _READ = "output", "input"
_FIRST, _TOGETHER = 16, 64
_SHORTEST_DIGEST = 4


def models_named(store: Store, text: str) -> Iterator[Artifact]:
    """Yield the models that ``NAME`` or ``NAME:VERSION`` stands for, the latest first.

    A model is an artifact of type ``model`` (or, where no such has the name, one without a type); those that were
    written come before those that were only read. Its version is what the run that wrote or read it says in
    `mlotel.model.version`, or the version of the component that wrote it, or the beginning of its digest.
    """
    yield from _named(store, text, None)
    name, colon, version = text.rpartition(":")
    if colon and name and version:
        yield from _named(store, name, version)


def _named(store: Store, name: str, version: str | None) -> Iterator[Artifact]:
    if not name:
        return
    if version is not None and store.translates(Condition("artifact", "=", name)):
        yield from _selected(store, name, version)
        return
    for kind in (_MODEL, None):
        candidates = (each for direction in (_WRITTEN, _READ) for each in _latest(store, name, direction, kind))
        yield from candidates if version is None else _of_version(store, candidates, version)


def _selected(store: Store, name: str, version: str) -> Iterator[Artifact]:
    """Those of a version, from a store that selects runs: a name may have a hundred thousand versions."""
    lately = store.find_artifacts(name=name, direction=_WRITTEN, limit=_TOGETHER)
    yield from _of_version(store, (each for each in lately if each.type == _MODEL), version)
    found = {direction: list(_saying(store, name, version, direction)) for direction in (_WRITTEN, _READ)}
    for kind in (_MODEL, None):
        for artifacts in found.values():
            yield from _of_version(store, (each for each in artifacts if each.type == kind), version)


def _saying(store: Store, name: str, version: str, direction: str) -> Iterable[Artifact]:
    """The artifacts of a name that may be of a version, latest first; of those that were read the latest few."""
    limit = None if direction == _WRITTEN else _TOGETHER
    artifacts: list[Artifact] = []
    if len(version) >= _SHORTEST_DIGEST:
        artifacts += store.find_artifacts(name=name, digest=version, direction=direction, limit=limit)
    says = [Condition(f"attribute.{A.MLOTEL_MODEL_VERSION}", "=", version)]
    if direction == _WRITTEN:
        says.append(Condition("version", "=", version))
    for each in says:
        for run in store.runs(where=(Condition(direction, "=", name), each), limit=limit):
            artifacts += run.outputs if direction == _WRITTEN else run.inputs
    return sorted((each for each in artifacts if each.name == name), key=lambda each: each.time_ns, reverse=True)


def _latest(store: Store, name: str, direction: str, kind: str | None) -> Iterator[Artifact]:
    """The artifacts of a name and type, latest first; more are read, the more are wanted."""
    seen, limit = 0, _FIRST
    while True:
        found = store.find_artifacts(name=name, direction=direction, limit=limit)
        yield from (each for each in found[seen:] if each.type == kind)
        if len(found) < limit:
            return
        seen, limit = len(found), limit * 8


def _of_version(store: Store, candidates: Iterable[Artifact], version: str) -> Iterator[Artifact]:
    records, rest = Records(store), _each_once(candidates)
    while chunk := list(islice(rest, _TOGETHER)):
        records.expect_runs(each.run_id for each in chunk)
        yield from (each for each in chunk if _begins(each.digest, version) or _says(records, each, version))


def _each_once(artifacts: Iterable[Artifact]) -> Iterator[Artifact]:
    """Each content once as it was written and once as it was read: a model may be read a million times."""
    seen: set[tuple[str, str]] = set()
    for each in artifacts:
        if each.digest is None or (each.digest, each.direction) not in seen:
            yield each
        if each.digest is not None:
            seen.add((each.digest, each.direction))


def _begins(digest: str | None, version: str) -> bool:
    wanted = version.lower()
    return digest is not None and len(wanted) >= _SHORTEST_DIGEST and digest.partition(":")[2].startswith(wanted)


def _says(records: Records, artifact: Artifact, version: str) -> bool:
    run = records.run(artifact.run_id)
    if run is None:
        return False
    said = run.attributes.get(A.MLOTEL_MODEL_VERSION)
    return str(said) == version if said is not None else artifact.direction == _WRITTEN and run.version == version
