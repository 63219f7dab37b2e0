"""`mlotel completion`, and what the shell is offered where a component is asked for."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import click

from mlotel.errors import MlotelError

__all__ = ["command", "complete_component"]


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a script by which a shell completes commands, options, and the names of components.

    SHELL: bash (4.4 or later), zsh or fish. Bash reads ~/.bashrc, zsh ~/.zshrc, and fish
    ~/.config/fish/completions/mlotel.fish.

    Example: mlotel completion bash >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    from mlotel.cli.app import app

    kind = get_completion_class(shell)
    if kind is None:  # this release of click knows another set of shells
        raise click.BadParameter(f"click knows no completion for {shell}")
    click.echo(kind(app, {}, "mlotel", "_MLOTEL_COMPLETE").source())


def complete_component(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the components that begin so, as far as the index of the embedded store knows them already.

    Args:
        ctx: the command line so far, as click has it.
        incomplete: what is typed of the name.
    """
    from mlotel.store.files import FileStore
    from mlotel.store.location import find_store

    # Whatever is wrong with the store, the next key press must not print it.
    with contextlib.suppress(MlotelError, OSError, sqlite3.Error):
        said = ctx.params.get("store")
        root = find_store() if said is None else Path(said)
        if root is not None:
            with FileStore(root) as store:
                return [name for name in store.known_components() if name.startswith(incomplete)]
    return []
