"""`log_predictions`: statistics beside NumPy, SciPy and collections.Counter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LinearRegression

import mlotel
from mlotel import hashing
from mlotel.testing import CapturedRuns, capture

SEED = np.random.default_rng(7)
VALUES = SEED.gamma(2.0, size=500)


def logged(*batches: Any, **options: Any) -> dict[str, Any]:
    """The prediction attributes of a run that logs these batches, without their prefix."""
    with capture() as captured, mlotel.component("a") as run:
        for batch in batches:
            run.log_predictions(batch, **options)
    (read,) = captured.runs
    assert read.state == "ok"
    prefix = "mlotel.prediction."
    return {key.removeprefix(prefix): value for key, value in read.attributes.items() if key.startswith(prefix)}


def expected(values: Any, missing: int = 0) -> dict[str, float]:
    """What NumPy and SciPy say."""
    array = np.asarray(values, dtype=float)
    return {
        "count": len(array) + missing,
        "missing": missing,
        "mean": array.mean(),
        "std": array.std(),
        "min": array.min(),
        "max": array.max(),
        "skew": stats.skew(array),
        "kurtosis": stats.kurtosis(array),
    }


def classes(found: dict[str, Any]) -> dict[str, int]:
    return dict(zip(found["class.names"], found["class.counts"], strict=True))


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        list,
        tuple,
        pd.Series,
        pl.Series,
        pa.array,
        lambda values: pa.chunked_array([values[:100], values[100:]]),
        lambda values: values.reshape(-1, 1),
        lambda values: pd.DataFrame({"p": values}),
        lambda values: pl.DataFrame({"p": values}),
        lambda values: pa.table({"p": values}),
        lambda values: values.astype(object),
        lambda values: pd.Series(values, index=range(500, 0, -1)),
    ],
)
def test_statistics_whatever_holds_the_numbers(convert: Callable[[Any], Any]) -> None:
    """Arrays, series, columns, lists and tables of one column give the same statistics."""
    assert logged(convert(VALUES)) == pytest.approx(expected(VALUES))


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float32", "float16", "int64"])
def test_statistics_of_every_number_type(dtype: str) -> None:
    """They are computed in double precision."""
    values = (VALUES * 20).astype(dtype)
    found = logged(values)
    assert {key: found[key] for key in expected(values)} == pytest.approx(expected(values))


@pytest.mark.parametrize(
    "batch",
    [
        [1.0, None, 4.0, float("nan"), 4.5],
        np.array([1.0, np.nan, 4.0, np.nan, 4.5]),
        pd.Series([1.0, None, 4.0, np.nan, 4.5]),
        pl.Series([1.0, None, 4.0, float("nan"), 4.5]),
        pa.array([1.0, None, 4.0, float("nan"), 4.5]),
        np.array([1.0, None, 4.0, np.nan, 4.5], dtype=object),
    ],
    ids=lambda value: type(value).__module__,
)
def test_nulls_and_nan_are_missing(batch: Any) -> None:
    """They are counted and take no part in the statistics."""
    assert logged(batch) == pytest.approx(expected([1.0, 4.0, 4.5], missing=2))


def test_infinite_predictions_are_told_by_their_extremes() -> None:
    """The extremes are right; what is not defined is left out."""
    found = logged([1.0, float("inf"), 2.0])
    assert (found["count"], found["min"], found["max"]) == (3, 1.0, float("inf"))
    assert not {"std", "skew", "kurtosis"} & found.keys()


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(st.floats(-1e3, 1e3) | st.none(), max_size=20), min_size=1, max_size=5))
def test_batches_of_a_run_add_up(batches: list[list[float | None]]) -> None:
    """Many calls give the statistics of one call with everything."""
    together = [value for batch in batches for value in batch]
    assert logged(*batches) == pytest.approx(logged(together), rel=1e-6, abs=1e-6)


def test_no_predictions_are_zero_predictions() -> None:
    """A batch job that found nothing to score says so."""
    for empty in (
        [],
        np.array([]),
        pd.Series([], dtype=float),
        pa.array([], pa.string()),
        pl.Series([], dtype=pl.Int8),
    ):
        assert logged(empty) == {"count": 0, "missing": 0}
    assert logged([], [1.0, 2.0])["count"] == 2


@pytest.mark.parametrize(
    "labels",
    [
        ["yes", "no", "yes", None],
        np.array(["a", "b", "a"]),
        pd.Series(["x", "y", None]),
        pd.Categorical(["x", "y", "x"]),
        pl.Series(["x", "y", "x", None]),
        pl.Series(["x", "y", None], dtype=pl.Categorical),
        pl.Series(["x", "y"], dtype=pl.Enum(["y", "x"])),
        [True, False, True],
        np.array([True, True]),
        [0, 1, 1, 2],
        np.array([3, 3, -1], dtype="int8"),
    ],
    ids=lambda value: type(value).__module__,
)
def test_labels_are_counted_by_class(labels: Any) -> None:
    """Text, booleans and integers of few values; collections.Counter is the oracle."""
    plain = [label for label in (labels.tolist() if hasattr(labels, "tolist") else list(labels)) if label is not None]
    plain = [label for label in plain if label == label]
    found = logged(labels)
    assert classes(found) == {str(label): count for label, count in Counter(plain).items()}
    assert found["count"] - found["missing"] == len(plain)


def test_more_labels_than_can_be_told_apart_are_counted_as_other() -> None:
    """Of many labels the 50 most frequent stand for themselves, and every prediction is counted."""
    labels = [f"often {i}" for i in range(49)] * 3 + ["most"] * 10 + [f"once {i}" for i in range(1000)]
    found = classes(logged(labels))
    assert len(found) == 51
    assert found["most"] == 10
    assert {found[f"often {i}"] for i in range(49)} == {3}
    assert found["other"] == 1000
    assert sum(classes(logged(labels, labels)).values()) == 2 * len(labels)


def test_long_labels_are_cut_and_still_counted() -> None:
    """Labels that begin alike for 255 characters count together."""
    assert classes(logged(["x" * 300 + "a", "x" * 300 + "b", "y"])) == {"x" * 255: 2, "y": 1}


def test_integers_of_many_values_are_numbers() -> None:
    """They have no classes."""
    assert "class.names" not in logged(range(51))
    assert "class.names" in logged(range(50))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": [1]}, "1 keys for 3 predictions: give one for each"),
        ({"keys": pd.Series([1, 2])}, "2 keys for 3 predictions"),
        ({"probabilities": np.zeros((2, 3))}, "2 probabilities for 3 predictions"),
        ({"keys": iter("abc")}, "keys have no length"),
    ],
)
def test_lengths_that_do_not_fit_are_told(
    options: dict[str, Any], message: str, warnings: Callable[[], list[str]]
) -> None:
    """Nothing of such a call is recorded: which part of it is wrong cannot be known."""
    assert logged([1.0, 2.0, 3.0], **options) == {}
    assert len(warnings()) == 1
    assert message in warnings()[0]


def test_keys_and_probabilities_that_fit_are_taken() -> None:
    """One for each prediction, whatever holds them."""
    options = {"keys": np.arange(3), "probabilities": np.full((3, 2), 0.5)}
    assert logged([1.0, 2.0, 4.0], **options) == pytest.approx(expected([1.0, 2.0, 4.0]))


def test_one_shot_values_are_not_consumed() -> None:
    """An iterator that the user goes on with still has everything in it."""
    values = iter([1.0, 2.0])
    reader = pa.table({"a": [1, 2]}).to_reader()
    assert logged(values) == logged(reader) == {}
    assert list(values) == [1.0, 2.0]
    assert reader.read_all().num_rows == 2


def test_the_model_is_told_by_name_version_and_digest(mlotel_runs: CapturedRuns) -> None:
    """A name, or the model itself: then its class's name and its digest."""
    model = LinearRegression().fit([[1], [2]], [1, 2])
    with mlotel.component("a") as run:
        run.log_predictions([1.0], model="delays", version=3)  # type: ignore[arg-type]
    with mlotel.component("a") as run:
        run.log_predictions([1.0], model=model, version="4")
    one, two = (run.attributes for run in mlotel_runs.runs)
    assert (one["mlotel.model.name"], one["mlotel.model.version"]) == ("delays", "3")
    assert (two["mlotel.model.name"], two["mlotel.model.version"]) == ("LinearRegression", "4")
    assert two["mlotel.model.digest"] == hashing.fingerprint(model).digest


def test_a_models_name_must_be_text(mlotel_runs: CapturedRuns) -> None:
    """A model whose `name` is something else goes by its class."""

    class Net:
        name = pd.Series([1, 2])

    with mlotel.component("a") as run:
        run.log_predictions([1.0], model=Net())
    assert mlotel_runs.runs[0].attributes["mlotel.model.name"] == "Net"
