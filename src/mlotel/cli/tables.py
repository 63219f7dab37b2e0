"""The pieces that tables and trees are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlotel.cli.options import OpenedStore
from mlotel.cli.output import print_trimmed
from mlotel.cli.text import amount, bytes_, clean, duration, short_digest, short_id, when
from mlotel.model import Artifact, Run, RunHead

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = [
    "Column",
    "caption",
    "counted",
    "describe_artifact",
    "describe_run",
    "extent",
    "print_runs",
    "print_table",
    "state_text",
]

_STATES = {
    "ok": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("⊘", "yellow"),
    "running": ("▶", "cyan"),
    "lost": ("?", "magenta"),
}
_GAP = 2
_FOLDED = 16
_PLAIN_SYMBOLS = {"✓": "+", "✗": "x", "⊘": "-", "▶": ">"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, cells and all.

    `rank` says how soon it is left out where the terminal is narrow: 0 never, the highest first. Text in a column that
    `folds` goes on in the next line; a column without any text is not shown, unless it has rank 0.
    """

    title: str
    cells: Sequence[str | Text]
    rank: int = 0
    folds: bool = False
    right: bool = False

    @property
    def width(self) -> int:
        """The least number of characters that it can do with."""
        from rich.cells import cell_len

        longest = max((cell_len(str(cell)) for cell in self.cells), default=0)
        return max(min(longest, _FOLDED) if self.folds else longest, cell_len(self.title))

    @property
    def filled(self) -> bool:
        """Whether there is anything in it."""
        return any(str(cell).strip() for cell in self.cells)


def print_table(console: Console, columns: Sequence[Column], *, indent: int = 0) -> None:
    """Print columns side by side, as many as fit."""
    from rich.padding import Padding
    from rich.table import Table

    shown = [column for column in columns if column.rank == 0 or column.filled]
    while sum(column.width + _GAP for column in shown) - _GAP + indent > console.width:
        rank = max(column.rank for column in shown)
        if rank == 0:
            break
        shown = [column for column in shown if column.rank != rank]
    titled = any(column.title for column in shown)
    table = Table(box=None, pad_edge=False, show_header=titled, header_style="bold", padding=(0, _GAP, 0, 0))
    for column in shown:
        table.add_column(
            column.title, justify="right" if column.right else "left", overflow="fold", no_wrap=not column.folds
        )
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*row)
    print_trimmed(console, Padding.indent(table, indent))


def state_text(console: Console, state: str) -> Text:
    """Return a state with its symbol, in its colour."""
    from rich.text import Text

    symbol, style = _STATES.get(state, ("·", ""))
    if not console.encoding.lower().startswith("utf"):
        symbol = _PLAIN_SYMBOLS.get(symbol, symbol)
    return Text(f"{symbol} {clean(state)}", style=style)


def describe_run(console: Console, run: Run) -> Text:
    """Return a run on one line: component, short id, state, start and duration."""
    from rich.text import Text

    line = Text().append(clean(run.component), style="bold").append(f"  {short_id(run.run_id)}  ")
    line.append_text(state_text(console, run.state))
    return line.append(f"  {when(run.start_ns)}  {duration(run.duration_s)}", style="dim")


def describe_artifact(artifact: Artifact) -> Text:
    """Return an artifact on one line: name, type, extent and short digest."""
    from rich.text import Text

    line = Text().append(clean(artifact.name), style="bold blue")
    details = [clean(artifact.type)] if artifact.type else []
    details += extent(artifact)
    if artifact.digest:
        details.append(short_digest(artifact.digest))
    line.append("".join(f"  {each}" for each in details))
    return line


def extent(artifact: Artifact) -> list[str]:
    """Return how large the artifact is, in rows and columns or in bytes, as far as it is known."""
    if artifact.rows is not None:
        columns = "" if artifact.columns is None else f" × {artifact.columns:,}"
        return [f"{artifact.rows:,} rows{columns}"]
    return [bytes_(artifact.size)] if artifact.size is not None else []


def caption(console: Console, opened: OpenedStore, *, more: str = "") -> None:
    """Print the line that says which store answered."""
    console.print(f"store: {clean(opened.path)}{more}", style="dim", soft_wrap=True)


def print_runs(console: Console, heads: Sequence[RunHead], *, more: Sequence[Column] = ()) -> None:
    """Print runs as a table, in the order they come in, with more columns beside.

    Of rank 1, those are left out last.
    """
    print_table(
        console,
        [
            Column("RUN", [short_id(head.run_id) for head in heads]),
            Column("COMPONENT", [clean(head.component) for head in heads], folds=True),
            Column("VERSION", [clean(head.version or "") for head in heads], rank=6, folds=True),
            Column("PIPELINE", [clean(head.pipeline or "") for head in heads], rank=5, folds=True),
            Column("STATE", [state_text(console, head.state) for head in heads]),
            Column("STARTED", [when(head.start_ns) for head in heads], rank=2),
            Column("DURATION", [duration(head.duration_s) for head in heads], rank=3, right=True),
            Column("IN", [str(head.reads) for head in heads], rank=4, right=True),
            Column("OUT", [str(head.writes) for head in heads], rank=4, right=True),
            *more,
        ],
    )


def counted(runs: Sequence[object], limit: int) -> str:
    """Return how many runs a table shows, and how to see more where the limit was reached."""
    shown = f" · {amount(len(runs), 'run')}"
    return f"{shown}, latest first; --limit {limit * 5} for more" if len(runs) == limit else shown
