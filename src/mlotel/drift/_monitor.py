"""Drift over many windows: evidence that adds up, and one signal when it is enough, one when all is well again.

Of each feature and window, the p-value of "nothing changed beyond what is tolerated" becomes e = ½ p^(−½), which is 1
on average, or less, where that is true (Vovk & Wang, "E-values: calibration, combination and applications", Annals of
Statistics 49, 2021). M = max(1, M before) · e is an e-detector (Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric
framework for sequential change detection", 2023): where nothing changes, it takes 10⁴ windows on average, or more,
until any of F features reaches 10⁴ F.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mlotel.drift._counts import Counts
from mlotel.drift._detectors import Detector, Evidence
from mlotel.drift._feature import FeatureReference
from mlotel.drift._plugins import find_detectors
from mlotel.drift._reference import Reference
from mlotel.drift.columns import changed
from mlotel.drift.tolerance import DELTA, LEAST_ROWS, psi
from mlotel.errors import ArtifactError, ConfigurationError, InvalidReferenceError

__all__ = ["Episode", "Monitor", "Signal"]

FORMAT, VERSION = "mlotel.drift.monitor", 1

_WINDOWS_BETWEEN_FALSE_ALARMS = 1e4
_LEAST_P = 1e-300
_WELL = 0.5


@dataclass(frozen=True, slots=True)
class Episode:
    """A time in which a feature was not as it had been. Times are nanoseconds since the epoch.

    Attributes:
        feature: its name.
        start_ns: the window with which the evidence began.
        alarm_ns: the window at which it was enough.
        peak_ns: the window that was farthest from the reference.
        peak_psi: its PSI, None where it could not be counted.
        reasons: the tests that alarmed, over the whole of it.
        end_ns: the first window that was well again; None while it lasts.
        recovered_ns: the window at which that was sure.
    """

    feature: str
    start_ns: int
    alarm_ns: int
    peak_ns: int
    peak_psi: float | None
    reasons: tuple[str, ...]
    end_ns: int | None = None
    recovered_ns: int | None = None

    @property
    def over(self) -> bool:
        """Whether the feature has recovered."""
        return self.recovered_ns is not None


@dataclass(frozen=True, slots=True)
class Signal:
    """What is told once: that an episode began (``alarm``), or that it is over (``recovery``)."""

    kind: str
    episode: Episode


@dataclass(slots=True)
class _Watch:
    """The evidence about one feature: log M, since when it grows, and how long all has been well in an episode."""

    evidence: float = 0.0
    since_ns: int = 0
    well: int = 0
    well_ns: int = 0
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """One feature in one window."""

    p: float
    well: bool
    reasons: tuple[str, ...]
    psi: float | None


@dataclass(slots=True)
class _State:
    windows: int = 0
    watches: dict[str, _Watch] = field(default_factory=dict)
    pending: dict[str, Counts] = field(default_factory=dict)


class Monitor:
    """Watches disjoint windows of rows and signals each episode of drift once, when it begins and when it is over.

    Windows are judged as `compare` judges one, with a tolerance that covers the reference's own error, which all
    windows share. Windows with fewer than 500 rows are added up until they have as many. It may be used from several
    threads.

    Args:
        reference: what the features looked like.
        delta: the PSI that is tolerated.
        recovery: how many windows in a row have to be well for an episode to be over.
        detectors: which tests alarm: ``"tolerance"`` are mlotel's, others are entry points of ``mlotel.detectors``.
        clock: returns nanoseconds since the epoch.

    Raises:
        ConfigurationError: there is no such detector, or a number is out of range.

    >>> import numpy as np, pyarrow as pa
    >>> rng = np.random.default_rng(1)
    >>> def window(mean): return pa.table({"x": rng.normal(mean, 1, 2_000)})
    >>> monitor = Monitor(Reference.fit(pa.table({"x": rng.normal(0, 1, 20_000)})))
    >>> for number, mean in enumerate([0, 0, 0.5, 0.5, 0.5, 0, 0, 0, 0]):
    ...     for signal in monitor.observe(window(mean), at_ns=number):
    ...         print(number, signal.kind, signal.episode.start_ns, signal.episode.end_ns)
    2 alarm 2 None
    7 recovery 2 5
    """

    def __init__(
        self,
        reference: Reference,
        *,
        delta: float = DELTA,
        recovery: int = 3,
        detectors: Sequence[str] = ("tolerance",),
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        if not 0 <= delta < math.inf or recovery < 1:
            raise ConfigurationError(
                f"delta is {delta} and recovery {recovery}: give a PSI of 0 or more, and 1 or more"
            )
        self._reference = reference
        self._delta = delta
        self._recovery = recovery
        self._detectors: Mapping[str, Detector] = find_detectors(detectors)
        self._clock = clock
        self._enough = math.log(_WINDOWS_BETWEEN_FALSE_ALARMS * max(len(reference.features), 1))
        self._state = _State(watches={each.name: _Watch() for each in reference.features})
        self._lock = threading.Lock()

    @property
    def windows(self) -> int:
        """How many windows were judged."""
        return self._state.windows

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The episodes that last, by the order of the features."""
        with self._lock:
            return tuple(each.episode for each in self._state.watches.values() if each.episode is not None)

    def evidence(self, feature: str) -> float:
        """Return M of a feature as a fraction of what an alarm takes: 1 and more is an alarm.

        Raises:
            ConfigurationError: there is no such feature.
        """
        name = self._reference.feature(feature).name
        with self._lock:
            return math.exp(min(max(self._state.watches[name].evidence, 0.0) - self._enough, 700.0))

    def observe(self, window: object, *, segment: object = None, at_ns: int | None = None) -> tuple[Signal, ...]:
        """Judge one window, of rows that no other window has, and return what is to be told.

        Args:
            window: a table, the path of one, or counts: of replicas those that `Counts.merge` made one.
            segment: the segment of the reference that the window is compared with.
            at_ns: when the window was; now if not given.

        Raises:
            ArtifactError: it is no table, or cannot be read, or was counted with another reference.
            ConfigurationError: there is no such segment.
        """
        reference = self._reference if segment is None else self._reference.segment(segment)
        counts = window if isinstance(window, Counts) else reference.counts(window)
        counts.check(reference.features)
        at = self._clock() if at_ns is None else at_ns
        key = "" if segment is None else f"={segment}"
        with self._lock:
            if key in self._state.pending:
                counts = self._state.pending[key].merge(counts)
            if counts.rows < LEAST_ROWS:
                self._state.pending[key] = counts
                return ()
            self._state.pending.pop(key, None)
            judged = {each.name: self._judge(each, reference, counts) for each in reference.features}
            self._state.windows += 1
            signals = [self._weigh(name, each, at) for name, each in judged.items()]
        return tuple(each for each in signals if each is not None)

    def _judge(self, feature: FeatureReference, reference: Reference, counts: Counts) -> _Judged:
        counted = counts.features.get(feature.name)
        if counted is None:
            return _Judged(0.0, False, ("column_missing",), None)
        if not counted.counts or (counted.type and feature.type and changed(feature.type, counted.type)):
            return _Judged(0.0, False, ("type_changed",), None)
        evidence = Evidence(feature, counted.counts, counts.rows, reference.rows, self._delta, many=True)
        tests: dict[str, float] = {}
        alone: dict[str, float] = {}
        for detect in self._detectors.values():
            tests.update(detect(evidence))
            alone.update(detect(replace(evidence, many=False)))
        p = min([1.0, *(each * len(tests) for each in tests.values())])
        well = all(each >= _WELL for each in alone.values())
        reasons = tuple(name for name, each in tests.items() if each * len(tests) < _WELL * _WELL)
        return _Judged(p, well, reasons, psi(feature.counts, counted.counts)[0])

    def _weigh(self, name: str, judged: _Judged, at: int) -> Signal | None:
        watch = self._state.watches[name]
        if watch.evidence <= 0.0:
            watch.since_ns = at
        watch.evidence = max(watch.evidence, 0.0) + math.log(0.5) - 0.5 * math.log(max(judged.p, _LEAST_P))
        if watch.episode is None:
            if watch.evidence < self._enough:
                return None
            watch.episode = Episode(name, watch.since_ns, at, at, judged.psi, judged.reasons)
            watch.well = 0
            return Signal("alarm", watch.episode)
        episode = watch.episode
        reasons = tuple(dict.fromkeys((*episode.reasons, *judged.reasons)))
        if episode.peak_psi is not None and judged.psi is not None and judged.psi > episode.peak_psi:
            episode = replace(episode, peak_ns=at, peak_psi=judged.psi)
        watch.episode = episode = replace(episode, reasons=reasons)
        if not judged.well:
            watch.well = 0
            return None
        watch.well += 1
        watch.well_ns = at if watch.well == 1 else watch.well_ns
        if watch.well < self._recovery:
            return None
        over = replace(episode, end_ns=watch.well_ns, recovered_ns=at)
        self._state.watches[name] = _Watch()
        return Signal("recovery", over)

    # -- across restarts

    def state(self) -> dict[str, Any]:
        """Return all that is known as plain values for JSON, which `restore` takes."""
        with self._lock:
            return {
                "format": FORMAT,
                "version": VERSION,
                "reference": self._reference.digest,
                "windows": self._state.windows,
                "features": {name: asdict(watch) for name, watch in self._state.watches.items()},
                "pending": {key: counts.document() for key, counts in self._state.pending.items()},
            }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned, in this process or in another.

        Raises:
            InvalidReferenceError: it is none, of another version, or of another reference, whose evidence says nothing
                about this one.
        """
        if not isinstance(state, Mapping) or state.get("format") != FORMAT or state.get("version") != VERSION:
            raise InvalidReferenceError(f"not the state of a monitor of version {VERSION}: begin without one")
        if state.get("reference") != self._reference.digest:
            raise InvalidReferenceError("the state belongs to another reference: begin without one")
        try:
            read = _State(
                _whole(state["windows"]),
                {each.name: _watch(state["features"][each.name]) for each in self._reference.features},
                {key: Counts.from_document(each) for key, each in state["pending"].items()},
            )
            for counts in read.pending.values():
                counts.check(self._reference.features)
        except (ArtifactError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            what = f"{type(error).__name__}: {error}"[:200]
            raise InvalidReferenceError(f"the state is damaged ({what}): begin without one") from error
        with self._lock:
            self._state = read


def _watch(document: Mapping[str, Any]) -> _Watch:
    found = document["episode"]
    since_ns, well, well_ns = (_whole(document[name]) for name in ("since_ns", "well", "well_ns"))
    return _Watch(_number(document["evidence"]), since_ns, well, well_ns, None if found is None else _episode(found))


def _episode(document: Mapping[str, Any]) -> Episode:
    feature, reasons, psi = document["feature"], document["reasons"], document["peak_psi"]
    if not all(isinstance(each, str) for each in (feature, *reasons)):
        raise TypeError("no text where one belongs")
    start_ns, alarm_ns, peak_ns = (_whole(document[name]) for name in ("start_ns", "alarm_ns", "peak_ns"))
    ends = (document[name] for name in ("end_ns", "recovered_ns"))
    end_ns, recovered_ns = (None if each is None else _whole(each) for each in ends)
    peak = None if psi is None else _number(psi)
    return Episode(feature, start_ns, alarm_ns, peak_ns, peak, tuple(reasons), end_ns, recovered_ns)


def _whole(value: object) -> int:
    if type(value) is not int or abs(value) >= 1 << 63:
        raise TypeError("no integer where one belongs")
    return value


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, str) or not math.isfinite(number):
        raise TypeError("no number where one belongs")
    return number
