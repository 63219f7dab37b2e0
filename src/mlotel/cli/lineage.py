"""`mlotel lineage`: what an output was made from, and what it touched."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import click

from mlotel.cli.mermaid import mermaid
from mlotel.cli.options import OneOf, StoreSource, open_store, store_options, time_range
from mlotel.cli.output import make_console, print_json, print_json_lines
from mlotel.cli.record import print_record
from mlotel.cli.tables import Column, caption, print_table, state_text
from mlotel.cli.text import amount, clean, duration, short_id, when
from mlotel.cli.tree import print_tree
from mlotel.documents import lineage_document, record_document
from mlotel.errors import RunNotFoundError
from mlotel.inspection import staleness_of_all
from mlotel.lineage import (
    RECORD,
    Root,
    around,
    downstream,
    node_id,
    resolve,
    resolve_record,
    sub_workflows,
    upstream,
)
from mlotel.model import Lineage, Staleness
from mlotel.store import Store

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["LineageFormat", "command"]


class _Walk(Protocol):
    def __call__(
        self, store: Store, root: Root, *, depth: int | None, since_ns: int | None, until_ns: int | None
    ) -> Lineage: ...


class LineageFormat(StrEnum):
    """How a lineage is written."""

    TREE = "tree"
    TABLE = "table"
    JSON = "json"
    MERMAID = "mermaid"
    HTML = "html"
    OPENLINEAGE = "openlineage"


@click.command()
@click.argument("what", metavar="WHAT")
@click.option("--forward", is_flag=True, help="What it touched, instead of what it was made from.")
@click.option("--both", is_flag=True, help="What it was made from and what it touched.")
@click.option(
    "--depth", "-d", type=click.IntRange(min=0), metavar="N", help="Go over N runs, each way; all of them if not given."
)
@click.option(
    "--since",
    metavar="TIME",
    help="Follow no run that began earlier: RFC 3339 (2026-11-21T09:30:00Z), or how long ago (12h, 7d). Of the "
    "predictions for a record, take none that was made earlier, and follow every run.",
)
@click.option("--until", metavar="TIME", help="Follow no run that began later.")
@click.option(
    "--format",
    "-f",
    "output_format",
    type=OneOf(LineageFormat),
    default="tree",
    help="A tree or a table to read, JSON for programs, the text of a Mermaid flowchart, a page for a browser, or "
    "OpenLineage events, one a line.",
)
@click.option(
    "--send-trace",
    "send",
    is_flag=True,
    help="Print no lineage but send it, as one trace of its own, to where OTEL_EXPORTER_OTLP_ENDPOINT says: Jaeger "
    "then shows all of it at once.",
)
@store_options
def command(
    what: str,
    forward: bool,
    both: bool,
    depth: int | None,
    since: str | None,
    until: str | None,
    output_format: LineageFormat,
    send: bool,
    source: StoreSource,
) -> None:
    """Show everything that an output, or a run, was made from, or everything that it touched.

    WHAT: A run id, trace id, digest, path or artifact name; an id or digest may be cut to 4 digits or more. With
    run:, trace:, digest:, path: or name: in front it is taken as that alone. model:NAME[:VERSION] is a model,
    record:KEY the latest prediction for that record.

    Example: mlotel lineage out/predictions.parquet
    """
    if forward and both:
        raise click.BadParameter("--forward is one way and --both is two: leave one of them out")
    if send and output_format not in (LineageFormat.TREE, LineageFormat.JSON):
        raise click.BadParameter("--send-trace prints no lineage: leave --format out, or take json")
    since_ns, until_ns = time_range(since, until)
    with open_store(source, since_ns=since_ns, until_ns=until_ns) as opened:
        if not opened.exists:
            raise RunNotFoundError(opened.advice)
        record = None
        if what.startswith(RECORD):
            record = resolve_record(opened.store, what, since_ns=since_ns, until_ns=until_ns)
            since = until = since_ns = until_ns = None  # they said which prediction: what lies behind it may be older
        root = resolve(opened.store, what) if record is None else record.run

        def walk(way: _Walk) -> Lineage:
            with opened.searching(since_ns):  # what is not followed need not be looked for
                return way(opened.store, root, depth=depth, since_ns=since_ns, until_ns=until_ns)

        found = walk(around if both else downstream if forward else upstream)
        if send:
            from mlotel.cli.sendtrace import send_trace

            send_trace(found, as_json=output_format is LineageFormat.JSON)
            return
        if output_format in (LineageFormat.JSON, LineageFormat.HTML):
            started = sub_workflows(opened.store, found.runs).values()
            stale = staleness_of_all(opened.store, found.runs)
            document = lineage_document(found, (each for workflows in started for each in workflows), stale)
            if record is not None:
                document = {"record": record_document(record), **document}
            if output_format is LineageFormat.HTML:
                from mlotel.cli.html import html

                # As UTF-8, which the page says of itself, whatever the terminal's encoding is
                sys.stdout.buffer.write(html(document).encode())
            else:
                print_json(document)
            return
        if output_format is LineageFormat.MERMAID:
            sys.stdout.write(mermaid(found))
            return
        if output_format is LineageFormat.OPENLINEAGE:
            from mlotel.cli.openlineage import openlineage

            print_json_lines(openlineage(found))
            return
        console = make_console()
        if record is not None:
            print_record(console, record, found)
        whole = depth is None and since is None and until is None
        workflows = {} if output_format is LineageFormat.TABLE else sub_workflows(opened.store, found.runs)
        stale = staleness_of_all(opened.store, found.runs)
        if output_format is LineageFormat.TABLE:
            _print_table(console, found, stale)
        elif both:
            # In one graph, what leads back and what leads on can no longer be told apart.
            console.print("made from", style="dim")
            print_tree(console, walk(upstream), whole=whole, workflows=workflows, stale=stale)
            console.print("touched", style="dim")
            print_tree(console, walk(downstream), forward=True, whole=whole, workflows=workflows, stale=stale)
        else:
            print_tree(console, found, forward=forward, whole=whole, workflows=workflows, stale=stale)
        counts = f" · {amount(len(found.runs), 'run')}, {amount(len(found.artifacts), 'artifact')}"
        caption(console, opened, more=counts)
        if found.partial:
            console.print("partial: some producers that are named by a link are not in this store", style="yellow")


def _print_table(console: Console, lineage: Lineage, stale: Mapping[str, Sequence[Staleness]]) -> None:
    """Print the runs of a lineage, latest first, with the artifacts through which they are part of it."""
    names = {node_id(each): clean(each.name) for each in lineage.artifacts}
    read: defaultdict[str, list[str]] = defaultdict(list)
    wrote: defaultdict[str, list[str]] = defaultdict(list)
    components = {run.run_id: clean(run.component) for run in lineage.runs}
    for edge in lineage.edges:
        if edge.kind == "read":
            read[edge.target].append(names.get(edge.source, ""))
        elif edge.kind == "depends_on":
            read[edge.target].append(f"(run of {components.get(edge.source, '')})")
        else:
            wrote[edge.source].append(names.get(edge.target, ""))
    runs = lineage.runs[::-1]
    print_table(
        console,
        [
            Column("RUN", [short_id(run.run_id) for run in runs]),
            Column("COMPONENT", [clean(run.component) for run in runs], folds=True),
            Column("STATE", [state_text(console, run.state) for run in runs], rank=2),
            Column("STARTED", [when(run.start_ns) for run in runs], rank=3),
            Column("DURATION", [duration(run.duration_s) for run in runs], rank=4, right=True),
            Column("READ", [", ".join(read[run.run_id]) for run in runs], rank=1, folds=True),
            Column("WROTE", [", ".join(wrote[run.run_id]) for run in runs], folds=True),
            Column("STALE", [_stale(stale.get(run.run_id, ())) for run in runs], rank=1, folds=True),
        ],
    )


def _stale(found: Sequence[Staleness]) -> str:
    """Return which inputs are stale, and since when."""
    when_it_ran = dict.fromkeys(clean(each.artifact) for each in found if each.when == "ran")
    since = dict.fromkeys(clean(each.artifact) for each in found if each.artifact not in when_it_ran)
    told = [
        f"{words}: {', '.join(names)}" for words, names in (("when it ran", when_it_ran), ("since", since)) if names
    ]
    return "; ".join(told)
