"""Labels pass to what is derived from what bears them."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import Book, Io, otlp_lines
from random_pipelines import books, dependencies, producer, touched

import mlotel
from mlotel import annotations
from mlotel.errors import ConfigurationError
from mlotel.labels import labels, labels_of, touched_by
from mlotel.lineage import node_id
from mlotel.model import Artifact
from mlotel.store.memory import MemoryStore


def names(borne):
    return [(each.label, each.inherited) for each in borne]


@pytest.fixture
def store(book, opened):
    """Two raw files; clean comes from both, names what each of its outputs comes from; a model from one of these."""
    book.run("ingest", [], ["left"])
    book.run("ingest", [], ["right"])
    book.run(
        "split",
        ["left", "right"],
        [Io("from left", derived_from=("left",)), Io("from right", derived_from=("right",)), "from both"],
    )
    book.run("train", ["from left"], [Io("model", type="model")])
    book.run("score", [Io("model", type="model")], ["scores"], attributes={"mlotel.prediction.count": 12})
    return opened(book)


def test_an_artifact_inherits_the_labels_of_everything_behind_it(store):
    """Through any number of runs, as far as it is derived from what bears them."""
    annotations.label("left", "a", store=store)
    annotations.label("right", "b", store=store)
    annotations.label("from left", "c", store=store)

    def of(name):
        (artifact,) = store.find_artifacts(name=name, direction="output")
        return names(labels_of(store, artifact))

    assert of("left") == [("a", False)]
    assert of("from left") == [("c", False), ("a", True)]
    assert of("from right") == [("b", True)]
    assert of("from both") == [("a", True), ("b", True)]
    assert of("scores") == [("a", True), ("c", True)]


def test_a_label_on_a_run_is_on_all_that_it_wrote(store, book):
    """And on the run, but not on what it read."""
    split = book.made[2]
    annotations.label(split, "a", store=store)

    assert names(labels_of(store, split)) == [("a", False)]
    assert [names(labels_of(store, each)) for each in split.outputs] == [[("a", True)]] * 3
    assert names(labels_of(store, split.inputs[0])) == []
    (borne,) = labels_of(store, book.made[4])
    assert borne.source.run_id == split.run_id


def test_where_a_label_comes_from_is_told(store, book):
    """The artifact that was given it, and by whom."""
    (said,) = annotations.label("left", "a", "licence", store=store, author="ann")

    (borne,) = labels_of(store, book.made[4].outputs[0])

    assert (borne.source.name, borne.said, borne.retraction) == ("left", said, None)


def test_a_label_that_was_taken_back_passes_to_nothing(store, book):
    """And the others stay."""
    annotations.label("left", "a", store=store)
    annotations.label("left", "b", store=store)
    annotations.unlabel("left", "a", store=store)

    assert names(labels_of(store, book.made[4])) == [("b", True)]
    assert [each.label for each in labels(store)] == ["b"]


def test_everything_that_a_label_has_come_to(store, book):
    """Artifacts, the models among them, runs and how much they predicted; what was given it stands apart."""
    annotations.label("left", "a", store=store)

    found = touched_by(store, "a")

    assert [each.name for each in found.bearers] == ["left"]
    assert [each.name for each in found.artifacts] == ["from left", "from both", "model", "scores"]
    assert [each.name for each in found.models] == ["model"]
    assert [run.component for run in found.runs] == ["split", "train", "score"]
    assert (found.predictions, found.partial, found.retraction) == (12, False, None)


def test_a_label_on_a_run_has_come_to_the_run_and_its_outputs(store, book):
    """Not to what it read."""
    train = book.made[3]
    annotations.label(train, "a", store=store)

    found = touched_by(store, "a")

    assert [run.component for run in found.runs] == ["train", "score"]
    assert [each.name for each in found.artifacts] == ["model", "scores"]
    assert found.bearers == ()


def test_a_label_on_a_raw_file_that_no_run_wrote(book, opened):
    """Whoever reads the same bytes reads what bears it."""
    book.run("one", [Io("raw", name="a name")], ["x"])
    book.run("two", [Io("raw", name="another")], ["y"])
    store = opened(book)
    annotations.label("name:another", "a", store=store)

    assert [each.name for each in touched_by(store, "a").artifacts] == ["x", "y"]
    assert [names(labels_of(store, run.outputs[0])) for run in book.made] == [[("a", True)]] * 2


def test_what_has_no_identity_bears_a_label_alone(book, opened):
    """Empty content is not the same as other empty content, and what has no digest is like nothing else."""
    runs = [book.run("make", [], [Io("empty", rows=0), Io(None, name="stream", scope=None)]) for _ in range(2)]
    book.run("use", [Io(None, name="stream", scope=None, link=runs[0].outputs[1])], ["result"])
    store = opened(book)
    for output in runs[0].outputs:
        annotations.label(output, "a", store=store)

    assert [len(labels_of(store, each)) for run in runs for each in run.outputs] == [1, 1, 0, 0]
    assert [each.name for each in touched_by(store, "a").artifacts] == ["result"]


def test_a_dependency_by_hand_passes_labels_on(book, opened):
    """What a run was said to depend on stands behind it."""
    first = book.run("first", ["raw"], ["a"])
    book.run("second", ["other"], ["b"], depends_on=[first])
    store = opened(book)
    annotations.label(first, "x", store=store)
    annotations.label("raw", "y", store=store)

    assert names(labels_of(store, book.made[1].outputs[0])) == [("x", True), ("y", True)]
    assert [each.name for each in touched_by(store, "x").artifacts] == ["a", "b"]


def test_a_prediction_is_not_labelled(tmp_path):
    """It bears what its run does."""
    mlotel.configure(store=tmp_path / "store")
    with mlotel.component("score") as run:
        run.log_predictions([0.5], keys=["customer 1"], model="m")

    with pytest.raises(ConfigurationError, match="bears the labels of its run"):
        annotations.label("record:customer 1", "a")
    mlotel.shutdown()


def test_a_run_may_give_labels_to_what_it_reads_and_writes(mlotel_runs, records):
    """Records that are correlated with the I/O spans."""
    with mlotel.component("ingest") as run:
        run.log_input(b"raw", "raw", labels=["licence x", "b"])
        run.log_output(b"clean", "clean", labels="one")
        run.log_output(b"", "empty", labels=["two"])

    (run,) = mlotel_runs.runs
    given = {(each.label, each.target) for each in labels(mlotel_runs.store)}
    raw, clean, empty = run.inputs[0], *run.outputs
    assert given == {("licence x", raw.digest), ("b", raw.digest), ("one", clean.digest), ("two", empty.span_id)}
    assert names(labels_of(mlotel_runs.store, clean)) == [("one", False), ("b", True), ("licence x", True)]
    spans = [each["spanId"] for each in records(mlotel_runs.store.lines) if each["eventName"] == "mlotel.label"]
    assert spans == [raw.span_id, raw.span_id, clean.span_id, empty.span_id]


def test_a_label_that_is_none_is_told_and_the_artifact_recorded(mlotel_runs, caplog):
    """Telemetry breaks no pipeline."""
    with mlotel.component("ingest") as run:
        run.log_output(b"clean", "clean", labels=["good", "", "late"])
        run.log_output(b"more", "more", labels=7)

    (run,) = mlotel_runs.runs
    assert [each.name for each in run.outputs] == ["clean", "more"]
    assert [each.label for each in labels(mlotel_runs.store)] == ["good"]
    assert "a label must have 1 to 255 characters" in caplog.text


def test_what_has_no_span_of_its_own_is_labelled_by_its_digest(mlotel_runs):
    """The hundred and first output stands in a manifest."""
    with mlotel.component("many") as run:
        for number in range(101):
            run.log_output(f"{number}".encode(), f"part {number}", labels=["a"])

    assert len({each.target for each in labels(mlotel_runs.store)}) == 101
    assert len(touched_by(mlotel_runs.store, "a").bearers) == 101


def test_a_label_on_a_read_without_content_is_on_what_was_written(book, opened):
    """So it is seen by whoever else reads the same write, though no digest joins the two reads."""
    ingest = book.run("ingest", [], [Io("nothing", rows=0)])
    for name in ("train", "score"):
        book.run(name, [Io("nothing", rows=0, link=ingest.outputs[0])], [f"{name}ed"])
    store = opened(book)
    train, score = (book.made[number].inputs[0] for number in (1, 2))

    annotations.label(train, "a", store=store)

    found = touched_by(store, "a")
    assert [each.component for each in found.runs] == ["train", "score"]
    assert [each.span_id for each in found.bearers] == [ingest.outputs[0].span_id]
    assert names(labels_of(store, score)) == [("a", False)]


def artifact_of(book: Book, io: Artifact) -> str:
    """What names the artifact: what has no content is the write that it was read from."""
    written = producer(book, io) if node_id(io) == io.span_id and io.direction == "input" else io
    return node_id(written if isinstance(written, Artifact) else io)


def memory_of(book: Book) -> MemoryStore:
    return MemoryStore(otlp_lines(book).encode().splitlines())


@settings(deadline=None, max_examples=60)
@given(books(), st.data())
def test_inheriting_is_reachability_in_networkx(book, data):
    """Over random pipelines: a write bears the labels of the I/O among its ancestors, and of the runs it comes from."""
    store, graph = memory_of(book), dependencies(book)
    ios = [each for run in book.made for each in (*run.inputs, *run.outputs)]
    things = data.draw(st.lists(st.integers(0, len(ios) + len(book.made) - 1), max_size=3, unique=True))
    given = [[*ios, *book.made][number] for number in things]
    for number, thing in enumerate(given):
        annotations.label(thing, f"label {number}", store=store)

    for run in book.made:
        for written in run.outputs:
            back = nx.ancestors(graph, written.span_id) | {written.span_id}
            runs = {each[1] for each in back if each[0] == "begin"}
            nodes = {artifact_of(book, each) for each in ios if each.span_id in back}
            expected = {
                f"label {number}"
                for number, thing in enumerate(given)
                if (thing.run_id in runs if hasattr(thing, "component") else artifact_of(book, thing) in nodes)
            }
            assert {each.label for each in labels_of(store, written)} == expected


@settings(deadline=None, max_examples=60)
@given(books(), st.data())
def test_what_a_label_has_come_to_is_what_inherits_it(book, data):
    """Forward and backward agree, and the runs are the descendants, in networkx, of every read and write of it."""
    store, graph = memory_of(book), dependencies(book)
    ios = [each for run in book.made for each in (*run.inputs, *run.outputs)]
    if not ios:
        return
    thing = ios[data.draw(st.integers(0, len(ios) - 1))]
    annotations.label(thing, "a", store=store)

    found = touched_by(store, "a")

    same = [each for each in ios if artifact_of(book, each) == artifact_of(book, thing)]
    readers = {each.run_id for each in same if each.direction == "input"}
    assert {run.run_id for run in found.runs} == readers.union(*(touched(graph, each.span_id) for each in same))
    inheriting = {node_id(each) for each in ios if any(b.inherited for b in labels_of(store, each))}
    written = {node_id(each) for each in ios if each.direction == "output"}
    assert {node_id(each) for each in found.artifacts} & written >= inheriting & written
