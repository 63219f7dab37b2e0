"""`mlotel tags`: the tags that components and runs carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlotel.cli.options import (
    OutputFormat,
    StoreSource,
    format_option,
    open_store,
    since_option,
    store_options,
    time_range,
    until_option,
)
from mlotel.cli.output import complain, make_console, print_json
from mlotel.cli.tables import Column, caption, print_table
from mlotel.cli.text import amount, clean
from mlotel.documents import tags_document
from mlotel.lineage import component_tags, components, run_tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

__all__ = ["command"]


@click.command()
@since_option
@until_option
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=1),
    default=1000,
    help="Of how many runs, latest first, the tags are counted.",
)
@format_option
@store_options
def command(
    since: str | None,
    until: str | None,
    limit: int,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """List the tags of components and of runs, and how many carry each.

    Example: mlotel tags --since 7d
    """
    since_ns, until_ns = time_range(since, until)
    with open_store(source, since_ns=since_ns, until_ns=until_ns) as opened:
        found = components(opened.store, since_ns=since_ns, until_ns=until_ns)
        runs = opened.store.runs(since_ns=since_ns, until_ns=until_ns, limit=limit)
        if output_format is OutputFormat.JSON:
            if not opened.exists:
                complain(opened.advice)
            print_json(tags_document(found, runs))
            return
        console = make_console()
        if not runs:
            console.print(opened.advice, soft_wrap=True)
            return
        of_components, of_runs = component_tags(found), run_tags(runs)
        if of_components:
            console.print("Components", style="bold")
            _print(
                console,
                "TAG",
                list(of_components),
                [len(each) for each in of_components.values()],
                list(of_components.values()),
            )
        if of_runs:
            console.print("Runs", style="bold")
            _print(
                console,
                "TAG",
                [f"{each.key} = {each.value}" for each in of_runs],
                [each.runs for each in of_runs],
                [each.components for each in of_runs],
            )
        if not of_components and not of_runs:
            console.print("no tags: give them with mlotel.component(..., tags=[...]) or run.set_tag(...)")
        looked_at = f" · {amount(len(runs), 'run')}"
        caption(console, opened, more=looked_at + (", the latest; --limit for more" if len(runs) == limit else ""))


def _print(
    console: Console, title: str, tags: Sequence[str], counts: Sequence[int], carriers: Sequence[Sequence[str]]
) -> None:
    print_table(
        console,
        [
            Column(title, [clean(each) for each in tags], folds=True),
            Column("COUNT", [f"{each:,}" for each in counts], right=True),
            Column("COMPONENTS", [", ".join(map(clean, each)) for each in carriers], rank=1, folds=True),
        ],
        indent=2,
    )
