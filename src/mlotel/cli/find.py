"""`mlotel find`: the runs that meet conditions."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mlotel.cli.options import (
    OpenedStore,
    OutputFormat,
    StoreSource,
    format_option,
    limit_option,
    nearest,
    open_store,
    since_option,
    store_options,
    time_range,
    until_option,
)
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, caption, counted, print_runs
from mlotel.cli.text import clean, number
from mlotel.cli.where import WhereCommand, conditions_of, where_option
from mlotel.documents import run_document
from mlotel.errors import QueryError, RunNotFoundError, unknown_component
from mlotel.lineage import component_names
from mlotel.model import Run
from mlotel.store import Store
from mlotel.store.conditions import Condition
from mlotel.store.values import head_of

__all__ = ["command"]

_SHOWN = ("param", "metric", "tag", "attribute")
_LOOKED_AT = 200
_NO_TEMPO = "--traceql is a query to Tempo: say which one with --tempo URL, or use --where"


@click.command(cls=WhereCommand)
@where_option
@since_option
@until_option
@limit_option
@click.option(
    "--traceql",
    metavar="QUERY",
    help="With --tempo: runs that this TraceQL query selects a span of; it is sent as it is.",
)
@format_option
@store_options
def command(
    where: Sequence[str],
    since: str | None,
    until: str | None,
    limit: int,
    traceql: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """Find the runs for which all conditions hold, latest first.

    Example: mlotel find --where component = train --where metric.rmse lt 6.5 --since 7d
    """
    if traceql is not None and source.tempo is None:
        raise QueryError(_NO_TEMPO)
    conditions = conditions_of(where)
    since_ns, until_ns = time_range(since, until)
    with open_store(source, since_ns=since_ns, until_ns=until_ns) as opened:
        if traceql is not None:
            runs = _by_traceql(opened.store, traceql, conditions, since_ns, until_ns, limit)
        else:
            runs = opened.store.runs(since_ns=since_ns, until_ns=until_ns, where=conditions, limit=limit)
        if output_format is OutputFormat.JSON:
            print_json([run_document(run) for run in runs])
        if not runs:
            raise RunNotFoundError(_nothing(opened, conditions, traceql))
        if output_format is OutputFormat.TABLE:
            console = make_console()
            print_runs(
                console,
                [head_of(run, len(run.inputs), len(run.outputs)) for run in runs],
                more=_columns(conditions, runs),
            )
            caption(console, opened, more=counted(runs, limit))
            here = [each for each in conditions if traceql is not None or not opened.store.translates(each)]
            if here:
                console.print(f"filtered locally, run by run: {clean(', '.join(map(str, here)))}", style="dim")


def _by_traceql(
    store: Store,
    query: str,
    conditions: Sequence[Condition],
    since_ns: int | None,
    until_ns: int | None,
    limit: int,
) -> Sequence[Run]:
    from mlotel.store.tempo import TempoStore

    if not isinstance(store, TempoStore):
        raise QueryError(_NO_TEMPO)
    found = store.search(query, since_ns=since_ns, until_ns=until_ns, limit=None if conditions else limit)
    return [run for run in found if all(condition.matches(run) for condition in conditions)][:limit]


def _columns(conditions: Sequence[Condition], runs: Sequence[Run]) -> list[Column]:
    """What was asked about, where the table does not show it anyway."""
    columns = []
    for key in dict.fromkeys(condition.key for condition in conditions):
        if key.partition(".")[0] in _SHOWN:
            values = [" ".join(map(number, Condition(key, "exists", True).values(run))) for run in runs]
            columns.append(Column(clean(key), values, rank=1, folds=True))
        elif key in ("error.type", "error.message", "service"):
            values = [" ".join(map(clean, Condition(key, "exists", True).values(run))) for run in runs]
            columns.append(Column(key.upper(), values, rank=1, folds=True))
    return columns


def _nothing(opened: OpenedStore, conditions: Sequence[Condition], traceql: str | None) -> str:
    """What to say where no run was found: a name that never came up is the likeliest reason."""
    if traceql is not None:
        return "no run answers to the query" + (" and meets the conditions" if conditions else "")
    latest = opened.store.runs(limit=_LOOKED_AT)
    if not latest:
        return opened.advice
    for condition in conditions:
        family, _, name = condition.key.partition(".")
        if condition.key == "component" and condition.op == "=":
            known: Sequence[str] = component_names(opened.store)
            if condition.value not in known:
                return unknown_component(str(condition.value), known)
        elif name and family in _SHOWN:
            keys = {key for run in latest for key in _names(family, run)}
            if name not in keys:
                slip = nearest(name, sorted(keys))
                return f"none of the latest {len(latest)} runs has {condition.key}{slip}"
    if not conditions:
        return "no runs in this time"
    return f"no run for which {' and '.join(map(str, conditions))} holds"


def _names(family: str, run: Run) -> Sequence[str]:
    return list({"param": run.params, "metric": run.metrics, "tag": run.tags}.get(family, run.attributes))
