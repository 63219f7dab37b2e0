"""`mlotel history`: the runs of one component."""

from __future__ import annotations

from typing import Annotated

import typer

from mlotel.cli.options import FormatOption, JaegerOption, LimitOption, OutputFormat, StoreOption, nearest, open_store
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, caption, counted, print_table, state_text
from mlotel.cli.text import clean, duration, number, short_id, when
from mlotel.documents import run_document
from mlotel.errors import RunNotFoundError
from mlotel.model import Run

__all__ = ["command"]

_LOOKED_AT = 1000
_METRICS_SHOWN = 3


def command(
    component: Annotated[str, typer.Argument(metavar="COMPONENT", help="The component's name.", show_default=False)],
    limit: LimitOption = 20,
    output_format: FormatOption = OutputFormat.TABLE,
    store: StoreOption = None,
    jaeger: JaegerOption = None,
) -> None:
    """List the runs of one component, latest first, with what may have changed between them.

    Example: mlotel history train
    """
    with open_store(store, jaeger) as opened:
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
        columns = [
            Column("RUN", [short_id(run.run_id) for run in runs]),
            Column("STATE", [state_text(console, run.state) for run in runs]),
            Column("STARTED", [when(run.start_ns) for run in runs], rank=1),
            Column("DURATION", [duration(run.duration_s) for run in runs], rank=2, right=True),
            Column("VERSION", [clean(run.version or "") for run in runs], rank=5, folds=True),
            Column("COMMIT", [_commit(run) for run in runs], rank=4),
            Column("IN", [str(len(run.inputs)) for run in runs], rank=6, right=True),
            Column("OUT", [str(len(run.outputs)) for run in runs], rank=6, right=True),
        ]
        for key in metrics:
            values = [number(run.metrics[key]) if key in run.metrics else "" for run in runs]
            columns.append(Column(clean(key), values, rank=3, right=True))
        print_table(console, columns)
        changed = " · * uncommitted changes" if any(run.git.get("dirty") for run in runs) else ""
        caption(console, opened, more=counted(runs, limit) + changed)


def _commit(run: Run) -> str:
    return clean(run.git.get("commit", ""))[:8] + ("*" if run.git.get("dirty") else "")
