"""`mlotel version` and `mlotel --version`."""

from __future__ import annotations

import sys
from platform import python_version
from typing import Annotated

import typer

from mlotel._version import __version__
from mlotel.cli.options import FormatOption, OutputFormat
from mlotel.cli.output import print_json

__all__ = ["callback", "command"]


def command(output_format: FormatOption = OutputFormat.TABLE) -> None:
    """Print mlotel's version and those of what it stands on.

    Example: mlotel version --format json
    """
    from importlib.metadata import version

    found = {"mlotel": __version__, "opentelemetry-api": version("opentelemetry-api"), "python": python_version()}
    if output_format is OutputFormat.JSON:
        print_json(found)
    else:
        sys.stdout.write("".join(f"{name} {value}\n" for name, value in found.items()))


def _print_and_exit(asked: bool) -> None:
    if asked:
        command()
        raise typer.Exit


def callback(
    show: Annotated[
        bool, typer.Option("--version", callback=_print_and_exit, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Component runs, their artifacts and their lineage, read from OpenTelemetry data."""
