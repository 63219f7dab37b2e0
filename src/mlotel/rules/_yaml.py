"""Rules as the YAML that Prometheus reads and people review: only blocks of text and double-quoted strings.

A JSON string is a double-quoted YAML string, characters that do not print apart, so that nothing has to be known of
YAML's other ways to write one, and no library is needed to write rules; tests read them with one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from mlotel.rules._values import AlertRule, Group, Rule

__all__ = ["to_yaml"]

_LONGEST_LINE = 100


def to_yaml(groups: Iterable[Group], *, head: str = "") -> str:
    """Return groups of rules as a rule file.

    Args:
        groups: what stands in it.
        head: lines of a comment that it begins with.
    """
    return "\n".join([*_comment(head, ""), "groups:", *(line for group in groups for line in _group(group))]) + "\n"


def _group(group: Group) -> Iterator[str]:
    yield from _comment(group.comment, "  ")
    yield f"  - name: {_text(group.name)}"
    yield "    rules:"
    for rule in group.rules:
        yield from _rule(rule)


def _rule(rule: Rule) -> Iterator[str]:
    if isinstance(rule, AlertRule):
        yield f"      - alert: {rule.alert}"
        yield from _field("expr", rule.expr, 8)
        yield f"        for: {rule.hold}"
        yield from _mapping("labels", rule.labels)
        yield from _mapping("annotations", rule.annotations)
        return
    yield f"      - record: {rule.record}"
    yield from _field("expr", rule.expr, 8)
    yield from _mapping("labels", rule.labels)


def _mapping(name: str, values: Mapping[str, str]) -> Iterator[str]:
    if values:
        yield f"        {name}:"
        for key, value in values.items():
            yield f"          {key}: {_text(value)}"


def _field(name: str, text: str, indent: int) -> Iterator[str]:
    """Yield a field whose text may have lines: as a block where it has, or is long."""
    lines = text.split("\n")
    short = len(lines) == 1 and len(text) <= _LONGEST_LINE
    if short or lines[0].startswith(" ") or not all(line.strip() and line.isprintable() for line in lines):
        yield f"{' ' * indent}{name}: {_text(text)}"
        return
    yield f"{' ' * indent}{name}: |-"
    for line in lines:
        yield f"{' ' * (indent + 2)}{line}"


def _text(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in quoted)


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in text.split("\n") if text else ():
        yield f"{indent}# {''.join(each for each in line if each.isprintable())}".rstrip()
