"""Keyed predictions on spans, and the model that made them as an input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

import mlotel
from mlotel import hashing
from mlotel.lineage import upstream
from mlotel.store.predictions.keys import hashes
from mlotel.testing import CapturedRuns

HASH = "mlotel.record.key.hash"


def spans(captured: CapturedRuns) -> list[dict[str, Any]]:
    """The attributes of every span, as the lines of the store have them."""
    import orjson

    found = []
    for line in captured.store.lines:
        for resource in orjson.loads(line).get("resourceSpans", ()):
            for span in resource["scopeSpans"][0]["spans"]:
                values = {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}
                found.append({"name": span["name"], "parent": span.get("parentSpanId"), **values})
    return found


def test_the_hash_of_a_runs_only_key_stands_on_its_span(mlotel_runs: CapturedRuns) -> None:
    """A run that logs one keyed prediction, as in serving, is found by its key, with all that its span says."""
    with mlotel.component("serve") as run:
        run.log_predictions(["late"], keys=["order-17"], model="delay", version="7", variant="b")

    (span,) = spans(mlotel_runs)
    assert span[HASH] == hashes("order-17")[0]
    (found,) = mlotel_runs.store.predictions("order-17")
    assert (found.value, found.model, found.model_version, found.variant) == ("late", "delay", "7", "b")
    assert (found.trace_id, found.span_id, found.key) == (run.trace_id, run.span_id, None)
    assert mlotel_runs.store.predictions("order-18") == ()


def test_a_few_keys_have_spans_of_their_own(mlotel_runs: CapturedRuns) -> None:
    """Of a few keyed predictions each is found by its key, and leads to the run that made it."""
    with mlotel.component("serve") as run:
        run.log_predictions([0.5, 1.5, None], keys=["a", "b", "c"], model="delay")

    found = {key: mlotel_runs.store.predictions(key) for key in "abc"}

    assert {key: [each.value for each in values] for key, values in found.items()} == {
        "a": [0.5],
        "b": [1.5],
        "c": [None],
    }
    assert {each.span_id for values in found.values() for each in values} == {run.span_id}
    assert [span["name"] for span in spans(mlotel_runs)] == ["predict"] * 3 + ["serve"]
    assert HASH not in spans(mlotel_runs)[-1]
    assert mlotel_runs.store.run_of_span(run.trace_id, run.span_id) is not None
    assert len(mlotel_runs.runs) == 1


def test_many_keys_make_no_spans(mlotel_runs: CapturedRuns) -> None:
    """Past sixteen keyed predictions a run makes no more spans for them, in one call or in many."""
    with mlotel.component("batch") as run:
        run.log_predictions(np.arange(17), keys=np.arange(17))
    with mlotel.component("loop") as run:
        for key in range(100):
            run.log_predictions([key], keys=[key])

    assert [span["name"] for span in spans(mlotel_runs)].count("predict") == 15
    assert len(mlotel_runs.store.predictions("15")) == 1
    assert mlotel_runs.store.predictions("16") == ()


def test_keys_that_are_kept_nowhere_are_told(mlotel_runs: CapturedRuns, caplog: pytest.LogCaptureFixture) -> None:
    """Where there is no store, a run with more keys than spans tell of says so, once; one with few says nothing."""
    with mlotel.component("serve") as run:
        run.log_predictions(np.arange(16), keys=np.arange(16))
    assert caplog.messages == []

    with mlotel.component("batch") as run:
        run.log_predictions(np.arange(17), keys=np.arange(17))
        run.log_predictions(np.arange(17), keys=np.arange(17))

    (told,) = caplog.messages
    assert "'batch'" in told
    assert told.endswith("set MLOTEL_STORE to a folder")


@pytest.mark.parametrize("number", [1, 3, 100])
def test_no_key_stands_on_a_span(mlotel_runs: CapturedRuns, number: int) -> None:
    """The text of a key is on no span and in no log record."""
    with mlotel.component("serve") as run:
        run.log_predictions([0.5] * number, keys=[f"customer-{each}" for each in range(number)])

    assert b"customer" not in b"".join(mlotel_runs.store.lines)


def test_no_spans_beside_the_data_set(script: Callable[..., Any], tmp_path: Path) -> None:
    """Where spans go to the embedded store alone, its data set tells of a few predictions, and no spans do."""
    script(
        """
        import mlotel
        with mlotel.component("serve") as run:
            run.log_predictions([0.5, 1.5], keys=["a", "b"])
        """
    )

    (segment,) = (tmp_path / "store" / "segments").iterdir()
    assert b'"predict"' not in segment.read_bytes()
    assert len(list((tmp_path / "store" / "predictions" / "_journal" / "segments").iterdir())) == 1


def test_without_keys_nothing_is_kept(script: Callable[..., Any], tmp_path: Path) -> None:
    """Predictions without keys make no data set."""
    script(
        """
        import mlotel
        with mlotel.component("score") as run:
            run.log_predictions([0.5] * 10_000)
            run.log_predictions([0.5, 1.5], keys=[None, float("nan")])
        """
    )

    assert not (tmp_path / "store" / "predictions").exists()


def test_no_data_set_where_a_collector_is_configured(script: Callable[..., Any], tmp_path: Path) -> None:
    """With a collector and no store asked for, keyed predictions are not kept on this machine."""
    script(
        """
        import mlotel
        mlotel.configure(endpoint="http://127.0.0.1:9")
        with mlotel.component("score") as run:
            run.log_predictions([0.5] * 10_000, keys=range(10_000))
        mlotel.shutdown(0.1)
        """,
        MLOTEL_STORE=None,
    )

    assert list(tmp_path.rglob("predictions")) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("keys='ab'", "keys must be a column"),
        ("keys=[1, 2], probabilities=np.zeros((2, 2, 2))", "of shape (n,) or (n, classes)"),
        ("keys=pd.DataFrame({'a': [1, 2], 'b': [1, 2]})", "keys must be one column"),
        ("keys=np.zeros((2, 2))", "keys must be one column, not of shape (2, 2)"),
    ],
)
def test_keys_that_are_no_column_are_told(
    tmp_path: Path, script: Callable[..., Any], options: str, message: str
) -> None:
    """What cannot be kept is told as a warning, and the statistics of the call are recorded all the same."""
    done = script(
        f"""
        import sys
        import numpy as np, pandas as pd
        import mlotel
        from mlotel.store.files import FileStore
        with mlotel.component("score") as run:
            run.log_predictions([1.0, 2.0], {options})
        with FileStore(sys.argv[1]) as store:
            print(store.runs()[0].attributes["mlotel.prediction.count"], store.runs()[0].state)
        """,
        str(tmp_path / "store"),
    )

    assert done.stdout == "2 ok\n"
    assert message in done.stderr


def test_the_model_becomes_an_input(mlotel_runs: CapturedRuns) -> None:
    """A model that predictions are logged with is an input of the run, once, and leads to the run that trained it."""
    model = LinearRegression().fit([[1], [2]], [1, 2])
    with mlotel.component("train") as run:
        run.log_output(model, name="delay", type="model")
    with mlotel.component("score") as run:
        for _ in range(3):
            run.log_predictions([1.0], model=model, version="7")

    trained, scored = mlotel_runs.runs
    (read,) = scored.inputs
    assert (read.name, read.type, read.digest) == ("LinearRegression", "model", hashing.fingerprint(model).digest)
    assert {run.run_id for run in upstream(mlotel_runs.store, scored).runs} == {trained.run_id, scored.run_id}


def test_a_model_that_is_logged_already_is_not_logged_again(mlotel_runs: CapturedRuns, tmp_path: Path) -> None:
    """A model that the run has read, or written itself, stays the artifact that it is."""
    path = tmp_path / "delay.bin"
    path.write_bytes(b"weights")
    model = LinearRegression().fit([[1], [2]], [1, 2])
    with mlotel.component("score") as run:
        run.log_input(path, name="mine")
        run.log_output(model, name="new")
        run.log_predictions([1.0], model=path)
        run.log_predictions([1.0], model=model)
        run.log_predictions([1.0], model="only a name")

    (found,) = mlotel_runs.runs
    assert ([each.name for each in found.inputs], [each.name for each in found.outputs]) == (["mine"], ["new"])


def test_a_file_is_a_model(mlotel_runs: CapturedRuns, tmp_path: Path) -> None:
    """A path as model is read once for its digest, and goes by the file's name."""
    path = tmp_path / "delay.bin"
    path.write_bytes(b"weights")
    with mlotel.component("score") as run:
        run.log_predictions([1.0], keys=["a"], model=path)

    (found,) = mlotel_runs.store.predictions("a")
    assert (found.model, found.model_digest) == ("delay.bin", hashing.fingerprint(path).digest)
    assert [each.uri for each in mlotel_runs.runs[0].inputs] == [path.as_uri()]


def test_a_name_is_that_of_the_only_model_read(mlotel_runs: CapturedRuns, tmp_path: Path) -> None:
    """A name stands for the one model that the run has read, if there is one."""
    paths = [tmp_path / "a.bin", tmp_path / "b.bin"]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]))
    with mlotel.component("score") as run:
        run.log_predictions([0.0], keys=["none"], model="delay")
    with mlotel.component("score") as run:
        run.log_input(b"rows", "flights")
        run.log_input(paths[0], type="model")
        run.log_predictions([1.0], keys=["one"], model="delay")
    with mlotel.component("score") as run:
        for path in paths:
            run.log_input(path, type="model")
        run.log_predictions([2.0], keys=["two"], model="delay")

    found = {key: mlotel_runs.store.predictions(key)[0] for key in ("none", "one", "two")}

    assert {each.model for each in found.values()} == {"delay"}
    digests = {key: each.model_digest for key, each in found.items()}
    assert digests == {"none": None, "one": hashing.fingerprint(paths[0]).digest, "two": None}
