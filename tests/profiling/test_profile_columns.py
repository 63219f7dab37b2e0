"""What a profile tells of columns, beside NumPy, SciPy and pandas."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlotel import profile
from mlotel.profiling import ColumnProfile

ROWS = 300_000  # more than two batches


def of(values: Any, kind: pa.DataType | None = None, **options: Any) -> ColumnProfile:
    """The profile of one column."""
    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)
    return profile(pa.table({"x": column}), **options)["x"]


@pytest.fixture(scope="module")
def gamma() -> np.ndarray:
    return np.random.default_rng(11).gamma(2.0, size=ROWS) - 1.0


def test_moments_of_a_large_column_are_scipys(gamma: np.ndarray) -> None:
    """Over several batches, which are sorted on the way."""
    found = of(gamma)
    assert (found.rows, found.missing, found.min, found.max) == (ROWS, 0, gamma.min(), gamma.max())
    assert found.moments is not None
    assert found.mean == pytest.approx(gamma.mean(), rel=1e-9)
    assert found.moments.std == pytest.approx(gamma.std(), rel=1e-9)
    assert found.moments.skewness == pytest.approx(stats.skew(gamma), rel=1e-9)
    assert found.moments.kurtosis == pytest.approx(stats.kurtosis(gamma), rel=1e-9)


def test_quantiles_are_within_their_bound(gamma: np.ndarray) -> None:
    """The share of values up to a quantile differs from its rank by no more than the error that is stated."""
    found, ranks = of(gamma), np.linspace(0.01, 0.99, 25)
    assert found.rank_error is not None
    assert 0 < found.rank_error < 0.01
    for rank, value in zip(ranks, found.quantiles(ranks), strict=True):
        assert (gamma <= value).mean() == pytest.approx(rank, abs=found.rank_error)


def test_quantiles_of_few_values_are_exact() -> None:
    """As numpy.quantile has them by the method of the inverted distribution function; rank 0 is the smallest."""
    values = np.random.default_rng(5).integers(0, 50, 300).astype(float)
    found, ranks = of(values), [0.0, 0.1, 0.25, 0.5, 0.9, 1.0]
    assert found.rank_error == 0
    assert found.quantiles(ranks) == np.quantile(values, ranks, method="inverted_cdf").tolist()
    with pytest.raises(ValueError, match="between 0 and 1"):
        found.quantiles([50])


@pytest.mark.parametrize("different", [1, 300, 5_000, 150_000])
def test_distinct_values_are_counted_within_their_bound(different: int) -> None:
    """Exactly where there are few."""
    values = np.random.default_rng(different).integers(0, different, ROWS)
    found, truth = of(values).distinct, np.unique(values).size
    assert found is not None
    assert found.lower <= found.value <= found.upper
    assert found.value == pytest.approx(truth, rel=0.06)  # almost four standard errors of 1/√4096
    assert different > 4_000 or found.lower == found.upper == truth


def test_distinct_counts_are_not_biased() -> None:
    """Over many columns the errors cancel out, though most hashes are never shown to the sketch."""
    random = np.random.default_rng(2)
    table = pa.table({f"{index}": random.standard_normal(140_000) for index in range(20)})
    errors = [column.distinct.value / 140_000 - 1 for column in profile(table) if column.distinct]
    assert abs(np.mean(errors)) < 4 / 64 / np.sqrt(len(errors))
    assert np.std(errors) < 2 / 64


@given(values=st.lists(st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, 1.5])), max_size=40))
def test_null_nan_zero_negative_and_infinite_are_counted_apart(values: list[float | None]) -> None:
    """Moments, extremes and quantiles are those of the finite values alone."""
    found, array = of(values, pa.float64()), np.array([v for v in values if v is not None], float)
    finite = array[np.isfinite(array)]
    assert found.rows == len(values)
    assert found.null == values.count(None)
    assert found.nan == np.isnan(array).sum()
    assert found.missing == found.null + found.nan
    assert found.zero == (array == 0).sum()
    assert found.negative == (array < 0).sum()
    assert found.infinite == np.isinf(array).sum()
    assert found.distinct is not None
    assert found.distinct.value == np.unique(array[~np.isnan(array)]).size
    assert found.moments is not None
    assert found.moments.count == finite.size
    assert (found.min, found.max) == ((finite.min(), finite.max()) if finite.size else (None, None))
    assert found.quantiles([0.5]) == ([np.quantile(finite, 0.5, method="inverted_cdf")] if finite.size else [])


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40))
def test_extremes_of_integers_are_exact(values: list[int]) -> None:
    """Past 2**53 as well, where doubles are not."""
    found = of(values, pa.int64())
    assert (found.min, found.max) == (min(values), max(values))
    assert found.distinct is not None
    assert found.distinct.value == len(set(values))


def test_unsigned_integers_past_63_bits_are_numbers() -> None:
    """They are neither negative nor rounded."""
    found = of([2**64 - 1, 0, 2**64 - 2], pa.uint64())
    assert (found.min, found.max, found.negative, found.zero) == (0, 2**64 - 1, 0, 1)


@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=200))
def test_frequent_numbers_are_those_of_a_counter(values: list[int]) -> None:
    """Most frequent first, with exact counts as long as there are few different ones."""
    found = of(values).frequent()
    assert found is not None
    assert {each.value: each.count for each in found} == Counter(values)
    assert [each.count for each in found] == sorted(Counter(values).values(), reverse=True)
    assert all(each.lower == each.count == each.upper for each in found)


def test_frequent_values_among_many_are_within_their_bounds() -> None:
    """Each count lies between its bounds, and nothing that occurs more often than the error is left out."""
    values = np.random.default_rng(8).zipf(1.2, ROWS) % 100_000
    truth = Counter(values.tolist())
    found = of(values)
    frequent, error = found.frequent(1000), found.frequent_error
    assert frequent
    assert error
    assert error < ROWS / 200
    for each in frequent:
        assert each.lower <= truth[each.value] <= each.upper
        assert each.upper - each.lower <= error
    assert {value for value, count in truth.items() if count > 2 * error} <= {each.value for each in frequent}


def test_where_all_values_are_rare_none_is_frequent(gamma: np.ndarray) -> None:
    """A list of ten values that occur as often as any other would say nothing."""
    assert of(gamma).frequent() == ()


TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=30), st.sampled_from(["a", "", "ü" * 40])), max_size=40)


@settings(max_examples=60)
@given(values=TEXTS)
def test_lengths_of_texts_are_those_of_python(values: list[str | None]) -> None:
    """In characters; empty texts are counted, too."""
    found, present = of(values, pa.string()), [value for value in values if value is not None]
    lengths = np.array([len(value) for value in present])
    assert (found.rows, found.null, found.empty) == (len(values), values.count(None), present.count(""))
    assert found.distinct is not None
    assert found.distinct.value == len(set(present))
    assert found.lengths is not None
    assert found.lengths.count == len(present)
    if present:
        assert (found.lengths.min, found.lengths.max) == (lengths.min(), lengths.max())
        assert found.lengths.mean == pytest.approx(lengths.mean())
        assert found.lengths.std == pytest.approx(lengths.std(), abs=1e-9)


def test_texts_are_told_only_to_who_asks() -> None:
    """Nothing of a text is in the profile by default; not even its extremes."""
    table = pa.table({"name": ["Ada Lovelace", "Ada Lovelace", "Alan Turing"], "age": [36, 36, 41]})
    quiet, asked, silent = profile(table), profile(table, frequent="all"), profile(table, frequent="none")
    assert quiet["name"].frequent() is None
    assert "Ada" not in quiet.to_json() + f"{quiet.document()}{quiet!r}{quiet._repr_html_()}"
    assert [(each.value, each.count) for each in asked["name"].frequent() or ()] == [
        ("Ada Lovelace", 2),
        ("Alan Turing", 1),
    ]
    assert [each.value for each in quiet["age"].frequent() or ()] == [36, 41]
    assert (silent["name"].frequent(), silent["age"].frequent()) == (None, None)
    with pytest.raises(ValueError, match="did you mean 'numbers'"):
        profile(table, frequent="number")  # type: ignore[arg-type]


def test_long_texts_are_cut_and_stay_apart() -> None:
    """A profile does not carry pages of text about."""
    one, other = "x" * 5_000 + "1", "x" * 5_000 + "2"
    found = of([one, one, other], frequent="all")
    frequent = found.frequent()
    assert frequent is not None
    assert [each.count for each in frequent] == [2, 1]
    assert all(len(each.value) < 250 and each.value.startswith("x" * 200) for each in frequent)
    assert found.distinct is not None
    assert found.distinct.value == 2


LAYOUTS = {
    "string": lambda a: a,
    "large": lambda a: a.cast(pa.large_string()),
    "view": lambda a: a.cast(pa.string_view()),
    "dictionary": lambda a: a.dictionary_encode(),
    "repeated dictionary": lambda a: pa.DictionaryArray.from_arrays(
        pa.array([0, 2, 1, None, 3], pa.int8()), pa.array(["a", "bb", "a", ""])
    ),
    "runs": lambda a: pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3, 4, 5], pa.int32()), a),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_texts_does_not_show(layout: str) -> None:
    """Large, views, dictionaries (even those that hold a value twice) and runs are the same column."""
    array = LAYOUTS[layout](pa.array(["a", "a", "bb", None, ""]))
    found, plain = of(array, frequent="all"), of(["a", "a", "bb", None, ""], frequent="all")
    assert profile(pa.table({"x": array}), frequent="all").document()["columns"][0]["type"] == "string"
    assert found.merge(plain).rows == 10
    assert found.frequent() == plain.frequent()
    assert found.distinct == plain.distinct
    assert found.lengths == plain.lengths
    assert of(array.slice(2), frequent="all").rows == 3


DAY = dt.date(2026, 1, 2)
MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 678_901)
TIMES = {
    "timestamp[us]": ([MOMENT, None, MOMENT + dt.timedelta(days=2)], pa.timestamp("us"), "2026-01-02T03:04:05.678901"),
    "timestamp[ns]": (
        [MOMENT, None, MOMENT + dt.timedelta(days=2)],
        pa.timestamp("ns"),
        "2026-01-02T03:04:05.678901000",
    ),
    "with a zone": ([MOMENT, None, MOMENT], pa.timestamp("us", "Europe/Berlin"), "2026-01-02T03:04:05.678901Z"),
    "date32": ([DAY, None, dt.date(2026, 1, 4)], pa.date32(), "2026-01-02"),
    "date64": ([DAY, None, dt.date(2026, 1, 4)], pa.date64(), "2026-01-02"),
    "time32[s]": ([dt.time(1, 2, 3), None, dt.time(4)], pa.time32("s"), "01:02:03"),
    "time64[ns]": ([dt.time(1, 2, 3, 4), None, dt.time(4)], pa.time64("ns"), "01:02:03.000004000"),
    "duration[ms]": ([dt.timedelta(seconds=1.5), None, dt.timedelta(1)], pa.duration("ms"), 1.5),
}


@pytest.mark.parametrize("case", TIMES)
def test_times_have_extremes_and_means_that_can_be_read(case: str) -> None:
    """ISO 8601 in the precision of their type, durations in seconds."""
    values, kind, smallest = TIMES[case]
    found = of(values, kind)
    assert (found.kind, found.rows, found.null, found.min) == ("time", 3, 1, smallest)
    assert found.zero is None
    assert [each.value for each in found.frequent() or ()][:1] == [smallest]


def test_means_of_times_are_pandas() -> None:
    """As are their standard deviations, in seconds."""
    pandas = pytest.importorskip("pandas")
    values = pandas.Series(pandas.date_range("2013-01-01", periods=500, freq="37min"))
    found = of(values.to_numpy())
    assert pandas.Timestamp(found.mean) == values.mean()
    assert found.moments is not None
    assert found.moments.std == pytest.approx(values.std(ddof=0).total_seconds(), rel=1e-9)
    assert pandas.Timestamp(found.quantiles([1.0])[0]) == values.max()


def test_times_far_away_can_be_told() -> None:
    """Beyond the years that Python knows."""
    found = of(pa.array([-(2**62), 2**62], pa.int64()).cast(pa.timestamp("s")))
    assert found.min.startswith("-1461385")
    assert len(found.quantiles([0.5])) == 1
    assert of(pa.array([2**31 - 1], pa.int32()).cast(pa.date32())).max == "5881580-07-11"


@pytest.mark.parametrize(
    "kind", [pa.decimal128(10, 2), pa.decimal128(38, 2), pa.decimal256(60, 2), pa.decimal128(18, 2)]
)
def test_decimals_are_numbers(kind: pa.DataType) -> None:
    """With exact extremes and frequent values up to 18 digits, as doubles above."""
    found = of([Decimal("1.20"), Decimal("-3.40"), None, Decimal(0), Decimal("1.20")], kind)
    exact = kind.precision <= 18
    assert (found.zero, found.negative, found.null) == (1, 1, 1)
    assert (found.min, found.max) == ((Decimal("-3.40"), Decimal("1.20")) if exact else (-3.4, 1.2))
    assert found.mean == pytest.approx(-0.25)
    assert found.distinct is not None
    assert found.distinct.value == 3
    assert exact == (found.frequent() is not None)


def test_booleans_have_shares() -> None:
    """The mean is the share of those that are true."""
    found = of([True, False, None, True, True])
    assert (found.true, found.null, found.mean) == (3, 1, 0.75)
    assert [(each.value, each.count) for each in found.frequent() or ()] == [(True, 3), (False, 1)]
    assert of([None, None], pa.bool_()).mean is None


NESTED = {
    "list": pa.array([[1], [], None, [1, 2], [3]]),
    "large list": pa.array([[1], [], None, [1, 2], [3]], pa.large_list(pa.int64())),
    "map": pa.array([[("a", 1)], [], None, [("a", 1), ("b", 2)], [("c", 3)]], pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.parametrize("case", NESTED)
def test_lists_and_maps_have_lengths(case: str) -> None:
    """Counts, lengths and missing values are all that is told of nested columns."""
    for array, lengths in ((NESTED[case], [1, 0, 2, 1]), (NESTED[case].slice(1), [0, 2, 1])):
        found = of(array)
        assert (found.kind, found.null, found.empty) == ("nested", 1, 1)
        assert found.lengths is not None
        assert (found.lengths.count, found.lengths.mean) == (len(lengths), pytest.approx(np.mean(lengths)))
        assert (found.distinct, found.frequent(), found.min, found.quantiles([0.5])) == (None, None, None, [])


def test_other_columns_are_counted() -> None:
    """Structs, unions, intervals and columns of nothing but nulls."""
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    for array, kind, null in (
        (pa.array([{"a": 1}, None]), "nested", 1),
        (union, "nested", 0),
        (pa.array([(1, 2, 3), None], pa.month_day_nano_interval()), "other", 1),
        (pa.nulls(2), "null", 2),
    ):
        found = of(array)
        assert (found.kind, found.rows, found.null, found.lengths) == (kind, 2, null, None)


def test_extension_types_are_what_they_store() -> None:
    """A UUID is sixteen bytes."""
    found = of(pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, b"1" * 16, None], pa.binary(16))))
    assert (found.kind, found.null, found.distinct and found.distinct.value) == ("bytes", 1, 2)


EMPTY = {
    "float": (pa.float64(), "number"),
    "int": (pa.int64(), "number"),
    "text": (pa.string(), "text"),
    "time": (pa.timestamp("us"), "time"),
    "boolean": (pa.bool_(), "boolean"),
}


@settings(max_examples=10)
@given(rows=st.integers(0, 3))
@pytest.mark.parametrize("case", EMPTY)
def test_columns_without_values_have_no_statistics(case: str, rows: int) -> None:
    """Empty and all-null columns alike: None, never NaN."""
    kind, name = EMPTY[case]
    found = of(pa.nulls(rows, kind))
    assert (found.kind, found.rows, found.null) == (name, rows, rows)
    assert (found.min, found.max, found.mean, found.quantiles([0.5])) == (None, None, None, [])
    assert found.distinct is not None
    assert found.distinct.value == 0
    document = profile(pa.table({"x": pa.nulls(rows, kind)})).document()
    assert "nan" not in f"{document}".replace("'nan': 0", "")


def test_a_constant_column_has_no_skewness() -> None:
    """And no spread."""
    (column,) = profile(pa.table({"x": [7.0] * 1000})).document()["columns"]
    assert (column["std"], column["skewness"], column["kurtosis"]) == (0.0, None, None)
    assert column["distinct"] == {"estimate": 1.0, "lower": 1.0, "upper": 1.0}
    assert column["frequent"] == {"error": 0, "values": [{"value": 7.0, "count": 1000, "lower": 1000, "upper": 1000}]}
