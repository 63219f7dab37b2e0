"""`mlotel profile`: the statistics of a table's columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlotel.cli.options import OutputFormat, format_option
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, print_table
from mlotel.cli.text import amount, clean, number

if TYPE_CHECKING:
    from rich.console import Console

    from mlotel.profiling import ColumnProfile, Frequency, Profile

__all__ = ["command"]

_MEDIAN = 0.5
_SHOWN_GROUPS = 20


@click.command()
@click.argument("table", type=click.Path(path_type=Path), metavar="TABLE")
@click.option(
    "--by",
    multiple=True,
    metavar="COLUMN",
    help="One profile for each value of this column; several columns by giving it again.",
)
@click.option("--texts", is_flag=True, help="Tell the most frequent texts too: they are the data themselves.")
@format_option
def command(table: Path, by: Sequence[str], texts: bool, output_format: OutputFormat) -> None:
    """Tell what is in a table's columns: missing values, extremes, moments, quantiles, distinct and frequent values.

    TABLE: A Parquet, Feather or Arrow IPC file, or a folder of those.

    Example: mlotel profile flights.parquet --by origin
    """
    from mlotel.profiling import profile

    found = profile(table, by=by, frequent="all" if texts else "numbers")
    if output_format is OutputFormat.JSON:
        print_json(found.document())
        return
    console = make_console()
    _print_columns(console, found)
    console.print(f"{clean(table)} · {amount(found.rows, 'row')} × {len(found)} columns", style="dim", soft_wrap=True)
    for each in found.groups[:_SHOWN_GROUPS]:
        pairs = zip(found.by, each.key, strict=True)
        key = ", ".join(f"{clean(name)} = {'missing' if value is None else clean(value)}" for name, value in pairs)
        _print_group(console, key, each.profile)
    if len(found.groups) > _SHOWN_GROUPS:
        console.print(
            f"{amount(len(found.groups) - _SHOWN_GROUPS, 'more group')}: --format json tells all", style="yellow"
        )
    if found.other is not None:
        _print_group(console, f"all other values of {', '.join(map(clean, found.by))}", found.other)


def _print_group(console: Console, title: str, found: Profile) -> None:
    console.print()
    console.print(f"{title} · {amount(found.rows, 'row')}", style="bold", soft_wrap=True)
    _print_columns(console, found, indent=2)


def _print_columns(console: Console, found: Profile, *, indent: int = 0) -> None:
    columns = list(found)
    print_table(
        console,
        [
            Column("COLUMN", [clean(each.name) for each in columns], folds=True),
            Column("TYPE", [clean(each.type) for each in columns], rank=4, folds=True),
            Column("MISSING", [_share(each.missing, each.rows) for each in columns], rank=2, right=True),
            Column("DISTINCT", [_distinct(each) for each in columns], rank=3, right=True),
            Column("MIN", [_value(each.min) for each in columns], rank=1, right=True),
            Column("MEDIAN", [_median(each) for each in columns], rank=3, right=True),
            Column("MEAN", [_value(each.mean) for each in columns], rank=1, right=True),
            Column("MAX", [_value(each.max) for each in columns], rank=1, right=True),
            Column("STD", [_moment(each, "std") for each in columns], rank=2, right=True),
            Column("SKEW", [_moment(each, "skewness") for each in columns], rank=5, right=True),
            Column("KURTOSIS", [_moment(each, "kurtosis") for each in columns], rank=5, right=True),
            Column("ZERO", [_share(each.zero, each.rows) for each in columns], rank=6, right=True),
            Column("NEGATIVE", [_share(each.negative, each.rows) for each in columns], rank=6, right=True),
            Column("INFINITE", [_share(each.infinite, each.rows) for each in columns], rank=6, right=True),
            Column("LENGTHS", [_lengths(each) for each in columns], rank=5, right=True),
            Column("FREQUENT", [_frequent(each) for each in columns], rank=7, folds=True),
        ],
        indent=indent,
    )


def _share(count: int | None, rows: int) -> str:
    if not count:
        return ""
    share = 100 * count / rows
    return f"{share:.2g} %" if share < 10 else f"{share:.1f} %"


def _distinct(column: ColumnProfile) -> str:
    found = column.distinct
    if found is None:
        return ""
    return f"{found.value:,.0f}" if found.lower == found.upper else f"~{float(f'{found.value:.3g}'):,.0f}"


def _value(value: Any) -> str:
    return "" if value is None else number(value)


def _median(column: ColumnProfile) -> str:
    values = column.quantiles([_MEDIAN])
    return _value(values[0]) if values else ""


def _moment(column: ColumnProfile, name: str) -> str:
    value = getattr(column.moments, name, None)
    return "" if value is None or value != value else number(value)


def _lengths(column: ColumnProfile) -> str:
    lengths = column.lengths
    if lengths is None or not lengths.count:
        return ""
    shortest, longest = f"{lengths.min:,.0f}", f"{lengths.max:,.0f}"
    return shortest if shortest == longest else f"{shortest}–{longest}"


def _frequent(column: ColumnProfile) -> str:
    found: Sequence[Frequency] = column.frequent(3) or ()
    return ", ".join(f"{_value(each.value) or clean(each.value)} ({_share(each.count, column.rows)})" for each in found)
