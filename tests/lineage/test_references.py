"""What a reference typed by a person stands for."""

from __future__ import annotations

import hashlib

import blake3
import pytest
from pipelines import Io, digest, otlp_lines

from mlotel import hashing
from mlotel.errors import AmbiguousReferenceError, RunNotFoundError
from mlotel.lineage import resolve, resolve_run, upstream
from mlotel.store import assembly
from mlotel.store.memory import MemoryStore


def test_a_run_id_stands_for_its_run(book, opened):
    """Whole, in capitals, cut to its first digits or with run: in front, it is the run."""
    run = book.run("train")
    store = opened(book)

    for what in (
        run.run_id,
        run.run_id.upper(),
        run.run_id[:8],
        run.run_id[:4],
        f"run:{run.run_id[:6]}",
        f" {run.run_id} ",
    ):
        assert resolve(store, what).run_id == run.run_id
        assert resolve_run(store, what).run_id == run.run_id


def test_a_span_id_stands_for_its_run(book, opened):
    """The id that a tracing backend shows for the run's span finds the run."""
    run = book.run("train")

    assert resolve(opened(book), run.span_id).run_id == run.run_id


def test_a_trace_of_one_run_stands_for_that_run(book, opened):
    """Where a trace holds one run, trace and run are one thing."""
    run = book.run("train")
    store = opened(book)

    assert resolve(store, run.trace_id).run_id == run.run_id
    assert resolve(store, f"trace:{run.trace_id[:8]}").run_id == run.run_id
    assert resolve_run(store, run.trace_id).run_id == run.run_id


def test_a_trace_of_several_runs_stands_for_all_in_order_of_time(book, opened):
    """A trace is no run; as a root it is all of its runs, and where one run is asked for it is ambiguous."""
    first = book.run("first", trace="ab" * 16)
    second = book.run("second", parent=first)
    store = opened(book)

    assert [run.component for run in resolve(store, first.trace_id)] == ["first", "second"]
    with pytest.raises(AmbiguousReferenceError) as caught:
        resolve_run(store, first.trace_id)
    assert set(caught.value.candidates) == {f"run:{first.run_id} ('first')", f"run:{second.run_id} ('second')"}


@pytest.mark.parametrize("form", ["{0}", "{1}", "{0:.20}", "{1:.12}", "digest:{0}", "digest:{1:.8}"])
def test_a_digest_stands_for_the_artifact(book, opened, form):
    """Whole or cut, with or without its algorithm, it is the latest write of that content."""
    book.run("first", [], ["data"])
    second = book.run("second", [], ["data"])
    book.run("reader", ["data"])

    found = resolve(opened(book), form.format(digest("data"), digest("data").removeprefix("blake3:")))

    assert found.span_id == second.outputs[0].span_id


def test_a_digest_that_no_run_wrote_stands_for_what_was_read(book, opened):
    """Raw files are artifacts too."""
    reader = book.run("reader", ["raw"])

    assert resolve(opened(book), digest("raw")).span_id == reader.inputs[0].span_id


def test_a_name_stands_for_the_latest_output_of_that_name(book, opened):
    """Reads of it do not count, nor earlier outputs."""
    book.run("first", [], [Io("old", name="features")])
    second = book.run("second", [], [Io("new", name="features")])
    book.run("reader", [Io("older", name="features")])

    for what in ("features", "name:features"):
        assert resolve(opened(book), what).span_id == second.outputs[0].span_id


def test_a_name_that_was_only_read_stands_for_the_latest_input(book, opened):
    """A raw file is found by name though no run wrote it."""
    book.run("first", [Io("old", name="raw.csv")])
    second = book.run("second", [Io("new", name="raw.csv")])

    assert resolve(opened(book), "raw.csv").span_id == second.inputs[0].span_id


def test_a_name_that_looks_like_the_beginning_of_an_id_stands_for_the_artifact(book, opened):
    """Of 'feed' the artifact is meant; the run whose id begins so is found with run: in front."""
    run = book.run("other", run_id="feed" + "0" * 28)
    named = book.run("ingest", [], [Io("content", name="feed")])
    store = opened(book)

    assert resolve(store, "feed").span_id == named.outputs[0].span_id
    assert resolve(store, "run:feed").run_id == run.run_id


def test_a_uri_stands_for_what_was_last_read_or_written_there(book, opened):
    """The URI as it was recorded finds the artifact, with path: in front too."""
    uri = "s3://bucket/features.parquet"
    book.run("first", [], [Io("old", uri=uri)])
    second = book.run("second", [], [Io("new", uri=uri)])
    store = opened(book)

    assert resolve(store, uri).span_id == second.outputs[0].span_id
    assert resolve(store, f"path:{uri}").span_id == second.outputs[0].span_id


def test_a_local_path_is_looked_up_without_reading_the_file(book, opened, tmp_path, monkeypatch):
    """Relative and absolute spellings of a recorded path find the artifact, whether the file is still there or not."""
    path = tmp_path / "out" / "features.bin"
    run = book.run("train", [], [Io("content", uri=path.as_uri())])
    monkeypatch.chdir(tmp_path)
    store = opened(book)

    for what in ("out/features.bin", "./out/features.bin", str(path), path.as_uri(), "path:out/features.bin"):
        assert resolve(store, what).span_id == run.outputs[0].span_id


def test_a_file_that_was_moved_is_found_by_its_content(book, opened, tmp_path):
    """A path that was never recorded is looked up by the digest of the file that lies there now."""
    path = tmp_path / "copy.bin"
    path.write_bytes(b"the content")
    value = "blake3:" + blake3.blake3(b"the content").hexdigest()
    run = book.run("train", [], [Io("x", digest=value, uri="file:///elsewhere/original.bin", rows=None, size=11)])

    assert resolve(opened(book), str(path)).span_id == run.outputs[0].span_id


def test_a_folder_that_was_moved_is_found_by_its_content(book, opened, tmp_path):
    """As a file is: by what fingerprinting says of it, which is what a run that logs it records."""
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "part").write_bytes(b"the content")
    value = hashing.fingerprint(folder).digest
    run = book.run("train", [], [Io("x", digest=value, uri="file:///elsewhere/original", rows=None, size=11)])
    store = opened(book)

    assert resolve(store, str(folder)).span_id == run.outputs[0].span_id
    assert resolve(store, f"path:{folder}").span_id == run.outputs[0].span_id


def test_a_folder_that_is_called_as_an_artifact_is_not_read(book, opened, tmp_path, monkeypatch):
    """It may hold terabytes; the name is as good an answer."""
    run = book.run("train", [], [Io("content", name="features", uri="s3://elsewhere/features")])
    (tmp_path / "features").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hashing, "fingerprint", lambda *_, **__: pytest.fail("the folder was read"))

    assert resolve(opened(book), "features").span_id == run.outputs[0].span_id


def test_an_empty_file_is_not_found_by_its_content(book, opened, tmp_path):
    """Every empty file is like every other: that says nothing about where it came from."""
    path = tmp_path / "empty"
    path.touch()
    value = "blake3:" + hashlib.sha256(b"").hexdigest()
    book.run("train", [], [Io("x", digest=value, rows=None, size=0)])

    with pytest.raises(RunNotFoundError):
        resolve(opened(book), str(path))


def test_a_beginning_of_two_ids_is_ambiguous_and_names_both(book, opened):
    """The error lists what it may stand for, in a form that can be typed."""
    first = book.run("first", run_id="abcd1" + "0" * 27)
    second = book.run("second", run_id="abcd2" + "0" * 27)
    store = opened(book)

    for ask in (resolve, resolve_run):
        with pytest.raises(AmbiguousReferenceError, match="2 things") as caught:
            ask(store, "abcd")
        assert set(caught.value.candidates) == {f"run:{first.run_id} ('first')", f"run:{second.run_id} ('second')"}
    assert resolve(store, "abcd1").run_id == first.run_id


def test_a_beginning_of_a_run_id_and_of_a_digest_is_ambiguous(book, opened):
    """Different things of different kinds are told apart by what stands in front."""
    run = book.run("first", run_id="abcd" + "0" * 28)
    value = "blake3:abcd" + "1" * 60
    book.run("second", [], [Io("x", digest=value)])
    store = opened(book)

    with pytest.raises(AmbiguousReferenceError):
        resolve(store, "abcd")
    assert resolve(store, "run:abcd").run_id == run.run_id
    assert resolve(store, "digest:abcd").digest == value


def test_two_ways_to_one_artifact_are_not_ambiguous(book, opened):
    """One content under several names and places, written and read, is one thing."""
    book.run("a", [], [Io("x", name="one", uri="file:///one")])
    book.run("b", [Io("x", name="two", uri="file:///two")], [Io("x", name="three", uri="file:///three")])

    assert resolve(opened(book), digest("x")[:13]).digest == digest("x")


@pytest.mark.parametrize(
    "what",
    [
        "nothing",
        "abcd1234",
        "0" * 32,
        "blake3:" + "0" * 64,
        "run:train",
        "name:",
        "",
        "\0",
        "x" * 5000,
        "s3://no/where",
        "/no/where",
    ],
)
def test_what_nothing_answers_to_is_not_found_and_the_error_says_what_to_do(book, opened, what):
    """Unknown and odd references alike end in the way out."""
    book.run("train", ["raw"], ["model"])

    with pytest.raises(RunNotFoundError, match=r"`mlotel (runs|history)"):
        resolve(opened(book), what)


@pytest.mark.parametrize("what", ["", "ab", "train", "x" * 100, "abcd1234"])
def test_a_run_that_is_not_there_is_not_found(book, opened, what):
    """Too short, no hex, or unknown."""
    book.run("train")

    with pytest.raises(RunNotFoundError, match=r"mlotel (runs|history train)"):
        resolve_run(opened(book), what)


def test_what_a_reference_stands_for_is_a_root(book, opened):
    """Each kind of answer can be walked from."""
    book.run("ingest", ["raw"], [Io("clean", uri="file:///data/clean")])
    train = book.run("train", ["clean"], ["model"])
    store = opened(book)

    for what in (train.run_id, train.trace_id, digest("model"), "model", "file:///data/clean"):
        assert "ingest" in {run.component for run in upstream(store, resolve(store, what)).runs}


@pytest.mark.parametrize(
    "what",
    ["features", "model:features", "s3://b/features", digest("config"), digest("config")[:18], "s3://b/config"],
)
def test_what_many_runs_read_and_wrote_is_found_without_reading_all_of_it(book, what, monkeypatch):
    """A daily pipeline writes the same name to the same place each day: only its latest artifacts are read back."""
    for day in range(200):
        written = Io(f"day {day}", name="features", uri="s3://b/features", type="model")
        latest = book.run("daily", [Io("config", uri="s3://b/config")], [written])
    store = MemoryStore(otlp_lines(book).encode().splitlines())
    read_back = []
    read = assembly.artifact_of
    monkeypatch.setattr(assembly, "artifact_of", lambda item: read_back.append(item) or read(item))

    assert resolve(store, what).run_id == latest.run_id
    assert 0 < len(read_back) < 40
