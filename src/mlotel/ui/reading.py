"""The store behind the web view, lent to one answer after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from mlotel.store import Store

__all__ = ["Answering", "Reading"]


@runtime_checkable
class _Remote(Protocol):
    """A store over a network: it keeps what it fetched, and what went wrong, until it is closed."""

    @property
    def problems(self) -> Sequence[str]: ...

    def searching(self, since_ns: int | None = None) -> AbstractContextManager[None]: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Answering:
    """A store while one request is answered. `problems` says what could not be read, once the answer is complete."""

    store: Store
    problems: Sequence[str] = ()

    def searching(self, since_ns: int | None) -> AbstractContextManager[None]:
        """Let a store over a network look back as far as this (nanoseconds since the epoch), and no further."""
        return self.store.searching(since_ns) if isinstance(self.store, _Remote) else nullcontext()


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the web view reads, and what it tells of it.

    Args:
        store: what is asked.
        name: what the store is called: a path or an address.
        unread: how many of its lines could not be read.
        jaeger_ui: address of Jaeger's own pages, for links to traces; None for no links.
    """

    store: Store
    name: str
    unread: Callable[[], int] = lambda: 0
    jaeger_ui: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def answering(self) -> Iterator[Answering]:
        """Lend the store for one answer.

        A remote store begins anew with the next one, and answers one at a time: it would otherwise hold everything that
        it ever fetched, and call each later answer partial because of one that failed.
        """
        answering = Answering(self.store)
        if not isinstance(self.store, _Remote):  # takes care of its threads itself, question by question
            yield answering
            return
        with self._lock:
            try:
                yield answering
            finally:
                answering.problems = tuple(self.store.problems)
                self.store.close()
