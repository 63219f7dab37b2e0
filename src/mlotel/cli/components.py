"""`mlotel components`: what ran, how often and how it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from mlotel.cli.options import (
    OutputFormat,
    StoreSource,
    format_option,
    nearest,
    open_store,
    since_option,
    store_options,
    time_range,
    until_option,
)
from mlotel.cli.output import complain, make_console, print_json
from mlotel.cli.tables import Column, caption, print_table, state_text
from mlotel.cli.text import amount, clean, duration, when
from mlotel.documents import component_document
from mlotel.errors import RunNotFoundError
from mlotel.lineage import ComponentSummary, component_tags, components
from mlotel.model import RUN_STATES

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["command"]


@click.command()
@click.option("--owner", metavar="NAME", help="Only components of this owner.")
@click.option("--tag", metavar="TAG", help="Only components with this tag.")
@since_option
@until_option
@format_option
@store_options
def command(
    owner: str | None,
    tag: str | None,
    since: str | None,
    until: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """List the components that ran: how often, how it went, how long it takes, who owns them.

    Example: mlotel components --owner data-team
    """
    since_ns, until_ns = time_range(since, until)
    with open_store(source, since_ns=since_ns, until_ns=until_ns) as opened:
        every = components(opened.store, since_ns=since_ns, until_ns=until_ns)
        found = [each for each in every if owner in (None, each.owner) and (tag is None or tag in each.tags)]
        if every and not found:
            raise RunNotFoundError(_nobody(every, owner, tag))
        if output_format is OutputFormat.JSON:
            if not opened.exists:
                complain(opened.advice)
            print_json([component_document(each) for each in found])
            return
        console = make_console()
        if not found:
            console.print(opened.advice, soft_wrap=True)
            return
        _print(console, found)
        runs = sum(each.runs for each in found)
        within = " in the last 30 days" if isinstance(opened.path, str) and since_ns is None else ""
        caption(console, opened, more=f" · {amount(len(found), 'component')}, {amount(runs, 'run')}{within}")


def _print(console: Console, found: Sequence[ComponentSummary]) -> None:
    print_table(
        console,
        [
            Column("COMPONENT", [clean(each.name) for each in found], folds=True),
            Column("RUNS", [f"{each.runs:,}" for each in found], right=True),
            Column("STATES", [_states(console, each.states) for each in found], rank=3, folds=True),
            Column("LAST RUN", [when(each.latest.start_ns) for each in found], rank=2),
            Column("LAST STATE", [state_text(console, each.latest.state) for each in found], rank=1),
            Column("MEDIAN", [duration(each.median_duration_s) for each in found], rank=4, right=True),
            Column("OWNER", [clean(each.owner or "") for each in found], rank=5, folds=True),
            Column("TAGS", [", ".join(map(clean, each.tags)) for each in found], rank=6, folds=True),
            Column("DESCRIPTION", [clean(each.description or "") for each in found], rank=7, folds=True),
        ],
    )


def _states(console: Console, states: Mapping[str, int]) -> Text:
    from rich.text import Text

    parts = [(state_text(console, state), states[state]) for state in RUN_STATES if states.get(state)]
    return Text(", ").join(Text(f"{count:,} ").append_text(state) for state, count in parts)


def _nobody(every: Sequence[ComponentSummary], owner: str | None, tag: str | None) -> str:
    owners = sorted({each.owner for each in every if each.owner})
    if owner is not None and owner not in owners:
        return f"no component of owner {owner!r}{nearest(owner, owners) or _there_are('owners', owners)}"
    tags = list(component_tags(every))
    if tag is not None and tag not in tags:
        return f"no component with tag {tag!r}{nearest(tag, tags) or _there_are('tags', tags)}"
    return f"no component of owner {owner!r} has tag {tag!r}"


def _there_are(what: str, names: Sequence[str]) -> str:
    return f": there are {what} {', '.join(map(repr, names[:10]))}" if names else f": no component has {what}"
