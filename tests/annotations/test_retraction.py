"""Reading what bears a retracted label warns, and is refused after the deadline where the component asked for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pyarrow as pa
import pytest

import mlotel
from mlotel import RetractedError, annotations
from mlotel.errors import ConfigurationError, MlotelError
from mlotel.model import Artifact
from mlotel.sdk._retractions import RetractionLookup
from mlotel.store.files import FileStore
from mlotel.store.journal import Journal

START = datetime(2024, 1, 1, tzinfo=UTC)  # when captured time begins


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    """What other tests were warned of is told again."""
    monkeypatch.setattr("mlotel._runtime._told", set())


@pytest.fixture
def captured(mlotel_runs):
    """The content raw bears a label; clean is made of raw, other is not."""
    with mlotel.component("ingest") as run:
        run.log_input(b"raw", "raw", labels=["customer-17"])
        run.log_output(b"clean", "clean")
    with mlotel.component("elsewhere") as run:
        run.log_output(b"other", "other")
    return mlotel_runs


def retract(captured, **more):
    annotations.retract("customer-17", store=captured.store, **{"deadline": START, **more})


def retracted_reads(captured):
    key = "mlotel.artifact.retracted"
    found = (each for run in captured.runs for each in run.inputs)
    spans = {}
    for line in captured.store.lines:
        for resource in orjson.loads(line).get("resourceSpans", ()):
            for span in resource["scopeSpans"][0]["spans"]:
                told = {each["key"]: each["value"].get("stringValue") for each in span["attributes"]}
                spans[span["spanId"]] = told.get(key)
    return [(each.name, spans[each.span_id]) for each in found if spans.get(each.span_id)]


def test_reading_it_warns_and_is_recorded(captured, caplog):
    """By itself or by what it was made of; on the read span, as an event, and in the log."""
    retract(captured)

    with mlotel.component("use") as run:
        for name in ("raw", "clean", "other"):
            assert run.log_input(name.encode(), name) == name.encode()

    assert retracted_reads(captured) == [("raw", "customer-17"), ("clean", "customer-17")]
    events = [each for each in captured.events if each["eventName"] == "mlotel.artifact.retracted"]
    assert [each["severityNumber"] for each in events] == [13, 13]
    told = {each["key"]: next(iter(each["value"].values())) for each in events[1]["attributes"]}
    reader = captured.runs[-1]
    assert told == {
        "mlotel.run.id": reader.run_id,
        "mlotel.artifact.name": "clean",
        "mlotel.artifact.digest": reader.inputs[1].digest,
        "mlotel.label": "customer-17",
        "mlotel.retract.deadline": str(int(START.timestamp()) * 10**9),
    }
    assert events[1]["spanId"] == reader.inputs[1].span_id
    assert "'clean' (blake3:" in caplog.text
    assert "the retracted label 'customer-17', which it has from 'raw'" in caplog.text
    assert "2024-01-01T00:00:00Z" in caplog.text
    assert reader.state == "ok"


def test_it_warns_once_for_each_artifact(captured, caplog):
    """However often it is read."""
    retract(captured)

    for _ in range(3):
        with mlotel.component("use once") as run:
            run.log_input(b"clean", "clean")

    assert caplog.text.count("WARNING") == 1
    assert len(retracted_reads(captured)) == 3


def test_without_a_retraction_nothing_is_said(captured, caplog):
    """A label alone is no reason."""
    with mlotel.component("use", on_retracted="block") as run:
        run.log_input(b"clean", "clean")

    assert (retracted_reads(captured), caplog.text) == ([], "")


def test_a_restored_label_is_read_as_before(captured, caplog):
    """The retraction is gone."""
    retract(captured)
    annotations.restore("customer-17", store=captured.store)

    with mlotel.component("use", on_retracted="block") as run:
        run.log_input(b"clean", "clean")

    assert (retracted_reads(captured), caplog.text) == ([], "")


def test_after_the_deadline_log_input_raises_where_the_component_asked(captured):
    """The error says what, why and what to do, and the run has failed of it."""
    retract(captured)

    says = r"'clean' .* 'customer-17'.*Read other data, or .*mlotel restore"
    with pytest.raises(RetractedError, match=says) as caught, mlotel.component("use", on_retracted="block") as run:
        run.log_input(b"clean", "clean")

    assert isinstance(caught.value, MlotelError)
    assert (caught.value.artifact, caught.value.label) == ("clean", "customer-17")
    assert caught.value.deadline_ns == int(START.timestamp()) * 10**9
    run = captured.runs[-1]
    assert (run.state, run.error["type"]) == ("failed", "mlotel.errors.RetractedError")
    assert retracted_reads(captured) == [("clean", "customer-17")]


@pytest.mark.parametrize("deadline", [timedelta(days=365 * 100), None])
def test_before_the_deadline_it_is_read(captured, deadline):
    """With a warning; without a deadline for ever."""
    retract(captured, deadline=deadline)

    with mlotel.component("use", on_retracted="block") as run:
        run.log_input(b"clean", "clean")

    assert captured.runs[-1].state == "ok"
    assert retracted_reads(captured) == [("clean", "customer-17")]


def test_the_deadline_is_that_of_the_runs_clock(captured):
    """A moment before it is read, at it no more."""
    retract(captured, deadline=START + timedelta(hours=1))

    def read():
        with mlotel.component("use", on_retracted="block") as run:
            run.log_input(b"clean", "clean")

    read()
    captured.clock.advance(3600)
    with pytest.raises(RetractedError):
        read()


def test_the_label_with_the_earliest_deadline_decides(captured):
    """Of several."""
    annotations.label("name:clean", "later", store=captured.store)
    annotations.retract("later", deadline=timedelta(days=36500), store=captured.store)
    retract(captured)

    with pytest.raises(RetractedError, match="customer-17"), mlotel.component("use", on_retracted="block") as run:
        run.log_input(b"clean", "clean")

    events = [each for each in captured.events if each["eventName"] == "mlotel.artifact.retracted"]
    assert len(events) == 2


TABLE = pa.table({"a": [1, 2, 3]})


@pytest.fixture
def table(captured):
    with mlotel.component("make") as run:
        run.log_output(TABLE, "table", labels=["customer-17"])
    retract(captured)
    return captured


def plain(data):
    raise AssertionError("its body ran")


async def coroutine(data):
    raise AssertionError("its body ran")


def generator(data):
    raise AssertionError("its body ran")
    yield


async def async_generator(data):
    raise AssertionError("its body ran")
    yield


async def drained(items):
    return [item async for item in items]


@pytest.mark.parametrize(
    ("function", "call"),
    [
        (plain, lambda function: function(TABLE)),
        (coroutine, lambda function: asyncio.run(function(TABLE))),
        (generator, lambda function: list(function(TABLE))),
        (async_generator, lambda function: asyncio.run(drained(function(TABLE)))),
    ],
    ids=["plain", "coroutine", "generator", "async generator"],
)
def test_a_decorated_function_does_not_run(table, function, call):
    """Its argument is refused before."""
    with pytest.raises(RetractedError):
        call(mlotel.component("use", on_retracted="block")(function))

    assert table.runs[-1].state == "failed"


def test_a_decorated_function_runs_where_nobody_asked(table):
    """The default is a warning."""
    assert mlotel.component("use")(len)(TABLE) == 3
    assert retracted_reads(table) == [("obj", "customer-17")]


def test_reading_a_table_is_refused(table, tmp_path):
    """By mlotel.io, whole or in columns."""
    path = tmp_path / "table.parquet"
    with mlotel.component("write") as run:
        run.log_input(TABLE, "table")
        mlotel.io.write_table(TABLE, path)

    for columns in (None, ["a"]):
        with pytest.raises(RetractedError), mlotel.component("use", on_retracted="block"):
            mlotel.io.read_table(path, columns=columns)
    with mlotel.component("use"):
        assert mlotel.io.read_table(path) == TABLE


def test_a_model_is_refused_where_predictions_name_it(captured):
    """log_predictions makes it an input."""
    with mlotel.component("train") as run:
        run.log_output(b"weights", "model", type="model", labels=["customer-17"])
    retract(captured)

    with pytest.raises(RetractedError), mlotel.component("score", on_retracted="block") as run:
        run.log_predictions([1.0], model=b"weights")


def test_what_has_no_span_of_its_own_is_refused_too(captured):
    """The hundred and first input."""
    retract(captured)

    with mlotel.component("use", on_retracted="block") as run:
        for number in range(100):
            run.log_input(f"{number}".encode(), f"{number}")
        with pytest.raises(RetractedError):
            run.log_input(b"clean", "clean")


def test_a_run_that_hooks_start_is_refused_too(captured):
    """start_component takes the same argument."""
    retract(captured)
    run = mlotel.start_component("task", on_retracted="block")

    with pytest.raises(RetractedError):
        run.log_input(b"clean", "clean")
    run.end()


def test_what_else_goes_wrong_still_breaks_nothing(captured, monkeypatch, caplog):
    """Blocking asks for one exception, not for mlotel's faults."""
    retract(captured)
    monkeypatch.setattr("mlotel._retraction.judged", lambda *_: 1 / 0)

    with mlotel.component("use", on_retracted="block") as run:
        run.log_input(b"clean", "clean")

    assert captured.runs[-1].state == "ok"
    assert "ZeroDivisionError" in caplog.text


def test_what_to_do_must_be_known():
    """A slip must not switch the blocking off."""
    with pytest.raises(ConfigurationError, match="'warn' or 'block', not 'blok'"):
        mlotel.component("use", on_retracted="blok")


# -- what is retracted in the embedded store


READ = Artifact("clean", "input", "", "", digest="blake3:" + "c" * 64, rows=1)


@pytest.fixture
def root(tmp_path):
    """A store that another process made: nothing in it is retracted yet."""
    return tmp_path / "store"


def elsewhere(script, source, **variables):
    return script("import mlotel\nfrom mlotel import annotations\n" + source, **variables)


PIPELINE = """
with mlotel.component("ingest") as run:
    run.log_input(b"raw", "raw", labels=["a"])
    run.log_output(b"clean", "clean")
"""
USE = """
with mlotel.component("use", on_retracted="block") as run:
    run.log_input(b"clean", "clean")
"""


def test_a_process_that_starts_after_it_is_refused(script):
    """From its first input on."""
    elsewhere(script, PIPELINE)
    assert elsewhere(script, USE).stderr == ""
    elsewhere(script, "from datetime import timedelta\nannotations.retract('a', deadline=timedelta(0))")

    refused = elsewhere(script, USE, check=False)
    warned = elsewhere(script, USE.replace(', on_retracted="block"', ""))

    assert (refused.returncode, warned.returncode) == (1, 0)
    assert "mlotel.errors.RetractedError: 'clean'" in refused.stderr
    assert warned.stderr.startswith("mlotel: input of component 'use': RetractedError: 'clean'")


def test_the_same_process_knows_at_once(script):
    """What it retracts itself, and what it labels afterwards."""
    source = """
from datetime import timedelta
with mlotel.component("first") as run:
    run.log_input(b"other", "other")
annotations.retract("a", deadline=timedelta(0))
with mlotel.component("second") as run:
    run.log_output(b"fresh", "fresh", labels=["a"])
for content in (b"fresh", b"clean"):
    try:
        with mlotel.component("third", on_retracted="block") as run:
            run.log_input(content)
    except mlotel.RetractedError as error:
        print(error.label)
annotations.restore("a")
with mlotel.component("fourth", on_retracted="block") as run:
    run.log_input(b"clean")
"""
    elsewhere(script, PIPELINE)

    assert elsewhere(script, source).stdout == "a\na\n"


def test_with_a_collector_alone_nothing_is_known(script):
    """The store is not written then, nor looked into."""
    elsewhere(script, PIPELINE + "annotations.retract('a', deadline=__import__('datetime').timedelta(0))")

    done = elsewhere(
        script,
        USE,
        MLOTEL_STORE=None,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_METRICS_EXPORTER="none",
        check=False,
    )

    assert "RetractedError" not in done.stderr
    assert done.returncode == 0


def test_another_process_is_heard_after_a_while(script, root):
    """Not before the time for the next look has come."""
    now = [0.0]
    lookup = RetractionLookup(root, refresh_s=2.0, monotonic=lambda: now[0])
    assert not lookup.any()
    elsewhere(script, PIPELINE)
    elsewhere(script, "annotations.retract('a')")
    now[0] = 1.9
    assert not lookup.any()
    now[0] = 2.0
    assert lookup.any()
    (borne,) = lookup.of(clean_of(root))
    assert (borne.label, borne.source) == ("a", "raw")

    elsewhere(script, "annotations.restore('a')")
    now[0] = 4.0
    assert not lookup.any()
    assert lookup.of(clean_of(root)) == ()
    lookup.close()


def clean_of(root):
    with FileStore(root) as store:
        (written,) = store.find_artifacts(name="clean")
    return Artifact("clean", "input", "", "", digest=written.digest, size=5, time_ns=written.time_ns + 10**9)


def test_a_store_in_which_nothing_happens_is_opened_once(script, root, monkeypatch):
    """Looking again costs a look at the folder."""
    elsewhere(script, PIPELINE)
    opened = []

    def open_store(*args, **more):
        opened.append(args)
        return FileStore(*args, **more)

    monkeypatch.setattr("mlotel.sdk._retractions.FileStore", open_store)
    now = [0.0]
    lookup = RetractionLookup(root, monotonic=lambda: now[0])

    for _ in range(5):
        assert not lookup.any()
        now[0] += 10

    assert len(opened) == 1


def test_a_store_that_cannot_be_read_retracts_nothing(root):
    """A fault of mlotel's own stops no pipeline."""
    (root / "segments").mkdir(parents=True)
    Journal(root).append(b'{"resourceLogs": []}\n')
    (root / "index.sqlite").mkdir()  # where the index should be

    lookup = RetractionLookup(root, timeout_s=0.1)

    assert not lookup.any(whole=True)
    assert lookup.of(READ) == ()


def test_no_store_retracts_nothing(tmp_path):
    """Switched off, or not there yet."""
    for lookup in (RetractionLookup(None), RetractionLookup(tmp_path / "none")):
        assert not lookup.any()
        assert not lookup.any(whole=True)
        assert lookup.of(READ) == ()
        lookup.look_again()
    assert not (tmp_path / "none").exists()


def test_who_blocks_waits_until_everything_is_indexed(script, root):
    """Others read a bite at a time."""
    elsewhere(script, PIPELINE)
    elsewhere(script, "annotations.retract('a')")
    elsewhere(script, PIPELINE * 3)
    (root / "index.sqlite").unlink()
    for each in root.glob("index.sqlite-*"):
        each.unlink()
    lookup = RetractionLookup(root, bite=1, monotonic=lambda: 0.0)

    lookup.any()

    assert lookup.any(whole=True)
    lookup.close()
