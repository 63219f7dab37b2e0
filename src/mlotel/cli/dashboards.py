"""`mlotel dashboards`: Grafana's dashboards for what mlotel emits, as JSON files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlotel.cli.text import clean

__all__ = ["command"]


def command(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go; the folder is made.")
    ] = Path("dashboards"),
    selector: Annotated[
        list[str] | None,
        typer.Option(
            "--selector",
            metavar='LABEL="VALUE"',
            help='A matcher for every query of scraped series, as PromQL writes it: cluster="eu". Any number of times.',
            show_default=False,
        ),
    ] = None,
    recorded_selector: Annotated[
        list[str] | None,
        typer.Option(
            "--recorded-selector",
            metavar='LABEL="VALUE"',
            help="The same for what Prometheus makes itself: series that the rules record, alerts, and `up`.",
            show_default=False,
        ),
    ] = None,
    objective: Annotated[
        float, typer.Option("--objective", metavar="SHARE", help="The share of runs that should succeed.")
    ] = 0.99,
    job: Annotated[
        list[str] | None,
        typer.Option(
            "--job",
            metavar="NAME",
            help="A scrape job of Prometheus whose targets have to be up. Default: mlotel and otelcol.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the dashboards of pipeline health, drift, one component and lineage as JSON that Grafana reads.

    Example: mlotel dashboards --output grafana/ --selector cluster="eu"
    """
    from mlotel.grafana import Options, dashboards, write

    options = Options(
        selectors=tuple(selector or ()),
        recorded_selectors=tuple(recorded_selector or ()),
        objective=objective,
        jobs=tuple(job) if job else Options().jobs,
    )
    for path in write(output, dashboards(options)):
        sys.stdout.write(f"{clean(str(path))}\n")
