"""`mlotel review`: the runs behind what is flagged, the most suspect first."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING

import click

from mlotel.annotation_documents import review_document
from mlotel.cli.options import (
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
from mlotel.cli.said import annotated, print_annotations
from mlotel.cli.tables import Column, caption, print_table
from mlotel.cli.text import amount, clean, short_id, when
from mlotel.review import MOST_RUNS, Kind, Review, Standing, review

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

__all__ = ["command"]


@click.command()
@since_option
@until_option
@click.option("--limit", "-n", type=click.IntRange(min=1), default=20, help="How many runs, the most suspect first.")
@format_option
@store_options
def command(
    since: str | None,
    until: str | None,
    limit: int,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """Rank the runs behind the flagged outputs: those first that stand behind many of them and few others.

    The others are outputs of the same kind that nobody flagged. What stands behind everything comes last.

    Example: mlotel review --since 7d
    """
    since_ns, until_ns = time_range(since, until)
    with open_store(source, since_ns=since_ns, until_ns=until_ns) as opened:
        found = review(annotated(opened), since_ns=since_ns, until_ns=until_ns, limit=limit)
        if output_format is OutputFormat.JSON:
            print_json(review_document(found))
            return
        console = make_console()
        print_annotations(console, "Flags", found.flags)
        _print_runs(console, found)
        _print_shared(console, found)
        if not found.flags:
            console.print("nothing is flagged: `mlotel flag WHAT --why TEXT` says what is wrong", soft_wrap=True)
        caption(console, opened, more=_compared(found))
        for warning in _warnings(found):
            console.print(warning, style="yellow", soft_wrap=True)


def _print_runs(console: Console, found: Review) -> None:
    if not found.suspects:
        return
    console.print("Runs behind them", style="bold")
    runs = [each.run for each in found.suspects]
    standings = [each.standing for each in found.suspects]
    print_table(
        console,
        [
            Column("", [f"{each.rank}." for each in standings], right=True),
            Column("RUN", [short_id(run.run_id) for run in runs]),
            Column("COMPONENT", [clean(run.component) for run in runs], folds=True),
            Column("VERSION", [clean(run.version or "") for run in runs], rank=4, folds=True),
            Column("STARTED", [when(run.start_ns) for run in runs], rank=3),
            *_standing_columns(console, found, standings),
        ],
        indent=2,
    )


def _print_shared(console: Console, found: Review) -> None:
    if not found.traits:
        return
    console.print("What these runs share", style="bold")
    standings = [each.standing for each in found.traits]
    print_table(
        console,
        [
            Column("COMPONENT", [clean(each.component) for each in found.traits], folds=True),
            Column("HAS", [f"{clean(each.name)} = {clean(each.value)}" for each in found.traits], folds=True),
            Column("RUNS", [f"{each.runs:,}" for each in found.traits], rank=3, right=True),
            *_standing_columns(console, found, standings),
        ],
        indent=2,
    )


def _standing_columns(console: Console, found: Review, standings: Sequence[Standing]) -> list[Column]:
    infinite = "∞" if console.encoding.lower().startswith("utf") else "inf"
    return [
        Column("FLAGGED", [f"{each.flagged:,} of {found.flagged:,}" for each in standings], right=True),
        Column("OTHERS", [f"{each.unflagged:,} of {found.unflagged:,}" for each in standings], right=True),
        Column("RATIO", [_ratio(each.likelihood_ratio, infinite) for each in standings], rank=2, right=True),
        Column("CHANCE", [f"{each.p_value:.2g}" for each in standings], rank=1, right=True),
    ]


def _ratio(value: float | None, infinite: str) -> str:
    if value is None:
        return ""
    return infinite if isinf(value) else f"{value:.3g}"


def _compared(found: Review) -> str:
    if not found.flagged:
        return ""
    kinds = ", ".join(_kind(each) for each in found.kinds)
    more = f", {amount(found.suspected, 'run')} behind them"
    return f" · {amount(found.flagged, 'flagged output')} against {found.unflagged:,} others ({kinds}){more}"


def _kind(kind: Kind) -> str:
    component = clean(kind.component)
    if kind.what == "artifact":
        return f"{clean(kind.type) or 'outputs'} of {component}"
    return f"{'single predictions' if kind.what == 'predictions' else 'runs'} of {component}"


def _warnings(found: Review) -> list[str]:
    warnings = []
    if found.unplaced:
        warnings.append(
            f"{amount(len(found.unplaced), 'flag')} left out: no run in this store, or in this time, made what they "
            "speak of"
        )
    if found.truncated:
        warnings.append(f"of a component with more than {MOST_RUNS:,} runs the latest were compared: give --since")
    if found.partial:
        warnings.append("partial: some producers that are named by a link are not in this store")
    return warnings
