"""Which way of hashing fits an object: the one entrance to everything in this package."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from mlotel import columnar
from mlotel.errors import ArtifactError
from mlotel.hashing._algorithms import content_digest, new_hasher
from mlotel.hashing._cache import StatCache
from mlotel.hashing._files import (
    CHANGED,
    fingerprint_file,
    fingerprint_tree,
    same_content,
    special_file_note,
    status_of,
)
from mlotel.hashing._registry import FingerprintFunction, FingerprintRegistry
from mlotel.model import Fingerprint

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Buffer

__all__ = ["Fingerprinter"]

_SCOPES = (None, "bytes", "logical", "tree")
# Values, never artifacts: looked up first because a decorated function asks this of each of its arguments.
_VALUES = frozenset({str, int, float, bool, type(None), bytes, bytearray, complex, list, tuple, dict, set, frozenset})


class Fingerprinter:
    """Computes fingerprints, and owns the functions that were registered for types mlotel does not know.

    Args:
        registry: where those functions are kept and found.
    """

    def __init__(self, registry: FingerprintRegistry | None = None) -> None:
        self._registry = FingerprintRegistry() if registry is None else registry

    def register(self, type_: type, function: FingerprintFunction) -> None:
        """Use `function` for the fingerprints of a class's objects, its subclasses' included.

        Args:
            type_: the class.
            function: takes the object; returns its content as bytes that are the same in every process (they are
                hashed), or a whole `Fingerprint`.
        """
        self._registry.register(type_, function)

    def is_artifact(self, obj: object) -> bool:
        """Whether `obj` is worth a fingerprint without being asked for one: a path, table, array or model.

        Text, bytes, numbers and containers never are. Nothing is imported to find out.
        """
        cls = type(obj)
        if cls in _VALUES or isinstance(obj, type | str | bytes):
            return False
        if hasattr(cls, "__fspath__") or columnar.is_table(obj):
            return True
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(obj, numpy.ndarray):
            return bool(obj.ndim >= 1)
        return self._registry.registered(cls) is not None or _is_estimator(obj)

    def fingerprint(
        self,
        obj: object,
        *,
        algorithm: str = "blake3",
        scope: str | None = None,
        cache: StatCache | None = None,
        mapped: bool = False,
        threads: int = 1,
        readers: Sequence[Callable[[pa.RecordBatch], None]] = (),
    ) -> Fingerprint:
        """Return what identifies an object's content.

        Args:
            obj: bytes, a path (`os.PathLike`) of a file or folder, a table, a NumPy array, a scikit-learn estimator,
                or an object whose class has a registered function. Anything else gets a note and no digest.
            algorithm: ``blake3`` or ``sha256``.
            scope: ``bytes`` to hash a table file's bytes instead of its table; None for what fits the object.
            cache: where unchanged files are remembered.
            mapped: map files that are hashed by their bytes; only for files that nobody writes (SIGBUS).
            threads: how many threads may work on one table or mapped file.
            readers: called with each record batch of a table while it is read for its digest, so that it is read once;
                not called for what is no table. An unchanged file is read again for them.

        Raises:
            ArtifactError: if a file is missing or unreadable, or the scope does not fit the object.
            ConfigurationError: if the algorithm is unknown.
        """
        new_hasher(algorithm)
        if scope not in _SCOPES:
            raise ArtifactError(f"unknown digest scope {scope!r}: use 'bytes', 'tree', 'logical' or None")
        if isinstance(obj, os.PathLike):
            return self._path(os.fspath(obj), algorithm, scope, cache, mapped, threads, readers)
        if isinstance(obj, bytes | bytearray | memoryview) or _is_arrow_buffer(obj):
            return _of_bytes(obj, algorithm)  # type: ignore[arg-type]
        if isinstance(obj, str):
            return Fingerprint(note="no digest: text is a value; wrap a file's path in pathlib.Path")
        function = self._registry.registered(type(obj))
        if function is not None:
            return _called(function, obj, algorithm)
        if columnar.is_table(obj):
            return _of_table(obj, algorithm, threads, readers)
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(obj, numpy.ndarray):
            from mlotel.hashing._arrays import fingerprint_array

            return fingerprint_array(obj, algorithm=algorithm)
        if _is_estimator(obj):
            from mlotel.hashing._estimators import fingerprint_estimator

            return fingerprint_estimator(obj, algorithm=algorithm, find=self._registry.find)
        function = self._registry.find(type(obj))
        if function is not None:
            return _called(function, obj, algorithm)
        return Fingerprint(
            note=f"no digest: no fingerprint function for {_named(type(obj))} (see mlotel.register_fingerprint)"
        )

    def _path(
        self,
        given: str | bytes,
        algorithm: str,
        scope: str | None,
        cache: StatCache | None,
        mapped: bool,
        threads: int,
        readers: Sequence[Callable[[pa.RecordBatch], None]],
    ) -> Fingerprint:
        path = os.fsdecode(given)
        status = status_of(path)
        if stat.S_ISDIR(status.st_mode):
            if scope not in (None, "tree"):
                raise ArtifactError(f"{path}: is a folder, whose scope is 'tree', not {scope!r}")
            return fingerprint_tree(path, algorithm=algorithm, cache=cache)
        if scope == "tree":
            raise ArtifactError(f"{path}: is not a folder; leave the scope out")
        tabular = columnar.table_suffix(path) is not None
        if scope == "logical" and not tabular:
            raise ArtifactError(f"{path}: not a table file (known: {', '.join(columnar.TABLE_SUFFIXES)})")
        note = None
        if tabular and scope != "bytes" and special_file_note(status) is None and status.st_size:
            found = _of_table_file(path, algorithm, cache, threads, status, readers)
            if isinstance(found, Fingerprint):
                return found
            if scope == "logical":
                raise found
            note = f"hashed by its bytes: {found}"
        result = fingerprint_file(path, algorithm=algorithm, cache=cache, mapped=mapped, threads=threads, status=status)
        if not tabular:
            return result
        return _with(result, type="dataset", note=result.note or note)


def _with(result: Fingerprint, **changes: Any) -> Fingerprint:
    return replace(result, **changes)


def _of_bytes(data: Buffer, algorithm: str) -> Fingerprint:
    view = memoryview(data)
    if not view.c_contiguous:
        view = memoryview(view.tobytes())
    size = view.nbytes
    # A view of several dimensions with a 0 among them cannot be cast.
    content = view.cast("B") if size else b""
    return Fingerprint(digest=content_digest(content, algorithm), scope="bytes", size=size, empty=size == 0)


def _is_arrow_buffer(obj: object) -> bool:
    arrow = sys.modules.get("pyarrow")
    return arrow is not None and isinstance(obj, arrow.Buffer)


def _is_estimator(obj: object) -> bool:
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(obj, base.BaseEstimator)


def _named(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _called(function: FingerprintFunction, obj: object, algorithm: str) -> Fingerprint:
    try:
        result = function(obj)
    except Exception as error:
        raise ArtifactError(f"the fingerprint function of {_named(type(obj))} failed: {error}") from error
    if isinstance(result, Fingerprint):
        return result
    return _with(_of_bytes(result, algorithm), type="model")


def _of_table(
    obj: object, algorithm: str, threads: int, readers: Sequence[Callable[[pa.RecordBatch], None]]
) -> Fingerprint:
    from mlotel.hashing._tables import fingerprint_table

    try:
        source = columnar.open_table(obj, views=not readers)
        source = source.watched(*readers) if readers else source
        return fingerprint_table(source, algorithm=algorithm, threads=threads)
    except ArtifactError as error:
        return Fingerprint(type="dataset", note=f"no digest: {error}")


def _of_table_file(
    path: str,
    algorithm: str,
    cache: StatCache | None,
    threads: int,
    status: os.stat_result,
    readers: Sequence[Callable[[pa.RecordBatch], None]],
) -> Fingerprint | ArtifactError:
    """The fingerprint of the table in a file, or the error for which it cannot be read as one."""
    if cache is not None:
        known = None if readers else cache.get(path, algorithm, "logical", status)
        if known is not None:
            return known
        remember = cache.settled(status)
    from mlotel.hashing._tables import fingerprint_table

    try:
        source = columnar.open_path(path)
        source = source.watched(*readers) if readers else source
        result = fingerprint_table(source, algorithm=algorithm, threads=threads)
    except ArtifactError as error:
        return error
    after = status_of(path)
    if not same_content(status, after):
        return Fingerprint(scope="logical", type="dataset", size=after.st_size, note=CHANGED)
    result = _with(result, size=status.st_size)
    if cache is not None and remember:
        cache.put(path, algorithm, "logical", status, result)
    return result
