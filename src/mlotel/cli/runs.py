"""`mlotel runs`: the latest component runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import click

from mlotel.cli.completion import complete_component
from mlotel.cli.options import (
    OutputFormat,
    StoreSource,
    format_option,
    limit_option,
    open_store,
    since_option,
    store_options,
    time_range,
    until_option,
)
from mlotel.cli.output import complain, make_console, print_json
from mlotel.cli.tables import caption, counted, print_runs
from mlotel.cli.text import clean
from mlotel.errors import unknown_component
from mlotel.model import RunHead
from mlotel.store import Store
from mlotel.store.values import head_of

__all__ = ["command"]


@click.command()
@limit_option
@click.option(
    "--component", "-c", metavar="NAME", shell_complete=complete_component, help="Only runs of this component."
)
@since_option
@until_option
@format_option
@store_options
def command(
    limit: int,
    component: str | None,
    since: str | None,
    until: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """List the latest runs.

    Example: mlotel runs --component train --limit 5
    """
    since_ns, until_ns = time_range(since, until)
    with open_store(source, since_ns=since_ns, until_ns=until_ns) as opened:
        if output_format is OutputFormat.JSON:
            from mlotel.documents import run_document  # it loads lineage, which the table does without

            runs = opened.store.runs(component=component, since_ns=since_ns, until_ns=until_ns, limit=limit)
            if not opened.exists:
                complain(opened.advice)
            print_json([run_document(run) for run in runs])
            return
        console = make_console()
        heads = _heads(opened.store, component, since_ns, until_ns, limit)
        if heads:
            print_runs(console, heads)
            caption(console, opened, more=counted(heads, limit))
            return
        from mlotel.lineage import component_names

        if known := component_names(opened.store):
            console.print(_nothing(component, known), soft_wrap=True)
            caption(console, opened)
        else:
            console.print(opened.advice, soft_wrap=True)


@runtime_checkable
class _KnowsHeads(Protocol):
    """A store that finds out in less time than whole runs take what a table shows of them."""

    def heads(
        self, *, component: str | None = None, since_ns: int | None, until_ns: int | None, limit: int | None
    ) -> Sequence[RunHead]: ...


def _heads(
    store: Store, component: str | None, since_ns: int | None, until_ns: int | None, limit: int
) -> Sequence[RunHead]:
    if isinstance(store, _KnowsHeads):
        return store.heads(component=component, since_ns=since_ns, until_ns=until_ns, limit=limit)
    runs = store.runs(component=component, since_ns=since_ns, until_ns=until_ns, limit=limit)
    return [head_of(run, len(run.inputs), len(run.outputs)) for run in runs]


def _nothing(component: str | None, known: Sequence[str]) -> str:
    if component is None:
        return "no runs in this time"
    if component in known:
        return f"no runs of component {clean(component)!r} in this time"
    return clean(unknown_component(component, known))
