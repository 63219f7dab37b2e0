"""`mlotel replay`: send to a collector what could not be sent when it happened."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from mlotel.cli.options import OutputFormat, format_option, store_option
from mlotel.cli.output import complain, print_json
from mlotel.errors import StoreNotFoundError

__all__ = ["command"]


@click.command()
@click.option(
    "--endpoint",
    metavar="URL",
    help="Where the collector takes OTLP/HTTP. Default: what the OTEL_* variables say, gRPC too.",
)
@format_option
@store_option
def command(endpoint: str | None, output_format: OutputFormat, store: Path | None) -> None:
    """Send to a collector what could not be sent when it happened.

    Example: mlotel replay --endpoint http://localhost:4318
    """
    from mlotel.sdk.replay import replay
    from mlotel.store.location import find_store

    root = store or find_store()
    if root is None or not root.is_dir():
        raise StoreNotFoundError(f"no store at {root}: name the one that the runs had with --store")
    done = replay(root, endpoint)
    if output_format is OutputFormat.JSON:
        print_json(asdict(done))
    else:
        sys.stdout.write(f"sent {done.sent} lines, rejected {done.rejected}, kept {done.kept}\n")
        if done.metrics:
            sys.stdout.write(f"sent the metrics of {done.metrics} process{'es' if done.metrics > 1 else ''}\n")
        if done.resent:
            sys.stdout.write(f"{done.resent} lines may be there twice: nobody had answered to them before\n")
    if done.error is not None:
        complain(f"the collector did not take the rest, try again later: {done.error}")
        raise click.exceptions.Exit(1)
