"""Verdicts: what alarms, by which reason, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from scipy import stats

from mlotel.drift import DriftResult, FeatureDrift, Reference, compare
from mlotel.errors import ConfigurationError, InvalidReferenceError

if TYPE_CHECKING:
    from conftest import TableOf


def of(result: DriftResult, name: str) -> FeatureDrift:
    return next(each for each in result.features if each.feature == name)


def test_nothing_alarms_where_nothing_changed(table_of: TableOf) -> None:
    """Two hundred windows of one distribution, small and large: not one alarm."""
    reference = Reference.fit(table_of(5_000))
    for seed in range(200):
        assert not compare(reference, table_of(500 if seed % 2 else 2_000, seed + 10)).alarm


def test_a_small_change_of_very_many_rows_does_not_alarm() -> None:
    """At a million rows a shift of a hundredth of a deviation is beyond doubt (by SciPy) and does not matter."""
    rng = np.random.default_rng(1)
    then, now = rng.normal(size=1_000_000), rng.normal(0.01, 1, 1_000_000)
    assert stats.ks_2samp(then[:200_000], now[:200_000]).pvalue < 0.01
    found = compare(pa.table({"x": then}), pa.table({"x": now})).features[0]
    assert not found.alarm
    assert found.psi == pytest.approx(0.0001, abs=0.0001)


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda x, rng: x + 0.5, {"distribution"}),
        (lambda x, rng: x * 1.5, {"distribution", "tails"}),
        (lambda x, rng: rng.gamma(1.0, size=x.size) - 1.0, {"distribution"}),  # skewed, of the same mean and variance
        (lambda x, rng: rng.standard_t(3, x.size) / 3**0.5, {"distribution"}),  # kurtosis
        (lambda x, rng: np.where(rng.random(x.size) < 0.1, np.nan, x), {"distribution", "missing_values"}),
        (lambda x, rng: np.where(rng.random(x.size) < 0.05, 1e9, x), {"distribution", "tails"}),
        (lambda x, rng: np.where(rng.random(x.size) < 0.05, -np.inf, x), {"distribution", "tails"}),
    ],
)
def test_what_changed_is_found_and_named(change: Any, reasons: set[str]) -> None:
    """The one feature of four that changed alarms, with the tests that see it."""
    rng = np.random.default_rng(2)
    then = pa.table({f"x{number}": rng.normal(size=20_000) for number in range(4)})
    now = pa.table({f"x{number}": rng.normal(size=10_000) for number in range(3)})
    now = now.append_column("x3", pa.array(change(rng.normal(size=10_000), rng)))

    result = compare(then, now)
    assert [each.feature for each in result.alarmed] == ["x3"]
    assert reasons <= set(of(result, "x3").reasons)


def test_rare_outliers_that_psi_misses() -> None:
    """One in a hundred rows, ten times as far out: the tails tell, the distribution as a whole does not."""
    rng = np.random.default_rng(4)
    then = rng.normal(size=100_000)
    now = np.where(rng.random(4_000) < 0.01, 10, 1) * rng.normal(size=4_000)
    found = compare(pa.table({"x": then}), pa.table({"x": now})).features[0]
    assert found.reasons == ("tails",)


def test_mass_that_leaves_an_atom() -> None:
    """A quarter of the rows that went from zero to −5 is seen, though half the reference was zero."""
    rng = np.random.default_rng(4)
    then, now = (np.where(rng.random(5_000) < 0.5, 0.0, rng.gamma(2.0, size=5_000)) for _ in range(2))
    now = np.where(rng.random(5_000) < 0.25, -5.0, now)
    assert "distribution" in compare(pa.table({"x": then}), pa.table({"x": now})).features[0].reasons


def test_categories_that_are_new_alarm_and_those_that_vanished_do_not(table_of: TableOf) -> None:
    """An unseen category is named; one that occurs no more is a note, unless the others change much by it."""
    reference = Reference.fit(table_of(5_000))
    rng, cities = np.random.default_rng(5), ("Rome", "Oslo", "Bonn", "Graz")
    new = table_of(5_000, 2, city=rng.choice([*cities, "Lima"], 5_000, p=[0.49, 0.3, 0.13, 0.05, 0.03]))
    found = of(compare(reference, new), "city")
    assert "unseen_categories" in found.reasons
    assert found.notes == ("unseen: 'Lima'",)

    rare = Reference.fit(table_of(5_000, city=rng.choice(["Rome", "Oslo", "Graz"], 5_000, p=[0.5, 0.45, 0.05])))
    gone = of(compare(rare, table_of(5_000, 3, city=rng.choice(["Rome", "Oslo"], 5_000, p=[0.53, 0.47]))), "city")
    assert not gone.alarm
    assert gone.notes == ("'Graz' occurs no more",)
    assert of(compare(rare, table_of(5_000, 3, city=pa.array(["Oslo"] * 5_000))), "city").alarm


@pytest.mark.parametrize("share", [0.03, 0.4])
def test_fewer_missing_values_are_a_note(share: float, table_of: TableOf) -> None:
    """That a column got better is information, however many were missing; that it changed as well is not hidden."""
    rng = np.random.default_rng(6)
    then = table_of(20_000, x=pa.array(rng.normal(size=20_000), mask=rng.random(20_000) < share))
    changed = of(compare(then, table_of(20_000, 2, x=rng.normal(0.5, 1, 20_000))), "x")
    assert changed.reasons == ("distribution",)
    found = of(compare(then, table_of(20_000, 2, x=rng.normal(size=20_000))), "x")
    assert not found.alarm
    assert len(found.notes) == 1
    assert found.notes[0].startswith("fewer values are missing: 0.00%, they were ")


@pytest.mark.parametrize("constant", [pa.array([7.0] * 5_000), pa.array(["x"] * 5_000), pa.nulls(5_000, pa.float64())])
def test_a_constant_that_comes_alive(constant: pa.Array, table_of: TableOf) -> None:
    """Three rows in a hundred that are another value, in a column that had one, or none, are an alarm of their own."""
    alive = constant.to_pylist()
    for place in range(0, 5_000, 33):
        alive[place] = "y" if pa.types.is_string(constant.type) else 8.0
    found = of(compare(table_of(5_000, x=constant), table_of(5_000, 2, x=pa.array(alive, constant.type))), "x")
    assert "came_alive" in found.reasons
    same = of(compare(table_of(5_000, x=constant), table_of(5_000, 2, x=constant)), "x")
    assert not same.alarm
    assert same.threshold is None
    assert same.p_value == 1.0


def test_the_threshold_is_where_the_alarm_begins() -> None:
    """Whatever is said of the distribution follows from PSI and threshold; effect is PSI less s(K−1)."""
    rng = np.random.default_rng(7)
    reference = Reference.fit(pa.table({"x": rng.normal(size=50_000)}))
    seen = set()
    for shift in np.linspace(0.0, 0.4, 41):
        found = compare(reference, pa.table({"x": rng.normal(shift, 1, 2_000)})).features[0]
        assert found.psi is not None
        assert found.threshold is not None
        assert ("distribution" in found.reasons) == (found.psi > found.threshold)
        bins = np.sum(np.array(reference.features[0].counts) + np.array(found.counts) > 0)
        assert found.effect == pytest.approx(found.psi - (bins - 1) * (1 / 2_000 + 1 / 50_000))
        seen.add(found.alarm)
    assert seen == {True, False}


def test_the_features_that_alarm_are_those_of_benjamini_and_hochberg() -> None:
    """Of sixty features, shifted more and more, SciPy's adjusted p-values are below 0.001 where it alarms."""
    rng = np.random.default_rng(8)
    shifts = np.linspace(0, 0.35, 60)
    reference = Reference.fit(pa.table({f"x{i}": rng.normal(size=50_000) for i in range(60)}))
    result = compare(reference, pa.table({f"x{i}": rng.normal(shift, 1, 2_000) for i, shift in enumerate(shifts)}))
    adjusted = stats.false_discovery_control([each.p_value for each in result.features])
    assert [each.alarm for each in result.features] == [bool(p <= 0.001) for p in adjusted]
    assert 0 < len(result.alarmed) < 60


def test_no_verdict_on_few_rows(table_of: TableOf) -> None:
    """With 499 rows nothing is said of distributions, however far apart; distances are shown. A type is a type."""
    reference = Reference.fit(table_of(5_000))
    moved = table_of(499, 2, score=pa.array(np.full(499, 1e6)))
    result = compare(reference, moved)
    assert not result.verdict
    assert not result.alarm
    assert result.notes == ("the window has 499 rows: with fewer than 500 distributions are not judged",)
    assert {each.p_value for each in result.features} == {each.threshold for each in result.features} == {None}
    assert of(result, "score").distances["ks"] == 1.0
    assert compare(reference, table_of(499, 2, score=pa.array(["a"] * 499))).alarmed[0].reasons == ("type_changed",)
    assert compare(reference, moved.append_column("more", pa.array(range(499)))).added == ("more",)


def test_widths_and_encodings_are_no_change_of_type(table_of: TableOf) -> None:
    """Integers that became doubles, as pandas makes of missing ones, and dictionaries are notes at most."""
    rng = np.random.default_rng(9)
    reference = Reference.fit(table_of(5_000, n=pa.array(rng.integers(0, 50, 5_000))))
    now = table_of(5_000, 2, n=pa.array(rng.integers(0, 50, 5_000)).cast(pa.float32()))
    now = now.set_column(now.column_names.index("city"), "city", now["city"].dictionary_encode())
    result = compare(reference, now)
    assert not result.alarm
    assert of(result, "n").notes == ("int64 is float now",)


@pytest.mark.parametrize("dispersed", [False, True])
def test_overdispersion_keeps_clusters_from_alarming(dispersed: bool) -> None:
    """Windows of few clusters alarm beside a reference without φ, and not beside one with it."""

    def clustered(rows: int, seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        return pa.table({"x": np.repeat(rng.normal(size=rows // 50), 50)})

    reference = Reference.fit(clustered(100_000, 1), window=2_000 if dispersed else None)
    alarms = sum(compare(reference, clustered(2_000, seed)).alarm for seed in range(2, 42))
    assert alarms == 0 if dispersed else alarms > 20


def test_a_segment_is_compared_with_itself() -> None:
    """By night other values are usual: rows of the segment alone are compared, with its own reference."""
    rng = np.random.default_rng(10)

    def day_and_night(seed: int) -> pa.Table:
        own = np.random.default_rng(seed)
        night = own.random(20_000) < 0.5
        return pa.table({"night": pa.array(night), "x": own.normal(np.where(night, 3.0, 0.0))})

    reference = Reference.fit(day_and_night(1), segments="night")
    result = compare(reference, day_and_night(2), segment=True)
    assert not result.alarm
    assert result.segment == "True"
    assert 9_000 < result.rows < 11_000
    assert compare(reference, pa.table({"x": rng.normal(0.0, 1, 5_000)}), segment=True).alarm
    with pytest.raises(ConfigurationError, match="no segment 'noon'"):
        compare(reference, day_and_night(2), segment="noon")


def test_a_table_a_file_and_a_folder_give_the_same(table_of: TableOf, tmp_path: Path) -> None:
    """Whatever holds the rows, and whether the reference is fitted, saved or a file, the answer is one."""
    then, now = table_of(4_000), table_of(3_000, 2, score=pa.array(np.random.default_rng(3).normal(1, 1, 3_000)))
    pq.write_table(then, tmp_path / "then.parquet")
    Reference.fit(then).save(tmp_path / "reference.json")
    (tmp_path / "now").mkdir()
    pyarrow.feather.write_feather(now.slice(0, 1_000), tmp_path / "now" / "b.feather")
    pq.write_table(now.slice(1_000), tmp_path / "now" / "c.parquet")
    (tmp_path / "now" / "_SUCCESS.csv").write_text("none,of,these\n")
    pyarrow.csv.write_csv(now, tmp_path / "now.csv")

    expected = compare(then, now, moments=True)
    assert expected.alarm
    for reference in (tmp_path / "then.parquet", f"{tmp_path / 'reference.json'}"):
        for current in (tmp_path / "now", tmp_path / "now.csv", Reference.fit(then).counts(now, moments=True)):
            found = compare(reference, current, moments=True)
            assert _rounded(found) == _rounded(expected)


def _rounded(result: DriftResult) -> Any:
    # Moments are of blocks of rows, which files cut in other places
    return [
        (each.reasons, each.counts, each.p_value, round(each.moments.std, 9) if each.moments else None)
        for each in result.features
    ]


def test_a_reference_of_another_model_is_refused(table_of: TableOf) -> None:
    """Name and version are compared where both sides say them."""
    reference = Reference.fit(table_of(1_000), model="churn", version="7")
    assert compare(reference, table_of(1_000), model="churn", version="7").model == "churn"
    with pytest.raises(InvalidReferenceError, match="of model 'churn', not 'credit'"):
        compare(reference, table_of(1_000), model="credit")
    with pytest.raises(InvalidReferenceError, match="of version '7', not '8'"):
        compare(reference, table_of(1_000), version="8")


def test_what_cannot_be_asked_is_told(table_of: TableOf) -> None:
    """Each message ends in what can be done."""
    table = table_of(1_000)
    reference = Reference.fit(table)
    for arguments, said in [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"delta": float("nan")}, "delta is nan"),
        ({"kinds": {"age": "numeric"}}, "give them to Reference.fit"),
        ({"detectors": ()}, "name at least one"),
        ({"detectors": ("tolerence",)}, "did you mean 'tolerance'"),
        ({"distances": ("euclid",)}, "nothing installed brings 'euclid'"),
        ({"segment": 3}, "fit the reference with segments="),
    ]:
        with pytest.raises(ConfigurationError, match=said):
            compare(reference, table, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a table has no segments"):
        compare(table, table, segment=3)


def test_a_tolerance_of_zero_finds_any_change() -> None:
    """With δ = 0 it is a test of equality: the p-values of no change are spread evenly."""
    rng = np.random.default_rng(11)
    reference = Reference.fit(pa.table({"x": rng.normal(size=200_000)}))
    found = [compare(reference, pa.table({"x": rng.normal(size=2_000)}), delta=0.0).features[0] for _ in range(300)]
    assert stats.kstest([each.tests["distribution"] for each in found], "uniform").pvalue > 0.001
