"""`mlotel history`: the runs of one component."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from mlotel.cli.completion import complete_component
from mlotel.cli.options import (
    OpenedStore,
    OutputFormat,
    StoreSource,
    format_option,
    open_store,
    since_option,
    store_options,
    time_range,
    until_option,
)
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, caption, counted, print_table, state_text
from mlotel.cli.text import clean, duration, number, short_id, when
from mlotel.documents import run_document
from mlotel.errors import QueryError, RunNotFoundError, unknown_component
from mlotel.lineage import History, component_names
from mlotel.model import Run

__all__ = ["command"]

_LIMIT = 20
_METRICS_SHOWN = 3
_NUMBER = r"(-?[0-9]{1,18})"
_SLICE = re.compile(rf"{_NUMBER}?:{_NUMBER}?(?::{_NUMBER}?)?")


@click.command()
@click.argument("component", metavar="COMPONENT", shell_complete=complete_component)
@since_option
@until_option
@click.option(
    "--index",
    "-i",
    metavar="SLICE",
    help="Which of the runs, as Python counts: 0 is the first, -1 the latest, -3: the last three, ::100 each "
    "hundredth.",
)
@click.option(
    "--limit", "-n", type=click.IntRange(min=1), help="How many runs, latest first: 20 unless --index says which."
)
@format_option
@store_options
def command(
    component: str,
    since: str | None,
    until: str | None,
    index: str | None,
    limit: int | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """List the runs of one component, latest first, with what may have changed between them.

    COMPONENT: The component's name.

    Example: mlotel history train --since 7d
    """
    since_ns, until_ns = time_range(since, until)
    places = None if index is None else _places(index)
    if limit is None and places is None:
        limit = _LIMIT
    with open_store(source, since_ns=since_ns, until_ns=until_ns) as opened:
        if places is not None:
            history = History(opened.store, component, since_ns=since_ns, until_ns=until_ns)
            found = history[places : places + 1 or None] if isinstance(places, int) else history[places]
            runs: Sequence[Run] = sorted(found, key=lambda run: run.start_ns, reverse=True)[:limit]
        else:
            runs = opened.store.runs(component=component, since_ns=since_ns, until_ns=until_ns, limit=limit)
        if not runs:
            raise RunNotFoundError(_nothing(opened, component))
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
        caption(console, opened, more=counted(runs, limit or len(runs) + 1) + changed)


def _commit(run: Run) -> str:
    return clean(run.git.get("commit", ""))[:8] + ("*" if run.git.get("dirty") else "")


def _places(text: str) -> int | slice:
    """The index or slice that is written as Python writes it."""
    said = text.strip().removeprefix("[").removesuffix("]")
    if re.fullmatch(_NUMBER, said):
        return int(said)
    match = _SLICE.fullmatch(said)
    if match is None or (match[3] and int(match[3]) == 0):
        raise QueryError(f"{text!r} says no runs: write --index as in Python: 0, -1, -3:, :10 or 10:20")
    return slice(*(None if each is None else int(each) for each in match.groups()))


def _nothing(opened: OpenedStore, component: str) -> str:
    known = component_names(opened.store)
    if not known:
        return opened.advice
    if component in known:
        return f"no runs of component {component!r} there: `mlotel history {component}` lists its latest"
    return unknown_component(component, known)
