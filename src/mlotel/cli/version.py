"""`mlotel version` and `mlotel --version`."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

__all__ = ["callback", "command"]


def command() -> None:
    """Print mlotel's version and those of what it stands on."""
    for name, found in (("mlotel", _installed("mlotel")), ("opentelemetry-api", _installed("opentelemetry-api"))):
        sys.stdout.write(f"{name} {found}\n")
    sys.stdout.write(f"python {sys.version.split()[0]}\n")


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


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
