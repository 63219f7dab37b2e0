"""A store of OTLP/JSON lines in memory, for tests and for whoever has lines and no files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from mlotel.store.index import Index
from mlotel.store.indexed import IndexedStore
from mlotel.store.ingest import Ingest

__all__ = ["MemoryStore"]


class MemoryStore(IndexedStore):
    """The Store protocol over lines that are handed in; reads them as the embedded store does.

    Args:
        lines: OTLP/JSON lines to begin with.
        clock: nanoseconds since the epoch, to tell running runs from lost ones.
    """

    def __init__(self, lines: Iterable[bytes] = (), *, clock: Callable[[], int] = time.time_ns) -> None:
        kept: list[bytes] = []
        super().__init__(lambda place: _without_end(kept[place.offset]), clock)
        self._lines = kept
        self._read = 0
        self._memory: Index | None = None
        for line in lines:
            self.append(line)

    def append(self, line: bytes) -> bool:
        """Add one line, with or without its newline; always taken."""
        self._lines.append(line)
        return True

    def close(self) -> None:
        """Close the index; the lines stay, and the next question reads them again."""
        with self._lock:
            self._read = 0
            self._assembly.clear()
            if self._memory is not None:
                self._memory.close()
                self._memory = None

    def clear(self) -> None:
        """Forget every line."""
        with self._lock:
            self._lines.clear()
            self.close()

    @property
    def lines(self) -> tuple[bytes, ...]:
        """Every line handed in, in order."""
        return tuple(self._lines)

    def _index(self) -> Index:
        if self._memory is None:
            self._memory = Index(None)
        return self._memory

    def _refresh(self) -> None:
        index = self._index()
        count = len(self._lines)
        if count > self._read:
            with index.transaction():
                ingest = Ingest(index)
                for number in range(self._read, count):
                    line = _without_end(self._lines[number])
                    ingest.line(line, (0, number, len(line)))
                ingest.flush()
                index.add_indices()
                index.save_segment("memory", 0, count, ingest.skipped)
            self._read = count
            self._assembly.clear()


def _without_end(line: bytes) -> bytes:
    return line.rstrip(b"\r\n")
