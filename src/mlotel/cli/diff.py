"""`mlotel diff`: what differs between two runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from mlotel.cli.completion import complete_component
from mlotel.cli.options import (
    OpenedStore,
    OutputFormat,
    StoreSource,
    format_option,
    nearest,
    open_store,
    store_options,
)
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, caption, describe_run, extent, print_table
from mlotel.cli.text import bytes_, clean, duration, number, short_digest
from mlotel.errors import RunNotFoundError
from mlotel.inspection import Change, Pair, difference
from mlotel.inspection_documents import difference_document
from mlotel.lineage import resolve_run
from mlotel.model import Artifact, Run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["command"]

_LOOKED_AT = 1000
_KINDS = {
    "content": "other content",
    "name": "other name",
    "unknown": "cannot be compared",
    "removed": "first only",
    "added": "second only",
}
_UNITS: dict[str, Callable[[float], str]] = {
    "duration": duration,
    "CPU time": duration,
    "queue time": duration,
    "peak memory": lambda size: bytes_(round(size)),
}


@click.command()
@click.argument("first", metavar="RUN", shell_complete=complete_component)
@click.argument("second", required=False, metavar="[RUN]")
@format_option
@store_options
def command(
    first: str,
    second: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """Show what differs between two runs, and first what of it is the likeliest explanation.

    RUN: A run by its id (4 digits or more), or alone a component: its last two runs.

    RUN: The run that it is compared with.

    Example: mlotel diff 3f9a12c4 7be01d55
    """
    with open_store(source) as opened:
        if not opened.exists:
            raise RunNotFoundError(opened.advice)
        if second is None:
            before, after = _last_two(opened, first)
        else:
            before, after = (resolve_run(opened.store, each) for each in (first, second))
        found = difference(before, after)
        if output_format is OutputFormat.JSON:
            print_json(difference_document(found))
            return
        console = make_console()
        console.print(clean(found.verdict.text), style="bold", soft_wrap=True)
        for sign, run in (("−", before), ("+", after)):
            console.print(_signed(console, sign, run), soft_wrap=True)
        for title, changes in (
            ("Outcome", found.outcome),
            ("Code", found.code),
            ("Packages", found.packages),
            ("Parameters", found.params),
        ):
            _print_changes(console, title, changes)
        _print_pairs(console, "Inputs", found.inputs)
        _print_pairs(console, "Outputs", found.outputs)
        for title, changes in (
            ("Schemas", found.schemas),
            ("Statistics", found.statistics),
            ("Predictions", found.predictions),
            ("Metrics", found.metrics),
            ("Time and memory", found.usage),
            ("Environment", found.environment),
        ):
            _print_changes(console, title, changes)
        caption(console, opened)


def _last_two(opened: OpenedStore, component: str) -> tuple[Run, Run]:
    """Return the last two runs of a component, the earlier first."""
    runs = opened.store.runs(component=component, limit=2)
    if len(runs) == 2:
        return runs[1], runs[0]
    if runs:
        raise RunNotFoundError(
            f"{component!r} has one run, and two are compared: name another with `mlotel diff RUN RUN`"
        )
    known = sorted({run.component for run in opened.store.runs(limit=_LOOKED_AT)})
    slip = nearest(component, known)
    raise RunNotFoundError(
        f"no component {component!r}{slip or ': name two runs, or a component that `mlotel components` lists'}"
    )


def _signed(console: Console, sign: str, run: Run) -> object:
    from rich.text import Text

    if not console.encoding.lower().startswith("utf"):
        sign = sign.replace("−", "-")
    return Text(f"{sign} ", style="dim").append_text(describe_run(console, run))


def _print_changes(console: Console, title: str, changes: Sequence[Change]) -> None:
    if not changes:
        return
    console.print(title, style="bold")
    sides = [_sides(each) for each in changes]
    print_table(
        console,
        [
            Column("", [clean(each.key) for each in changes], folds=True),
            Column("BEFORE", [before for before, _ in sides], folds=True),
            Column("AFTER", [after for _, after in sides], folds=True),
            Column("CHANGE", [_change(each) for each in changes], rank=1),
        ],
        indent=2,
    )


def _sides(change: Change) -> tuple[str, str]:
    """Return both values, and exactly where they would read the same: the text "1" and 1, or two close numbers."""
    before, after = _value(change.key, change.before), _value(change.key, change.after)
    if before == after and change.key not in _UNITS:
        return _exact(change.before), _exact(change.after)
    return before, after


def _exact(value: object) -> str:
    return f'"{clean(value)}"' if isinstance(value, str) else clean(repr(value))


def _value(key: str, value: object) -> str:
    if value is None:
        return "–"
    if key in _UNITS and isinstance(value, int | float) and not isinstance(value, bool):
        return _UNITS[key](value)
    return short_digest(value) if isinstance(value, str) and _is_digest(value) else number(value)


def _is_digest(text: str) -> bool:
    algorithm, colon, value = text.partition(":")
    return bool(colon) and algorithm.isalnum() and len(value) >= 32 and value.isalnum()


def _change(change: Change) -> str:
    if change.absolute is None:
        return ""
    unit = _UNITS.get(change.key, number)
    sign = "+" if change.absolute > 0 else "−"
    relative = "" if change.relative is None else f" ({change.relative:+.1%})".replace("-", "−")
    return f"{sign}{unit(abs(change.absolute))}{relative}"


def _print_pairs(console: Console, title: str, pairs: Sequence[Pair]) -> None:
    if not pairs:
        return
    console.print(title, style="bold")
    print_table(
        console,
        [
            Column("", [_names(each) for each in pairs], folds=True),
            Column("DIFFERENCE", [_KINDS[each.kind] for each in pairs], rank=1),
            Column("BEFORE", [_artifact(each.before) for each in pairs], folds=True),
            Column("AFTER", [_artifact(each.after) for each in pairs], folds=True),
        ],
        indent=2,
    )


def _names(pair: Pair) -> str:
    return " → ".join(dict.fromkeys(clean(each.name) for each in (pair.before, pair.after) if each is not None))


def _artifact(artifact: Artifact | None) -> str:
    if artifact is None:
        return "–"
    return "  ".join([*extent(artifact), short_digest(artifact.digest) if artifact.digest else "no digest"])
