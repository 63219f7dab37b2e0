"""What one process has counted for one version of a model, whoever counted it: the state behind the metrics."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from mlotel._log import logger
from mlotel._runtime import guard
from mlotel.drift import CategoricalBins, FeatureReference, Reference
from mlotel.drift.columns import Integers
from mlotel.semconv import attributes as A
from mlotel.serving._binning import Binning, Row

__all__ = ["BLOCK", "MOST_SERIES", "MOST_VARIANTS", "OTHER", "Intake", "Sheet", "exported"]

BLOCK = 256
"""Rows that are counted together."""

MOST_WAITING = 16 * BLOCK
"""Rows that wait at most: who brings more waits for who counts them."""

_PATIENCE_S = 0.1

MOST_SERIES = 50_000
"""Bins, of all features of a model together, that are exported."""

MOST_VARIANTS = 50
"""Sets of labels, of one version of a model, that predictions are counted under; the rest counts as `OTHER`."""

OTHER = "other"

Labels = tuple[tuple[str, str], ...]


class Sheet:
    """Counts per bin of the features of one version of a model; they only ever grow, in one process.

    Attributes:
        reference: whose bins they are.
        prediction: the feature of the reference that predictions are counted as, None if it has none.
    """

    def __init__(self, reference: Reference, digest: str, model: Mapping[str, str], prediction: str) -> None:
        self.reference, self.digest, self.model = reference, digest, dict(model)
        self.prediction_name = prediction
        self.prediction = next((each for each in reference.features if each.name == prediction), None)
        self.features = tuple(each for each in reference.features if each.name != prediction)
        self.binning = Binning(self.features)
        self.outcomes = None if self.prediction is None else Binning([self.prediction])
        self._lock = threading.Lock()
        self._counts = np.zeros(self.binning.size, np.int64)
        self._rows = 0
        self.intakes: dict[Labels, Intake] = {}
        self._warned = False

    def intake(self, labels: Mapping[str, str]) -> Intake:
        """Return where rows under these labels of predictions come in; the same one for the same labels."""
        with self._lock:
            key = tuple(sorted(labels.items()))
            if key not in self.intakes and len(self.intakes) >= MOST_VARIANTS:
                if not self._warned:
                    self._warned = True
                    logger.warning(
                        "mlotel: more than %d variants of model %r: predictions of the others are counted as %r",
                        MOST_VARIANTS, self.model[A.MLOTEL_MODEL_NAME], OTHER,
                    )  # fmt: skip
                labels = {**self.model, A.FEATURE_FLAG_RESULT_VARIANT: OTHER}
                key = tuple(sorted(labels.items()))
            if key not in self.intakes:
                self.intakes[key] = Intake(self, dict(labels))
            return self.intakes[key]

    def add(self, counts: Integers, rows: int) -> None:
        """Add the counts of rows."""
        with self._lock:
            self._counts += counts
            self._rows += rows

    def settle(self) -> None:
        """Count all rows that wait."""
        with self._lock:
            intakes = list(self.intakes.values())
        for each in intakes:
            each.settle()

    def snapshot(self) -> tuple[Integers, int]:
        """Return the counts of all features' bins, predictions not among them, and the rows."""
        with self._lock:
            return self._counts.copy(), self._rows

    def outcome_counts(self) -> Integers:
        """Return the counts of the bins of predictions, over all labels."""
        with self._lock:
            intakes = list(self.intakes.values())
        size = 0 if self.outcomes is None else self.outcomes.size
        return sum((each.outcomes for each in intakes), np.zeros(size, np.int64))

    def bins(self) -> Iterator[tuple[FeatureReference, int]]:
        """Yield each bin that is exported, predictions' last, in the order of `values`."""
        found = exported(self.reference, self.prediction_name)
        if len(found) < len(self.reference.features):
            first = (*self.features, *(() if self.prediction is None else (self.prediction,)))[len(found)]
            guard(
                f"model {self.model[A.MLOTEL_MODEL_NAME]!r}",
                ValueError(f"more than {MOST_SERIES:,} bins: feature {first.name!r} and later ones stay here"),
            )
        for feature in found:
            for place in range(feature.bins.size):
                yield feature, place

    def values(self) -> list[int]:
        """Return the count of each bin, predictions' last."""
        found: list[int] = np.concatenate([self.snapshot()[0], self.outcome_counts()]).tolist()
        return found

    def forked(self) -> None:
        """Begin anew in a forked child: what was counted is the parent's."""
        self._lock = threading.Lock()
        self._counts[:] = 0
        self._rows = 0
        for each in self.intakes.values():
            each.forked()


class Intake:
    """Rows and predictions under one set of labels, on their way into the counts.

    `append` of a deque is all that an observing thread waits for. Who brings the last row of a block counts it; nobody
    waits for him unless far more rows come than one thread can count.
    """

    def __init__(self, sheet: Sheet, labels: dict[str, str]) -> None:
        self.labels = labels
        self.sheet = sheet
        self.pending: deque[Row] = deque()
        self.answers: deque[Any] = deque()
        self.limit = 1  # the first row looks for providers
        self.before: Callable[[], None] | None = None
        self.outcomes = np.zeros(0 if sheet.outcomes is None else sheet.outcomes.size, np.int64)
        self.predicted = 0
        self.dropped = 0
        self._lock = threading.Lock()

    def count(self) -> None:
        """Count what waits, unless another thread does so already."""
        # Not with the lock: who makes instruments waits for an exporter, and that one for what is counted
        if self.before is not None:
            self.before()
        if self._lock.acquire(blocking=False) or self._waited():
            try:
                self.limit = BLOCK
                self._count_all()
            finally:
                self._lock.release()

    def settle(self) -> None:
        """Count what waits, after any other thread that does so."""
        with self._lock:
            self._count_all()

    def add_outcomes(self, counts: Integers | None, number: int) -> None:
        """Add the counts of a batch of predictions; `counts` is None where the reference knows none."""
        with self._lock:
            self._add_outcomes(counts, number)

    def forked(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.Lock()
        self.pending.clear()
        self.answers.clear()
        self.limit = 1
        self.outcomes[:] = 0
        self.predicted = self.dropped = 0

    def series(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield how many predictions there were, by class where they are classes, with their labels."""
        feature = self.sheet.prediction
        with self._lock:
            outcomes, predicted = self.outcomes.tolist(), self.predicted
        if feature is None or not isinstance(feature.bins, CategoricalBins):
            yield predicted, self.labels
            return
        for number, text in zip(outcomes, (*feature.bins.categories, OTHER), strict=False):
            yield number, {**self.labels, A.MLOTEL_PREDICTION_CLASS: text[:255]}
        yield outcomes[feature.bins.missing], self.labels

    def _waited(self) -> bool:
        # Not for ever: a signal's handler may observe while the thread that it interrupted counts
        return max(len(self.pending), len(self.answers)) >= MOST_WAITING and self._lock.acquire(timeout=_PATIENCE_S)

    def _count_all(self) -> None:
        sheet = self.sheet
        # What comes meanwhile is for who comes next, or this thread might never end
        for rows in _blocks(self.pending):
            try:
                sheet.add(sheet.binning.rows(rows), len(rows))
            except Exception as error:
                self.dropped += len(rows)
                guard("rows of a served model are not counted", error)
        for answers in _blocks(self.answers):
            try:
                counted = None if sheet.outcomes is None else sheet.outcomes.rows([(each,) for each in answers])
                self._add_outcomes(counted, len(answers))
            except Exception as error:
                self.dropped += len(answers)
                guard("predictions of a served model are not counted", error)

    def _add_outcomes(self, counts: Integers | None, number: int) -> None:
        if counts is not None:
            self.outcomes += counts
        self.predicted += number


def exported(reference: Reference, prediction: str) -> list[FeatureReference]:
    """Return the features whose bins are exported, predictions last: all, unless there are too many bins."""
    ordered = sorted(reference.features, key=lambda each: each.name == prediction)
    sizes = accumulate(each.bins.size for each in ordered)
    return [each for each, size in zip(ordered, sizes, strict=True) if size <= MOST_SERIES]


def _blocks(waiting: deque[Any]) -> Iterator[list[Any]]:
    """Take out, block by block, what is there now."""
    left = len(waiting)
    while left > 0:
        yield [waiting.popleft() for _ in range(min(left, BLOCK))]
        left -= BLOCK
