"""The spool: what a collector did not take, on disk in the store's folder until it does.

Spans and log records are lines of OTLP/JSON in segments, as those of the store, each signal in its own: the one may be
taken while the other is not. What a request held that nobody answered stands apart, as it may arrive twice. Of the
metrics of a process only the latest are kept, which are cumulative: one request in protobuf, in a file of its own.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlotel._forks import Lock
from mlotel.sdk._losses import Item, Losses
from mlotel.store.journal import SEGMENT_SUFFIX, SEGMENTS, Journal, host_key, make_private, private
from mlotel.store.segments import first_open_day, is_written, segment_writer

__all__ = [
    "LARGEST_METRICS",
    "METRICS_SUFFIX",
    "SPOOL",
    "UNANSWERED",
    "Spool",
    "Spooled",
    "may_change",
    "metrics_name",
    "metrics_of",
    "points",
    "spooled",
]

SPOOL = "spool"
"""The folder, in that of the store, of what could not be sent."""
UNANSWERED = "unanswered"
"""The folder, in that of the spool, of what may have arrived."""
METRICS_SUFFIX = ".pb"
LARGEST_METRICS = 64 * 2**20
"""Bytes of the largest request of metrics that is sent; collectors take 20 MiB."""

_METRICS = "metrics"
_LOOK_S = 1.0
_DAY_S = 86_400
_LOST = "what the collector does not take is lost"


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file of the spool: where, how large, and when it was last written (seconds since the epoch)."""

    path: Path
    size: int
    written: float


def spooled(root: Path) -> list[Spooled]:
    """Return the files of the spool of the store at `root`, oldest first."""
    folder = root / SPOOL
    found = []
    for place in (folder / SEGMENTS, folder / UNANSWERED / SEGMENTS, folder / _METRICS):
        for path in _files(place):
            with contextlib.suppress(OSError):  # another process has sent it
                status = path.stat()
                found.append(Spooled(path, status.st_size, status.st_mtime))
    return sorted(found, key=lambda each: each.written)


def _files(folder: Path) -> Iterator[Path]:
    for suffix in (".jsonl", METRICS_SUFFIX):
        yield from folder.glob(f"[!.]*{suffix}") if folder.is_dir() else ()


def may_change(file: Spooled, spool: Spool | None = None) -> bool:
    """Return whether a process may still write to a file of the spool.

    Args:
        file: the file.
        spool: that of this process, which knows which of its own it still writes to.
    """
    named_after = file.path.stem + SEGMENT_SUFFIX
    if file.path.suffix == METRICS_SUFFIX:  # the same file for as long as its process lives
        # of processes elsewhere: a day is longer than any interval of metrics
        return is_written(named_after, elsewhere=time.time() - file.written < _DAY_S)
    writer = segment_writer(named_after)
    if writer is None or writer[0] < first_open_day(time.time_ns()):
        return False
    if spool is not None and writer[1:] == (host_key(), os.getpid()):
        return spool.is_held(file.path)
    return is_written(named_after, elsewhere=True)


class Spool:
    """What this process adds to the spool of a store, within a bound; never raises.

    When the bound is reached the oldest metrics make room, and where there are none what comes is dropped: counted, and
    said once.

    Args:
        root: folder of the store.
        losses: where is counted what is dropped.
        limit: bytes that the spool may have, about: processes that write to it at once see each other's with a delay.
        clock: seconds of a clock that goes on evenly.
    """

    def __init__(self, root: Path, losses: Losses, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._losses = losses
        self._limit = limit
        self._clock = clock
        items: tuple[Item, ...] = ("span", "log_record")
        self._journals = {
            (item, unanswered): Journal(folder, store=root, lost=_LOST)
            for item in items
            for unanswered, folder in ((False, root / SPOOL), (True, root / SPOOL / UNANSWERED))
        }
        self._used = 0
        self._has_metrics = False
        self._look_at = float("-inf")
        self._lock = Lock()

    @property
    def root(self) -> Path:
        """The folder of the store."""
        return self._root

    def keep(self, item: Item, line: bytes, *, unanswered: bool = False) -> bool:
        """Keep a line; return whether it is kept.

        Args:
            item: what it is.
            line: the item in OTLP/JSON, with a newline.
            unanswered: whether it may have arrived.
        """
        if not self._has_room(len(line)):
            self._losses.dropped(item, 1, "spool_full", f"{self._root / SPOOL} holds {self._limit} bytes already")
            return False
        if not self._journals[item, unanswered].append(line):
            self._losses.dropped(item, 1, "spool_unwritable", None)  # the journal has said it
            return False
        self._used += len(line)
        return True

    def keep_metrics(self, name: str, body: bytes) -> bool:
        """Keep a request of metrics in place of the one before of that name; return whether it is kept."""
        if not self._has_room(len(body)):
            self._losses.dropped("metric", points(body), "spool_full", f"{self._root / SPOOL} is full")
            return False
        folder = self._root / SPOOL / _METRICS
        unfinished = folder / f".{name}.new"
        try:
            make_private(self._root)
            for each in (folder.parent, folder):
                each.mkdir(mode=0o700, exist_ok=True)
            with open(unfinished, "wb", opener=private) as file:
                file.write(body)
            os.replace(unfinished, folder / (name + METRICS_SUFFIX))
        except OSError as error:
            self._losses.dropped("metric", points(body), "metrics_unwritable", f"{folder}: {error.strerror}")
            return False
        self._used += len(body)
        self._has_metrics = True
        return True

    def forget_metrics(self, name: str) -> None:
        """Remove the metrics that are kept under a name: later ones have arrived."""
        with contextlib.suppress(OSError):
            (self._root / SPOOL / _METRICS / (name + METRICS_SUFFIX)).unlink(missing_ok=True)

    def begin_anew(self, path: Path) -> None:
        """Let go of a segment of this process that has been sent: the next line begins another."""
        for journal in self._journals.values():
            journal.roll(path.name)

    def is_held(self, path: Path) -> bool:
        """Return whether a thread of this process may still write to a file."""
        return any(journal.is_held(path.name) for journal in self._journals.values())

    def _has_room(self, size: int) -> bool:
        if self._used + size <= self._limit and self._clock() < self._look_at:
            return True
        with self._lock:
            now = self._clock()
            # others write and send, too
            if now >= self._look_at or (self._has_metrics and self._used + size > self._limit):
                files = spooled(self._root)
                self._used, self._look_at = sum(file.size for file in files), now + _LOOK_S
                self._make_room(self._used + size - self._limit, [f for f in files if f.path.suffix == METRICS_SUFFIX])
            return self._used + size <= self._limit

    def _make_room(self, wanted: int, metrics: list[Spooled]) -> None:
        """Drop the oldest metrics, for as many bytes as are wanted."""
        while wanted > 0 and metrics:
            file = metrics.pop(0)
            wanted -= file.size
            self._used -= file.size
            with contextlib.suppress(OSError):
                body = metrics_of(file)
                file.path.unlink()
                self._losses.dropped("metric", points(body), "spool_full", f"{self._root / SPOOL} is full")
        self._has_metrics = bool(metrics)


def metrics_name() -> str:
    """Return a name for the metrics of a provider in this process, by which others know whose they are."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{day}-{host_key()}-{os.getpid()}-{os.urandom(4).hex()}"


def metrics_of(file: Spooled) -> bytes:
    """Return the request of metrics in a file, of which no more is read than a request may have. Raises OSError."""
    with open(file.path, "rb") as opened:
        return opened.read(LARGEST_METRICS)


def points(body: bytes) -> int:
    """Return how many data points a request of metrics holds; 1 where it cannot be read."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError:
        return 1
    return sum(
        len(getattr(metric, metric.WhichOneof("data")).data_points)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.WhichOneof("data")
    )
