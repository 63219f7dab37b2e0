"""A model by its name and version: ``model:NAME`` and ``model:NAME:VERSION``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlotel.model import Artifact, Run
from mlotel.semconv import attributes as A
from mlotel.store import Store

__all__ = ["models_named"]

_MODEL = "model"


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
    found = [*store.find_artifacts(name=name, direction="output"), *store.find_artifacts(name=name, direction="input")]
    for candidates in ([each for each in found if each.type == _MODEL], [each for each in found if each.type is None]):
        yield from candidates if version is None else _of_version(store, candidates, version)


def _of_version(store: Store, candidates: Iterable[Artifact], version: str) -> Iterator[Artifact]:
    seen: set[tuple[str | None, str]] = set()  # a model that is read a million times is looked at once
    for each in candidates:
        if each.digest is not None and (each.digest, each.direction) in seen:
            continue
        seen.add((each.digest, each.direction))
        if _begins(each.digest, version) or _says(store, each, version):
            yield each


def _begins(digest: str | None, version: str) -> bool:
    wanted = version.lower()
    return digest is not None and len(wanted) >= 4 and digest.partition(":")[2].startswith(wanted)


def _says(store: Store, artifact: Artifact, version: str) -> bool:
    run: Run | None = next((run for run in store.find_runs(artifact.run_id) if run.run_id == artifact.run_id), None)
    if run is None:
        return False
    said = run.attributes.get(A.MLOTEL_MODEL_VERSION)
    return str(said) == version if said is not None else artifact.direction == "output" and run.version == version
