"""`mlotel flag` and `mlotel unflag`: which outputs are wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from mlotel.cli.options import FormatOption, JaegerOption, OutputFormat, StoreOption, TempoOption, open_store
from mlotel.cli.said import AuthorOption, WhyOption, annotated, report

__all__ = ["flag_command", "unflag_command"]

_WhatArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="WHAT...",
        help="Artifacts, runs (which stand for all their outputs) or record:KEY (predictions), named as for "
        "`mlotel lineage`.",
        show_default=False,
    ),
]


def flag_command(
    what: _WhatArgument,
    why: WhyOption = "",
    author: AuthorOption = None,
    output_format: FormatOption = OutputFormat.TABLE,
    store: StoreOption = None,
    jaeger: JaegerOption = None,
    tempo: TempoOption = None,
) -> None:
    """Flag outputs as wrong: artifacts, all that a run wrote, or predictions. `mlotel review` tells what they share.

    Example: mlotel flag out/scores.parquet --why "customers complain"
    """
    from mlotel.annotations import flag

    with open_store(store, jaeger, tempo) as opened:
        place = annotated(opened)
        report([each for one in what for each in flag(one, why, store=place, author=author)], output_format)


def unflag_command(
    what: _WhatArgument,
    why: WhyOption = "",
    author: AuthorOption = None,
    output_format: FormatOption = OutputFormat.TABLE,
    store: StoreOption = None,
    jaeger: JaegerOption = None,
    tempo: TempoOption = None,
) -> None:
    """Take flags back.

    Example: mlotel unflag out/scores.parquet --why "the report was wrong, not the scores"
    """
    from mlotel.annotations import unflag

    with open_store(store, jaeger, tempo) as opened:
        place = annotated(opened)
        report([each for one in what for each in unflag(one, why, store=place, author=author)], output_format)
