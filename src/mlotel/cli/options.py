"""The options that commands share, and the store that they lead to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlotel.cli.output import complain
from mlotel.errors import ConfigurationError, StoreNotFoundError
from mlotel.store import Store

__all__ = [
    "FormatOption",
    "JaegerOption",
    "LimitOption",
    "OpenedStore",
    "OutputFormat",
    "StoreOption",
    "nearest",
    "open_store",
    "time_option",
]


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
JaegerOption = Annotated[
    str | None,
    typer.Option(
        "--jaeger",
        metavar="URL",
        help="Read Jaeger instead of a store: its gRPC query service, e.g. http://localhost:16685. Searches go back "
        "30 days.",
        show_default=False,
    ),
]
FormatOption = Annotated[OutputFormat, typer.Option("--format", "-f", help="A table to read, or JSON for programs.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many runs, latest first.")]


_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_option(text: str | None, *, clock: Callable[[], int] = time.time_ns) -> int | None:
    """Return a time as nanoseconds since the epoch: RFC 3339, or how long ago, as in 7d or 12h; None of None.

    A date alone is its midnight, and a time without an offset is in UTC.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text is None:
        return None
    try:
        if match := _AGO.fullmatch(text.strip()):
            return clock() - timedelta(**{_UNITS[match[2]]: float(match[1])}) // timedelta(microseconds=1) * 1000
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time: write it as 2026-11-21T09:30:00Z, or as how long ago: 12h, 7d (s, m, h, d, w)"
        ) from None


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A store and the place where it was found. `exists` is False where nothing has been recorded there yet."""

    store: Store
    path: Path | str
    exists: bool
    unread: Callable[[], int]
    """How many lines of the store could not be read."""

    @property
    def advice(self) -> str:
        """What to do about a store that holds no runs."""
        if isinstance(self.path, str):
            return f"no runs in {self.path} in the last 30 days: see that a collector sends it what runs tell"
        return (
            f"no runs in {self.path}: record one with mlotel.component(...) or `mlotel exec --component NAME -- CMD`, "
            "or name another store with --store or MLOTEL_STORE"
        )


@contextmanager
def open_store(path: Path | None, jaeger: str | None = None) -> Iterator[OpenedStore]:
    """Open the store at `path`, a Jaeger, or the store that runs of this folder go to.

    Raises:
        ConfigurationError: `path` and `jaeger` were both given, or `jaeger` is no address.
        StoreNotFoundError: `path` was given and nothing is there, or there is none to look for.
    """
    if jaeger is not None:
        if path is not None:
            raise ConfigurationError("--store and --jaeger are two places to read: give one of them")
        with _open_jaeger(jaeger) as opened:
            yield opened
        return
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


@contextmanager
def _open_jaeger(url: str) -> Iterator[OpenedStore]:
    from mlotel.store.jaeger import JaegerStore

    with JaegerStore(url) as store:
        try:
            yield OpenedStore(store, f"Jaeger at {url}", exists=True, unread=lambda: 0)
        finally:  # of what was not found, too
            for problem in store.problems:
                complain(f"the answer is partial: {problem}")


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the known names that `name` may be a slip of, as the end of a sentence, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=3)
    return f": did you mean {' or '.join(repr(each) for each in close)}?" if close else ""
