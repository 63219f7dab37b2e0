"""`mlotel runs`: the latest component runs."""

from __future__ import annotations

from typing import Annotated

import typer

from mlotel.cli.options import FormatOption, JaegerOption, LimitOption, OutputFormat, StoreOption, open_store
from mlotel.cli.output import complain, make_console, print_json
from mlotel.cli.tables import caption, counted, print_runs
from mlotel.cli.text import clean
from mlotel.documents import run_document

__all__ = ["command"]


def command(
    limit: LimitOption = 20,
    component: Annotated[
        str | None, typer.Option("--component", "-c", metavar="NAME", help="Only runs of this component.")
    ] = None,
    output_format: FormatOption = OutputFormat.TABLE,
    store: StoreOption = None,
    jaeger: JaegerOption = None,
) -> None:
    """List the latest runs.

    Example: mlotel runs --component train --limit 5
    """
    with open_store(store, jaeger) as opened:
        runs = opened.store.runs(component=component, limit=limit)
        if output_format is OutputFormat.JSON:
            if not opened.exists:
                complain(opened.advice)
            print_json([run_document(run) for run in runs])
            return
        console = make_console()
        if runs:
            print_runs(console, runs)
            caption(console, opened, more=counted(runs, limit))
        elif component is not None and opened.store.runs(limit=1):
            console.print(f"no runs of component {clean(component)!r}", soft_wrap=True)
            caption(console, opened)
        else:
            console.print(opened.advice, soft_wrap=True)
