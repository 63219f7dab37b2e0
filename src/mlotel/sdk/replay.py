"""Sends what is in the spool to a collector: at least once, and as a rule no more than that.

Each signal goes on its own: what is not taken of one does not hold up the other, and within each the order stays.
A file is removed when all of it has arrived and nobody writes to it any more. How far it has been sent stands beside
it, and how far it may have been: that is written before a request is sent, so that what is sent again after a crash or
a lost answer is known and counted.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mlotel.errors import ConfigurationError
from mlotel.sdk._losses import Item, Losses
from mlotel.sdk._settings import Settings, Signal
from mlotel.sdk._transport import Answer, make_transport
from mlotel.sdk._underway import recover
from mlotel.sdk.spool import (
    LARGEST_METRICS,
    METRICS_SUFFIX,
    SPOOL,
    UNANSWERED,
    Spool,
    Spooled,
    may_change,
    metrics_of,
    points,
    spooled,
)
from mlotel.store.lines import blocks

__all__ = ["BATCH", "LineSender", "Replayed", "Replayer", "Sending", "batches", "replay"]

BATCH = 200  # lines in a request: some 300 KB
_BATCH_BYTES = 2 * 2**20  # of a request of longer lines
_READ_BYTES = 2 * 2**20
_SIGNALS: dict[bytes, Signal] = {b'{"resourceSpans":[': "traces", b'{"resourceLogs":[': "logs"}
_ITEMS: dict[Signal, Item] = {"traces": "span", "logs": "log_record", "metrics": "metric"}
_END = b"]}\n"
_WAIT_S = 30.0
_LONGEST_PROGRESS = 64  # bytes; it has 42


@dataclass(slots=True)
class Replayed:
    """What became of the lines of a spool.

    Attributes:
        sent: lines that the collector took.
        rejected: lines that it refused for good, or that are none.
        kept: lines that are kept for another time.
        resent: lines among those sent that may have arrived before.
        metrics: how many processes' metrics it took.
        error: why the rest was kept; of several reasons the first.
    """

    sent: int = 0
    rejected: int = 0
    kept: int = 0
    resent: int = 0
    metrics: int = 0
    error: str | None = None

    def failed(self, answer: Answer) -> None:
        """Note why something is kept."""
        self.error = self.error or answer.detail


def replay(root: Path, endpoint: str | None = None, *, settings: Settings | None = None) -> Replayed:
    """Send what could not be sent before, and what killed processes were about to send; remove what arrived.

    Args:
        root: the folder of the store whose spool is sent.
        endpoint: the collector's base URL for OTLP/HTTP; by default what the ``OTEL_*`` variables say. Headers, TLS and
            the rest are theirs in any case.
        settings: those of the process, by default.

    Raises:
        ConfigurationError: there is no endpoint.
    """
    settings = settings or Settings()
    if endpoint is not None:
        settings = settings.updated({"endpoint": endpoint, "protocol": "http/protobuf"})
    elif not settings.otlp:
        raise ConfigurationError("no collector is configured: give --endpoint http://host:4318")
    transports = {signal: make_transport(settings, signal) for signal in _ITEMS}

    def send(signal: Signal, body: bytes, *, json: bool) -> Answer:
        transport = transports[signal]
        answer = transport.send_json(body) if json else transport.send(body)
        return replace(answer, detail=f"{transport.endpoint}: {answer.detail}")

    try:
        replayer = Replayer(root, send, Losses(), wait_s=_WAIT_S)
        done = replayer.run()
        if done.error is not None:
            done.kept = replayer.count_waiting()
        return done
    finally:
        for transport in transports.values():
            transport.close()


class Sending(Protocol):
    """Sends a request of a signal."""

    def __call__(self, signal: Signal, body: bytes, *, json: bool) -> Answer:
        """Send it, and return what became of it."""
        ...


class Replayer:
    """Sends the spool of the store at `root`; two that are at it at once take turns.

    Args:
        root: folder of the store.
        send: sends a request.
        losses: where is counted what is refused, and what was sent twice.
        spool: what this process adds to that spool meanwhile, if it does.
        wait_s: seconds to wait for another one.
    """

    def __init__(
        self, root: Path, send: Sending, losses: Losses, spool: Spool | None = None, wait_s: float = 0.0
    ) -> None:
        self._root = root
        self._send = send
        self._sender = LineSender(send, losses)
        self._losses = losses
        self._spool = spool
        self._wait_s = wait_s

    def run(self, stop: Callable[[], bool] = lambda: False) -> Replayed:
        """Send until all has been sent, the collector does not take it, or `stop` says so between two requests."""
        done = Replayed()
        try:
            recover(self._root)
            if not spooled(self._root):
                return done
            with _alone(self._root / SPOOL, self._wait_s) as alone:
                if alone:
                    self._send_files(stop, done)
                else:
                    done.error = "another process is sending it"
        except OSError as error:
            done.error = str(error)
        return done

    def count_waiting(self) -> int:
        """Return how many lines have not been sent."""
        waiting = 0
        for file in spooled(self._root):
            if file.path.suffix != METRICS_SUFFIX:
                with contextlib.suppress(FileNotFoundError), open(file.path, "rb") as opened:
                    opened.seek(_Progress(file.path).sent)
                    waiting += sum(line.endswith(b"\n") for block in blocks(opened) for line in block.lines)
        return waiting

    def _send_files(self, stop: Callable[[], bool], done: Replayed) -> None:
        held_up: set[bytes] = set()
        metrics = True
        # metrics last: later ones say what they say, and there may be no time for all
        for file in sorted(spooled(self._root), key=lambda file: file.path.suffix == METRICS_SUFFIX):
            with contextlib.suppress(FileNotFoundError):  # dropped to make room
                if file.path.suffix != METRICS_SUFFIX:
                    self._send_segment(file, held_up, stop, done)
                elif metrics:
                    metrics = self._send_metrics(file, done)
            if stop():
                return

    def _send_metrics(self, file: Spooled, done: Replayed) -> bool:
        """Send the metrics of a process; return whether more are taken."""
        if may_change(file):  # its writer will send later ones
            return True
        if file.size > LARGEST_METRICS:
            self._losses.dropped("metric", 1, "too_long", f"{file.path} is larger than any request of ours")
            file.path.unlink(missing_ok=True)
            return True
        body = metrics_of(file)
        answer = self._send("metrics", body, json=False)
        if answer.outcome in ("later", "unanswered"):
            done.failed(answer)
            return False
        if answer.outcome == "taken":
            done.metrics += 1
        else:
            self._losses.dropped("metric", points(body), "rejected", answer.detail)
        file.path.unlink(missing_ok=True)
        return True

    def _send_segment(self, file: Spooled, held_up: set[bytes], stop: Callable[[], bool], done: Replayed) -> None:
        """Send lines until one is `held_up`, being of a signal that is not taken; that is told by how a line begins."""
        # asked before it is read: what was written until then is read
        written = may_change(file, self._spool)
        progress = _Progress(file.path)
        passed = 0
        with open(file.path, "rb") as opened:
            opened.seek(progress.sent)
            for block in blocks(opened, _READ_BYTES):
                for prefix, batch in batches(block.lines):
                    if prefix in held_up:
                        return
                    if not self._sender.send(prefix, batch, progress, done):
                        held_up.add(prefix)
                        return
                    if stop():
                        return
                passed += block.passed
                if passed and not block.inside:  # a line that is too long, and none of ours
                    progress.passed(passed)
                    done.rejected += 1
                    passed = 0
        if not written:
            done.rejected += file.path.stat().st_size > progress.sent  # a last line that was never finished
            file.path.unlink()
            progress.remove()
        elif self._spool is not None:
            self._spool.begin_anew(file.path)  # so that it can be removed next time


class Progress(Protocol):
    """How far lines have been sent, and what may have arrived."""

    def attempt(self, batch: list[bytes]) -> int: ...

    def not_arrived(self) -> None: ...

    def arrived(self, batch: list[bytes]) -> None: ...


class LineSender:
    """Sends lines of OTLP/JSON, many in one request.

    Args:
        send: sends a request.
        losses: where is counted what is refused, and what was sent twice.
    """

    def __init__(self, send: Sending, losses: Losses) -> None:
        self._send = send
        self._losses = losses

    def send(self, prefix: bytes, batch: list[bytes], progress: Progress, done: Replayed) -> bool:
        """Send lines of one signal, which begin with `prefix`; `progress` and `done` are told what became of them.

        Returns whether the collector has taken or rejected them; if not, it takes no more of that signal now.
        """
        whole = [line for line in batch if prefix and line.endswith(_END)]
        if not whole:  # blank, or torn when the disk was full
            done.rejected += sum(bool(line.strip()) for line in batch)
            progress.arrived(batch)
            return True
        signal = _SIGNALS[prefix]
        twice = progress.attempt(batch)
        # each line is a whole request; the lists of several are put into one
        inner = b",".join(line[len(prefix) : -len(_END)] for line in whole)
        answer = self._send(signal, prefix + inner + b"]}\n", json=True)
        if answer.outcome == "malformed" and len(batch) > 1:  # one bad line must not keep the others
            progress.not_arrived()
            return all(self.send(prefix, [line], progress, done) for line in batch)
        if answer.outcome == "unanswered":
            done.failed(answer)
            return False
        if answer.outcome == "later" or (answer.outcome == "refused" and signal == "traces"):
            # who refuses traces is no collector, or not at that address
            progress.not_arrived()
            done.failed(answer)
            return False
        rejected = len(whole) if answer.outcome != "taken" else min(answer.rejected, len(whole))
        self._losses.dropped(_ITEMS[signal], rejected, "rejected", answer.detail)
        if twice and answer.outcome == "taken":
            self._losses.resent(_ITEMS[signal], twice)
            done.resent += twice
        done.sent += len(whole) - rejected
        done.rejected += len(batch) - len(whole) + rejected
        progress.arrived(batch)
        return True


class _Progress:
    """How far a segment has been sent, and how far it may have been, in a file beside it."""

    def __init__(self, segment: Path) -> None:
        self._path = segment.with_suffix(".sent")
        self._doubtful = segment.parent.parent.name == UNANSWERED
        self.sent, self._tried = self._read()
        self._before = self._tried

    def attempt(self, batch: list[bytes]) -> int:
        """Note that lines are about to be sent; return how many of them may have arrived already."""
        at, twice = self.sent, 0
        for line in batch:
            twice += self._doubtful or at < self._tried
            at += len(line)
        self._before = self._tried
        self._write(self.sent, max(self._tried, at))
        return twice

    def not_arrived(self) -> None:
        """Note that what was attempted surely has not arrived."""
        self._write(self.sent, self._before)

    def arrived(self, batch: list[bytes]) -> None:
        """Note that lines are done with."""
        self.passed(sum(map(len, batch)))

    def passed(self, size: int) -> None:
        """Note that so many bytes are done with."""
        self._write(self.sent + size, self._tried)

    def remove(self) -> None:
        """Remove the file: the segment is gone."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> tuple[int, int]:
        try:
            with open(self._path, "rb") as file:
                sent, tried = map(int, file.read(_LONGEST_PROGRESS).split())
        except (OSError, ValueError):
            return 0, 0
        return sent, tried

    def _write(self, sent: int, tried: int) -> None:
        self.sent, self._tried = sent, tried
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, b"%020d %020d\n" % (sent, tried))  # always as long: a crash leaves the old or the new
        finally:
            os.close(file)


def batches(lines: Iterable[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield runs of finished lines of one signal, with what they begin with (nothing: lines of no known form)."""
    batch: list[bytes] = []
    size = 0
    prefix = b""
    for line in lines:
        if not line.endswith(b"\n"):
            break
        found = next((known for known in _SIGNALS if line.startswith(known)), b"")
        size += len(line)
        if batch and (found != prefix or len(batch) >= BATCH or size > _BATCH_BYTES):
            yield prefix, batch
            batch, size = [], len(line)
        prefix = found
        batch.append(line)
    if batch:
        yield prefix, batch


@contextmanager
def _alone(folder: Path, wait_s: float) -> Iterator[bool]:
    """Tell whether no other process sends this spool; where there are no locks it may be sent twice."""
    try:
        import fcntl
    except ImportError:
        yield True
        return
    until = time.monotonic() + wait_s
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        alone = True
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(0.05)
                    continue
                alone = False
            except OSError:  # a file system without locks
                pass
            break
        yield alone
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child that was forked meanwhile has it open, too
    finally:
        os.close(lock)
