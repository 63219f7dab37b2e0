"""The runs of one component as a sequence in order of time, of which only what is asked for is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, overload, runtime_checkable

from mlotel.model import Run
from mlotel.store import Store

__all__ = ["History"]

_PAGE = 500


@runtime_checkable
class _Counts(Protocol):
    """A store that can tell how many runs there are, and read them from any place on."""

    def count_runs(
        self, *, component: str | None = None, since_ns: int | None = None, until_ns: int | None = None
    ) -> int: ...

    def runs_from(
        self,
        first: int,
        count: int,
        *,
        component: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Sequence[Run]: ...


class History(Sequence[Run]):
    """The runs of a component, the earliest first: ``history[0]`` is the first, ``history[-1]`` the latest.

    A slice is a tuple of runs: ``history[-3:]`` are the last three. What is asked for is read when it is asked for, and
    ``history[-3:]`` reads three runs whatever there is. It is fixed by the first question: runs that begin later are
    not part of it.

    Args:
        store: where the runs are read.
        component: the component's name.
        since_ns: runs that began at or after this time, nanoseconds since the epoch.
        until_ns: runs that began at or before this time.
    """

    def __init__(
        self, store: Store, component: str, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> None:
        self.component = component
        self._store = store
        self._since, self._until = since_ns, until_ns
        self._latest: tuple[Run, ...] = ()  # the last ones, as many as were asked for so far
        self._length: int | None = None
        self._fixed = False

    def __len__(self) -> int:
        """How many runs there are."""
        self._fix()
        if self._length is None:
            if isinstance(self._store, _Counts):
                self._length = self._store.count_runs(
                    component=self.component, since_ns=self._since, until_ns=self._until
                )
            else:
                self._latest = self._read(None)
                self._length = len(self._latest)
        return self._length

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Run, ...]: ...

    def __getitem__(self, index: int | slice) -> Run | tuple[Run, ...]:
        """The run at a place, or the runs of a slice, as of any sequence."""
        if isinstance(index, slice):
            return self._slice(index)
        if index < 0:
            runs = self._last(-index)
            if len(runs) >= -index:
                return runs[index]
        elif found := self._from(index, 1):
            return found[0]
        raise IndexError(f"no run {index} of {self.component!r}: there are {len(self):,}")

    def __iter__(self) -> Iterator[Run]:
        """The runs, the earliest first."""
        for first in range(0, len(self), _PAGE):
            yield from self._from(first, _PAGE)

    def __reversed__(self) -> Iterator[Run]:
        """The runs, the latest first."""
        for last in range(len(self), 0, -_PAGE):
            first = max(0, last - _PAGE)
            yield from reversed(self._from(first, last - first))

    def __repr__(self) -> str:
        return f"<History of {self.component!r}: {len(self):,} runs>"

    def _slice(self, index: slice) -> tuple[Run, ...]:
        start, stop, step = index.start, index.stop, index.step
        if start is not None and start < 0 and (stop is None or stop < 0) and (step is None or step > 0):
            # Counted from the end alone. Where there are fewer runs, these are all, and the slice means the same.
            return self._last(-start)[index]
        places = range(len(self))[index]
        if not places:
            return ()
        first = min(places[0], places[-1])
        runs = self._from(first, max(places[0], places[-1]) - first + 1)
        return tuple(runs[place - first] for place in places if place - first < len(runs))

    def _last(self, count: int) -> tuple[Run, ...]:
        """The last `count` runs, or all where there are fewer."""
        self._fix()
        if len(self._latest) < count and self._length != len(self._latest):
            self._latest = self._read(count)
            if len(self._latest) < count:
                self._length = len(self._latest)
        return self._latest[max(0, len(self._latest) - count) :]

    def _from(self, first: int, count: int) -> Sequence[Run]:
        length = len(self)
        count = max(0, min(count, length - first))
        known = length - len(self._latest)  # the place of the first of those that are known
        if first < known and isinstance(self._store, _Counts):
            return self._store.runs_from(
                first, count, component=self.component, since_ns=self._since, until_ns=self._until
            )
        return self._latest[first - known : first - known + count]

    def _read(self, count: int | None) -> tuple[Run, ...]:
        """The last runs, earliest first."""
        found = self._store.runs(component=self.component, since_ns=self._since, until_ns=self._until, limit=count)
        return tuple(reversed(found))

    def _fix(self) -> None:
        """Let runs that begin from now on be no part of it."""
        if not self._fixed:
            self._latest = self._read(1)
            if self._latest:
                self._until = self._latest[0].start_ns
            else:
                self._length = 0
            self._fixed = True
