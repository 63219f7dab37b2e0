"""Fingerprint functions that are registered or come as entry points, and objects nobody knows."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from blake3 import blake3

from mlotel.errors import ArtifactError
from mlotel.hashing import Fingerprinter
from mlotel.hashing._registry import ENTRY_POINT_GROUP, FingerprintRegistry
from mlotel.model import Fingerprint


class Model:
    """A model of a package that mlotel does not know."""

    weights = b"weights"


class Special(Model):
    """A subclass of it."""


def of_model(model: Model) -> bytes:
    """The function of an entry point."""
    return model.weights


def points(*names: str, value: str = f"{__name__}:of_model") -> Any:
    asked: list[int] = []

    def discover() -> list[EntryPoint]:
        asked.append(1)
        return [EntryPoint(name, value, ENTRY_POINT_GROUP) for name in names]

    discover.asked = asked  # type: ignore[attr-defined]
    return discover


DIGEST = f"blake3:{blake3(b'weights').hexdigest()}"


def test_an_unknown_object_gets_a_note_and_never_its_repr() -> None:
    """What nobody knows has no digest; the note names its class and what to do."""

    class Secret:
        def __repr__(self) -> str:
            raise AssertionError("repr must not be called")

    note = Fingerprinter(FingerprintRegistry(list)).fingerprint(Secret()).note
    assert f"{note}".startswith("no digest: no fingerprint function for test_fingerprint_registry.")
    assert f"{note}".endswith("Secret (see mlotel.register_fingerprint)")


def test_text_gets_a_note_that_says_what_to_do() -> None:
    """A string is never taken for a path."""
    assert "pathlib.Path" in f"{Fingerprinter().fingerprint('data.parquet').note}"


def test_a_registered_function_serves_a_class_and_its_subclasses() -> None:
    """The nearest base class decides; bytes are hashed, a model by default, and whole fingerprints are kept."""
    hashing = Fingerprinter()
    hashing.register(Model, of_model)
    assert hashing.fingerprint(Special()) == Fingerprint(digest=DIGEST, scope="bytes", type="model", size=7)
    assert hashing.fingerprint(Special(), algorithm="sha256").digest != DIGEST
    own = Fingerprint(digest="blake3:00", scope="logical", type="embedding")
    hashing.register(Special, lambda _: own)
    assert hashing.fingerprint(Special()) == own
    assert hashing.fingerprint(Model()).digest == DIGEST
    assert hashing.is_artifact(Model())


def test_a_registered_function_comes_before_what_is_built_in() -> None:
    """A class that looks like a table is hashed by the function registered for it."""
    hashing = Fingerprinter()
    hashing.register(pa.Table, lambda _: b"mine")
    assert hashing.fingerprint(pa.table({"a": [1]})).digest == f"blake3:{blake3(b'mine').hexdigest()}"


def test_registrations_belong_to_one_fingerprinter() -> None:
    """There is no global table of functions."""
    first, second = Fingerprinter(), Fingerprinter()
    first.register(Model, of_model)
    assert second.fingerprint(Model()).digest is None
    assert not second.is_artifact(Model())


def test_registering_something_else_is_an_error() -> None:
    """A name instead of a class, or no function, is refused at once."""
    for type_, function in (("Model", of_model), (Model, None)):
        with pytest.raises(TypeError, match="class and a function"):
            Fingerprinter().register(type_, function)  # type: ignore[arg-type]


def test_a_failing_function_is_an_artifact_error() -> None:
    """The caller learns which class's function failed, and how."""
    hashing = Fingerprinter()
    hashing.register(Model, lambda _: 1 / 0)
    with pytest.raises(ArtifactError, match=r"Model failed: division by zero"):
        hashing.fingerprint(Model())


@pytest.mark.parametrize("name", [f"{__name__}:Model", f"{__name__}:Special"])
def test_entry_points_are_named_after_the_class(name: str) -> None:
    """An entry point named `module:Class` serves the class and its subclasses."""
    hashing = Fingerprinter(FingerprintRegistry(points("other:Thing", name)))
    assert hashing.fingerprint(Special()).digest == DIGEST


def test_entry_points_may_name_an_outer_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """`package:Class` stands for a class of any module inside the package."""
    monkeypatch.setattr(Model, "__module__", "package.inner.core")
    hashing = Fingerprinter(FingerprintRegistry(points("package:Model")))
    assert hashing.fingerprint(Model()).digest == DIGEST


def test_entry_points_are_looked_up_once_and_late() -> None:
    """Installed packages are asked when the first unknown object comes, and never again."""
    discover = points(f"{__name__}:Model")
    hashing = Fingerprinter(FingerprintRegistry(discover))
    hashing.is_artifact(Model())
    hashing.fingerprint(b"known")
    assert discover.asked == []
    for obj in (Model(), object(), Model()):
        hashing.fingerprint(obj)
    assert discover.asked == [1]


def test_a_broken_entry_point_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A package whose function cannot be imported costs one warning and the digest, no more."""
    hashing = Fingerprinter(FingerprintRegistry(points(f"{__name__}:Model", value="no_such_module:f")))
    with caplog.at_level(logging.WARNING, "mlotel"):
        found = [hashing.fingerprint(Model()).digest for _ in range(2)]
    assert found == [None, None]
    assert [record.getMessage() for record in caplog.records] == [
        f"the fingerprint entry point '{__name__}:Model' cannot be loaded"
    ]


def test_paths_of_any_class_are_paths(tmp_path: Path) -> None:
    """Any `os.PathLike` is a path."""

    class Location:
        def __fspath__(self) -> str:
            return f"{tmp_path / 'file'}"

    (tmp_path / "file").write_bytes(b"weights")
    assert Fingerprinter().fingerprint(Location()) == Fingerprint(digest=DIGEST, scope="bytes", size=7)
