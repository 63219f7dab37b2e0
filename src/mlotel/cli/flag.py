"""`mlotel flag` and `mlotel unflag`: which outputs are wrong."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mlotel.cli.options import OutputFormat, StoreSource, format_option, open_store, store_options
from mlotel.cli.said import annotated, author_option, report, why_option

__all__ = ["flag_command", "unflag_command"]

_what_argument = click.argument("what", nargs=-1, required=True, metavar="WHAT...")


@click.command()
@_what_argument
@why_option
@author_option
@format_option
@store_options
def flag_command(
    what: Sequence[str],
    why: str,
    author: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """Flag outputs as wrong: artifacts, all that a run wrote, or predictions. `mlotel review` tells what they share.

    WHAT: Artifacts, runs (which stand for all their outputs) or record:KEY (predictions), named as for `mlotel
    lineage`.

    Example: mlotel flag out/scores.parquet --why "customers complain"
    """
    from mlotel.annotations import flag

    with open_store(source) as opened:
        place = annotated(opened)
        report([each for one in what for each in flag(one, why, store=place, author=author)], output_format)


@click.command()
@_what_argument
@why_option
@author_option
@format_option
@store_options
def unflag_command(
    what: Sequence[str],
    why: str,
    author: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """Take flags back.

    WHAT: Artifacts, runs (which stand for all their outputs) or record:KEY (predictions), named as for `mlotel
    lineage`.

    Example: mlotel unflag out/scores.parquet --why "the report was wrong, not the scores"
    """
    from mlotel.annotations import unflag

    with open_store(source) as opened:
        place = annotated(opened)
        report([each for one in what for each in unflag(one, why, store=place, author=author)], output_format)
