"""What waits in memory for a collector that is away, where there is no store to spool it to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice

from mlotel._forks import Lock, after_in_child
from mlotel.sdk._losses import Item, Losses
from mlotel.sdk.replay import BATCH, LineSender, Replayed, Sending, batches
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E

__all__ = ["MOST_HELD", "Held", "is_lineage"]

MOST_HELD = 32 * 2**20
"""Bytes of lines that wait at most, some 25,000 spans; fewer where the spool may have less."""

# within a string of JSON these quotes would be escaped
_LINEAGE = tuple(
    b'"%b"' % name.encode()
    for name in (A.MLOTEL_COMPONENT_NAME, A.MLOTEL_IO_DIRECTION, E.MLOTEL_RUN_START, E.MLOTEL_RUN_END, A.MLOTEL_LABEL)
)


def is_lineage(line: bytes) -> bool:
    """Return whether a line tells of a run's start or end, of what it read or wrote, or of a label."""
    return any(name in line for name in _LINEAGE)


class Held:
    """Keeps lines within a bound until they are sent; never raises.

    When the bound is reached the oldest lines go that are no lineage, and of lineage the oldest where there are no
    others: counted, and said.

    Args:
        send: sends a request.
        losses: where is counted what goes.
        limit: bytes of lines that may wait.
    """

    def __init__(self, send: Sending, losses: Losses, limit: int = MOST_HELD) -> None:
        self._sender = LineSender(send, losses)
        self._losses = losses
        self._limit = limit
        self._lock = Lock()
        self._begin_anew()
        after_in_child(self._begin_anew)  # what waits is the parent's

    def _begin_anew(self) -> None:
        self._used = 0
        # what goes first stands first; by their object's id, as lines of one signal may be sent before older ones
        self._queues: tuple[_Queue, _Queue] = (OrderedDict(), OrderedDict())
        self._doubtful: set[int] = set()  # lines that may have arrived, by their object's id

    def keep(self, item: Item, line: bytes, *, unanswered: bool = False) -> bool:
        """Keep a line; return whether that was without letting go of another.

        Args:
            item: what it is.
            line: the item in OTLP/JSON, with a newline.
            unanswered: whether it may have arrived.
        """
        gone: list[Item] = []
        with self._lock:
            self._queues[is_lineage(line)][id(line)] = (item, line)
            self._used += len(line)
            if unanswered:
                self._doubtful.add(id(line))
            while self._used > self._limit:
                queue = self._queues[0] or self._queues[1]
                gone.append(self._pop(queue, next(iter(queue))))
        why = f"{self._limit} bytes wait for the collector already, and there is no store"
        for each in gone:
            self._losses.dropped(each, 1, "memory_full", why)
        return not gone

    def run(self, stop: Callable[[], bool] = lambda: False) -> Replayed:
        """Send until all has been sent, the collector does not take it, or `stop` says so between two requests."""
        done = Replayed()
        held_up: set[bytes] = set()  # how lines begin of which no more are taken
        for queue in reversed(self._queues):  # lineage is sent first
            while waiting := self._first(queue, tuple(held_up)):
                for prefix, batch in batches(waiting):
                    if stop():
                        return done
                    if prefix not in held_up and not self._sender.send(prefix, batch, _Sent(self, queue), done):
                        held_up.add(prefix)
        return done

    def _first(self, queue: _Queue, held_up: tuple[bytes, ...]) -> list[bytes]:
        with self._lock:
            return list(islice((line for _, line in queue.values() if not line.startswith(held_up)), BATCH))

    def give_up(self) -> None:
        """Count what still waits as lost: the process ends."""
        with self._lock:
            left = [item for queue in self._queues for item, _ in queue.values()]
            self._begin_anew()
        for item in left:
            self._losses.dropped(item, 1, "no_store", None)  # the lane has said so

    def mark(self, lines: Iterable[bytes]) -> set[int]:
        """Note that lines may have arrived; return those, by their object's id, of which that was not known."""
        with self._lock:
            new = set(map(id, lines)) - self._doubtful
            self._doubtful |= new
            return new

    def unmark(self, lines: Iterable[int]) -> None:
        """Take that back."""
        with self._lock:
            self._doubtful.difference_update(lines)

    def remove(self, queue: _Queue, lines: Iterable[bytes]) -> None:
        """Let go of lines of a queue, as far as they did not go meanwhile."""
        with self._lock:
            for line in lines:
                if id(line) in queue:
                    self._pop(queue, id(line))

    def _pop(self, queue: _Queue, key: int) -> Item:
        item, line = queue.pop(key)
        self._used -= len(line)
        self._doubtful.discard(key)
        return item


_Queue = OrderedDict[int, tuple[Item, bytes]]


class _Sent:
    """What becomes of the lines of a request."""

    def __init__(self, held: Held, queue: _Queue) -> None:
        self._held = held
        self._queue = queue
        self._new: set[int] = set()

    def attempt(self, batch: list[bytes]) -> int:
        self._new = self._held.mark(batch)
        return len(batch) - len(self._new)

    def not_arrived(self) -> None:
        self._held.unmark(self._new)

    def arrived(self, batch: list[bytes]) -> None:
        self._held.remove(self._queue, batch)
