"""What is said of runs and artifacts is a record, and is read back as it was said."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from pipelines import Book, Io, otlp_lines

import mlotel
from mlotel import annotations
from mlotel.annotations import DEADLINE, MOST_TEXT
from mlotel.errors import ConfigurationError, InvalidNameError, RunNotFoundError, StoreNotFoundError
from mlotel.lineage import node_id
from mlotel.model import Annotation
from mlotel.standing import flags, labels, retractions, said_of, standing
from mlotel.store.files import FileStore
from mlotel.store.memory import MemoryStore

HOSTILE = "\x1b[31m<script>alert('x')</script>\x00\u202e${jndi:ldap://x} 'OR 1=1;--\n\ttwo lines"


@pytest.fixture
def store(book, opened):
    book.run("ingest", ["raw"], ["clean", Io(None, name="stream", scope=None)])
    book.run("train", ["clean"], [Io("model", type="model")])
    return opened(book)


@pytest.fixture
def folder(tmp_path):
    """The path of an embedded store that holds two runs of a real pipeline."""
    root = tmp_path / ".mlotel"
    mlotel.configure(store=root)
    with mlotel.component("ingest") as run:
        run.log_output(b"clean", "clean")
    with mlotel.component("train") as run:
        run.log_input(b"clean", "clean")
        run.log_output(b"model", "model", type="model")
    return root


def test_a_flag_is_read_back_as_it_was_said(store, book):
    """By whom, about what and why."""
    train = book.made[1]

    (said,) = annotations.flag(train.outputs[0], "it is worse", store=store, author="ann")

    assert store.annotations() == (said,)
    assert said.time_ns > 0
    assert said == Annotation(
        kind="flag",
        target=node_id(train.outputs[0]),
        time_ns=said.time_ns,
        text="it is worse",
        author="ann",
        run_id=train.run_id,
        artifact_name="model",
    )


def test_a_record_is_correlated_with_the_span_that_it_is_about(store, book, records):
    """The run's span, or the one that wrote the artifact."""
    ingest = book.made[0]
    annotations.note(ingest, "n", store=store)
    annotations.note(ingest.outputs[0], "n", store=store)

    of_run, of_artifact = (each for each in records(store.lines) if each["eventName"] == "mlotel.note")

    assert (of_run["traceId"], of_run["spanId"]) == (ingest.trace_id, ingest.span_id)
    assert (of_artifact["traceId"], of_artifact["spanId"]) == (ingest.trace_id, ingest.outputs[0].span_id)


@pytest.mark.parametrize("what", ["name:model", "model", "train's run id", "train's trace id", "a digest's beginning"])
def test_things_are_named_as_for_lineage(store, book, what):
    """An artifact or a run."""
    train = book.made[1]
    named = {
        "train's run id": (train.run_id, train.run_id),
        "train's trace id": (train.trace_id, train.run_id),
        "a digest's beginning": (train.outputs[0].digest[:20], node_id(train.outputs[0])),
    }
    reference, target = named.get(what, (what, node_id(train.outputs[0])))

    (said,) = annotations.flag(reference, store=store)

    assert said.target == target


def test_a_trace_is_each_of_its_runs(book, opened):
    """What is said of it is said of them."""
    parent = book.run("parent")
    child = book.run("child", parent=parent)
    store = opened(book)

    said = annotations.note(parent.trace_id, "all of it", store=store)

    assert {each.target for each in said} == {parent.run_id, child.run_id}


def test_what_identifies_nothing_is_named_by_its_span(store, book):
    """An artifact without a digest, or of empty content, is no other one."""
    stream = book.made[0].outputs[1]

    (said,) = annotations.flag(stream, store=store)

    assert said.target == stream.span_id
    assert flags(store) == (said,)


def test_what_is_neither_a_run_nor_an_artifact_is_refused(store):
    """Nor is what is not there."""
    with pytest.raises(ConfigurationError, match="not a int"):
        annotations.flag(17, store=store)
    with pytest.raises(RunNotFoundError, match="no run or artifact answers to 'nothing'"):
        annotations.flag("nothing", store=store)
    with pytest.raises(StoreNotFoundError, match="no store at"):
        annotations.flag("model", store="/nowhere/at/all")


def test_a_flag_that_was_taken_back_does_not_hold(store):
    """And one that was put up again does."""
    annotations.flag("model", "bad", store=store)
    annotations.unflag("model", "it was not", store=store)
    assert flags(store) == ()

    (again,) = annotations.flag("model", "yes it was", store=store)
    assert flags(store) == (again,)
    assert [each.kind for each in store.annotations()] == ["flag", "unflag", "flag"]


def test_taking_back_what_was_not_said_finds_nothing(store):
    """A slip must not look like a success."""
    annotations.flag("clean", store=store)

    with pytest.raises(RunNotFoundError, match="'model' has no flag of its own"):
        annotations.unflag("model", store=store)
    with pytest.raises(RunNotFoundError, match="'model' was not given the label 'a'"):
        annotations.unlabel("model", "a", store=store)
    with pytest.raises(RunNotFoundError, match="nothing was given the label 'a'"):
        annotations.retract("a", store=store)
    with pytest.raises(RunNotFoundError, match="'a' is not retracted"):
        annotations.restore("a", store=store)


def test_the_nearest_labels_are_named(store):
    """A slip costs no look at the list."""
    annotations.label("clean", "customer-17", store=store)

    with pytest.raises(RunNotFoundError, match="did you mean 'customer-17'"):
        annotations.retract("costumer-17", store=store)


def test_of_the_same_nanosecond_what_was_said_holds():
    """A flag and its taking back, in whatever order they are read."""
    flag, unflag = (Annotation(kind, "a" * 32, 5) for kind in ("flag", "unflag"))

    assert standing([flag, unflag]) == standing([unflag, flag]) == (flag,)
    assert standing([flag, Annotation("unflag", "a" * 32, 6)]) == ()


def test_the_latest_word_counts_where_clocks_differ(store):
    """What was said before by a machine whose clock is ahead can be taken back."""
    (flag,) = annotations.flag("model", store=store)
    ahead = flag.time_ns + 3600 * 10**9
    record = MemoryStore(store.lines).lines[-1].replace(str(flag.time_ns).encode(), str(ahead).encode())
    store.append(record)

    (unflag,) = annotations.unflag("model", store=store)

    assert unflag.time_ns == ahead + 1
    assert flags(store) == ()


def test_what_comes_twice_counts_once(store):
    """Replayed lines change nothing."""
    annotations.flag("model", "bad", store=store)
    annotations.label("clean", "a", store=store)
    annotations.label("clean", "b", store=store)
    once = store.annotations()

    twice = MemoryStore([*store.lines, *store.lines])

    assert twice.annotations() == once
    assert (len(once), len(labels(twice)), len(flags(twice))) == (3, 2, 1)


def test_hostile_text_is_kept_as_it_is(store):
    """What is shown is cleaned; what was said is not changed."""
    (said,) = annotations.note("model", HOSTILE, store=store)

    assert store.annotations() == (said,)
    assert store.annotations()[0].text == HOSTILE


def test_half_a_surrogate_pair_does_no_harm(store):
    """It cannot be written in UTF-8, as arguments of a shell may bring it."""
    annotations.note("model", "caf\udce9", store=store)

    assert store.annotations()[0].text == "caf\ufffd"


def test_a_text_has_a_bound(store):
    """A record is one write, and a note no file."""
    annotations.note("model", "x" * MOST_TEXT, store=store)
    for call in (annotations.note, annotations.flag):
        with pytest.raises(ConfigurationError, match="at most 10,000 characters"):
            call("model", "x" * (MOST_TEXT + 1), store=store)
    with pytest.raises(ConfigurationError, match="a note needs a text"):
        annotations.note("model", " \n", store=store)
    assert len(store.annotations()) == 1


@pytest.mark.parametrize("label", ["", "x" * 256, "a\nb", "\x1b[0m", 17])
def test_a_label_is_a_name(store, label):
    """1 to 255 characters of text, no control characters."""
    with pytest.raises(InvalidNameError, match="a label"):
        annotations.label("model", label, store=store)


def test_nobody_is_named_unless_somebody_says_so(store, monkeypatch):
    """Neither git nor the operating system is asked; MLOTEL_AUTHOR is, and an argument wins."""
    authors = [annotations.note("model", "n", store=store)[0].author]
    monkeypatch.setenv("MLOTEL_AUTHOR", "ops")
    authors += [annotations.note("model", "n", store=store)[0].author]
    authors += [annotations.note("model", "n", store=store, author="ann")[0].author]

    assert authors == [None, "ops", "ann"]


@pytest.mark.parametrize(
    ("deadline", "expected"),
    [
        (timedelta(days=3), 3 * 86400 * 10**9),
        (timedelta(0), 0),
        (None, None),
        (DEADLINE, 30 * 86400 * 10**9),
    ],
)
def test_a_deadline_counts_from_now(store, deadline, expected):
    """30 days if nothing is said; there may be none."""
    annotations.label("clean", "a", store=store)

    said = annotations.retract("a", deadline=deadline, store=store)

    assert said.kind == "retract"
    assert said.target == said.label == "a"
    assert retractions(store) == {"a": said}
    if expected is None:
        assert said.deadline_ns is None
    else:
        assert abs(said.deadline_ns - said.time_ns - expected) < 60 * 10**9


def test_a_deadline_may_be_a_time(store):
    """One without a zone is in UTC."""
    annotations.label("clean", "a", store=store)

    for deadline in (datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1)):
        said = annotations.retract("a", deadline=deadline, store=store)
        assert said.deadline_ns == 1_893_456_000 * 10**9
    for wrong in (5, datetime(9000, 1, 1), datetime(1960, 1, 1)):
        with pytest.raises(ConfigurationError, match="deadline"):
            annotations.retract("a", deadline=wrong, store=store)


def test_the_latest_retraction_decides_the_deadline(store):
    """And after a restoration there is none."""
    annotations.label("clean", "a", store=store)
    annotations.retract("a", store=store)
    later = annotations.retract("a", "sooner", deadline=timedelta(days=1), store=store)
    assert retractions(store) == {"a": later}

    annotations.restore("a", store=store)
    assert retractions(store) == {}


def test_what_was_said_of_a_run_and_what_it_touched(store, book):
    """Notes, and the flags and labels that hold."""
    ingest, train = book.made
    annotations.note(train, "one", store=store)
    annotations.note("model", "two", store=store)
    annotations.flag("model", "three", store=store)
    annotations.unflag("model", store=store)
    annotations.label("clean", "four", store=store)
    annotations.note(ingest, "of another run", store=store)

    assert [(each.kind, each.text or each.label) for each in said_of(store, train)] == [
        ("label", "four"),
        ("note", "two"),
        ("note", "one"),
    ]


def test_the_default_store_is_the_one_that_runs_go_to(folder):
    """As it is read at once by whoever has it open."""
    with FileStore(folder) as store:
        assert flags(store) == ()

        (said,) = annotations.flag("name:model", "bad")

        assert flags(store) == (said,)
    assert annotations.unflag("name:model", store=folder)[0].kind == "unflag"


def test_an_annotation_has_a_file_of_its_own_that_others_cannot_read(folder):
    """It is a segment like any other, for its owner alone."""
    before = set((folder / "segments").iterdir())

    annotations.flag("name:model", "bad", store=folder)

    (written,) = set((folder / "segments").iterdir()) - before
    assert written.stat().st_mode & 0o777 == 0o600
    assert b"mlotel.flag" in written.read_bytes()


def test_files_of_another_program_are_not_written_to(tmp_path):
    """A collector's file is its own."""
    book = Book()
    book.run("train", [], ["model"])
    path = tmp_path / "runs.jsonl"
    path.write_text(otlp_lines(book))

    with pytest.raises(ConfigurationError, match="files that another program writes"):
        annotations.flag("model", store=path)

    assert path.read_text() == otlp_lines(book)


def test_with_no_place_to_write_to_it_says_so(script):
    """The store is switched off, and there is no collector."""
    done = script(
        """
        from mlotel import annotations
        try:
            annotations.retract("a")
        except ValueError as error:
            print(error)
        """,
        MLOTEL_STORE="off",
    )

    assert "there is no place to write to" in done.stdout


def test_a_run_that_is_going_may_be_noted_where_it_goes(mlotel_runs):
    """Its own telemetry takes it along."""
    with mlotel.component("train") as run:
        (said,) = annotations.note(run, "by hand")

    assert mlotel_runs.store.annotations() == (said,)
    assert said.target == run.run_id


def test_a_run_that_is_not_recorded_cannot_be_noted(script):
    """With telemetry switched off there is nothing to speak of."""
    done = script(
        """
        import mlotel
        with mlotel.component("train") as run:
            try:
                mlotel.annotations.note(run, "n")
            except LookupError as error:
                print(error)
        """,
        OTEL_SDK_DISABLED="true",
    )

    assert "not recorded" in done.stdout


def test_a_record_goes_to_a_collector_too(script, tmp_path):
    """As an OTLP log, correlated and with the same attributes."""
    requests: list[bytes] = []

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/logs":
                requests.append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    source = """
        import sys
        import mlotel
        with mlotel.component("train") as run:
            run.log_output(b"model", "model")
        mlotel.annotations.label("name:model", "a", "why", author="ann")
        """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        script(
            source,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    sent = [
        record
        for body in requests
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
        if record.event_name == "mlotel.label"
    ]
    with FileStore(tmp_path / "store") as store:
        (kept,) = store.annotations()
        (run,) = store.runs()
    (record,) = sent
    told = {each.key: each.value.string_value for each in record.attributes}
    assert told == {
        "mlotel.label": "a",
        "mlotel.run.id": run.run_id,
        "mlotel.artifact.name": "model",
        "mlotel.artifact.digest": kept.target,
        "mlotel.annotation.author": "ann",
    }
    assert (record.trace_id.hex(), record.span_id.hex()) == (run.trace_id, run.outputs[0].span_id)
    assert (record.time_unix_nano, record.body.string_value) == (kept.time_ns, kept.text)


def test_two_processes_annotate_at_once(folder):
    """Nothing is lost, and of each thing the latest word counts."""
    source = """
import sys
from mlotel import annotations
for number in range(25):
    annotations.note("name:model", f"{sys.argv[2]} {number}", store=sys.argv[1])
    annotations.label("name:model", f"{sys.argv[2]}-{number}", store=sys.argv[1])
    (annotations.flag if number % 2 == 0 else annotations.unflag)(f"name:{sys.argv[3]}", store=sys.argv[1])
"""
    command = [sys.executable, "-W", "error", "-c", source, str(folder)]
    running = [subprocess.Popen([*command, *each]) for each in (("one", "clean"), ("two", "model"))]
    assert [each.wait(timeout=120) for each in running] == [0, 0]

    with FileStore(folder) as store:
        texts = {each.text for each in store.annotations(kind="note")}
        assert texts == {f"{who} {number}" for who in ("one", "two") for number in range(25)}
        assert len(labels(store)) == 50
        assert {each.artifact_name for each in flags(store)} == {"clean", "model"}
        assert store.status().skipped == 0


def test_the_documentation_of_the_functions_is_complete():
    """Each is public and says what it raises."""
    for name in ("flag", "unflag", "note", "label", "unlabel", "retract", "restore"):
        assert "Raises:" in (getattr(annotations, name).__doc__ or ""), name
    assert Path(annotations.__file__).name == "__init__.py"
