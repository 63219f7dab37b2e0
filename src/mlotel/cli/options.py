"""The options that commands share, and the store that they lead to."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import click

from mlotel.cli.output import complain, make_console
from mlotel.cli.text import amount, bytes_
from mlotel.errors import (
    ConfigurationError,
    QueryError,
    RunNotFoundError,
    StoreError,
    StoreNotFoundError,
    nearest,
)
from mlotel.store import Store
from mlotel.store.times import format_time, parse_time

if TYPE_CHECKING:
    from mlotel.store.files import FileStore
    from mlotel.store.remote import RemoteStore

    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # generic since 8.2

__all__ = [
    "OneOf",
    "OpenedStore",
    "OutputFormat",
    "StoreSource",
    "format_option",
    "limit_option",
    "nearest",
    "open_store",
    "since_option",
    "store_option",
    "store_options",
    "time_option",
    "time_range",
    "until_option",
]


_SOON_READ = 16 * 2**20  # bytes, in half a second
_LOOKED_BACK = 30 * 24 * 3600 * 10**9


class OutputFormat(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"


class OneOf(_Choice):
    """The members of an enumeration, by their values: before 8.2 click takes texts alone."""

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__([each.value for each in members])
        self._members = members

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
        """Return the member of this value. Raises click.BadParameter where there is none."""
        return self._members(super().convert(value, param, ctx))


store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The store to read: a .mlotel folder or an OTLP/JSON file. Default: MLOTEL_STORE, else the nearest .mlotel "
    "folder upwards.",
)
_jaeger_option = click.option(
    "--jaeger",
    metavar="URL",
    help="Read Jaeger instead of a store: its gRPC query service, e.g. http://localhost:16685. Searches go back 30 "
    "days.",
)
_tempo_option = click.option(
    "--tempo",
    metavar="URL",
    help="Read Tempo instead of a store: its HTTP API, e.g. http://localhost:3200. Searches go back 30 days.",
)


class StoreSource(NamedTuple):
    """Where runs are read: a .mlotel folder or files of OTLP/JSON lines, or the address of Jaeger or of Tempo."""

    store: Path | None
    jaeger: str | None
    tempo: str | None


def store_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where runs are read, which the command is given as `source`, for `open_store`."""

    @wraps(command)
    def with_source(*, store: Path | None, jaeger: str | None, tempo: str | None, **given: Any) -> None:
        command(source=StoreSource(store, jaeger, tempo), **given)

    return store_option(_jaeger_option(_tempo_option(with_source)))


format_option = click.option(
    "--format",
    "-f",
    "output_format",
    type=OneOf(OutputFormat),
    default="table",
    help="A table to read, or JSON for programs.",
)
since_option = click.option(
    "--since",
    metavar="TIME",
    help="Runs that began then or later: RFC 3339 (2026-11-21T09:30:00Z), or how long ago (12h, 7d).",
)
until_option = click.option("--until", metavar="TIME", help="Runs that began then or earlier.")
limit_option = click.option(
    "--limit", "-n", type=click.IntRange(min=1), default=20, help="How many runs, latest first."
)


def time_option(text: str | None, *, clock: Callable[[], int] = time.time_ns) -> int | None:
    """Return a time as nanoseconds since the epoch: RFC 3339, or how long ago, as in 7d or 12h; None of None.

    Raises:
        click.BadParameter: it is neither.
    """
    try:
        return None if text is None else parse_time(text, clock())
    except QueryError as error:
        raise click.BadParameter(str(error)) from None


def time_range(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """Return both ends of a time range as nanoseconds since the epoch.

    Raises:
        click.BadParameter: one of them is no time, or nothing lies between them.
    """
    since_ns, until_ns = time_option(since), time_option(until)
    if since_ns is not None and until_ns is not None and since_ns > until_ns:
        raise click.BadParameter("--since is later than --until: nothing lies between them")
    return since_ns, until_ns


@runtime_checkable
class _SearchesRanges(Protocol):
    """A store that searches a time range, which can be another one for some questions."""

    def searching(self, since_ns: int | None = None) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A store and the place where it was found. `exists` is False where nothing has been recorded there yet."""

    store: Store
    path: Path | str
    exists: bool
    unread: Callable[[], int]
    """How many lines of the store could not be read."""

    def searching(self, since_ns: int | None) -> AbstractContextManager[None]:
        """Let a backend that searches time ranges look back no further than this (nanoseconds since the epoch)."""
        return self.store.searching(since_ns) if isinstance(self.store, _SearchesRanges) else nullcontext()

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
def open_store(
    source: StoreSource, *, since_ns: int | None = None, until_ns: int | None = None
) -> Iterator[OpenedStore]:
    """Open a store, a Jaeger, a Tempo, or where none is named the store that runs of this folder go to.

    Args:
        source: which of them.
        since_ns: a time from which on answers are wanted, nanoseconds since the epoch: a backend that looks back 30
            days looks back that far as well.
        until_ns: a time until which they are wanted.

    Raises:
        ConfigurationError: several of them were given, or an address is none.
        StoreNotFoundError: a store was named and nothing is there, or there is none to look for.
    """
    path, jaeger, tempo = source
    given = [f"--{name}" for name, value in source._asdict().items() if value is not None]
    if len(given) > 1:
        raise ConfigurationError(f"{' and '.join(given)} are {len(given)} places to read: give one of them")
    if jaeger is not None or tempo is not None:
        with _open_backend(jaeger, tempo, _back_to(since_ns, until_ns)) as opened:
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
    with FileStore(found, processes=_processors(), while_reading=_reading) as store:
        try:
            yield OpenedStore(store, found, exists=True, unread=store.unread)
        except Exception:
            _tell_unread(store)  # what was asked for may stand in what could not be read
            raise
        _tell_unread(store)  # not of an interrupt: the store would be read first


def _reading(size: int) -> AbstractContextManager[object]:
    """Tell a terminal that so many bytes are being read, where that takes longer than a moment."""
    if size < _SOON_READ or sys.stderr is None or not sys.stderr.isatty():
        return nullcontext()
    return make_console(stderr=True).status(f"reading {bytes_(size)} of runs")


def _processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tell_unread(store: FileStore) -> None:
    with suppress(StoreError):  # that the store cannot be asked has been told
        if unread := store.unread():
            were = "was" if unread == 1 else "were"
            complain(f"{amount(unread, 'line')} of the store could not be read and {were} left out")
    for file, why in store.unreadable.items():
        complain(f"the answer is partial: predictions in {file} cannot be read: {why}")


def _back_to(since_ns: int | None, until_ns: int | None) -> int | None:
    """How far a backend has to look back for these times, None for as far as it does anyway."""
    wanted = since_ns if since_ns is not None or until_ns is None else until_ns - _LOOKED_BACK
    return None if wanted is None else max(0, min(wanted, time.time_ns() - _LOOKED_BACK))


@contextmanager
def _open_backend(jaeger: str | None, tempo: str | None, since_ns: int | None) -> Iterator[OpenedStore]:
    from mlotel.store.headers import query_headers

    headers = query_headers(os.environ)
    opened: RemoteStore[Any]
    if jaeger is not None:
        from mlotel.store.jaeger import JaegerStore

        opened, place = JaegerStore(jaeger, headers=headers, since_ns=since_ns), f"Jaeger at {jaeger}"
    else:
        from mlotel.store.tempo import TempoStore

        opened, place = TempoStore(tempo or "", headers=headers, since_ns=since_ns), f"Tempo at {tempo}"
    with opened as store, ExitStack() as local:
        store.annotated = _annotated(local)
        try:
            yield OpenedStore(store, place, exists=True, unread=lambda: 0)
        except RunNotFoundError as error:
            since = format_time(store.searched_since)[:10]
            raise RunNotFoundError(f"{error} ({place} was searched for what began since {since})") from None
        finally:  # of what was not found, too
            for problem in store.problems:
                complain(f"the answer is partial: {problem}")


def _annotated(stack: ExitStack) -> Store:
    """Return the store of this machine, which holds what was said of a backend's runs."""
    from mlotel.store.files import FileStore
    from mlotel.store.location import find_store
    from mlotel.store.memory import MemoryStore

    found = find_store()
    return MemoryStore() if found is None or not found.exists() else stack.enter_context(FileStore(found))
