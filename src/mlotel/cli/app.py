"""The application: which commands there are, and what becomes of an error."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import typer

from mlotel.cli import components, diff, explain, find, history, lineage, replay, runs, show, tags, ui, version
from mlotel.cli import exec as exec_command
from mlotel.cli.output import complain
from mlotel.cli.where import WhereCommand
from mlotel.errors import MlotelError, RunNotFoundError

__all__ = ["NOT_FOUND", "USAGE", "build_app", "main"]

NOT_FOUND = 1
"""Exit code where the question was understood and nothing answers to it."""

USAGE = 2
"""Exit code of a bad argument, a store that cannot be read, or a reference that is not unique."""


def build_app() -> typer.Typer:
    """Return the command-line application, one command a module."""
    app = typer.Typer(
        name="mlotel",
        help="Component runs, their artifacts and their lineage, read from OpenTelemetry data.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(version.callback)
    app.command("runs")(_reporting(runs.command))
    app.command("recent", help="The same as `runs`.\n\nExample: mlotel recent --limit 5")(_reporting(runs.command))
    app.command("find", cls=WhereCommand)(_reporting(find.command))
    app.command("components")(_reporting(components.command))
    app.command("tags")(_reporting(tags.command))
    app.command("show")(_reporting(show.command))
    app.command("explain")(_reporting(explain.command))
    app.command("diff")(_reporting(diff.command))
    app.command("history")(_reporting(history.command))
    app.command("lineage")(_reporting(lineage.command))
    app.command("ui")(_reporting(ui.command))
    app.command("exec", context_settings={"allow_interspersed_args": False})(_reporting(exec_command.command))
    app.command("replay")(_reporting(replay.command))
    app.command("version")(_reporting(version.command))
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments`, by default those of the process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    build_app()(args=None if arguments is None else list(arguments), prog_name="mlotel")


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
            complain(str(error))
            raise typer.Exit(USAGE) from None

    return reporting
