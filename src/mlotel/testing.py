"""For tests of pipelines: component runs captured in memory, with the same ids and times in every test run.

Installing mlotel gives pytest the fixture `mlotel_runs`:

    def test_training_reads_the_features(mlotel_runs):
        train(features)
        (run,) = mlotel_runs.runs
        assert run.state == "ok" and [a.name for a in run.inputs] == ["features"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from mlotel.errors import MissingExtraError

try:
    import pytest
except ImportError as error:
    raise MissingExtraError("pytest", "pytest") from error

if TYPE_CHECKING:
    from mlotel.model import Artifact, RetractedLabel, Run
    from mlotel.store import Store

__all__ = ["CapturedRuns", "ManualClock", "capture", "mlotel_runs"]

START_NS = 1_704_067_200_000_000_000
"""2024-01-01T00:00:00Z: when captured time begins."""


class ManualClock:
    """A clock that moves by `step_ns` each time it is read, and by `advance`."""

    def __init__(self, start_ns: int = START_NS, step_ns: int = 1_000_000) -> None:
        self._now = start_ns
        self._step = step_ns

    def time_ns(self) -> int:
        """Return the time since the epoch in nanoseconds."""
        return self.monotonic_ns()

    def monotonic_ns(self) -> int:
        """Return the same time: this clock is never set back."""
        self._now += self._step
        return self._now

    def now_ns(self) -> int:
        """Return the time without moving it."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`."""
        self._now += round(seconds * 1e9)


class CapturedRuns:
    """What was recorded since the capture began.

    `store` is queried as any other store; `clock` is the clock of the runs.
    """

    def __init__(self) -> None:
        from mlotel.store.memory import MemoryStore

        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock.now_ns)

    @property
    def runs(self) -> Sequence[Run]:
        """The runs in the order in which they started."""
        return list(reversed(self.store.runs()))

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """The events as OTLP log records, in the order in which they were emitted."""
        from msgspec import json

        parsed = (json.decode(line) for line in self.store.lines)
        return [
            record
            for line in parsed
            for resource in line.get("resourceLogs", ())
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]


class _CountedIds:
    """Ids that count up from 1."""

    def __init__(self) -> None:
        self._spans, self._traces, self._runs = count(1), count(1), count(1)

    def generate_span_id(self) -> int:
        return next(self._spans)

    def generate_trace_id(self) -> int:
        return next(self._traces)

    def run_id(self) -> str:
        return f"{next(self._runs):032x}"


class _CapturedRetractions:
    """What is retracted in the store of a capture, known at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def any(self, *, whole: bool = False) -> bool:
        return bool(self._store.annotations(kind="retract"))

    def of(self, artifact: Artifact) -> Sequence[RetractedLabel]:
        from mlotel.labels import Retractions

        return Retractions(self._store).of(artifact)

    def look_again(self) -> None:
        return


@contextmanager
def capture() -> Iterator[CapturedRuns]:
    """Record every component run of the block in memory, and nowhere else.

    Ids count up from 1 and the clock starts at 2024-01-01T00:00:00Z, moving a millisecond each time it is read.
    """
    from mlotel import _runtime, hashing
    from mlotel._version import __version__
    from mlotel.instruments import Instruments
    from mlotel.sdk import JournalEvents, JournalTracer
    from mlotel.semconv import SCOPE_NAME
    from mlotel.store.encoding import LineEncoder
    from mlotel.store.producers import ProducerLookup

    captured = CapturedRuns()

    ids = _CountedIds()
    encoder = LineEncoder({"service.name": "test"}, SCOPE_NAME, __version__)
    cache = hashing.StatCache()
    runtime = _runtime.Runtime(
        recording=True,
        tracer=JournalTracer(captured.store, encoder, ids),
        events=JournalEvents(captured.store, encoder),
        instruments=Instruments(None),
        producers=ProducerLookup(None),
        fingerprint=lambda obj, *, scope=None, readers=(): hashing.fingerprint(
            obj, scope=scope, cache=cache, readers=readers
        ),
        clock=captured.clock,
        new_run_id=ids.run_id,
        attributes={},
        start_attributes={},
        retractions=_CapturedRetractions(captured.store),
    )
    before = _runtime.install(lambda: runtime)
    try:
        yield captured
    finally:
        _runtime.install(before)
        captured.store.close()  # it is opened again if something is asked later


@pytest.fixture
def mlotel_runs() -> Iterator[CapturedRuns]:
    """The component runs of the test, captured in memory."""
    with capture() as captured:
        yield captured
