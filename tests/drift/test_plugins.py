"""Distances and detectors: ours and those that another package brings keep one contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from mlotel.drift import Evidence, Histogram, Monitor, NumericBins, Reference, compare
from mlotel.drift._detectors import tolerance
from mlotel.drift._distances import hellinger, jensen_shannon, ks, ks_bound, l_infinity, wasserstein
from mlotel.drift.contract import DetectorContract, DistanceContract
from mlotel.errors import ConfigurationError


class TestKs(DistanceContract):
    distance = staticmethod(ks)


class TestWasserstein(DistanceContract):
    distance = staticmethod(wasserstein)


class TestJensenShannon(DistanceContract):
    distance = staticmethod(jensen_shannon)


class TestHellinger(DistanceContract):
    distance = staticmethod(hellinger)


class TestLInfinity(DistanceContract):
    distance = staticmethod(l_infinity)


class TestTolerance(DetectorContract):
    detector = staticmethod(tolerance)


# What a third party would write


def energy(reference: Histogram, current: Histogram) -> float | None:
    """Total variation, by another name."""
    if not (reference.shares.any() and current.shares.any()):
        return None
    return float(np.abs(reference.shares - current.shares).sum() / 2)


def chi_square(evidence: Evidence) -> Mapping[str, float]:
    """Pearson's test of the same shares: it finds whatever changed, however little."""
    table = np.array([evidence.feature.counts, evidence.counts])
    table = table[:, table.sum(axis=0) > 0]
    return {"chi_square": float(stats.chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0}


class TestEnergy(DistanceContract):
    distance = staticmethod(energy)


class TestChiSquare(DetectorContract):
    detector = staticmethod(chi_square)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (lambda r, c: float("nan"), "test_it_is_a_number_or_none"),
        (lambda r, c: -1.0, "test_it_is_a_number_or_none"),
        (lambda r, c: 1.0, "test_a_distribution_is_no_way_from_itself"),
        (lambda r, c: None, "test_it_is_defined_for_numbers_or_for_categories"),
    ],
)
def test_a_distance_that_is_none_fails(broken: object, test: str) -> None:
    """The suite finds each fault."""
    contract = DistanceContract()
    contract.distance = broken  # type: ignore[assignment]
    with pytest.raises(AssertionError):
        getattr(contract, test)()


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (lambda evidence: {"x": 2.0}, "test_its_p_values_are_probabilities"),
        (lambda evidence: {"x": 0.001}, "test_it_seldom_alarms_where_nothing_changed"),
        (lambda evidence: {"x": 1.0}, "test_it_finds_what_changed_beyond_doubt"),
    ],
)
def test_a_detector_that_is_none_fails(broken: object, test: str) -> None:
    """The suite finds each fault."""
    contract = DetectorContract()
    contract.detector = broken  # type: ignore[assignment]
    with pytest.raises(AssertionError):
        getattr(contract, test)()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that brings a distance, a detector, and one of each that cannot be loaded."""
    (tmp_path / "third_party.py").write_text(
        "import numpy as np\n"
        "def variation(reference, current):\n"
        "    return float(np.abs(reference.shares - current.shares).sum() / 2)\n"
        "def any_value(evidence):\n"
        "    return {'values': 0.0 if evidence.counts[-1] < evidence.rows else 1.0}\n"
    )
    metadata = tmp_path / "third_party-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[mlotel.distances]\nvariation = third_party:variation\nbroken = third_party_that_is_not:x\n"
        "[mlotel.detectors]\nany-value = third_party:any_value\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("third_party", None)


@pytest.mark.usefixtures("installed")
def test_what_a_package_brings_is_used_by_its_name() -> None:
    """A distance is shown beside mlotel's own, and a detector alarms, in one window and over many."""
    rng = np.random.default_rng(1)
    table = pa.table({"x": rng.normal(size=2_000)})
    reference = Reference.fit(table)
    found = compare(reference, table, distances=["variation"], detectors=["tolerance", "any-value"]).features[0]
    assert found.distances["variation"] == 0
    assert found.reasons == ("values",)
    (signal,) = Monitor(reference, detectors=["any-value"]).observe(table, at_ns=0)
    assert signal.episode.reasons == ("values",)


@pytest.mark.usefixtures("installed")
def test_what_cannot_be_loaded_is_told() -> None:
    """With what is wrong; a name that is not known names the nearest."""
    table = pa.table({"x": np.arange(600.0)})
    with pytest.raises(ConfigurationError, match=r"'broken' of the group mlotel\.distances cannot be loaded"):
        compare(table, table, distances=["broken"])
    with pytest.raises(ConfigurationError, match="did you mean 'variation'"):
        compare(table, table, distances=["variatoin"])


def test_the_bound_of_ks_is_no_distance() -> None:
    """It is what Kolmogorov–Smirnov's may be at most, so that it is more than 0 even for equal counts."""
    histogram = Histogram(NumericBins((0.0,)), (5, 5, 0))
    assert ks_bound(histogram, histogram) == 0.5
