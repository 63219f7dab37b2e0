"""`reference=`: what a run reads, writes or predicts is compared in the pass in which it is digested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from scipy import stats

import mlotel
from mlotel import _runtime, hashing
from mlotel.drift import Reference
from mlotel.instruments import Instruments
from mlotel.model import Artifact, Drift
from mlotel.testing import CapturedRuns

DRAWN = np.random.default_rng(11)


def flights(rows: int = 4_000, *, distance: float = 0.0, missing: float = 0.0) -> pa.Table:
    distances = DRAWN.normal(distance, 1, rows)
    return pa.table(
        {
            "distance": pa.array(distances, mask=DRAWN.random(rows) < missing),
            "hour": DRAWN.normal(size=rows),
            "origin": DRAWN.choice(["EWR", "JFK", "LGA"], rows),
        }
    )


REFERENCE = Reference.fit(flights(20_000), model="delay", version="7")


def read(captured: CapturedRuns) -> Artifact:
    (run,) = captured.runs
    (artifact,) = run.inputs
    return artifact


def test_a_shifted_feature_is_named_on_the_read_span(mlotel_runs: CapturedRuns) -> None:
    """And no other: SciPy agrees that the others have the same distribution."""
    table = flights(distance=0.6)
    with mlotel.component("score") as run:
        assert run.log_input(table, "flights", reference=REFERENCE) is table
    assert read(mlotel_runs).drift == Drift(True, ("distance",), REFERENCE.digest)
    old = flights(20_000)
    assert stats.ks_2samp(old["distance"].to_numpy(), table["distance"].to_numpy()).pvalue < 1e-9
    assert stats.ks_2samp(old["hour"].to_numpy(), table["hour"].to_numpy()).pvalue > 1e-4


def test_what_has_not_drifted_says_so(mlotel_runs: CapturedRuns) -> None:
    """`alarm` is False; without a reference there is nothing to say."""
    with mlotel.component("score") as run:
        run.log_input(flights(), "flights", reference=REFERENCE)
        run.log_input(flights(), "others")
    compared, other = mlotel_runs.runs[0].inputs
    assert compared.drift == Drift(False, (), REFERENCE.digest)
    assert other.drift is None


def as_parquet(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path / "t.parquet", row_group_size=777)
    return path / "t.parquet"


def as_feather(table: pa.Table, path: Path) -> Path:
    pyarrow.feather.write_feather(table, path / "t.feather")
    return path / "t.feather"


@pytest.mark.parametrize(
    "convert",
    [
        lambda table, _: table.to_pandas(types_mapper=pd.ArrowDtype),
        lambda table, _: pl.from_arrow(table),
        lambda table, _: pa.Table.from_batches(table.to_batches(max_chunksize=123)),
        as_parquet,
        as_feather,
    ],
)
def test_any_table_is_compared_and_its_digest_is_the_same(
    mlotel_runs: CapturedRuns, tmp_path: Path, convert: Callable[[pa.Table, Path], Any]
) -> None:
    """Whatever library or file holds it, counted beside or not."""
    table = flights(distance=0.6)
    given = convert(table, tmp_path)
    with mlotel.component("score") as run:
        run.log_input(given, "flights", reference=REFERENCE)
    found = read(mlotel_runs)
    assert found.drift == Drift(True, ("distance",), REFERENCE.digest)
    assert found.digest == hashing.fingerprint(given).digest == hashing.fingerprint(table).digest


def test_an_unchanged_file_is_read_again_for_another_reference(mlotel_runs: CapturedRuns, tmp_path: Path) -> None:
    """Its digest is remembered, its counts are not."""
    path = as_parquet(flights(distance=0.6), tmp_path)
    with mlotel.component("score") as run:
        run.log_input(path)
        run.log_input(path, reference=REFERENCE)
        run.log_input(path, reference=Reference.fit(flights(20_000, distance=0.6)))
    found = mlotel_runs.runs[0].inputs
    assert [each.drift and each.drift.alarm for each in found] == [None, True, False]
    assert len({each.digest for each in found}) == 1


def test_a_saved_reference_is_given_by_its_path(mlotel_runs: CapturedRuns, tmp_path: Path) -> None:
    """The digest says which one it was."""
    REFERENCE.save(tmp_path / "reference.json")
    with mlotel.component("score") as run:
        run.log_output(flights(missing=0.2), "flights", reference=tmp_path / "reference.json")
    (written,) = mlotel_runs.runs[0].outputs
    assert written.drift == Drift(True, ("distance",), REFERENCE.digest)


def test_each_feature_that_alarms_is_an_event_of_the_read_span(mlotel_runs: CapturedRuns) -> None:
    """With what happened, in numbers and in words."""
    with mlotel.component("score") as run:
        run.log_input(flights(distance=0.6, missing=0.2), "flights", reference=REFERENCE)
    (event,) = [each for each in mlotel_runs.events if each["eventName"] == "mlotel.drift.detected"]
    said = {each["key"]: next(iter(each["value"].values())) for each in event["attributes"]}
    assert event["spanId"] == read(mlotel_runs).span_id
    assert said["mlotel.feature.name"] == "distance"
    assert (said["mlotel.model.name"], said["mlotel.model.version"]) == ("delay", "7")
    assert {each["stringValue"] for each in said["mlotel.drift.reasons"]["values"]} == {
        "distribution",
        "missing_values",
    }
    assert said["mlotel.drift.p_value"] < 1e-6
    assert event["body"]["stringValue"].startswith("distance of flights has left its reference: ")


def test_gauges_tell_each_feature_by_component_and_model(
    mlotel_runs: CapturedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 for what alarms, 0 for what does not; distances by method."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metered = replace(_runtime.current(), instruments=Instruments(provider.get_meter("mlotel")))
    before = _runtime.install(lambda: metered)
    try:
        with mlotel.component("score") as run:
            run.log_input(flights(distance=0.6), "flights", reference=REFERENCE)
    finally:
        _runtime.install(before)
    data = reader.get_metrics_data()
    assert data is not None
    points = {
        metric.name: {tuple(sorted(point.attributes.items())): point.value for point in metric.data.data_points}
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name.startswith("mlotel.drift.")
    }
    about = {"mlotel.component.name": "score", "mlotel.model.name": "delay", "mlotel.model.version": "7"}
    alarms = points["mlotel.drift.alarm"]
    assert {dict(key)["mlotel.feature.name"]: value for key, value in alarms.items()} == {
        "distance": 1,
        "hour": 0,
        "origin": 0,
    }
    assert all(about.items() <= dict(key).items() for key in alarms)
    psi = {
        dict(key)["mlotel.feature.name"]: value
        for key, value in points["mlotel.drift.score"].items()
        if dict(key)["mlotel.drift.method"] == "psi"
    }
    assert psi["distance"] > 0.1 > psi["hour"]
    provider.shutdown()


def test_predictions_of_a_run_are_compared_together(mlotel_runs: CapturedRuns) -> None:
    """Three hundred are too few for a verdict, three times three hundred are not; the event comes once."""
    reference = Reference.fit(pa.table({"score": DRAWN.normal(size=9_000)}))
    with mlotel.component("predict") as run:
        for _ in range(3):
            run.log_predictions(DRAWN.normal(1.5, 1, 300), model="delay", reference=reference)
    (made,) = mlotel_runs.runs
    assert made.attributes["mlotel.drift.alarm"] is True
    assert made.attributes["mlotel.drift.features"] == ("score",)
    events = [each for each in mlotel_runs.events if each["eventName"] == "mlotel.drift.detected"]
    assert [each["spanId"] for each in events] == [made.span_id]
    assert made.attributes["mlotel.prediction.count"] == 900


def test_of_a_models_reference_predictions_are_the_feature_of_that_name(mlotel_runs: CapturedRuns) -> None:
    """The others are not missed."""
    table = flights(9_000).append_column("prediction", pa.array(DRAWN.normal(size=9_000)))
    reference = Reference.fit(table)
    with mlotel.component("predict") as run:
        run.log_predictions(DRAWN.normal(size=900), reference=reference)
    assert mlotel_runs.runs[0].attributes["mlotel.drift.alarm"] is False


@pytest.mark.parametrize(
    ("given", "reference", "told"),
    [
        (np.arange(9.0), REFERENCE, "give a table, or the path of one"),
        (iter([flights()]), REFERENCE, "give a table, or the path of one"),
        (flights(), 3, "not a int"),
        (flights(), "nowhere.json", "nowhere.json: cannot be read"),
        (pa.table([[1], [2]], names=["distance", "distance"]), REFERENCE, "2 columns are named 'distance'"),
    ],
)
def test_what_cannot_be_compared_is_recorded_and_told(
    mlotel_runs: CapturedRuns, warnings: Callable[[], list[str]], given: Any, reference: Any, told: str
) -> None:
    """Telemetry breaks no pipeline."""
    with mlotel.component("score") as run:
        assert run.log_input(given, "flights", reference=reference) is given
    assert read(mlotel_runs).drift is None
    assert len([each for each in warnings() if told in each]) == 1


def test_predictions_without_a_feature_of_theirs_are_recorded_and_told(
    mlotel_runs: CapturedRuns, warnings: Callable[[], list[str]]
) -> None:
    """Their statistics stand on the span all the same."""
    with mlotel.component("predict") as run:
        run.log_predictions([1.0, 2.0], reference=REFERENCE)
    assert mlotel_runs.runs[0].attributes["mlotel.prediction.mean"] == 1.5
    assert any("none of them 'prediction'" in each for each in warnings())


def test_a_profile_is_what_numpy_and_scipy_say(mlotel_runs: CapturedRuns) -> None:
    """In the same pass as the digest and the comparison; of texts no value is told."""
    table = flights(distance=0.6, missing=0.1)
    with mlotel.component("score") as run:
        run.log_input(table, "flights", reference=REFERENCE, profile=True)
    found = read(mlotel_runs)
    assert found.drift is not None
    assert found.digest == hashing.fingerprint(table).digest
    columns = {each["column"]: each for each in json.loads(found.profile or "")}
    values = table["distance"].drop_null().to_numpy()
    distance = columns["distance"]
    assert distance["missing"] == table["distance"].null_count
    assert distance["mean"] == pytest.approx(np.mean(values), rel=1e-9)
    assert distance["std"] == pytest.approx(np.std(values), rel=1e-9)
    assert distance["skewness"] == pytest.approx(stats.skew(values), rel=1e-9)
    assert (distance["min"], distance["max"]) == (np.min(values), np.max(values))
    assert abs(np.mean(values <= distance["p50"]) - 0.5) < 0.02
    assert columns["origin"].keys() <= {"column", "type", "missing", "missing_ratio", "distinct"}
    assert columns["origin"]["distinct"] == pytest.approx(3)


def test_what_is_no_table_has_no_profile_and_is_told(
    mlotel_runs: CapturedRuns, warnings: Callable[[], list[str]]
) -> None:
    """It is recorded all the same."""
    with mlotel.component("score") as run:
        run.log_input(b"bytes", "blob", profile=True)
    assert read(mlotel_runs).profile is None
    assert any("profile of 'blob'" in each for each in warnings())
