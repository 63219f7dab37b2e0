"""`--where KEY OP VALUE`: conditions on runs, in three words each or in one."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mlotel.errors import QueryError
from mlotel.store.conditions import Condition

__all__ = ["WhereCommand", "conditions_of", "where_option"]

_NAMES = ("--where", "-w")
_OPS = frozenset({"=", "==", "!=", "<", "<=", ">", ">=", "~", "exists", "eq", "ne", "lt", "le", "gt", "ge"})
_ANSWERS = frozenset({"yes", "no", "true", "false"})
# Between the words of one condition: the system allows it in no argument.
_BETWEEN = "\0"

where_option = click.option(
    "--where",
    "-w",
    multiple=True,
    metavar="KEY OP VALUE",
    help="Only runs for which this holds, in three words (--where param.depth gt 5) or in one (--where "
    "'param.depth>5'); several must all hold. KEY: component, pipeline, version, service, state, time, "
    "duration, error.type, error.message, param.NAME, metric.NAME, tag.NAME, attribute.NAME, artifact, input, "
    "output. OP: = != < <= > >= ~ (regular expression) exists, or eq ne lt le gt ge.",
)


class WhereCommand(click.Command):
    """A command whose option `--where` takes one word or several."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the words of each condition before the arguments are parsed."""
        return super().parse_args(ctx, list(_joined(args)))


def conditions_of(said: Sequence[str] | None) -> tuple[Condition, ...]:
    """Return the conditions that were given.

    Raises:
        QueryError: one of them is none.
    """
    return tuple(_condition(each.split(_BETWEEN)) for each in said or ())


def _condition(words: Sequence[str]) -> Condition:
    if len(words) == 1:
        return Condition.parse_word(words[0])
    if len(words) == 2 and words[1] != "exists":
        raise QueryError(f"--where {words[0]} {words[1]} needs a value")
    return Condition.parse(words[0], words[1], *words[2:])


def _joined(args: Sequence[str]) -> list[str]:
    joined: list[str] = []
    at = 0
    while at < len(args):
        word, rest = args[at], args[at + 1 :]
        if word == "--":
            return [*joined, *args[at:]]
        joined.append(word)
        at += 1
        if word in _NAMES and rest:
            count = _count(rest)
            joined.append(_BETWEEN.join(rest[:count]))
            at += count
    return joined


def _count(words: Sequence[str]) -> int:
    """How many of the words that come after the option make its condition."""
    if len(words) < 2 or words[1] not in _OPS:
        return 1
    if words[1] == "exists":
        return 3 if len(words) > 2 and words[2].lower() in _ANSWERS else 2
    return min(3, len(words))
