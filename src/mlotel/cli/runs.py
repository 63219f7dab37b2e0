"""`mlotel runs`: the latest component runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mlotel.cli.completion import complete_component
from mlotel.cli.options import (
    FormatOption,
    JaegerOption,
    LimitOption,
    OutputFormat,
    SinceOption,
    StoreOption,
    TempoOption,
    UntilOption,
    nearest,
    open_store,
    time_range,
)
from mlotel.cli.output import complain, make_console, print_json
from mlotel.cli.tables import caption, counted, print_runs
from mlotel.cli.text import clean
from mlotel.documents import run_document
from mlotel.lineage import component_names

__all__ = ["command"]


def command(
    limit: LimitOption = 20,
    component: Annotated[
        str | None,
        typer.Option(
            "--component", "-c", metavar="NAME", help="Only runs of this component.", autocompletion=complete_component
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    output_format: FormatOption = OutputFormat.TABLE,
    store: StoreOption = None,
    jaeger: JaegerOption = None,
    tempo: TempoOption = None,
) -> None:
    """List the latest runs.

    Example: mlotel runs --component train --limit 5
    """
    since_ns, until_ns = time_range(since, until)
    with open_store(store, jaeger, tempo, since_ns=since_ns, until_ns=until_ns) as opened:
        runs = opened.store.runs(component=component, since_ns=since_ns, until_ns=until_ns, limit=limit)
        if output_format is OutputFormat.JSON:
            if not opened.exists:
                complain(opened.advice)
            print_json([run_document(run) for run in runs])
            return
        console = make_console()
        if runs:
            print_runs(console, runs)
            caption(console, opened, more=counted(runs, limit))
        elif known := component_names(opened.store):
            console.print(_nothing(component, known), soft_wrap=True)
            caption(console, opened)
        else:
            console.print(opened.advice, soft_wrap=True)


def _nothing(component: str | None, known: Sequence[str]) -> str:
    if component is None:
        return "no runs in this time"
    if component in known:
        return f"no runs of component {clean(component)!r} in this time"
    return f"no runs of component {clean(component)!r}{clean(nearest(component, known))}"
