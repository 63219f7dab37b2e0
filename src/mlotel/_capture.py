"""Which arguments and return values of a decorated function are artifacts, and under which names."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from mlotel._names import check_name
from mlotel._run import ActiveRun
from mlotel._runtime import guard
from mlotel.errors import ConfigurationError, RetractedError
from mlotel.parameters import is_scalar

__all__ = ["Capture", "Selection", "Watched", "chosen"]

LARGEST = 2**30
"""Bytes of a file or folder that are digested without being asked for: 1 GiB."""
MOST_FILES = 10_000
"""Files of a folder that is digested without being asked for."""
MOST_ITEMS = 1000
"""Items of ``*args``, and of a tuple or dict that is returned, that are looked at: what has more is data itself."""

Selection = bool | str | Sequence[str] | Mapping[str, str]

_Stat = tuple[int, int, int]


class Watched(Struct):
    """A path among the arguments, and what was there when the function was entered (None: nothing)."""

    parameter: str
    path: os.PathLike[str]
    before: _Stat | None


def chosen(selection: Selection, what: str) -> dict[str, str] | None:
    """Return the names to record by where they stand: {} for all of them, None for none.

    Args:
        selection: What the user wrote.
        what: The argument it was written for.

    Raises:
        ConfigurationError: it is of another type.
        InvalidNameError: one of the names cannot name an artifact.
    """
    if selection is True:
        return {}
    if selection is False or selection is None:
        return None
    names: dict[str, str]
    if isinstance(selection, str):
        names = {selection: selection}
    elif isinstance(selection, Mapping):
        names = dict(selection)
    elif isinstance(selection, Sequence) and not isinstance(selection, (bytes, bytearray)):
        names = {name: name for name in selection}
    else:
        raise ConfigurationError(
            f"{what} must be True, False, a name, a list of names or a mapping to names, not {type(selection).__name__}"
        )
    for name, shown in names.items():
        check_name(name, f"a name in {what}")
        check_name(shown, f"a name in {what}")
    return names or None


class Capture:
    """What to record of one function's calls.

    Args:
        function: What is decorated.
        inputs: Its arguments to record, as `chosen` returned them.
        outputs: The same for return values, and for parameters that hold a path to write.
        params: What `mlotel.component` was given.

    Raises:
        ConfigurationError: `inputs` names what is no parameter.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: dict[str, str] | None,
        outputs: dict[str, str] | None,
        params: bool | Mapping[str, Any],
    ) -> None:
        try:
            self._signature = inspect.signature(function)
        except (TypeError, ValueError):  # some builtins have none: what they return can be recorded all the same
            self._signature = inspect.Signature()
        parameters = self._signature.parameters
        self._inputs = inputs
        self._outputs = outputs
        self._params = params
        names = _artifact_names(parameters)
        unknown = sorted(set(inputs or ()) - names)
        if unknown and not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            raise ConfigurationError(
                f"inputs names {unknown[0]!r}, which is no parameter of {getattr(function, '__qualname__', function)}: "
                f"it has {', '.join(sorted(names)) or 'none'}"
            )
        self._written = {name: shown for name, shown in (outputs or {}).items() if name in names}
        self._shown = {name: shown for name, shown in (outputs or {}).items() if name not in names}
        first = next(iter(parameters), None)
        self._skip = first if first in ("self", "cls") else None
        self._idle = inputs is None and outputs is None and params is not True
        self._plain = _plain(parameters)

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the call's arguments by parameter name; ``*args`` as ``args.0`` …, ``**kwargs`` by their own names.

        A call that the function will refuse has none.
        """
        if self._idle:
            return {}
        plain = self._plain
        if plain is not None and len(args) <= len(plain) and plain.keys() >= kwargs.keys():
            # names and values side by side: binding the signature takes longer than the rest of the call
            found = {**plain, **dict(zip(plain, args, strict=False)), **kwargs}
            if any(value is inspect.Parameter.empty for value in found.values()):
                return {}
            if self._skip is not None:
                del found[self._skip]
            return found
        try:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
        except TypeError:  # the call itself will raise it, with the function's own frame
            return {}
        found = {}
        for name, value in bound.arguments.items():
            kind = self._signature.parameters[name].kind
            if name == self._skip:
                continue
            if kind is inspect.Parameter.VAR_POSITIONAL:
                found.update((f"{name}.{i}", item) for i, item in enumerate(value[:MOST_ITEMS]))
            elif kind is inspect.Parameter.VAR_KEYWORD:
                # a keyword may have the name of a positional-only parameter
                found.update((f"{name}.{key}" if key in found else key, item) for key, item in value.items())
            else:
                found[name] = value
        return found

    def parameters(self, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return what is recorded as parameters when the run starts."""
        if isinstance(self._params, Mapping):
            return self._params
        if not self._params:
            return None
        return {name: value for name, value in arguments.items() if is_scalar(value) or not _is_artifact(value)}

    def enter(self, run: ActiveRun, arguments: Mapping[str, Any]) -> Sequence[Watched]:
        """Record the inputs among the arguments, and return the paths to look at again when the function is left."""
        paths: list[Watched] = []
        if not run._recording:
            return paths
        inputs = self._inputs
        for parameter, value in arguments.items():
            try:
                asked = inputs is not None and parameter in inputs
                if not _counts(value, asked, run, parameter):
                    continue
                wanted = asked or inputs == {}
                if not isinstance(value, os.PathLike):
                    if wanted:
                        run.log_input(value, (inputs or {}).get(parameter, parameter))
                    continue
                before = _stat(value)
                paths.append(Watched(parameter, value, before))
                if before is not None and wanted and parameter not in self._written:
                    run.log_input(value, (inputs or {}).get(parameter, parameter), scope=_scope(value))
            except RetractedError:  # the component asked for it
                raise
            except Exception as error:
                guard(f"argument {parameter!r} of component {run.name!r}", error)
        return paths

    def leave(self, run: ActiveRun, paths: Sequence[Watched], value: object) -> None:
        """Record the outputs: paths that are new or were rewritten, and artifacts among the return values."""
        if self._outputs is None or not run._recording:
            return
        try:
            asked = bool(self._shown)
            returned = [(name, item) for name, item in self._returned(value) if _counts(item, asked, run, name)]
            told = {os.path.abspath(item) for _, item in returned if isinstance(item, os.PathLike)}
            for entry in paths:
                after = _stat(entry.path)
                if after is None or after == entry.before or os.path.abspath(entry.path) in told:
                    continue
                if not self._outputs or entry.parameter in self._written:
                    name = self._written.get(entry.parameter, entry.parameter)
                    run.log_output(entry.path, name, scope=_scope(entry.path))
            for name, item in returned:
                run.log_output(item, name, scope=_scope(item) if isinstance(item, os.PathLike) else None)
        except Exception as error:
            guard(f"return value of component {run.name!r}", error)

    def _returned(self, value: object) -> Iterator[tuple[str, object]]:
        """Yield the return value with its name, or its items with theirs where it is a tuple or dict."""
        shown = self._shown
        if not shown and self._outputs:  # only parameters were named
            return
        # a dict alone: the items of other mappings may be read from a disk or a network when they are looked at
        several = isinstance(value, (tuple, list, dict) if shown else (tuple, dict))
        if not several or _is_artifact(value) or len(value) > MOST_ITEMS:  # type: ignore[arg-type] # several
            yield next(iter(shown.values()), "output"), value
        elif isinstance(value, dict):
            named = [(key, item) for key, item in value.items() if isinstance(key, str)]
            yield from ((shown.get(key, key), item) for key, item in named if not shown or key in shown)
        elif isinstance(value, (tuple, list)):
            fields = getattr(type(value), "_fields", None) or [f"output.{i}" for i in range(len(value))]
            yield from zip(list(shown.values()) or fields, value, strict=False)


def _counts(value: object, asked: bool, run: ActiveRun, name: str) -> bool:
    """Return whether `value` is recorded: artifacts are, and what was `asked` for by name is unless it is a scalar."""
    if is_scalar(value):
        if asked and isinstance(value, str):
            error = TypeError("text is a value, not a file: wrap the path in pathlib.Path")
            guard(f"{name!r} of component {run.name!r}", error)
        return False
    return asked or _is_artifact(value)


def _artifact_names(parameters: Mapping[str, inspect.Parameter]) -> set[str]:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name for name, parameter in parameters.items() if parameter.kind not in variable}


def _plain(parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any] | None:
    """Return the defaults (`Parameter.empty` where there is none) where each parameter is positional or keyword."""
    if any(parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD for parameter in parameters.values()):
        return None
    return {name: parameter.default for name, parameter in parameters.items()}


def _is_artifact(value: object) -> bool:
    from mlotel import hashing

    return hashing.is_artifact(value)


def _stat(path: os.PathLike[str]) -> _Stat | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a null character in it
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _scope(path: os.PathLike[str]) -> str | None:
    """Return ``none`` for what is too large to be digested without being asked for."""
    return "none" if _is_large(os.fspath(path)) else None


def _is_large(path: str) -> bool:
    if not os.path.isdir(path):
        found = os.stat(path)
        return found.st_size > LARGEST
    size = count = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                size += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
            count += 1
            if size > LARGEST or count > MOST_FILES:
                return True
    return False
