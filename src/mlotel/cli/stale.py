"""Why inputs are stale, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mlotel.cli.text import clean, short_id, when
from mlotel.freshness import days
from mlotel.model import Staleness

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["print_stale", "stale_lines", "stale_sentence"]

_SHOWN = 3


def stale_sentence(stale: Staleness) -> str:
    """Return why an input is stale as one sentence, which begins by saying since when."""
    name = repr(clean(stale.artifact))
    if stale.reason == "age":
        limit_ns = stale.stale_after_ns or 0
        limit = f"more than {days(limit_ns)}"
        if stale.when == "ran":
            return f"stale when it ran: {name} was {days(stale.age_ns)} old, {limit}"
        return f"stale since {when(stale.written_ns + limit_ns)}: {name} is {days(stale.age_ns)} old, {limit}"
    fresher = f"{short_id(stale.fresher_id or '')} of {when(stale.fresher_ns or 0)}"
    if stale.when == "ran":
        return f"stale when it ran: {clean(stale.component)} had a fresher run than the writer of {name}, {fresher}"
    return f"stale since it ran: {clean(stale.component)} has a fresher run than the writer of {name}, {fresher}"


def stale_lines(found: Sequence[Staleness]) -> Iterator[Text]:
    """Yield lines for a tree: a sentence for what held when the run began, one line for all that came later."""
    from rich.text import Text

    ran = [each for each in found if each.when == "ran"]
    yield from (Text(stale_sentence(each), style="yellow") for each in ran[:_SHOWN])
    names = [*dict.fromkeys(each.artifact for each in ran[_SHOWN:])]
    if names:
        yield Text(f"stale when it ran: {_names(names)} too", style="yellow")
    names = [*dict.fromkeys(each.artifact for each in found if each.when == "since")]
    if names:
        yield Text(f"stale since it ran: {_names(names)}", style="dim")


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(repr(clean(each)) for each in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def print_stale(console: Console, found: Iterable[Staleness]) -> None:
    """Print why inputs are stale under a title, or nothing at all."""
    told = list(found)
    if told:
        console.print("Stale", style="bold")
    for each in told:
        console.print(f"  {stale_sentence(each)}", style="yellow" if each.when == "ran" else "dim", soft_wrap=True)
