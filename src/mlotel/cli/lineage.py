"""`mlotel lineage`: what an output was made from."""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mlotel.cli.documents import lineage_document
from mlotel.cli.options import StoreOption, open_store
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, caption, print_table, state_text
from mlotel.cli.text import amount, clean, duration, short_id, when
from mlotel.cli.tree import print_tree
from mlotel.errors import RunNotFoundError
from mlotel.lineage import node_id, resolve, upstream
from mlotel.model import Lineage

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["LineageFormat", "command"]


class LineageFormat(StrEnum):
    """How a lineage is written."""

    TREE = "tree"
    TABLE = "table"
    JSON = "json"


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A run id, trace id, digest, path or artifact name; an id or digest may be cut to 4 digits or more. "
            "With run:, trace:, digest:, path: or name: in front it is taken as that alone.",
            show_default=False,
        ),
    ],
    depth: Annotated[
        int | None,
        typer.Option("--depth", "-d", min=0, metavar="N", help="Go back over N runs; all of them if not given."),
    ] = None,
    output_format: Annotated[
        LineageFormat, typer.Option("--format", "-f", help="A tree or a table to read, or JSON for programs.")
    ] = LineageFormat.TREE,
    store: StoreOption = None,
) -> None:
    """Show everything that an output, or a run, was made from.

    Example: mlotel lineage out/predictions.parquet
    """
    with open_store(store) as opened:
        if not opened.exists:
            raise RunNotFoundError(opened.advice)
        found = upstream(opened.store, resolve(opened.store, what), depth=depth)
        if output_format is LineageFormat.JSON:
            print_json(lineage_document(found))
            return
        console = make_console()
        if output_format is LineageFormat.TABLE:
            _print_table(console, found)
        else:
            print_tree(console, found, whole=depth is None)
        counts = f" · {amount(len(found.runs), 'run')}, {amount(len(found.artifacts), 'artifact')}"
        caption(console, opened, more=counts)
        if found.partial:
            console.print("partial: some producers that are named by a link are not in this store", style="yellow")


def _print_table(console: Console, lineage: Lineage) -> None:
    """Print the runs of a lineage, latest first, with the artifacts through which they are part of it."""
    names = {node_id(each): clean(each.name) for each in lineage.artifacts}
    read: defaultdict[str, list[str]] = defaultdict(list)
    wrote: defaultdict[str, list[str]] = defaultdict(list)
    for edge in lineage.edges:
        if edge.kind == "read":
            read[edge.target].append(names.get(edge.source, ""))
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
        ],
    )
