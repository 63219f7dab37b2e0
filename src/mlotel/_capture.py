"""Which arguments and return values of a decorated function are artifacts, and under which names."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlotel._run import ActiveRun, check_name
from mlotel._runtime import guard
from mlotel.errors import ConfigurationError
from mlotel.parameters import is_scalar

__all__ = ["Capture", "Selection"]

LARGEST = 2**30
"""Bytes of a file that is digested without being asked for: 1 GiB."""

Selection = bool | str | Sequence[str] | Mapping[str, str]

_Stat = tuple[int, int, int]


@dataclass(slots=True)
class _Path:
    """A path among the arguments, and what was there when the function was entered (None: nothing)."""

    parameter: str
    path: os.PathLike[str]
    before: _Stat | None


class Capture:
    """What to record of one function's calls."""

    def __init__(
        self, function: Callable[..., Any], inputs: Selection, outputs: Selection, params: bool | Mapping[str, Any]
    ) -> None:
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        self._inputs = _names(inputs, "inputs")
        self._outputs = _names(outputs, "outputs")
        self._params = params
        unknown = sorted(set(self._inputs or ()) - set(parameters))
        if unknown:
            raise ConfigurationError(
                f"inputs names {unknown[0]!r}, which is no parameter of {function.__qualname__}{self._signature}"
            )
        # outputs may name parameters too: paths that the function is told to write
        self._written = {name: name_ for name, name_ in (self._outputs or {}).items() if name in parameters}
        first = next(iter(parameters), None)
        self._skip = first if first in ("self", "cls") else None
        self._idle = inputs is False and outputs is False and params is False

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the call's arguments by parameter name; ``*args`` as ``args.0`` …, ``**kwargs`` by their own names."""
        if self._idle:
            return {}
        try:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
        except TypeError:  # the call itself will raise it, with the function's own frame
            return {}
        found: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = self._signature.parameters[name].kind
            if name == self._skip:
                continue
            if kind is inspect.Parameter.VAR_POSITIONAL:
                found.update((f"{name}.{i}", item) for i, item in enumerate(value))
            elif kind is inspect.Parameter.VAR_KEYWORD:
                found.update(value)
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

    def enter(self, run: ActiveRun, arguments: Mapping[str, Any]) -> list[_Path]:
        """Record the inputs among the arguments, and return the paths to look at again when the function is left."""
        paths: list[_Path] = []
        if not run._recording:
            return paths
        for parameter, value in arguments.items():
            try:
                if is_scalar(value) or not _is_artifact(value):
                    continue
                if not isinstance(value, os.PathLike):
                    if self._wants_input(parameter):
                        run.log_input(value, self._input_name(parameter))
                    continue
                before = _stat(value)
                paths.append(_Path(parameter, value, before))
                if before is not None and parameter not in self._written and self._wants_input(parameter):
                    run.log_input(value, self._input_name(parameter), scope=_scope(value))
            except Exception as error:
                guard(f"argument {parameter!r} of component {run.name!r}", error)
        return paths

    def leave(self, run: ActiveRun, paths: Sequence[_Path], value: object) -> None:
        """Record the outputs: paths that are new or were rewritten, and artifacts among the return values."""
        if self._outputs is None or not run._recording:
            return
        try:
            returned = {os.fspath(item) for _, item in self._returned(value) if isinstance(item, os.PathLike)}
            for entry in paths:
                after = _stat(entry.path)
                if after is None or after == entry.before or os.fspath(entry.path) in returned:
                    continue
                if self._everything_out or entry.parameter in self._written:
                    name = self._written.get(entry.parameter, entry.parameter)
                    run.log_output(entry.path, name, scope=_scope(entry.path))
            for name, item in self._returned(value):
                if not is_scalar(item) and _is_artifact(item):
                    run.log_output(item, name, scope=_scope(item) if isinstance(item, os.PathLike) else None)
        except Exception as error:
            guard(f"return value of component {run.name!r}", error)

    @property
    def _everything_out(self) -> bool:
        return self._outputs == {}

    def _wants_input(self, parameter: str) -> bool:
        if self._inputs is None:
            return False
        return not self._inputs or parameter in self._inputs

    def _input_name(self, parameter: str) -> str:
        return (self._inputs or {}).get(parameter, parameter)

    def _returned(self, value: object) -> list[tuple[str, object]]:
        """Return the artifacts of a return value with their names; a tuple's or dict's items stand for themselves."""
        if self._outputs is None:
            return []
        chosen = {name: shown for name, shown in self._outputs.items() if name not in self._written}
        if isinstance(value, Mapping):
            return [
                (chosen.get(key, key), item)
                for key, item in value.items()
                if isinstance(key, str) and (key in chosen or self._everything_out)
            ]
        if isinstance(value, tuple):
            names = list(chosen.values()) if chosen else [f"output.{i}" for i in range(len(value))]
            return list(zip(names, value, strict=False)) if chosen or self._everything_out else []
        if chosen:
            return [(next(iter(chosen.values())), value)]
        return [("output", value)] if self._everything_out else []


def _names(selection: Selection, what: str) -> dict[str, str] | None:
    """Return the names to record by where they stand: {} for all of them, None for none."""
    if selection is True:
        return {}
    if selection is False or selection is None:
        return None
    if isinstance(selection, str):
        selection = [selection]
    if isinstance(selection, Mapping):
        chosen = dict(selection)
    elif isinstance(selection, Sequence):
        chosen = {name: name for name in selection}
    else:
        raise ConfigurationError(
            f"{what} must be True, False, a name, a list of names or a mapping to names, not {type(selection).__name__}"
        )
    if not chosen:
        return None
    for name, shown in chosen.items():
        check_name(name, f"a name in {what}")
        check_name(shown, f"a name in {what}")
    return chosen


def _is_artifact(value: object) -> bool:
    from mlotel import hashing

    return hashing.is_artifact(value)


def _stat(path: os.PathLike[str]) -> _Stat | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _scope(path: object) -> str | None:
    """Return ``none`` for a file too large to be digested without being asked for."""
    if not isinstance(path, os.PathLike):
        return None
    found = _stat(path)
    return "none" if found is not None and found[1] > LARGEST else None
