"""What a run must be like to be found: ``param.depth > 5``, ``state = failed``, ``input ~ [.]parquet$``.

`Condition.matches` is what a condition means. A store may select by it in its own way, and must find the same runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlotel.errors import QueryError
from mlotel.model import RUN_STATES, Artifact, Run
from mlotel.semconv import attributes as A
from mlotel.store import comparing
from mlotel.store.times import format_time, parse_duration, parse_time

__all__ = ["Condition"]

_TEXT_OPS = ("=", "!=", "~", "exists")
_NUMBER_OPS = ("=", "!=", "<", "<=", ">", ">=", "exists")
_ORDER_OPS = ("<", "<=", ">", ">=", "exists")
_ALL_OPS = ("=", "!=", "<", "<=", ">", ">=", "~", "exists")
# What `test` calls them needs no quotes in a shell.
_SPELLINGS = {"==": "=", "eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_ONE_WORD = re.compile(r"(.+?)\s*(!=|<=|>=|==|=|<|>|~)\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Key:
    """How a key is asked about: its operators, what kind of value it has, and the values that a run has for it."""

    ops: tuple[str, ...]
    kind: str  # text, scalar, number, time, artifact
    attribute: str | None
    values: Callable[[Run], Iterable[object]]


def _one(value: object) -> Iterable[object]:
    return () if value is None or value == "" else (value,)


def _error(run: Run, part: str) -> Iterable[object]:
    return _one((run.error or {}).get(part))


def _artifacts(run: Run) -> tuple[Artifact, ...]:
    return (*run.inputs, *run.outputs)


_KEYS = {
    "component": _Key(_TEXT_OPS, "text", A.MLOTEL_COMPONENT_NAME, lambda run: _one(run.component)),
    "pipeline": _Key(_TEXT_OPS, "text", A.CICD_PIPELINE_NAME, lambda run: _one(run.pipeline)),
    "version": _Key(_TEXT_OPS, "text", A.MLOTEL_COMPONENT_VERSION, lambda run: _one(run.version)),
    "service": _Key(_TEXT_OPS, "text", A.SERVICE_NAME, lambda run: _one(run.service)),
    "state": _Key(_TEXT_OPS, "text", A.MLOTEL_RUN_STATE, lambda run: (run.state,)),
    "error.type": _Key(_TEXT_OPS, "text", A.ERROR_TYPE, lambda run: _error(run, "type")),
    "error.message": _Key(_TEXT_OPS, "text", None, lambda run: _error(run, "message")),
    "time": _Key(_ORDER_OPS, "time", None, lambda run: (run.start_ns,)),
    "duration": _Key(_ORDER_OPS, "number", None, lambda run: _one(run.duration_s)),
    "artifact": _Key(_TEXT_OPS, "artifact", None, _artifacts),
    "input": _Key(_TEXT_OPS, "artifact", None, lambda run: run.inputs),
    "output": _Key(_TEXT_OPS, "artifact", None, lambda run: run.outputs),
}
# Of each of these there are as many keys as users made up: param.depth, tag.team.
_FAMILIES = ("param", "metric", "tag", "attribute")


def _key(name: str) -> _Key:
    known = _KEYS.get(name)
    if known is not None:
        return known
    family, _, rest = name.partition(".")
    if rest and family == "param":
        return _Key(_ALL_OPS, "scalar", f"{A.MLOTEL_PARAM}.{rest}", lambda run: _one(run.params.get(rest)))
    if rest and family == "metric":
        return _Key(_NUMBER_OPS, "number", f"{A.MLOTEL_METRIC}.{rest}", lambda run: _one(run.metrics.get(rest)))
    if rest and family == "tag":
        return _Key(_ALL_OPS, "scalar", f"{A.MLOTEL_TAG}.{rest}", lambda run: _one(run.tags.get(rest)))
    if rest and family == "attribute":
        return _Key(_ALL_OPS, "scalar", rest, lambda run: comparing.elements(run.attributes.get(rest)))
    raise QueryError(f"{name!r} is nothing that runs are found by: {_fix(name)}")


def _fix(name: str) -> str:
    from difflib import get_close_matches

    family, _, rest = name.partition(".")
    if family in _FAMILIES:
        return f"say which one, as in {family}.NAME"
    near = [f"{each}.{rest or 'NAME'}" for each in get_close_matches(family.lower(), _FAMILIES)]
    near += get_close_matches(name.lower(), _KEYS)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are {', '.join([*_KEYS, *(f'{each}.NAME' for each in _FAMILIES)])}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a run.

    A run that has no such value meets no condition but `exists` with False. Where there are several values (the
    artifacts of a run, an attribute that is a list) one that meets it will do; ``!=`` means that none is equal.

    Args:
        key: ``component``, ``pipeline``, ``version``, ``service``, ``state``, ``error.type``, ``error.message``,
            ``time`` (of the start), ``duration`` (seconds), ``param.NAME``, ``metric.NAME``, ``tag.NAME``,
            ``attribute.NAME`` (of the run's span or its resource), ``artifact``, ``input`` or ``output`` (an artifact
            by its name, its digest or the beginning of it, or the path or URI where it was read or written).
        op: ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``~`` (an RE2 regular expression that is found somewhere in
            the text: https://github.com/google/re2/wiki/Syntax) or ``exists``.
        value: text or a number; for ``time`` nanoseconds since the epoch, for ``exists`` a bool.

    Raises:
        QueryError: there is no such key or operator, or the value does not fit them.
    """

    key: str
    op: str
    value: str | int | float | bool

    def __post_init__(self) -> None:
        key = _key(self.key)
        if self.op not in key.ops:
            raise QueryError(f"{self.key} cannot be asked with {self.op!r}: use {', '.join(key.ops)}")
        value = self.value
        if self.op == "exists":
            fits, wanted = isinstance(value, bool), "True or False"
        elif self.op == "~":
            fits, wanted = isinstance(value, str), "a regular expression"
            if isinstance(value, str):
                comparing.check_pattern(value)
        elif key.kind == "time":
            fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
            wanted = "nanoseconds since the epoch"
        elif key.kind == "number":
            fits, wanted = comparing.is_number(value), "a number"
        elif key.kind == "scalar":
            fits, wanted = isinstance(value, str | int | float), "text or a number"
        else:
            fits, wanted = isinstance(value, str) and value != "", "text"
        if not fits:
            raise QueryError(f"{self.key} {self.op} needs {wanted}, not {value!r}")
        if self.key == "state" and self.op in ("=", "!=") and value not in RUN_STATES:
            raise QueryError(f"no run is {value!r}: the states are {', '.join(RUN_STATES)}")

    @classmethod
    def parse(cls, key: str, op: str, value: str = "", *, clock: Callable[[], int] = time.time_ns) -> Condition:
        """Return the condition that three words of a command line stand for.

        Args:
            key: what is asked about, as for `Condition`.
            op: the operator; ``==``, ``eq``, ``ne``, ``lt``, ``le``, ``gt`` and ``ge`` will do as well.
            value: numbers for metrics; for ``time`` RFC 3339 or how long ago (``7d``), for ``duration`` a number of
                seconds or with a unit (``90s``, ``5m``), for ``exists`` ``yes`` (the default) or ``no``.
            clock: nanoseconds since the epoch.

        Raises:
            QueryError: they stand for none; the message names the nearest key.
        """
        key = key.strip()
        op = _SPELLINGS.get(op.strip(), op.strip())
        kind = _key(key)
        parsed: str | int | float | bool = value
        if op == "exists":
            parsed = _yes_or_no(value)
        elif op in kind.ops and op != "~":
            if kind.kind == "time":
                parsed = parse_time(value, clock())
            elif key == "duration":
                parsed = parse_duration(value)
            elif kind.kind == "number":
                number = comparing.number_of(value)
                if number is None:
                    raise QueryError(f"{key} is a number, and {value!r} is none")
                parsed = number
        return cls(key, op, parsed)

    @classmethod
    def parse_word(cls, text: str, *, clock: Callable[[], int] = time.time_ns) -> Condition:
        """Return the condition that is written in one word: ``param.depth>5``.

        Raises:
            QueryError: it is none.
        """
        match = _ONE_WORD.fullmatch(text.strip())
        if match is None:
            raise QueryError(
                f"{text!r} is no condition: write it as KEY OP VALUE, for example param.depth gt 5 "
                "(a shell takes < and > for itself where they are not quoted)"
            )
        return cls.parse(match[1], match[2], match[3], clock=clock)

    @property
    def attribute(self) -> str | None:
        """The attribute of the run's span, or of its resource, that holds the value; None if there is none."""
        return _key(self.key).attribute

    @property
    def number(self) -> int | float | None:
        """The value as a number, None where it is none."""
        if isinstance(self.value, str):
            return comparing.number_of(self.value)
        return None if isinstance(self.value, bool) else self.value

    @property
    def needs_artifacts(self) -> bool:
        """Whether the artifacts of a run decide."""
        return _key(self.key).kind == "artifact"

    def matches(self, run: Run) -> bool:
        """Whether the condition holds for a run."""
        return self.meets(self.values(run))

    def values(self, run: Run) -> Iterable[object]:
        """The values that a run has for the key; several where one of them will do."""
        return _key(self.key).values(run)

    def meets(self, values: Iterable[object]) -> bool:
        """Whether the condition holds for a run that has these values for the key."""
        kind, values = _key(self.key).kind, tuple(values)
        if self.op == "exists":
            return bool(values) is self.value
        if self.op == "!=":
            return bool(values) and not any(comparing.equal(kind, each, self.value) for each in values)
        if self.op == "=":
            return any(comparing.equal(kind, each, self.value) for each in values)
        if self.op == "~":
            return any(comparing.found(each, str(self.value)) for each in values)
        return any(comparing.ordered(each, self.op, self.value) for each in values)

    def __str__(self) -> str:
        """The condition as it is asked."""
        if self.op == "exists":
            return f"{self.key} exists" if self.value else f"{self.key} exists no"
        if self.key == "time" and isinstance(self.value, int):
            return f"time {self.op} {format_time(self.value)}"
        if self.key == "duration":
            return f"duration {self.op} {self.value:g}s"
        return f"{self.key} {self.op} {self.value}"


def _yes_or_no(text: str) -> bool:
    said = text.strip().lower()
    if said in ("", "yes", "true"):
        return True
    if said in ("no", "false"):
        return False
    raise QueryError(f"exists is asked with yes or no, not {text!r}")
