"""What a distance or a detector of your own must do, as tests: subclass, say what is tested, and let pytest run them.

    from mlotel.drift.contract import DistanceContract

    class TestEnergy(DistanceContract):
        distance = staticmethod(energy)

Installed under the entry point group ``mlotel.distances`` or ``mlotel.detectors`` it is then used by its name:
``compare(…, distances=["energy"])``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mlotel.drift._bins import Bins, CategoricalBins, NumericBins
from mlotel.drift._detectors import Detector, Evidence
from mlotel.drift._distances import Distance, Histogram
from mlotel.drift._feature import FeatureReference

__all__ = ["DetectorContract", "DistanceContract"]

_NUMBERS = NumericBins((-1.0, 0.0, 1.0))
_CATEGORIES = CategoricalBins(("a", "b", "c"))
_SIZE = 5


def _histograms(bins: Bins) -> Iterator[Histogram]:
    """Yield distributions of every sort: even, uneven, of one bin each, of missing values alone, and of no rows."""
    rng = np.random.default_rng(11)
    yield Histogram(bins, (100,) * _SIZE)
    for place in range(_SIZE):
        yield Histogram(bins, tuple(70 if place == each else 0 for each in range(_SIZE)))
    for rows in (1, 1_000, 10**9):
        yield Histogram(bins, tuple(int(each) for each in rng.multinomial(rows, rng.dirichlet(np.ones(_SIZE)))), 0.5)
    yield Histogram(bins, (0,) * _SIZE)


class DistanceContract:
    """The tests of a distance; `distance` is what is tested."""

    distance: Distance

    def test_it_is_a_number_or_none(self) -> None:
        """Of any two distributions it is a finite number of 0 or more, or None where it is not defined."""
        for bins in (_NUMBERS, _CATEGORIES):
            for then in _histograms(bins):
                for now in _histograms(bins):
                    found = self.distance(then, now)
                    assert found is None or (isinstance(found, float) and math.isfinite(found) and found >= 0)

    def test_a_distribution_is_no_way_from_itself(self) -> None:
        """The distance of a distribution to itself is 0, within rounding, or not defined."""
        for bins in (_NUMBERS, _CATEGORIES):
            for each in _histograms(bins):
                found = self.distance(each, each)
                assert found is None or abs(found) < 1e-6

    def test_it_is_defined_for_numbers_or_for_categories(self) -> None:
        """Of two distributions with rows in each bin, of one kind at least, it is a number."""
        both = [
            self.distance(Histogram(bins, (5, 4, 3, 2, 1)), Histogram(bins, (1, 2, 3, 4, 5)))
            for bins in (_NUMBERS, _CATEGORIES)
        ]
        assert any(each is not None for each in both)

    def test_it_changes_nothing(self) -> None:
        """Asked twice it answers the same."""
        then, now = Histogram(_NUMBERS, (5, 4, 3, 2, 1)), Histogram(_NUMBERS, (1, 2, 3, 4, 5))
        assert self.distance(then, now) == self.distance(then, now)


class DetectorContract:
    """The tests of a detector; `detector` is what is tested, `level` a level at which its size is simulated."""

    detector: Detector
    level: float = 0.01
    rounds: int = 400

    def _evidence(self, *, bins: Bins, many: bool, seed: int, rows: int = 2_000) -> Iterator[Evidence]:
        """Yield windows of a distribution beside a reference of the same."""
        rng = np.random.default_rng(seed)
        shares, m = rng.dirichlet(np.full(_SIZE, 3.0)), 20_000
        outer = (0, _SIZE - 2) if isinstance(bins, NumericBins) else ()
        for _ in range(self.rounds):
            then = tuple(int(each) for each in rng.multinomial(m, shares))
            now = tuple(int(each) for each in rng.multinomial(rows, shares))
            yield Evidence(FeatureReference("x", "double", bins, then, outer), now, rows, m, many=many)

    def test_its_p_values_are_probabilities(self) -> None:
        """By reasons that are names, whatever the counts are."""
        for bins in (_NUMBERS, _CATEGORIES):
            for then in _histograms(bins):
                for now in _histograms(bins):
                    if sum(then.counts) < 1 or sum(now.counts) < 500:
                        continue  # never judged
                    feature = FeatureReference("x", "double", bins, then.counts)
                    found = self.detector(Evidence(feature, now.counts, sum(now.counts), sum(then.counts)))
                    assert all(isinstance(name, str) and name for name in found)
                    assert all(0 <= p <= 1 for p in found.values())

    def test_it_seldom_alarms_where_nothing_changed(self) -> None:
        """Each p-value is below `level` in no more than that share of windows, by a simulation, in both settings."""
        most = self.level * self.rounds
        for bins in (_NUMBERS, _CATEGORIES):
            for many in (False, True):
                alarms: dict[str, int] = {}
                for evidence in self._evidence(bins=bins, many=many, seed=3):
                    for name, p in self.detector(evidence).items():
                        alarms[name] = alarms.get(name, 0) + (p <= self.level)
                # Four deviations of a binomial count above what may be expected
                assert all(count <= most + 4 * math.sqrt(most) for count in alarms.values())

    def test_it_finds_what_changed_beyond_doubt(self) -> None:
        """Where all rows moved from one bin to another, some p-value is below 1e-6, for numbers or for categories."""
        found: list[float] = []
        for bins in (_NUMBERS, _CATEGORIES):
            feature = FeatureReference("x", "double", bins, (4_000, 3_000, 2_000, 900, 100))
            found += self.detector(Evidence(feature, (0, 0, 2_000, 0, 0), 2_000, 10_000)).values()
        assert min(found) < 1e-6
