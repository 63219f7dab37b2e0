"""`mlotel version` and `mlotel --version`."""

from __future__ import annotations

import sys
from platform import python_version

import click

from mlotel._version import __version__
from mlotel.cli.options import OutputFormat, format_option
from mlotel.cli.output import print_json

__all__ = ["command", "print_and_exit"]


@click.command()
@format_option
def command(output_format: OutputFormat) -> None:
    """Print mlotel's version and those of what it stands on.

    Example: mlotel version --format json
    """
    _print(output_format)


def print_and_exit(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Do what `mlotel version` does, where `mlotel --version` asks for it."""
    if asked and not context.resilient_parsing:
        _print(OutputFormat.TABLE)
        context.exit()


def _print(output_format: OutputFormat) -> None:
    from importlib.metadata import version

    found = {"mlotel": __version__, "opentelemetry-api": version("opentelemetry-api"), "python": python_version()}
    if output_format is OutputFormat.JSON:
        print_json(found)
    else:
        sys.stdout.write("".join(f"{name} {value}\n" for name, value in found.items()))
