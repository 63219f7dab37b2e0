"""The application: which commands there are, and what becomes of an error."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mlotel.cli import version
from mlotel.cli.output import complain, plain_errors
from mlotel.cli.where import WhereCommand
from mlotel.errors import MlotelError, RunNotFoundError, nearest

__all__ = ["NOT_FOUND", "USAGE", "build_app", "main"]

NOT_FOUND = 1
"""Exit code where the question was understood and nothing answers to it."""

USAGE = 2
"""Exit code of a bad argument, a store that cannot be read, or a reference that is not unique."""


@dataclass(frozen=True, slots=True)
class _Command:
    """A command: what a list says of it, its module below `mlotel.cli`, its function there, and what typer is told."""

    summary: str
    module: str
    function: str = "command"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Callable[..., None]:
        """The function itself."""
        found: Callable[..., None] = getattr(import_module(f"mlotel.cli.{self.module}"), self.function)
        return found


# Each first sentence is said here as well as by the function: a list of commands would have to load them all.
_COMMANDS = {
    "runs": _Command("List the latest runs.", "runs"),
    "recent": _Command(
        "The same as `runs`.", "runs", settings={"help": "The same as `runs`.\n\nExample: mlotel recent --limit 5"}
    ),
    "find": _Command(
        "Find the runs for which all conditions hold, latest first.", "find", settings={"cls": WhereCommand}
    ),
    "components": _Command(
        "List the components that ran: how often, how it went, how long it takes, who owns them.", "components"
    ),
    "tags": _Command("List the tags of components and of runs, and how many carry each.", "tags"),
    "show": _Command("Show one run in full: what ran, when, where and how, and what it read and wrote.", "show"),
    "explain": _Command("Answer what a run was, when, where and how it ran, and say what nobody recorded.", "explain"),
    "diff": _Command("Show what differs between two runs, and first what of it is the likeliest explanation.", "diff"),
    "history": _Command(
        "List the runs of one component, latest first, with what may have changed between them.", "history"
    ),
    "lineage": _Command(
        "Show everything that an output, or a run, was made from, or everything that it touched.", "lineage"
    ),
    "profile": _Command(
        "Tell what is in a table's columns: missing values, extremes, moments, quantiles, distinct and frequent "
        "values.",
        "profile",
    ),
    "ui": _Command(
        "Serve the web view on this machine alone, until Ctrl-C: runs, histories, lineage, flags and notes.", "ui"
    ),
    "notes": _Command("List the notes about a run and what it read and wrote, latest first, or add one.", "notes"),
    "flag": _Command(
        "Flag outputs as wrong: artifacts, all that a run wrote, or predictions.",
        "flag",
        "flag_command",
    ),
    "unflag": _Command("Take flags back.", "flag", "unflag_command"),
    "review": _Command(
        "Rank the runs behind the flagged outputs: those first that stand behind many of them and few others.", "review"
    ),
    "drift": _Command(
        "Compare data with a reference.",
        "drift",
    ),
    "reference": _Command(
        "Fit a reference on a table: bins, counts and moments of each column, as JSON that carries its own digest.",
        "reference",
    ),
    "dashboards": _Command(
        "Write the dashboards of pipeline health, drift, one component and lineage as JSON that Grafana reads.",
        "dashboards",
    ),
    "label": _Command(
        "Give an artifact, or all that a run wrote, a label.",
        "labels",
        "label_command",
    ),
    "unlabel": _Command("Take a label from what was given it.", "labels", "unlabel_command"),
    "labels": _Command(
        "List the labels that something bears, by itself or by what it was made from, or all labels.",
        "labels",
        "labels_command",
    ),
    "retract": _Command(
        "Retract a label, and list everything that bears it: artifacts, models, runs and how much these predicted.",
        "labels",
        "retract_command",
    ),
    "restore": _Command(
        "Take the retraction of a label back, and list what may be read again.", "labels", "restore_command"
    ),
    "rules": _Command(
        "Write recording and alert rules for Prometheus: drift of served models, runs, and the telemetry itself.",
        "rules",
    ),
    "exec": _Command(
        "Run a command as a run of a component, and exit as it does.",
        "exec",
        settings={"context_settings": {"allow_interspersed_args": False}},
    ),
    "replay": _Command("Send to a collector what could not be sent when it happened.", "replay"),
    "gc": _Command("Remove what is old from the embedded store, while others write to it and read it.", "gc"),
    "version": _Command("Print mlotel's version and those of what it stands on.", "version"),
}


class _Listed(TyperCommand):
    """What stands for a command that is not loaded."""


class _Commands(TyperGroup):
    """The commands; one that is not known names the nearest, whatever the version of typer."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments begin with, and load it if it is only listed so far."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"no command {name!r}{nearest(name, list(_COMMANDS)) or ': `mlotel --help` lists them'}")
        if isinstance(self.commands.get(name), _Listed):
            self.commands[name] = get_command(build_app([name])).commands[name]  # type: ignore[attr-defined] # a group
        return super().resolve_command(ctx, args)


def build_app(names: Iterable[str] = _COMMANDS, *, loaded: bool = True) -> typer.Typer:
    """Return the command-line application with the commands of these names, all of them if none are said.

    Args:
        names: names of commands.
        loaded: whether commands are ready to be looked at; else they are loaded when they are called.
    """
    app = typer.Typer(
        name="mlotel",
        cls=_Commands,
        help="Component runs, their artifacts and their lineage, read from OpenTelemetry data.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(version.callback)
    for name in names:
        command = _COMMANDS[name]
        if loaded:
            app.command(name, **command.settings)(_reporting(command.load()))
        else:
            app.command(name, cls=_Listed, help=command.summary)(lambda: None)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments`, by default those of the process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors=plain_errors())
    said = sys.argv[1:] if arguments is None else list(arguments)
    if sys.stdout is None and said[:1] != ["exec"]:  # `mlotel runs >&-`: Python makes no stream of it
        complain("standard output is closed: give the answer a place to be written to")
        raise SystemExit(USAGE)
    # The command that was asked for is all that has to be loaded. Everything else is a question about the commands, or
    # the shell's, which asks by an environment variable.
    if said and said[0] in _COMMANDS and "_MLOTEL_COMPLETE" not in os.environ:
        app = build_app(said[:1])
    else:
        app = build_app(loaded=False)
    app(args=said, prog_name="mlotel")


def _reporting(command: Callable[..., None]) -> Callable[..., None]:
    """Turn mlotel's errors and the system's into one line and an exit code; what else is raised is a fault."""

    @wraps(command)
    def reporting(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except MlotelError as error:
            complain(str(error))
            raise typer.Exit(NOT_FOUND if isinstance(error, RunNotFoundError) else USAGE) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # who read the answer has read enough: typer ends quietly
                raise
            complain(f"the answer could not be read or written: {error}")
            raise typer.Exit(USAGE) from None

    return reporting
