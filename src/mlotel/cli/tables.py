"""The pieces that tables and trees are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlotel.cli.text import amount, bytes_, clean, duration, short_digest, short_id, when
from mlotel.model import Artifact, Run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = ["caption", "counted", "describe_artifact", "describe_run", "extent", "new_table", "print_runs", "state_text"]

_STATES = {
    "ok": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("⊘", "yellow"),
    "running": ("▶", "cyan"),
    "lost": ("?", "magenta"),
}
_PLAIN_SYMBOLS = {"✓": "+", "✗": "x", "⊘": "-", "▶": ">"}


def new_table() -> Table:
    """Return an empty table without a frame."""
    from rich.table import Table

    return Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))


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

    line = Text(clean(run.component), style="bold")
    line.append(f"  {short_id(run.run_id)}  ", style="not bold")
    line.append_text(state_text(console, run.state).copy())
    line.append(f"  {when(run.start_ns)}  {duration(run.duration_s)}", style="not bold dim")
    return line


def describe_artifact(artifact: Artifact) -> Text:
    """Return an artifact on one line: name, type, extent and short digest."""
    from rich.text import Text

    line = Text(clean(artifact.name), style="bold blue")
    details = [clean(artifact.type)] if artifact.type else []
    details += extent(artifact)
    if artifact.digest:
        details.append(short_digest(artifact.digest))
    line.append("".join(f"  {each}" for each in details), style="not bold default")
    return line


def extent(artifact: Artifact) -> list[str]:
    """Return how large the artifact is, in rows and columns or in bytes, as far as it is known."""
    if artifact.rows is not None:
        columns = "" if artifact.columns is None else f" × {artifact.columns:,}"
        return [f"{artifact.rows:,}{columns} rows" if not columns else f"{artifact.rows:,} rows{columns}"]
    return [bytes_(artifact.size)] if artifact.size is not None else []


def caption(console: Console, store: Path, *, more: str = "") -> None:
    """Print the line that says which store answered."""
    console.print(f"store: {clean(store)}{more}", style="dim", soft_wrap=True)


def print_runs(console: Console, runs: Sequence[Run]) -> None:
    """Print runs as a table, as they come; the pipeline and version columns are there if a run has one."""
    pipelines = any(run.pipeline for run in runs)
    versions = any(run.version for run in runs)
    table = new_table()
    table.add_column("RUN", no_wrap=True)
    table.add_column("COMPONENT", overflow="fold")
    if versions:
        table.add_column("VERSION", overflow="fold")
    if pipelines:
        table.add_column("PIPELINE", overflow="fold")
    table.add_column("STATE", no_wrap=True)
    table.add_column("STARTED", overflow="fold")
    table.add_column("DURATION", justify="right")
    table.add_column("IN", justify="right")
    table.add_column("OUT", justify="right")
    for run in runs:
        cells: list[str | Text] = [short_id(run.run_id), clean(run.component)]
        cells += [clean(run.version or "")] if versions else []
        cells += [clean(run.pipeline or "")] if pipelines else []
        cells += [state_text(console, run.state), when(run.start_ns), duration(run.duration_s)]
        table.add_row(*cells, str(len(run.inputs)), str(len(run.outputs)))
    console.print(table)


def counted(runs: Sequence[Run], limit: int) -> str:
    """Return how many runs a table shows, and how to see more where the limit was reached."""
    shown = f" · {amount(len(runs), 'run')}"
    return f"{shown}, latest first; --limit {limit * 5} for more" if len(runs) == limit else shown
