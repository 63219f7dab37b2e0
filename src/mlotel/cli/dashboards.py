"""`mlotel dashboards`: Grafana's dashboards for what mlotel emits, as JSON files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from mlotel.cli.text import clean

__all__ = ["command"]


@click.command()
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("dashboards"),
    metavar="FOLDER",
    help="Where the files go; the folder is made.",
)
@click.option(
    "--selector",
    multiple=True,
    metavar='LABEL="VALUE"',
    help='A matcher for every query of scraped series, as PromQL writes it: cluster="eu". Any number of times.',
)
@click.option(
    "--recorded-selector",
    multiple=True,
    metavar='LABEL="VALUE"',
    help="The same for what Prometheus makes itself: series that the rules record, alerts, and `up`.",
)
@click.option("--objective", type=float, default=0.99, metavar="SHARE", help="The share of runs that should succeed.")
@click.option(
    "--job",
    multiple=True,
    metavar="NAME",
    help="A scrape job of Prometheus whose targets have to be up. Default: mlotel and otelcol.",
)
def command(
    output: Path, selector: Sequence[str], recorded_selector: Sequence[str], objective: float, job: Sequence[str]
) -> None:
    """Write the dashboards of pipeline health, drift, one component and lineage as JSON that Grafana reads.

    Example: mlotel dashboards --output grafana/ --selector cluster="eu"
    """
    from mlotel.grafana import Options, dashboards, write

    options = Options(
        selectors=tuple(selector),
        recorded_selectors=tuple(recorded_selector),
        objective=objective,
        jobs=tuple(job) if job else Options().jobs,
    )
    for path in write(output, dashboards(options)):
        sys.stdout.write(f"{clean(str(path))}\n")
