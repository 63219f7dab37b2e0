"""TraceQL, the query language of Tempo: spans selected by attributes, by links and by conditions on runs.

Whatever text gets into a query stands in it as a string literal or a quoted name, so that it is compared and never
obeyed. https://grafana.com/docs/tempo/latest/traceql/construct-traceql-queries/
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from mlotel import uris
from mlotel.semconv import attributes as A
from mlotel.store.conditions import Condition

__all__ = ["RUNS", "artifacts", "links", "literal", "name", "runs", "selects", "spans"]

RUNS = f"span.{A.MLOTEL_COMPONENT_NAME} != nil"
"""What holds for the spans of runs alone."""

_BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f]")
_PLAIN = re.compile(r"[ !#-\[\]-~]")
_DIGEST = re.compile(r"(?:([a-z0-9]+):)?([0-9a-f]+)")
_EXISTS = " != nil"
_INT64 = 2**63
_WHOLE_DIGEST = 64
_SIDES = {"artifact": ("input", "output"), "input": ("input",), "output": ("output",)}


def literal(text: str) -> str:
    """Return a string literal that stands for `text`; half of a surrogate pair, which UTF-8 has not, as U+FFFD.

    Tempo reads literals as Go does: https://go.dev/ref/spec#String_literals
    """
    # As mlotel's own encoder writes such text.
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if _PLAIN.fullmatch(character):
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def name(attribute: str, scope: str = "span") -> str | None:
    """Return how an attribute is named in a query; None where it cannot be (control characters, half surrogates).

    Args:
        attribute: its key.
        scope: ``span``, ``resource``, or nothing for either.
    """
    if _BARE_NAME.fullmatch(attribute):
        return f"{scope}.{attribute}"
    if not attribute or _UNPRINTABLE.search(attribute) or any("\ud800" <= each <= "\udfff" for each in attribute):
        return None
    quoted = attribute.replace("\\", "\\\\").replace('"', '\\"')
    return f'{scope}."{quoted}"'


def spans(attributes: Mapping[str, str]) -> str:
    """Return the query for spans that have all of these attributes, whose keys are mlotel's own."""
    return _braces(f"span.{key} = {literal(value)}" for key, value in attributes.items())


def artifacts(digest: str, attributes: Mapping[str, str]) -> str:
    """Return the query for I/O spans of a digest, or of the beginning of one, with all of these attributes."""
    own = [f"span.{key} = {literal(value)}" for key, value in attributes.items()]
    return _braces([_digest(digest), *own])


def links(trace_id: str) -> str:
    """Return the query for spans with a link to a span of a trace, whose id is given in hex."""
    return _braces([f"link:traceID = {literal(trace_id)}"])


def runs(component: str | None, where: Sequence[Condition]) -> str:
    """Return the query for traces with runs of a component, or of all, of which `where` may hold.

    What a condition means that TraceQL cannot say is left for others to look at.
    """
    own = [RUNS] if component is None else [f"span.{A.MLOTEL_COMPONENT_NAME} = {literal(component)}"]
    others = []
    for condition in where:
        clause = _clause(condition)
        if clause is not None and condition.needs_artifacts:
            others.append(_braces([clause]))
        elif clause is not None:
            own.append(clause)
    return " && ".join([_braces(own), *others])


def selects(condition: Condition) -> bool:
    """Whether `runs` says all that a condition means, and not only that there is such a value."""
    if condition.key == "time":
        return True
    clause = _clause(condition)
    return clause is not None and (condition.op == "exists" or not clause.endswith(_EXISTS))


def _braces(clauses: Iterable[str]) -> str:
    return f"{{ {' && '.join(clauses)} }}"


def _any(clauses: Iterable[str]) -> str:
    known = list(dict.fromkeys(clauses))
    return known[0] if len(known) == 1 else f"({' || '.join(known)})"


def _clause(condition: Condition) -> str | None:
    """What holds for each span of a run (or for one of its I/O spans) of which the condition holds; None if nothing."""
    if condition.needs_artifacts:
        return _artifact(condition)
    if condition.key == "duration":
        return _duration(condition)
    attribute, op, value = condition.attribute, condition.op, condition.value
    if attribute is None or (op == "exists" and not value):
        return None
    scope = "resource" if condition.key == "service" else "" if condition.key.startswith("attribute.") else "span"
    key = name(attribute, scope)
    if key is None:
        return None
    if condition.key == "state":
        return _state(op, str(value))
    if condition.key.startswith("metric."):
        return key + _EXISTS if op in ("exists", "!=") else _number(key, op, condition.number)
    if condition.key.startswith(("param.", "tag.", "attribute.")):
        return _scalar(key, condition) if op == "=" else key + _EXISTS
    if op == "=":
        return f"{key} = {literal(str(value))}"
    if op == "~":
        return _pattern(key, str(value))
    return f"{key}{_EXISTS} && {key} != {literal(str(value))}" if op == "!=" else key + _EXISTS


def _state(op: str, state: str) -> str | None:
    """A span that does not say the state of its run says it by its status."""
    said = f"span.{A.MLOTEL_RUN_STATE} = {literal(state)}"
    if op != "=" or state not in ("ok", "failed"):
        return said if op == "=" else None
    return _any([said, "status = error" if state == "failed" else "status != error"])


def _scalar(key: str, condition: Condition) -> str:
    """Equality with a value of whatever type that is written so."""
    value, number = condition.value, condition.number
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    clauses = [f"{key} = {literal(text)}"]
    if text.strip().lower() in ("true", "false"):
        clauses.append(f"{key} = {text.strip().lower()}")
    typed = None if number is None else _number(key, "=", number)
    return _any(clauses if typed is None else [*clauses, typed])


def _number(key: str, op: str, number: float | None) -> str | None:
    """A comparison with integers and with doubles: Tempo before 2.7 compares values of the literal's own type alone."""
    if number is None or not math.isfinite(number) or abs(number) >= _INT64:
        return key + _EXISTS
    double = repr(float(number))
    clauses = [f"{key} {op} {double}"]
    whole = math.ceil(number) if op in ("<", ">=") else math.floor(number)
    if whole == number or op != "=":
        clauses.append(f"{key} {op} {whole}")
    return _any(clauses)


def _duration(condition: Condition) -> str | None:
    if condition.op == "exists" or isinstance(condition.value, str):
        return None
    nanoseconds = float(condition.value) * 1e9
    if not abs(nanoseconds) < _INT64 / 2:
        return None
    # Seconds are rounded, so a nanosecond more or less may count.
    bound = math.floor(nanoseconds) - 1 if condition.op in (">", ">=") else math.ceil(nanoseconds) + 1
    return f"duration {condition.op[0]}= {max(bound, 0)}ns"


def _artifact(condition: Condition) -> str | None:
    """What holds for an I/O span by which the condition holds."""
    op, text = condition.op, str(condition.value)
    sides = _any(f"span.{A.MLOTEL_IO_DIRECTION} = {literal(side)}" for side in _SIDES[condition.key])
    keys = [f"span.{key}" for key in (A.MLOTEL_ARTIFACT_NAME, A.MLOTEL_ARTIFACT_URI, A.MLOTEL_ARTIFACT_DIGEST)]
    if op == "exists":
        return sides if condition.value else None
    if op == "=":
        places = [f"{keys[1]} = {literal(each)}" for each in dict.fromkeys((text, uris.clean(text)))]
        return f"{sides} && {_any([f'{keys[0]} = {literal(text)}', *places, _digest(text)])}"
    patterns = [_pattern(key, text) for key in keys] if op == "~" else []
    found = [pattern for pattern in patterns if pattern is not None]
    return f"{sides} && {_any(found)}" if found else sides


def _digest(digest: str) -> str:
    key = f"span.{A.MLOTEL_ARTIFACT_DIGEST}"
    match = _DIGEST.fullmatch(digest.lower())
    if match is None:  # another system's
        return f"{key} = {literal(digest)}"
    algorithm = "([a-z0-9]+:)?" if match[1] is None else f"{match[1]}:"
    if match[1] is None or len(match[2]) < _WHOLE_DIGEST:
        return f"{key} =~ {literal(f'{algorithm}{match[2]}.*')}"
    return f"{key} = {literal(digest.lower())}"


def _pattern(key: str, pattern: str) -> str | None:
    """A regular expression that is found somewhere in the text: those of TraceQL have to match all of it."""
    if r"\Q" in pattern:  # may quote to the end of the pattern
        return key + _EXISTS
    return f"{key} =~ {literal(f'(?s:.*)(?:{pattern})(?s:.*)')}"
