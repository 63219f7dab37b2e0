"""The options that commands share, and the store that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlotel.errors import StoreNotFoundError
from mlotel.store import Store

__all__ = ["FormatOption", "LimitOption", "OpenedStore", "OutputFormat", "StoreOption", "nearest", "open_store"]


class OutputFormat(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"


StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="PATH",
        help="The store to read: a .mlotel folder or an OTLP/JSON file. Default: MLOTEL_STORE, else the nearest "
        ".mlotel folder upwards.",
        show_default=False,
    ),
]
FormatOption = Annotated[OutputFormat, typer.Option("--format", "-f", help="A table to read, or JSON for programs.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many runs, latest first.")]


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A store and the place where it was found. `exists` is False where nothing has been recorded there yet."""

    store: Store
    path: Path
    exists: bool
    unread: Callable[[], int]
    """How many lines of the store could not be read."""

    @property
    def advice(self) -> str:
        """What to do about a store that holds no runs."""
        return (
            f"no runs in {self.path}: record one with mlotel.component(...) or `mlotel exec --component NAME -- CMD`, "
            "or name another store with --store or MLOTEL_STORE"
        )


@contextmanager
def open_store(path: Path | None) -> Iterator[OpenedStore]:
    """Open the store at `path`, or the one that runs of this folder go to.

    Raises:
        StoreNotFoundError: `path` was given and nothing is there, or there is none to look for.
    """
    from mlotel.store.files import FileStore
    from mlotel.store.location import find_store
    from mlotel.store.memory import MemoryStore

    if path is not None and not path.exists():
        raise StoreNotFoundError(f"no store at {path}: give the path of a .mlotel folder, or leave --store out")
    found = find_store() if path is None else path.absolute()
    if found is None:
        raise StoreNotFoundError("the embedded store is switched off by MLOTEL_STORE: name a store with --store")
    if not found.exists():
        yield OpenedStore(MemoryStore(), found, exists=False, unread=lambda: 0)
        return
    with FileStore(found) as store:

        def unread() -> int:
            status = store.status()
            return status.skipped + status.torn

        yield OpenedStore(store, found, exists=True, unread=unread)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the known names that `name` may be a slip of, as the end of a sentence, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=3)
    return f": did you mean {' or '.join(repr(each) for each in close)}?" if close else ""
