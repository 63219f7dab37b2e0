"""The counts of this process as instruments of whatever provider there is now.

An SDK takes 2,000 series of one meter's instrument and puts what is more into one of them. So the bins of a model are
spread over several meters of one name, which differ in an attribute of their scope.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation

from mlotel import _runtime
from mlotel._runtime import guard
from mlotel._version import __version__
from mlotel.drift import Reference
from mlotel.errors import ConfigurationError
from mlotel.semconv import SCOPE_NAME
from mlotel.semconv import attributes as A
from mlotel.semconv import metrics as M
from mlotel.serving._sheet import Sheet

__all__ = ["Exports", "bind", "exports"]

SERIES_A_METER = 1_500

_PATIENCE_S = 3.0
"""How long a fork waits for the first export."""

Key = tuple[str, str]


class Exports:
    """What this process has counted, by name and version of the model, and where it is exported to."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sheets: dict[Key, Sheet] = {}
        self._series: dict[Key, list[tuple[Observation, dict[str, Any]]]] = {}
        self._runtime: object = None
        self._provider: MeterProvider | None = None
        self._registered: weakref.WeakKeyDictionary[MeterProvider, dict[Key, int]] = weakref.WeakKeyDictionary()
        self._durations: dict[Key, Histogram] = {}
        self._zeros: threading.Thread | None = None
        self._forked = False
        self._hooked = False

    def sheet(self, reference: Reference, name: str, version: str, prediction: str) -> Sheet:
        """Return the counts of a version of a model, which all that count for it in this process share.

        Raises:
            ConfigurationError: it is counted with another reference already.
        """
        # Named as it is served, whatever the reference says of itself: so are the rules that are made from it
        key, digest = (name, version), replace(reference, model=name, model_version=version).digest
        with self._lock:
            if not self._hooked and hasattr(os, "register_at_fork"):
                os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)
                self._hooked = True
            found = self._sheets.get(key)
            if found is None:
                model = {A.MLOTEL_MODEL_NAME: name, A.MLOTEL_MODEL_VERSION: version}
                found = self._sheets[key] = Sheet(reference, digest, model, prediction)
                self._series[key] = _series(found)
            elif (found.digest, found.prediction_name) != (digest, prediction):
                raise ConfigurationError(
                    f"version {version!r} of model {name!r} is monitored with another reference in this process: give "
                    "the new reference a version of its own, or close the other monitor first"
                )
            self.bind(anew=True)
            return found

    def close(self, sheet: Sheet) -> None:
        """Export nothing more of these counts."""
        with self._lock:
            for key, found in list(self._sheets.items()):
                if found is sheet:
                    del self._sheets[key], self._series[key]

    def bind(self, *, anew: bool = False) -> None:
        """Export to the providers that there are now; those may have been set after the first monitor was made."""
        runtime = _runtime.current()
        if runtime is self._runtime and not anew:
            return
        try:
            self._bind(runtime)
        except Exception as error:  # a provider of somebody's own making
            guard("counts of served models are not exported", error)

    def _bind(self, runtime: _runtime.Runtime) -> None:
        with self._lock:
            self._runtime = runtime
            provider, own = runtime.serving_meters()
            self._provider = provider
            if provider is None:
                self._durations = {}
                return
            known = self._registered.setdefault(provider, {})
            fresh = False
            for key, series in self._series.items():
                parts = max(1, -(-len(series) // SERIES_A_METER))
                fresh |= known.get(key, 0) < parts
                for part in range(known.get(key, 0), parts):
                    self._register(provider, key, part, foreign=not own)
                known[key] = max(parts, known.get(key, 0))
                duration = M.MLOTEL_PREDICTION_DURATION
                self._durations[key] = _meter(provider, key, 0).create_histogram(
                    *duration[:3], explicit_bucket_boundaries_advisory=duration.boundaries
                )
        if fresh and own and hasattr(provider, "force_flush"):
            # A rise is seen of what was there before: the zeros go out now, not in a minute
            self._zeros = threading.Thread(target=_send, args=(provider,), name="mlotel-zeros", daemon=True)
            self._zeros.start()

    def record(self, sheet: Sheet, seconds: float, labels: Mapping[str, str]) -> None:
        """Record how long a request took."""
        histogram = self._durations.get((sheet.model[A.MLOTEL_MODEL_NAME], sheet.model[A.MLOTEL_MODEL_VERSION]))
        if histogram is not None:
            histogram.record(seconds, labels)

    # -- what the SDK calls when it collects

    def _register(self, provider: MeterProvider, key: Key, part: int, *, foreign: bool) -> None:
        meter, reference = _meter(provider, key, part), weakref.ref(provider)

        def guarded(observe: Callable[[Key, int, dict[str, Any]], Iterable[Observation]]) -> Any:
            def callback(_: CallbackOptions) -> Iterable[Observation]:
                if self._provider is None or self._provider is not reference():
                    return ()  # the application has set another one since
                try:
                    # One provider for several processes tells them not apart: the series do
                    apart = {A.MLOTEL_REPLICA: f"{os.getpid()}"} if foreign and self._forked else {}
                    return observe(key, part, apart)
                except Exception as error:
                    guard("counts of a served model are not exported", error)
                    return ()

            return [callback]

        meter.create_observable_counter(
            M.MLOTEL_FEATURE_VALUES.name, guarded(self._values), *M.MLOTEL_FEATURE_VALUES[1:3]
        )
        meter.create_observable_gauge(
            M.MLOTEL_FEATURE_REFERENCE_RATIO.name, guarded(self._ratios), *M.MLOTEL_FEATURE_REFERENCE_RATIO[1:3]
        )
        if part == 0:
            meter.create_observable_gauge(
                M.MLOTEL_MODEL_REFERENCE_ROWS.name, guarded(self._reference), *M.MLOTEL_MODEL_REFERENCE_ROWS[1:3]
            )
            meter.create_observable_counter(
                M.MLOTEL_PREDICTION_COUNT.name, guarded(self._predictions), *M.MLOTEL_PREDICTION_COUNT[1:3]
            )
            meter.create_observable_counter(
                M.MLOTEL_TELEMETRY_DROPPED.name, guarded(self._dropped), *M.MLOTEL_TELEMETRY_DROPPED[1:3]
            )

    def _part(self, key: Key, part: int) -> list[tuple[Observation, dict[str, Any]]]:
        return self._series.get(key, [])[part * SERIES_A_METER : (part + 1) * SERIES_A_METER]

    def _values(self, key: Key, part: int, apart: dict[str, Any]) -> Iterable[Observation]:
        sheet = self._sheets.get(key)
        if sheet is None:
            return ()
        sheet.settle()
        values = sheet.values()[part * SERIES_A_METER :]
        return [
            Observation(value, {**labels, **apart})
            for value, (_, labels) in zip(values, self._part(key, part), strict=False)
        ]

    def _ratios(self, key: Key, part: int, apart: dict[str, Any]) -> Iterable[Observation]:
        series = self._part(key, part)
        return [Observation(ratio.value, {**labels, **apart}) if apart else ratio for ratio, labels in series]

    def _reference(self, key: Key, part: int, apart: dict[str, Any]) -> Iterable[Observation]:
        sheet = self._sheets.get(key)
        if sheet is None:
            return ()
        return [
            Observation(sheet.reference.rows, {**sheet.model, A.MLOTEL_DRIFT_REFERENCE_DIGEST: sheet.digest, **apart})
        ]

    def _predictions(self, key: Key, part: int, apart: dict[str, Any]) -> Iterable[Observation]:
        sheet = self._sheets.get(key)
        if sheet is None:
            return ()
        sheet.settle()
        series = [
            (value, {**labels, **apart}) for each in list(sheet.intakes.values()) for value, labels in each.series()
        ]
        return [Observation(value, labels) for value, labels in series]

    def _dropped(self, key: Key, part: int, apart: dict[str, Any]) -> Iterable[Observation]:
        sheet = self._sheets.get(key)
        if sheet is None:
            return ()
        dropped = sum(each.dropped for each in list(sheet.intakes.values()))
        labels: dict[str, Any] = {A.MLOTEL_TELEMETRY_ITEM: "observation", **sheet.model, **apart}
        return [Observation(dropped, labels)]

    def _before_fork(self) -> None:
        # A server that forks its workers right after the monitor was made would do so in the middle of the first
        # export, which imports what it needs: a child would wait for those imports' locks for ever
        zeros = self._zeros
        if zeros is not None and zeros is not threading.current_thread():
            zeros.join(_PATIENCE_S)

    def _after_fork(self) -> None:
        """In a child: what was counted is the parent's, and so is the identity of what mlotel exports with."""
        self._lock = threading.RLock()
        self._runtime = self._provider = self._zeros = None
        self._durations = {}
        self._forked = True
        for sheet in self._sheets.values():
            sheet.forked()


exports = Exports()
"""Those of this process: counters of one name and labels can come from one place alone."""


def bind() -> None:
    """Export what this process monitors to the providers that there are now, without waiting for the next row."""
    exports.bind()


def _series(sheet: Sheet) -> list[tuple[Observation, dict[str, Any]]]:
    """Return, for each bin that is exported, its share of the reference and its labels."""
    rows, found = max(sheet.reference.rows, 1), []
    for feature, place in sheet.bins():
        labels: dict[str, Any] = {**sheet.model, A.MLOTEL_FEATURE_NAME: feature.name[:255], A.MLOTEL_FEATURE_BIN: place}
        found.append((Observation(feature.counts[place] / rows, labels), labels))
    return found


def _meter(provider: MeterProvider, key: Key, part: int) -> Meter:
    scope: dict[str, Any] = {A.MLOTEL_MODEL_NAME: key[0], A.MLOTEL_MODEL_VERSION: key[1], A.MLOTEL_METER_PART: part}
    return provider.get_meter(SCOPE_NAME, __version__, attributes=scope)


def _send(provider: Any) -> None:
    try:
        provider.force_flush()
    except Exception as error:
        guard("the first export of a served model", error)
