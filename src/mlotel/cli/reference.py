"""`mlotel reference`: keeps what data looked like, for `mlotel drift` and for services."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlotel.cli.drift import declared, feature_option, kind_option
from mlotel.cli.options import OutputFormat, format_option
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, print_table
from mlotel.cli.text import amount, clean, number, short_digest
from mlotel.drift import FeatureReference, Reference

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["command"]


@click.command()
@click.argument("table", metavar="TABLE")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="PATH", help="Where to save it: reference.json."
)
@feature_option
@kind_option
@click.option("--bins", type=int, default=20, help="How many equally likely bins a numeric column has.")
@click.option("--categories", type=int, default=50, help="How many categories have a bin of their own.")
@click.option(
    "--window",
    type=int,
    metavar="ROWS",
    help="How many rows the windows will have that are compared: windows of the reference then tell how much they "
    "differ anyway. The rows must be in the order of time.",
)
@click.option(
    "--segments", metavar="COLUMN", help="A reference for each value of this column too, such as the hour of the week."
)
@click.option("--model", metavar="NAME", help="The model whose features they are.")
@click.option("--model-version", metavar="TEXT", help="Its version.")
@format_option
def command(
    table: str,
    output: Path | None,
    feature: Sequence[str],
    kind: Sequence[str],
    bins: int,
    categories: int,
    window: int | None,
    segments: str | None,
    model: str | None,
    model_version: str | None,
    output_format: OutputFormat,
) -> None:
    """Fit a reference on a table: bins, counts and moments of each column, as JSON that carries its own digest.

    TABLE: The data that later data is compared with: Parquet, CSV, Feather, or a folder of those. Or a saved
    reference (.json), to look at it.

    Example: mlotel reference train.parquet --output reference.json
    """
    if table.lower().endswith(".json"):
        fitted = Reference.load(table)
    else:
        fitted = Reference.fit(
            table,
            features=feature or None,
            kinds=declared(kind),
            bins=bins,
            categories=categories,
            window=window,
            segments=segments,
            model=model,
            version=model_version,
        )
    if output is not None:
        fitted.save(output)
    if output_format is OutputFormat.JSON:
        print_json(fitted.document())
        return
    _print(make_console(), fitted)


def _print(console: Console, fitted: Reference) -> None:
    features = fitted.features
    print_table(
        console,
        [
            Column("FEATURE", [clean(each.name) for each in features], folds=True),
            Column("KIND", [each.kind for each in features]),
            Column("TYPE", [clean(each.type) for each in features], rank=4, folds=True),
            Column("BINS", [f"{each.bins.size:,}" for each in features], rank=3, right=True),
            Column("MISSING", [f"{each.counts[-1] / fitted.rows:.2%}" for each in features], rank=1, right=True),
            Column("MEAN", [_moment(each, "mean") for each in features], rank=2, right=True),
            Column("STD", [_moment(each, "std") for each in features], rank=2, right=True),
            Column("DISPERSION", [f"{each.overdispersion:.3g}" if each.windows else "" for each in features], rank=5),
        ],
    )
    extent = f"{amount(len(features), 'feature')} of {amount(fitted.rows, 'row')}"
    parts = f", {amount(len(fitted.segments), 'segment')}" if fitted.segments else ""
    console.print(f"{short_digest(fitted.digest)} · {extent}{parts}", style="dim", soft_wrap=True)
    if fitted.left_out:
        left_out = ", ".join(f"{clean(name)} ({clean(type_)})" for name, type_ in fitted.left_out.items())
        console.print(f"left out: {left_out}", style="yellow", soft_wrap=True)


def _moment(feature: FeatureReference, name: str) -> str:
    value = getattr(feature.moments, name, None)
    return "" if value is None or value != value else number(value)
