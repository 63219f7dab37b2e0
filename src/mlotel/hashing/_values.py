"""The digest of nested Python values as they lie in fitted models: no pickle bytes, no `repr`, no addresses."""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import math
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mlotel import columnar
from mlotel.hashing._algorithms import NewHasher, content_digest, framed
from mlotel.hashing._arrays import array_digest, array_note
from mlotel.hashing._registry import FingerprintFunction
from mlotel.model import Fingerprint

__all__ = ["UnstableValueError", "ValueHasher", "class_name"]

_NAN = struct.pack("<Q", 0x7FF8000000000000)
# Packages whose functions and classes are identified by name: the name says what they do.
_LIBRARIES = frozenset({"builtins", "numpy", "scipy", "sklearn", "math", "operator"})
# Attributes that say how or how fast a model was fitted on this machine, or an address in it, not what it is.
_VOLATILE = frozenset({"_n_threads", "refit_time_", "_stop_words_id", "_random_seed", "_feature_subsample_rng"})
# Histogram boosting's helper: seed and threads of its fitting are its parameters.
_VOLATILE_OF = {"_BinMapper": _VOLATILE | {"n_threads", "random_state"}}
_TIMES = frozenset({"mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time"})


class UnstableValueError(Exception):
    """Something has no identity that another process would find again; the text says where and what."""


def class_name(cls: type) -> str:
    """Return a class's name without the private modules in which libraries move their classes around."""
    parts = [part for part in cls.__module__.split(".") if not part.startswith("_") or part == "__main__"]
    return ".".join([*parts, cls.__qualname__])


class ValueHasher:
    """Computes digests of values, each from its kind, its content and the digests of the values inside.

    Args:
        new: makes hash objects.
        algorithm: the name of their algorithm.
        find: returns the registered fingerprint function for a class, or None.
    """

    def __init__(self, new: NewHasher, algorithm: str, find: Callable[[type], FingerprintFunction | None]) -> None:
        self._new = new
        self._algorithm = algorithm
        self._find = find
        self._inside: set[int] = set()

    def digest(self, value: object, where: str) -> bytes:
        """Return the 32 bytes of a value's digest.

        Args:
            value: the value.
            where: the path of attributes that leads to it, for the error.

        Raises:
            UnstableValueError: if it, or something in it, has no stable identity.
        """
        plain = _scalar(value)
        if plain is not None:
            return self._combine(*plain)
        if id(value) in self._inside:
            raise UnstableValueError(f"{where} contains itself")
        self._inside.add(id(value))
        try:
            return self._nested(value, where)
        finally:
            self._inside.discard(id(value))

    def _combine(self, kind: str, content: bytes, *parts: bytes) -> bytes:
        hasher = self._new()
        hasher.update(
            b"".join(
                [b"mlotel.value.v1\0", framed(kind.encode()), framed(content), struct.pack("<Q", len(parts)), *parts]
            )
        )
        return hasher.digest()

    def _nested(self, value: Any, where: str) -> bytes:
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        if isinstance(value, Mapping):
            return self._mapping(value, where)
        if isinstance(value, list | tuple):
            kind = "list" if isinstance(value, list) else "tuple"
            return self._combine(kind, b"", *[self.digest(v, f"{where}[{i}]") for i, v in enumerate(value)])
        if isinstance(value, set | frozenset):
            return self._combine("set", b"", *sorted(self.digest(v, f"{where}{{…}}") for v in value))
        if isinstance(value, slice | range):
            parts = (value.start, value.stop, value.step)
            return self._combine(type(value).__name__, b"", *[self.digest(v, where) for v in parts])
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return self._combine("partial", b"", *[self.digest(v, f"{where}.func") for v in parts])
        if isinstance(value, np.random.RandomState):
            return self._combine("RandomState", b"", self.digest(value.get_state(legacy=False), where))
        if isinstance(value, np.random.Generator):
            return self._combine("Generator", b"", self.digest(value.bit_generator.state, where))
        return self._object(value, where)

    def _array(self, array: np.ndarray[Any, Any], where: str) -> bytes:
        if isinstance(array, np.ma.MaskedArray) or array.dtype == object:
            masked = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else np.zeros(array.shape, bool)
            shape = b"".join([struct.pack("<Q", n) for n in array.shape])
            items = np.ma.getdata(array).reshape(-1).tolist()
            parts = [
                self.digest(None if hidden else item, f"{where}[{i}]")
                for i, (item, hidden) in enumerate(zip(items, masked.reshape(-1).tolist(), strict=True))
            ]
            return self._combine("objects", shape, *parts)
        note = array_note(array)
        if note is not None:
            raise UnstableValueError(f"{where}: {note.removeprefix('no digest: ')}")
        return self._combine("array", array_digest(array, self._new))

    def _mapping(self, value: Mapping[Any, Any], where: str) -> bytes:
        pairs = [
            self.digest(key, f"{where} (a key)") + self.digest(item, f"{where}[{_shown(key)}]")
            for key, item in value.items()
            if not (isinstance(key, str) and key in _TIMES)
        ]
        return self._combine("mapping", b"", *sorted(pairs))

    def _object(self, value: Any, where: str) -> bytes:
        cls = type(value)
        base = sys.modules.get("sklearn.base")
        if base is not None and isinstance(value, base.BaseEstimator) and not isinstance(value, type):
            return self._estimator(value, where)
        if isinstance(value, type) or (callable(value) and hasattr(value, "__name__")):
            return self._named(value, where)
        sparse = sys.modules.get("scipy.sparse")
        if sparse is not None and sparse.issparse(value):
            return self._sparse(value, where)
        function = self._find(cls)
        if function is not None:
            return self._registered(function, value, where)
        if columnar.is_table(value):
            return self._table(value, where)
        if cls.__module__.partition(".")[0] in ("sklearn", "scipy"):
            return self._library_object(value, where)
        raise UnstableValueError(f"{where} is a {class_name(cls)}, which has no stable identity")

    def _estimator(self, value: Any, where: str) -> bytes:
        volatile = _VOLATILE_OF.get(type(value).__name__, _VOLATILE)
        try:
            params = {name: item for name, item in value.get_params(deep=False).items() if name not in volatile}
        except Exception as error:
            raise UnstableValueError(f"{where}.get_params() failed: {error}") from error
        fitted = {name: item for name, item in vars(value).items() if name not in params and name not in volatile}
        return self._combine(
            "estimator",
            class_name(type(value)).encode(),
            self._attributes(params, where),
            self._attributes(fitted, where),
        )

    def _attributes(self, values: Mapping[str, object], where: str) -> bytes:
        prefix = f"{where}." if where else ""
        parts = [self.digest(name, where) + self.digest(values[name], f"{prefix}{name}") for name in sorted(values)]
        return self._combine("attributes", b"", *parts)

    def _library_object(self, value: Any, where: str) -> bytes:
        """Trees, losses, kernels, splines: the libraries' own parts, by their attributes or their reduced form."""
        cls = type(value)
        name = class_name(cls).encode()
        if hasattr(value, "__dict__"):
            return self._combine("object", name, self._attributes(vars(value), where))
        if getattr(cls, "__reduce__", None) is object.__reduce__:
            raise UnstableValueError(f"{where} is a {class_name(cls)}, which has no stable identity")
        reduced = value.__reduce__()
        state = reduced[1:] if isinstance(reduced, tuple) else ()
        return self._combine("reduced", name, *[self.digest(part, where) for part in state])

    def _named(self, value: Any, where: str) -> bytes:
        module = getattr(value, "__module__", None) or ("numpy" if isinstance(value, np.ufunc) else "")
        name = getattr(value, "__qualname__", None) or value.__name__
        found: Any = sys.modules.get(module)
        if isinstance(value, np.ufunc) and not hasattr(np, name):
            found, module = sys.modules.get("scipy.special"), "scipy.special"
        for part in name.split("."):
            found = getattr(found, part, None)
        if module.partition(".")[0] not in _LIBRARIES or found is not value:
            kind = "class" if isinstance(value, type) else "function"
            raise UnstableValueError(f"{where} is the {kind} {name}, whose code has no stable identity")
        public = ".".join(part for part in module.split(".") if not part.startswith("_"))
        return self._combine("named", f"{public}.{name}".encode())

    def _sparse(self, value: Any, where: str) -> bytes:
        rows = value.tocsr().copy()
        rows.sum_duplicates()
        rows.sort_indices()
        parts = (tuple(int(n) for n in rows.shape), rows.indptr.astype("<i8"), rows.indices.astype("<i8"), rows.data)
        return self._combine("sparse", b"", *[self.digest(part, where) for part in parts])

    def _registered(self, function: FingerprintFunction, value: object, where: str) -> bytes:
        try:
            result = function(value)
        except Exception as error:
            raise UnstableValueError(f"{where}: its fingerprint function failed: {error}") from error
        if not isinstance(result, Fingerprint):
            return self._combine("registered", content_digest(result, self._algorithm).encode())
        if result.digest is None:
            raise UnstableValueError(f"{where}: {result.note or 'its fingerprint function gave no digest'}")
        return self._combine("registered", result.digest.encode())

    def _table(self, value: object, where: str) -> bytes:
        from mlotel.hashing._tables import fingerprint_table

        try:
            found = fingerprint_table(columnar.open_table(value, views=True), algorithm=self._algorithm)
        except ValueError as error:
            raise UnstableValueError(f"{where}: {error}") from error
        if found.digest is None:
            raise UnstableValueError(f"{where}: {found.note}")
        return self._combine("table", found.digest.encode())


def _shown(key: object) -> str:
    # Only of plain keys: anybody else's `repr` may hold data, or fail.
    return f"{key!r}" if type(key) in (str, int) else "…"


def _scalar(value: Any) -> tuple[str, bytes] | None:
    """A plain value's kind and content, or None for anything that is not one. NumPy's scalars count as Python's."""
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64 | np.longdouble):
        value = value.item()
    if value is None or value is ... or value is NotImplemented:
        return f"{value}", b""
    if isinstance(value, enum.Enum):
        return "enum", f"{class_name(type(value))}.{value.name}".encode()
    if isinstance(value, bool):
        return "bool", b"\1" if value else b"\0"
    if isinstance(value, int):
        # In hexadecimal: Python refuses to write very long integers in decimal.
        return "int", f"{int(value):x}".encode()
    if isinstance(value, float):
        return "float", _NAN if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, complex):
        parts = (value.real, value.imag)
        return "complex", b"".join(_NAN if math.isnan(part) else struct.pack("<d", part) for part in parts)
    if isinstance(value, str):
        return "str", value.encode(errors="surrogatepass")
    if isinstance(value, bytes | bytearray):
        return "bytes", bytes(value)
    if isinstance(value, np.dtype):
        return "dtype", value.str.encode()
    if isinstance(value, np.datetime64 | np.timedelta64):
        return "time", f"{value.dtype.str[1:]}:{value.astype('i8')}".encode()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return type(value).__name__, value.isoformat().encode()
    if isinstance(value, datetime.timedelta):
        return "timedelta", f"{value.days},{value.seconds},{value.microseconds}".encode()
    if isinstance(value, decimal.Decimal):
        return "decimal", f"{value}".encode()
    return None
