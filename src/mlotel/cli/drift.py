"""`mlotel drift`: what changed between a reference and other data, and whether it matters."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlotel.cli.options import OneOf
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, print_table
from mlotel.cli.text import amount, clean
from mlotel.drift import DriftResult, FeatureDrift, compare
from mlotel.drift_documents import drift_document

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["ALARM", "DriftFormat", "command", "declared", "feature_option", "kind_option"]

ALARM = 3
"""Exit code where something changed that matters."""


class DriftFormat(StrEnum):
    """How a comparison is written."""

    TABLE = "table"
    JSON = "json"
    HTML = "html"


feature_option = click.option(
    "--feature",
    multiple=True,
    metavar="COLUMN",
    help="Watch this column; given several times, these. By default all but dates, timestamps, lists and bytes.",
)
kind_option = click.option(
    "--kind",
    multiple=True,
    metavar="COLUMN=KIND",
    help="Take a column as numeric or categorical, where its type does not tell: --kind hour=categorical.",
)


@click.command()
@click.argument("reference", metavar="REF")
@click.argument("current", metavar="CUR")
@click.option("--segment", metavar="NAME", help="Compare with this segment of a saved reference.")
@feature_option
@kind_option
@click.option("--delta", type=click.FloatRange(min=0), default=0.02, help="The PSI that is tolerated.")
@click.option(
    "--format",
    "-f",
    "output_format",
    type=OneOf(DriftFormat),
    default="table",
    help="A table to read, JSON for programs, or a page for a browser with the distributions.",
)
def command(
    reference: str,
    current: str,
    segment: str | None,
    feature: Sequence[str],
    kind: Sequence[str],
    delta: float,
    output_format: DriftFormat,
) -> None:
    """Compare data with a reference. The exit code is 3 where something changed that matters, and 0 where nothing did.

    REF: What data looked like: a table (Parquet, CSV, Feather, or a folder of those), or a reference that `mlotel
    reference` saved (.json).

    CUR: The table, or folder, that is judged.

    Example: mlotel drift train.parquet today.parquet
    """
    result = compare(
        reference,
        current,
        segment=segment,
        features=feature or None,
        kinds=declared(kind),
        delta=delta,
        moments=True,
    )
    if output_format is DriftFormat.JSON:
        print_json(drift_document(result))
    elif output_format is DriftFormat.HTML:
        from mlotel.cli.drift_html import drift_html

        # As UTF-8, which the page says of itself, whatever the terminal's encoding is
        sys.stdout.buffer.write(drift_html(result, Path(reference).name, Path(current).name).encode())
        sys.stdout.flush()
    else:
        _print(make_console(), result)
    if result.alarm:
        raise click.exceptions.Exit(ALARM)


def declared(kinds: Sequence[str] | None) -> dict[str, str] | None:
    """Return what was said by options COLUMN=KIND, None if nothing was.

    Raises:
        click.BadParameter: one of them is not of this form.
    """
    if not kinds:
        return None
    found = {}
    for each in kinds:
        column, equals, kind = each.rpartition("=")
        if not equals or not column:
            raise click.BadParameter(f"{each!r} is not COLUMN=KIND: --kind hour=categorical")
        found[column] = kind
    return found


def _print(console: Console, result: DriftResult) -> None:
    shown = sorted(result.features, key=lambda each: (not each.alarm, each.p_value is not None, each.p_value or 0.0))
    print_table(
        console,
        [
            Column("FEATURE", [clean(each.feature) for each in shown], folds=True),
            Column("VERDICT", [_verdict(each) for each in shown], folds=True),
            Column("PSI", [_figure(each.psi) for each in shown], rank=1, right=True),
            Column("ALARMS AT", [_figure(each.threshold) for each in shown], rank=2, right=True),
            Column("CHANCE", [_figure(each.p_value) for each in shown], rank=3, right=True),
            Column("MISSING", [_missing(each, result) for each in shown], rank=4, right=True),
            Column("KS", [_figure(each.distances.get("ks")) for each in shown], rank=5, right=True),
            Column("WASSERSTEIN", [_figure(each.distances.get("wasserstein")) for each in shown], rank=6, right=True),
            Column("NOTES", [clean("; ".join(each.notes)) for each in shown], rank=2, folds=True),
        ],
    )
    where = "" if result.segment is None else f", segment {clean(result.segment)}"
    console.print(
        f"{amount(len(result.alarmed), 'alarm')} in {amount(len(result.features), 'feature')} · "
        f"{amount(result.rows, 'row')} against {result.reference_rows:,} of the reference{where}",
        style="dim",
        soft_wrap=True,
    )
    for note in result.notes:
        console.print(clean(note), style="yellow", soft_wrap=True)


def _verdict(found: FeatureDrift) -> Text:
    from rich.text import Text

    if found.alarm:
        return Text(f"alarm: {', '.join(reason.replace('_', ' ') for reason in found.reasons)}", style="red")
    return Text("" if found.p_value is None else "ok", style="green")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _missing(found: FeatureDrift, result: DriftResult) -> str:
    if not found.counts or not result.rows:
        return ""
    place = found.bins.missing
    then, now = found.reference.counts[place], found.counts[place]
    if not then and not now:
        return ""
    return f"{then / result.reference_rows:.2%} → {now / result.rows:.2%}"
