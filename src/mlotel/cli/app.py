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
from typer.core import TyperGroup

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
    """Where a command is defined: its module below `mlotel.cli`, its function there, and what typer is told of it."""

    module: str
    function: str = "command"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Callable[..., None]:
        """The function itself."""
        found: Callable[..., None] = getattr(import_module(f"mlotel.cli.{self.module}"), self.function)
        return found


_COMMANDS = {
    "runs": _Command("runs"),
    "recent": _Command("runs", settings={"help": "The same as `runs`.\n\nExample: mlotel recent --limit 5"}),
    "find": _Command("find", settings={"cls": WhereCommand}),
    "components": _Command("components"),
    "tags": _Command("tags"),
    "show": _Command("show"),
    "explain": _Command("explain"),
    "diff": _Command("diff"),
    "history": _Command("history"),
    "lineage": _Command("lineage"),
    "profile": _Command("profile"),
    "ui": _Command("ui"),
    "notes": _Command("notes"),
    "flag": _Command("flag", "flag_command"),
    "unflag": _Command("flag", "unflag_command"),
    "review": _Command("review"),
    "drift": _Command("drift"),
    "reference": _Command("reference"),
    "dashboards": _Command("dashboards"),
    "label": _Command("labels", "label_command"),
    "unlabel": _Command("labels", "unlabel_command"),
    "labels": _Command("labels", "labels_command"),
    "retract": _Command("labels", "retract_command"),
    "restore": _Command("labels", "restore_command"),
    "rules": _Command("rules"),
    "exec": _Command("exec", settings={"context_settings": {"allow_interspersed_args": False}}),
    "replay": _Command("replay"),
    "gc": _Command("gc"),
    "version": _Command("version"),
}


class _Commands(TyperGroup):
    """The commands; one that is not known names the nearest, whatever the version of typer."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments begin with."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"no command {name!r}{nearest(name, list(_COMMANDS)) or ': `mlotel --help` lists them'}")
        return super().resolve_command(ctx, args)


def build_app(names: Iterable[str] = _COMMANDS) -> typer.Typer:
    """Return the command-line application with the commands of these names, all of them if none are said."""
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
        app.command(name, **command.settings)(_reporting(command.load()))
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
    # The command that was asked for is all that has to be loaded; the shell asks for what there is by an environment
    # variable, and everything else is a question about the commands.
    one = said[:1] if said and said[0] in _COMMANDS and "_MLOTEL_COMPLETE" not in os.environ else _COMMANDS
    build_app(one)(args=said, prog_name="mlotel")


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
