"""A prediction for one record, as it stands above its run or its lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlotel.cli.tables import Column, print_table
from mlotel.cli.text import clean, number, short_digest, short_id, timestamp
from mlotel.lineage import Record
from mlotel.model import Lineage, Prediction, Run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_record"]


def print_record(console: Console, record: Record, behind: Lineage | None = None) -> None:
    """Print a prediction: what was predicted, when, by which model, and, from what lies behind it, who trained that."""
    from rich.text import Text

    made = record.prediction
    rows = {
        "record": clean(record.key),
        "predicted": _predicted(made),
        "when": timestamp(made.time_ns) + ("" if record.count == 1 else f"  (the latest of {record.count:,})"),
        "by": _run(record.run),
        "model": _model(made),
        "trained by": _trained(made, behind),
    }
    console.print("Prediction", style="bold")
    known = {key: value for key, value in rows.items() if value}
    print_table(
        console,
        [Column("", [Text(key, style="dim") for key in known]), Column("", list(known.values()), folds=True)],
        indent=2,
    )


def _predicted(made: Prediction) -> str:
    value = "not known" if made.value is None else number(made.value)
    more = [] if made.probability is None else [f"probability {number(made.probability)}"]
    more += [f"variant {clean(made.variant)}"] if made.variant else []
    return value + (f"  ({', '.join(more)})" if more else "")


def _model(made: Prediction) -> str:
    parts = [clean(each) for each in (made.model, made.model_version) if each]
    return "  ".join([" ".join(parts), *([short_digest(made.model_digest)] if made.model_digest else [])]).strip()


def _trained(made: Prediction, behind: Lineage | None) -> str:
    """The run that wrote the model, with the commit of its code."""
    runs = {} if behind is None else {run.run_id: run for run in behind.runs}
    writers = [] if behind is None else [edge.source for edge in behind.edges if edge.target == made.model_digest]
    return "; ".join(_run(runs[each]) for each in writers if each in runs)


def _run(run: Run) -> str:
    name = f"{clean(run.component)} {clean(run.version)}" if run.version else clean(run.component)
    commit = clean(run.git.get("commit", ""))[:12]
    dirty = " with uncommitted changes" if run.git.get("dirty") else ""
    return f"{name}  {short_id(run.run_id)}" + (f"  at commit {commit}{dirty}" if commit else "")
