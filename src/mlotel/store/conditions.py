"""What a run must be like to be found: ``param.depth > 5``, ``state = failed``, ``input ~ [.]parquet$``.

`Condition.matches` is what a condition means. A store may select by it in its own way, and must find the same runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlotel.errors import QueryError
from mlotel.model import RUN_STATES, Run
from mlotel.store import comparing
from mlotel.store.condition_keys import key_named
from mlotel.store.times import format_time, parse_duration, parse_time

__all__ = ["Condition"]

# What `test` calls them needs no quotes in a shell.
_SPELLINGS = {"==": "=", "eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_SPELLED = frozenset({"true", "false", "none", "nan"})  # what Python and JSON write differently
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")  # what no JSON encoder writes with an escape
_IN_WORDS = re.compile(r"([^\s=<>!~]+)\s+(exists|eq|ne|lt|le|gt|ge)(?:\s+(.*))?", re.DOTALL)
_ONE_WORD = re.compile(r"(.+?)\s*(!=|<=|>=|==|=|<|>|~)\s*(.*)", re.DOTALL)


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
        key = key_named(self.key)
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
        kind = key_named(key)
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
        """Return the condition that is written in one word: ``param.depth>5``, or ``param.depth gt 5``.

        Raises:
            QueryError: it is none.
        """
        match = _IN_WORDS.fullmatch(text.strip()) or _ONE_WORD.fullmatch(text.strip())
        if match is None:
            raise QueryError(
                f"{text!r} is no condition: write it as KEY OP VALUE, for example param.depth gt 5 "
                "(a shell takes < and > for itself where they are not quoted)"
            )
        return cls.parse(match[1], match[2], match[3] or "", clock=clock)

    @property
    def attribute(self) -> str | None:
        """The attribute of the run's span, or of its resource, that holds the value; None if there is none."""
        return key_named(self.key).attribute

    @property
    def words(self) -> tuple[bytes, ...]:
        """What the JSON of every run holds that meets the condition, as far as that can be said."""
        attribute = self.attribute
        if attribute is None or (self.op == "exists" and not self.value) or _PLAIN.fullmatch(attribute) is None:
            return ()
        value = _as_written(self.value) if self.op == "=" else None
        return tuple(word.encode() for word in (f'"{attribute}"', value) if word is not None)

    @property
    def number(self) -> int | float | None:
        """The value as a number, None where it is none."""
        if isinstance(self.value, str):
            return comparing.number_of(self.value)
        return None if isinstance(self.value, bool) else self.value

    @property
    def needs_artifacts(self) -> bool:
        """Whether the artifacts of a run decide."""
        return key_named(self.key).kind == "artifact"

    def matches(self, run: Run) -> bool:
        """Whether the condition holds for a run."""
        return self.meets(self.values(run))

    def values(self, run: Run) -> Iterable[object]:
        """The values that a run has for the key; several where one of them will do."""
        return key_named(self.key).values(run)

    def meets(self, values: Iterable[object]) -> bool:
        """Whether the condition holds for a run that has these values for the key."""
        kind, values = key_named(self.key).kind, tuple(values)
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


def _as_written(value: str | int | float | bool) -> str | None:
    """What is part of each form in which a value equal to this one may be written; None where there are too many."""
    number = comparing.number_of(value) if isinstance(value, str) else value
    if number is None:
        return str(value) if _PLAIN.fullmatch(str(value)) and str(value).lower() not in _SPELLED else None
    if isinstance(value, bool) or (isinstance(value, str) and "e" in value.lower()):
        return None
    # Some write an exponent where there are more digits, and more decimals than it takes.
    return str(abs(int(number))) if abs(number) < 10**7 and number == int(number) else None


def _yes_or_no(text: str) -> bool:
    said = text.strip().lower()
    if said in ("", "yes", "true"):
        return True
    if said in ("no", "false"):
        return False
    raise QueryError(f"exists is asked with yes or no, not {text!r}")
