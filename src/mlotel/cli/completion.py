"""What the shell is offered where a component is asked for."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlotel.errors import MlotelError

__all__ = ["complete_component"]


def complete_component(ctx: Any, incomplete: str) -> Sequence[str]:
    """Return the components that begin so, as far as the index of the embedded store knows them already.

    Args:
        ctx: the command line so far, as typer has it.
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
