"""A small evaluator of TraceQL, written from Tempo's documentation and knowing nothing of mlotel.

https://grafana.com/docs/tempo/latest/traceql/construct-traceql-queries/: spansets with conditions on attributes and
intrinsics, joined by && and ||, and the pipeline stages `select` and `count() > n`. Where versions differ it is the
stricter one: an integer is compared with integers alone, a double with doubles, and `= nil` is not known.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


class ParseError(ValueError):
    pass


@dataclass(frozen=True)
class Status:
    name: str


@dataclass(frozen=True)
class Duration:
    ns: int


NIL = object()


@dataclass(frozen=True)
class Span:
    """A span as Tempo keeps it: times in nanoseconds, ids in hex, attributes as Python values."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    status: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    links: Sequence[tuple[str, str, Mapping[str, Any]]]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    raw_resource: Mapping[str, Any] = field(default_factory=dict, repr=False)


Predicate = Callable[[Span], bool]
Pipeline = Callable[[Sequence[Span]], Sequence[Span]]


@dataclass(frozen=True)
class Query:
    evaluate: Pipeline
    fields: Sequence[tuple[str, str]]
    """The attributes that it speaks of, as (scope, name)."""


_ENDS = set("{}()=~!<>&|^,")
_OPERATORS = (
    "&&",
    "||",
    "!=",
    "=~",
    "!~",
    ">=",
    "<=",
    ">>",
    "<<",
    "=",
    ">",
    "<",
    "!",
    "|",
    "{",
    "}",
    "(",
    ")",
    ",",
    "-",
)
_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:ns|us|µs|ms|s|m|h))+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(:[A-Za-z]+)?")
_SCOPES = ("span.", "resource.", "link.", ".")


class _Parser:
    def __init__(self, text: str) -> None:
        if "\0" in text:
            raise ParseError("invalid character NUL")
        self.text, self.at = text, 0
        self.fields: list[tuple[str, str]] = []

    def fail(self, said: str) -> ParseError:
        return ParseError(f"parse error at line 1, col {self.at + 1}: {said}")

    def blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def peek(self) -> str:
        """The operator that comes next, or nothing."""
        self.blanks()
        for each in _OPERATORS:
            if self.text.startswith(each, self.at):
                return each
        return ""

    def take(self, wanted: str) -> bool:
        if self.peek() == wanted:
            self.at += len(wanted)
            return True
        return False

    def expect(self, wanted: str) -> None:
        if not self.take(wanted):
            raise self.fail(f"syntax error: expecting {wanted}")

    def query(self) -> Query:
        pipeline = self.spansets()
        while self.take("|"):
            pipeline = self.stage(pipeline)
        self.blanks()
        if self.at < len(self.text):
            raise self.fail("syntax error: unexpected text")
        return Query(pipeline, self.fields)

    def spansets(self) -> Pipeline:
        found = self.both()
        while self.take("||"):
            found = _either(found, self.both())
        return found

    def both(self) -> Pipeline:
        found = self.spanset()
        while self.take("&&"):
            found = _both(found, self.spanset())
        return found

    def spanset(self) -> Pipeline:
        if self.take("("):
            found = self.spansets()
            self.expect(")")
            return found
        self.expect("{")
        if self.take("}"):
            return lambda spans: spans
        holds = self.disjunction()
        self.expect("}")
        return lambda spans: [span for span in spans if holds(span)]

    def stage(self, before: Pipeline) -> Pipeline:
        word = self.word()
        self.expect("(")
        if word == "select":
            while True:
                self.operand()
                if not self.take(","):
                    break
            self.expect(")")
            return before
        if word == "count":
            self.expect(")")
            op, number = self.comparison(), self.operand()
            return lambda spans: found if (found := before(spans)) and op(len(found), number(None)[0]) else []
        raise self.fail(f"unknown stage {word}")

    def word(self) -> str:
        self.blanks()
        match = _WORD.match(self.text, self.at)
        if match is None:
            raise self.fail("syntax error")
        self.at = match.end()
        return match[0]

    def disjunction(self) -> Predicate:
        clauses = [self.conjunction()]
        while self.take("||"):
            clauses.append(self.conjunction())
        return lambda span: any(clause(span) for clause in clauses)

    def conjunction(self) -> Predicate:
        clauses = [self.clause()]
        while self.take("&&"):
            clauses.append(self.clause())
        return lambda span: all(clause(span) for clause in clauses)

    def clause(self) -> Predicate:
        if self.take("("):
            found = self.disjunction()
            self.expect(")")
            return found
        if self.take("!"):
            inner = self.clause()
            return lambda span: not inner(span)
        left = self.operand()
        name = self.peek()
        compare = self.comparison()
        right = self.operand()
        if name in ("=~", "!~"):
            _check_regex(right(None)[0], self.fail)
        return lambda span: _compare(name, compare, left(span), right(span))

    def comparison(self) -> Callable[[Any, Any], bool]:
        for name, found in _COMPARISONS.items():
            if self.take(name):
                return found
        raise self.fail("syntax error: expecting a comparison")

    def operand(self) -> Callable[[Span | None], Sequence[Any]]:
        """What stands on a side of a comparison: the values of a span there, none if it has no such attribute."""
        self.blanks()
        if self.at >= len(self.text):
            raise self.fail("unexpected end")
        for scope in _SCOPES:
            if self.text.startswith(scope, self.at):
                self.at += len(scope)
                return self.attribute(scope)
        character = self.text[self.at]
        if character in '"`':
            value: Any = self.string()
        elif character.isdigit() or character == "-":
            value = self.number()
        else:
            word = self.word()
            if word in _INTRINSICS:
                of = _INTRINSICS[word]
                return lambda span: of(span)
            if word not in _CONSTANTS:
                raise self.fail(f"unknown identifier: {word}")
            value = _CONSTANTS[word]
        return lambda span: [value]

    def attribute(self, scope: str) -> Callable[[Span | None], Sequence[Any]]:
        name = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                name += self.quoted()
            elif character in _ENDS or character.isspace():
                break
            else:
                name += character
                self.at += 1
        if not name:
            raise self.fail("syntax error: unexpected end of attribute")
        self.fields.append((scope, name))

        def values(span: Span | None) -> Sequence[Any]:
            assert span is not None
            if scope == "link.":
                found = [link[2].get(name) for link in span.links]
            elif scope == "resource.":
                found = [span.resource.get(name)]
            elif scope == "span.":
                found = [span.attributes.get(name)]
            else:
                found = [span.attributes.get(name, span.resource.get(name))]
            flat = [item for each in found for item in (each if isinstance(each, list) else [each])]
            return [each for each in flat if each is not None]

        return values

    def quoted(self) -> str:
        r"""A part of an attribute's name in quotes: only \" and \\ are escapes."""
        self.at += 1
        found = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == '"':
                return found
            if character == "\\":
                if self.text[self.at : self.at + 1] not in ('"', "\\"):
                    raise self.fail("invalid escape sequence")
                character = self.text[self.at]
                self.at += 1
            found += character
        raise self.fail('unexpected EOF, expecting "')

    def string(self) -> str:
        """A string literal as Go reads it."""
        quote = self.text[self.at]
        self.at += 1
        found = bytearray()
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == quote:
                return found.decode()
            if quote == "`" or character not in "\\\n":
                found += character.encode()
            elif character == "\n":
                break
            else:
                found += self.escape()
        raise self.fail("literal not terminated")

    def escape(self) -> bytes:
        character = self.text[self.at : self.at + 1]
        self.at += 1
        if character in _ESCAPES and character:
            return bytes([_ESCAPES[character]])
        digits = {"x": 2, "u": 4, "U": 8}.get(character)
        if digits is None:
            raise self.fail("invalid syntax")
        hexadecimal = self.text[self.at : self.at + digits]
        self.at += digits
        if not re.fullmatch(f"[0-9a-fA-F]{{{digits}}}", hexadecimal):
            raise self.fail("invalid syntax")
        code = int(hexadecimal, 16)
        if character == "x":
            return bytes([code])
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise self.fail("invalid syntax")
        return chr(code).encode()

    def number(self) -> Any:
        sign = -1 if self.take("-") else 1
        duration = _DURATION.match(self.text, self.at)
        if duration is not None:
            self.at = duration.end()
            parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h)", duration[0])
            return Duration(sign * sum(round(float(count) * _UNITS[unit]) for count, unit in parts))
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise self.fail("syntax error")
        self.at = match.end()
        if match[1] is None and match[2] is None:
            number = int(match[0])
            if number >= 1 << 63:
                raise self.fail("value out of range")
            return sign * number
        return sign * float(match[0])


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "=~": lambda text, pattern: _matches(pattern, text),
    "!~": lambda text, pattern: not _matches(pattern, text),
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_CONSTANTS = {
    "true": True,
    "false": False,
    "nil": NIL,
    **{name: Status(name) for name in ("ok", "error", "unset")},
}
_INTRINSICS: Mapping[str, Callable[[Any], Sequence[Any]]] = {
    "name": lambda span: [span.name],
    "span:name": lambda span: [span.name],
    "span:id": lambda span: [span.span_id],
    "span:parentID": lambda span: [span.parent_id],
    "trace:id": lambda span: [span.trace_id],
    "status": lambda span: [Status(span.status)],
    "span:status": lambda span: [Status(span.status)],
    "duration": lambda span: [Duration(span.end_ns - span.start_ns)],
    "span:duration": lambda span: [Duration(span.end_ns - span.start_ns)],
    "link:traceID": lambda span: [link[0] for link in span.links],
    "link:spanID": lambda span: [link[1] for link in span.links],
}


def _compare(name: str, compare: Callable[[Any, Any], bool], left: Sequence[Any], right: Sequence[Any]) -> bool:
    (wanted,) = right
    if wanted is NIL:
        if name != "!=":
            raise ParseError("not supported: = nil")
        return bool(left)
    comparable = [each for each in left if type(each) is type(wanted)]
    if isinstance(wanted, Duration):
        return any(compare(each.ns, wanted.ns) for each in comparable)
    if name in ("!=", "!~"):
        return bool(comparable) and all(compare(each, wanted) for each in comparable)
    return any(compare(each, wanted) for each in comparable)


def _matches(pattern: str, text: str) -> bool:
    found = pc.match_substring_regex(pa.scalar(text), pattern=f"^(?:{pattern})$")
    return bool(found.as_py())


def _check_regex(pattern: Any, fail: Callable[[str], ParseError]) -> None:
    try:
        _matches(pattern, "")
    except (ValueError, TypeError) as error:
        raise fail(f"invalid regex: {pattern}") from error


def _both(left: Pipeline, right: Pipeline) -> Pipeline:
    def evaluate(spans: Sequence[Span]) -> Sequence[Span]:
        one, other = left(spans), right(spans)
        return _union(one, other) if one and other else []

    return evaluate


def _either(left: Pipeline, right: Pipeline) -> Pipeline:
    return lambda spans: _union(left(spans), right(spans))


def _union(one: Sequence[Span], other: Sequence[Span]) -> Sequence[Span]:
    return list({span.span_id: span for span in (*one, *other)}.values())


def parse(text: str) -> Query:
    """The query that `text` is. Raises ParseError, with a message as Tempo writes it."""
    return _Parser(text).query()
