"""`mlotel history`: the runs of one component."""

from __future__ import annotations

from typing import Annotated

import typer

from mlotel.cli.documents import run_document
from mlotel.cli.options import FormatOption, LimitOption, OutputFormat, StoreOption, nearest, open_store
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import caption, counted, new_table, state_text
from mlotel.cli.text import clean, duration, number, short_id, when
from mlotel.errors import RunNotFoundError

__all__ = ["command"]

_LOOKED_AT = 1000
_METRICS_SHOWN = 3


def command(
    component: Annotated[str, typer.Argument(help="The component's name.", show_default=False)],
    limit: LimitOption = 20,
    output_format: FormatOption = OutputFormat.TABLE,
    store: StoreOption = None,
) -> None:
    """List the runs of one component, latest first, with what may have changed between them.

    Example: mlotel history train
    """
    opened = open_store(store)
    runs = opened.store.runs(component=component, limit=limit)
    if not runs:
        known = sorted({run.component for run in opened.store.runs(limit=_LOOKED_AT)})
        if not known:
            raise RunNotFoundError(opened.advice)
        slip = nearest(component, known) or f": `mlotel runs` lists the components of {opened.path}"
        raise RunNotFoundError(f"no runs of component {component!r}{slip}")
    if output_format is OutputFormat.JSON:
        print_json([run_document(run) for run in runs])
        return
    console = make_console()
    metrics = list(dict.fromkeys(key for run in runs for key in run.metrics))[:_METRICS_SHOWN]
    table = new_table()
    table.add_column("RUN", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    table.add_column("STARTED", overflow="fold")
    table.add_column("DURATION", justify="right")
    table.add_column("VERSION", overflow="fold")
    table.add_column("COMMIT", overflow="fold")
    table.add_column("IN", justify="right")
    table.add_column("OUT", justify="right")
    for key in metrics:
        table.add_column(clean(key), justify="right", overflow="fold")
    for run in runs:
        commit = clean(run.git.get("commit", ""))[:8] + ("*" if run.git.get("dirty") else "")
        table.add_row(
            short_id(run.run_id),
            state_text(console, run.state),
            when(run.start_ns),
            duration(run.duration_s),
            clean(run.version or ""),
            commit,
            str(len(run.inputs)),
            str(len(run.outputs)),
            *(number(run.metrics[key]) if key in run.metrics else "" for key in metrics),
        )
    console.print(table)
    changed = " · * uncommitted changes" if any(run.git.get("dirty") for run in runs) else ""
    caption(console, opened.path, more=counted(runs, limit) + changed)
