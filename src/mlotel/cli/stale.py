"""Why inputs are stale, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlotel.cli.text import clean, short_id, when
from mlotel.freshness import days
from mlotel.model import Staleness

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["print_stale", "stale_sentence", "stale_text"]


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


def stale_text(stale: Staleness) -> Text:
    """Return the same in colour: what held when the run began stands out."""
    from rich.text import Text

    return Text(stale_sentence(stale), style="yellow" if stale.when == "ran" else "dim yellow")


def print_stale(console: Console, found: Iterable[Staleness]) -> None:
    """Print why inputs are stale under a title, or nothing at all."""
    told = list(found)
    if told:
        console.print("Stale", style="bold")
    for each in told:
        line = stale_text(each)
        line.pad_left(2)
        console.print(line, soft_wrap=True)
