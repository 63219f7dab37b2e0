"""Comparing what a run reads, writes or predicts with a reference, in the pass in which it is digested."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanContext

from mlotel import drift
from mlotel._runtime import guard
from mlotel._watcher import Watcher
from mlotel.drift import DriftResult, FeatureDrift, Reference
from mlotel.errors import ConfigurationError
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E

if TYPE_CHECKING:
    import pyarrow as pa

    from mlotel._run import ActiveRun

__all__ = ["PREDICTION", "Comparison", "of_predictions", "reference_of"]

PREDICTION = "prediction"
"""The feature that predictions are, in a reference that has others too."""

MOST_FEATURES = 100
"""Features that are told one by one: by name on the span, as events and by gauges; the worst of more."""

_WARN = 13
_SCORES = ("ks", "jensen_shannon", "wasserstein")


def reference_of(given: object) -> Reference:
    """Return a reference that was given as itself or as the path of a saved one.

    Raises:
        ConfigurationError: it is neither.
        InvalidReferenceError: the file is damaged, or holds something else.
    """
    if isinstance(given, Reference):
        return given
    if isinstance(given, str | os.PathLike):
        return Reference.load(given)
    raise ConfigurationError(
        f"reference must be a mlotel.drift.Reference or the path of a saved one, not a {type(given).__name__}"
    )


def of_predictions(run: ActiveRun, column: Any, reference: object, before: Comparison | None) -> Comparison | None:
    """Count predictions beside those of the run that were counted before, and return what compares all of them.

    Args:
        run: the run that made them.
        column: n predictions, an Arrow array.
        reference: as `reference_of` takes it.
        before: what this returned for the run's earlier predictions.
    """
    try:
        found = reference_of(reference)
        comparison = before
        if comparison is None or comparison.digest != found.digest:
            comparison = Comparison(run, found, "predictions", only=_predicted(found))
        import pyarrow as pa

        comparison.read(pa.record_batch([column], [comparison.features[0]]))
        return comparison
    except Exception as error:  # the predictions are recorded all the same
        guard(f"reference of predictions of component {run.name!r}", error)
        return before


def _predicted(reference: Reference) -> str:
    names = [each.name for each in reference.features]
    if PREDICTION in names or len(names) == 1:
        return PREDICTION if PREDICTION in names else names[0]
    raise ConfigurationError(
        f"a reference of {len(names)} features, none of them {PREDICTION!r}: fit one on a column of predictions"
    )


class Comparison(Watcher):
    """Counts a table in the bins of a reference while it is read, then judges what was counted.

    Args:
        run: the run that reads or writes it.
        reference: what it is compared with.
        name: what the table is called.
        only: the one feature to compare, if not all.
    """

    def __init__(self, run: ActiveRun, reference: Reference, name: str, *, only: str | None = None) -> None:
        super().__init__(run, name, "comparison of")
        self.digest = reference.digest
        if only is not None:
            reference = replace(reference, features=tuple(each for each in reference.features if each.name == only))
        self._reference = reference
        self._counter = reference.counter(moments=True)
        self._result: DriftResult | None = None
        self._told: set[str] = set()

    @property
    def features(self) -> Sequence[str]:
        """The names of the features that are compared."""
        return [each.name for each in self._reference.features]

    def _add(self, batch: pa.RecordBatch) -> None:
        self._counter.add(batch)

    def _found(self) -> Mapping[str, Any]:
        counts = self._counter.counts
        assert counts is not None  # a batch was added
        self._result = result = drift.compare(self._reference, counts)
        found: dict[str, Any] = {A.MLOTEL_DRIFT_ALARM: result.alarm, A.MLOTEL_DRIFT_REFERENCE_DIGEST: self.digest}
        if result.alarmed:
            found[A.MLOTEL_DRIFT_FEATURES] = [each.feature[:255] for each in result.alarmed[:MOST_FEATURES]]
        return found

    def tell(self, context: SpanContext, labels: Mapping[str, str]) -> None:
        """Emit an event for each feature that alarms for the first time, correlated with a span, and set the gauges.

        Args:
            context: the span that says that it was read.
            labels: those of the metrics.
        """
        result = self._result
        if result is None:
            return
        about = {
            key: value
            for key, value in (
                (A.MLOTEL_MODEL_NAME, result.model),
                (A.MLOTEL_MODEL_VERSION, result.model_version),
            )
            if value is not None
        }
        for each in result.alarmed[:MOST_FEATURES]:
            if each.feature not in self._told:  # predictions are judged anew with each batch of them
                self._told.add(each.feature)
                self._tell(each, context, about)
        instruments = self._run._runtime.instruments
        ranked = sorted(result.features, key=lambda each: (not each.alarm, -(each.psi or 0.0)))
        for each in ranked[:MOST_FEATURES]:
            scores = {"psi": each.psi, **{name: each.distances.get(name) for name in _SCORES}}
            instruments.drift({**labels, **about}, each.feature[:255], alarm=each.alarm, scores=scores)

    def _tell(self, feature: FeatureDrift, context: SpanContext, about: Mapping[str, str]) -> None:
        attributes: dict[str, Any] = {
            A.MLOTEL_RUN_ID: self._run.run_id,
            A.MLOTEL_ARTIFACT_NAME: self._name,
            A.MLOTEL_FEATURE_NAME: feature.feature[:255],
            A.MLOTEL_DRIFT_METHOD: "psi",
            A.MLOTEL_DRIFT_REASONS: list(feature.reasons),
            **about,
        }
        numbers = {A.MLOTEL_DRIFT_SCORE: feature.psi, A.MLOTEL_DRIFT_P_VALUE: feature.p_value}
        attributes.update({key: value for key, value in numbers.items() if value is not None})
        self._run._runtime.events.emit(
            E.MLOTEL_DRIFT_DETECTED,
            time_ns=self._run._now(),
            context=context,
            attributes=attributes,
            severity=_WARN,
            body=_sentence(self._name, feature),
        )


def _sentence(name: str, feature: FeatureDrift) -> str:
    """Return what the event of a feature that alarms says in words."""
    reasons = " and ".join(reason.replace("_", " ") for reason in feature.reasons) or "its distribution"
    score = "" if feature.psi is None else f", PSI {feature.psi:.3g}"
    return f"{feature.feature} of {name} has left its reference: {reasons}{score}"
