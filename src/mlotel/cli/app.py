"""The application: which commands there are, and what becomes of an error."""

from __future__ import annotations

import copy
import errno
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from typing import Any, NamedTuple

import click

from mlotel.cli.output import complain, plain_errors
from mlotel.cli.version import print_and_exit
from mlotel.errors import MlotelError, RunNotFoundError, nearest

__all__ = ["COMMANDS", "NOT_FOUND", "USAGE", "app", "load", "main"]

NOT_FOUND = 1
"""Exit code where the question was understood and nothing answers to it."""

USAGE = 2
"""Exit code of a bad argument, a store that cannot be read, or a reference that is not unique."""


class Listed(NamedTuple):
    """A command: what a list says of it, its module below `mlotel.cli`, what it is called there, and another help."""

    summary: str
    module: str
    name: str = "command"
    help: str | None = None


# Each first sentence is said here as well as by the function: a list of commands would have to load them all.
COMMANDS = {
    "runs": Listed("List the latest runs.", "runs"),
    "recent": Listed("The same as `runs`.", "runs", help="The same as `runs`.\n\nExample: mlotel recent --limit 5"),
    "find": Listed("Find the runs for which all conditions hold, latest first.", "find"),
    "components": Listed(
        "List the components that ran: how often, how it went, how long it takes, who owns them.", "components"
    ),
    "tags": Listed("List the tags of components and of runs, and how many carry each.", "tags"),
    "show": Listed("Show one run in full: what ran, when, where and how, and what it read and wrote.", "show"),
    "explain": Listed("Answer what a run was, when, where and how it ran, and say what nobody recorded.", "explain"),
    "diff": Listed("Show what differs between two runs, and first what of it is the likeliest explanation.", "diff"),
    "history": Listed(
        "List the runs of one component, latest first, with what may have changed between them.", "history"
    ),
    "lineage": Listed(
        "Show everything that an output, or a run, was made from, or everything that it touched.", "lineage"
    ),
    "profile": Listed(
        "Tell what is in a table's columns: missing values, extremes, moments, quantiles, distinct and frequent "
        "values.",
        "profile",
    ),
    "ui": Listed(
        "Serve the web view on this machine alone, until Ctrl-C: runs, histories, lineage, flags and notes.", "ui"
    ),
    "notes": Listed("List the notes about a run and what it read and wrote, latest first, or add one.", "notes"),
    "flag": Listed(
        "Flag outputs as wrong: artifacts, all that a run wrote, or predictions.",
        "flag",
        "flag_command",
    ),
    "unflag": Listed("Take flags back.", "flag", "unflag_command"),
    "review": Listed(
        "Rank the runs behind the flagged outputs: those first that stand behind many of them and few others.", "review"
    ),
    "drift": Listed(
        "Compare data with a reference.",
        "drift",
    ),
    "reference": Listed(
        "Fit a reference on a table: bins, counts and moments of each column, as JSON that carries its own digest.",
        "reference",
    ),
    "dashboards": Listed(
        "Write the dashboards of pipeline health, drift, one component and lineage as JSON that Grafana reads.",
        "dashboards",
    ),
    "label": Listed(
        "Give an artifact, or all that a run wrote, a label.",
        "labels",
        "label_command",
    ),
    "unlabel": Listed("Take a label from what was given it.", "labels", "unlabel_command"),
    "labels": Listed(
        "List the labels that something bears, by itself or by what it was made from, or all labels.",
        "labels",
        "labels_command",
    ),
    "retract": Listed(
        "Retract a label, and list everything that bears it: artifacts, models, runs and how much these predicted.",
        "labels",
        "retract_command",
    ),
    "restore": Listed(
        "Take the retraction of a label back, and list what may be read again.", "labels", "restore_command"
    ),
    "rules": Listed(
        "Write recording and alert rules for Prometheus: drift of served models, runs, and the telemetry itself.",
        "rules",
    ),
    "exec": Listed(
        "Run a command as a run of a component, and exit as it does.",
        "exec",
    ),
    "replay": Listed("Send to a collector what could not be sent when it happened.", "replay"),
    "gc": Listed("Remove what is old from the embedded store, while others write to it and read it.", "gc"),
    "completion": Listed(
        "Print a script by which a shell completes commands, options, and the names of components.", "completion"
    ),
    "version": Listed("Print mlotel's version and those of what it stands on.", "version"),
}


def load(name: str) -> click.Command:
    """Return the command of this name, ready to be called. Raises KeyError where there is none."""
    listed = COMMANDS[name]
    command: click.Command = copy.copy(getattr(import_module(f"mlotel.cli.{listed.module}"), listed.name))
    command.name = name
    command.help = listed.help or command.help
    if command.callback is not None:
        command.callback = _reporting(command.callback)
    return command


class _Commands(click.Group):
    """The commands. One is loaded when it is called: to list them, what stands in the table is enough."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return what a list shows of a command."""
        listed = COMMANDS.get(cmd_name)
        return None if listed is None else click.Command(cmd_name, help=listed.summary)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Load the command that the arguments begin with; one that is not known names the nearest."""
        name = args[0]
        if name in COMMANDS:
            return name, load(name), args[1:]
        if not ctx.resilient_parsing and not name.startswith("-"):
            ctx.fail(f"no command {name!r}{nearest(name, list(COMMANDS)) or ': `mlotel --help` lists them'}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_and_exit,
    help="Print the version and exit.",
)
def app() -> None:
    """Component runs, their artifacts and their lineage, read from OpenTelemetry data."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments`, by default those of the process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors=plain_errors())
    said = sys.argv[1:] if arguments is None else list(arguments)
    if sys.stdout is None and said[:1] != ["exec"]:  # `mlotel runs >&-`: Python makes no stream of it
        complain("standard output is closed: give the answer a place to be written to")
        raise SystemExit(USAGE)
    app.main(args=said, prog_name="mlotel")


def _reporting(command: Callable[..., None]) -> Callable[..., None]:
    """Turn mlotel's errors and the system's into one line and an exit code; what else is raised is a fault."""

    @wraps(command)
    def reporting(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except MlotelError as error:
            complain(str(error))
            raise click.exceptions.Exit(NOT_FOUND if isinstance(error, RunNotFoundError) else USAGE) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # who read the answer has read enough: click ends quietly
                raise
            complain(f"the answer could not be read or written: {error}")
            raise click.exceptions.Exit(USAGE) from None

    return reporting
