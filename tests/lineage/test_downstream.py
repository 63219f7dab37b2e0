"""What an output touched: the walk forward, on runs in a list and on the real stores."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from pipelines import START, Book, BookStore, Io, digest, otlp_lines
from random_pipelines import books, dependencies, touched

from mlotel.lineage import LATEST_WRITE, around, downstream, node_id, resolve, upstream
from mlotel.model import Edge, Lineage, Link
from mlotel.store.files import FileStore
from mlotel.store.memory import MemoryStore


def components(lineage: Lineage) -> list[str]:
    return [run.component for run in lineage.runs]


def names(lineage: Lineage) -> list[str]:
    return [each.name for each in lineage.artifacts]


def diamonds(book: Book, number: int) -> None:
    last = "raw"
    for each in range(number):
        left, right, joined = f"left {each}", f"right {each}", f"joined {each}"
        book.run("left", [last], [left])
        book.run("right", [last], [right])
        book.run("join", [left, right], [joined])
        last = joined


def test_a_chain_goes_on_to_what_no_run_read(book, opened):
    """From an output through the runs that read it to the last outputs, in order of time."""
    ingest = book.run("ingest", ["raw"], ["clean"])
    train = book.run("train", ["clean", "labels"], ["model"])
    book.run("unrelated", ["other"], ["result"])

    found = downstream(opened(book), ingest.outputs[0])

    assert (found.root, components(found), names(found)) == (digest("clean"), ["train"], ["clean", "model"])
    assert set(found.edges) == {
        Edge(digest("clean"), train.run_id, "read", "digest"),
        Edge(train.run_id, digest("model"), "write"),
    }
    assert not found.partial


def test_a_run_as_root_comes_with_its_outputs_and_without_its_inputs(book, opened):
    """Downstream of a run is what it wrote, not what it read."""
    ingest = book.run("ingest", ["raw"], ["clean"])
    book.run("train", ["clean"], ["model"])

    found = downstream(opened(book), ingest)

    assert (found.root, components(found), names(found)) == (ingest.run_id, ["ingest", "train"], ["clean", "model"])


def test_what_no_run_wrote_leads_to_all_that_read_it(book, opened):
    """A raw file as root touches every run that read it, under whatever name."""
    one = book.run("one", ["raw"], ["a"])
    book.run("two", [Io("raw", name="another name")], ["b"])

    found = downstream(opened(book), one.inputs[0])

    assert (components(found), {edge.resolved_by for edge in found.edges}) == (["one", "two"], {None})


def test_a_read_as_root_stands_for_the_write_that_it_came_from(book, opened):
    """Asked for by one of its reads, an artifact leads to all reads of the same write."""
    book.run("ingest", [], ["clean"])
    one = book.run("one", ["clean"], ["a"])
    book.run("two", ["clean"], ["b"])

    assert components(downstream(opened(book), one.inputs[0])) == ["one", "two"]


def test_names_do_not_decide(book, opened):
    """Who reads other content of the same name is not touched."""
    ingest = book.run("ingest", [], [Io("content", name="data")])
    book.run("train", [Io("other content", name="data")], ["model"])

    assert components(downstream(opened(book), ingest)) == ["ingest"]


@pytest.mark.parametrize("extent", [{"rows": 0}, {"rows": None, "size": 0}])
def test_empty_artifacts_are_not_joined_by_digest(book, opened, extent):
    """Who read an empty table has not thereby read this one; a link says that it has."""
    ingest = book.run("ingest", [], [Io("empty", **extent)])
    book.run("other", [Io("empty", **extent)], ["a"])
    book.run("reader", [Io("empty", link=ingest.outputs[0], **extent)], ["b"])

    assert components(downstream(opened(book), ingest.outputs[0])) == ["reader"]


def test_the_link_decides_over_the_digest(book, opened):
    """A read belongs to the write that its link names, though another run wrote the same later."""
    first = book.run("first", [], ["data"])
    second = book.run("second", [], ["data"])
    train = book.run("train", [Io("data", link=first.outputs[0], resolved_by="sidecar")], ["model"])
    store = opened(book)

    assert Edge(digest("data"), train.run_id, "read", "sidecar") in downstream(store, first).edges
    assert components(downstream(store, second)) == ["second"]


def test_of_several_writers_the_latest_before_the_read_has_touched_the_reader(book, opened):
    """Each read of a digest belongs to one write: the one that came last before it."""
    first = book.run("first", [], ["data"])
    book.run("early", ["data"], ["a"])
    second = book.run("second", [], ["data"])
    late = book.run("late", ["data"], ["b"])
    store = opened(book)

    assert components(downstream(store, first)) == ["first", "early"]
    found = downstream(store, second)
    assert components(found) == ["second", "late"]
    assert Edge(digest("data"), late.run_id, "read", LATEST_WRITE) in found.edges


def test_a_read_before_the_write_is_no_consumer(book, opened):
    """What was read before a copy of it was written was not read from the copy."""
    book.run("train", ["raw"], ["model"])
    copy = book.run("copy", [], ["raw"])

    assert components(downstream(opened(book), copy)) == ["copy"]


def test_a_link_that_the_digests_contradict_is_not_believed(book, opened):
    """A context carried into a file of other content makes no consumer of what it names."""
    stale = book.run("stale", [], ["old content"])
    true = book.run("true", [], ["new content"])
    book.run("train", [Io("new content", link=stale.outputs[0])], ["model"])
    store = opened(book)

    assert components(downstream(store, stale)) == ["stale"]
    assert components(downstream(store, true)) == ["true", "train"]


def test_a_link_joins_digests_of_different_scopes(book, opened):
    """Who read by its bytes what was written by its rows is found by the link."""
    written = book.run("ingest", [], [Io("rows of it", scope="logical")])
    book.run("train", [Io("bytes of it", scope="bytes", link=written.outputs[0])], ["model"])

    found = downstream(opened(book), written)

    assert (components(found), names(found)) == (["ingest", "train"], ["rows of it", "model"])


def test_a_link_to_the_run_itself_joins(book, opened):
    """A context from headers may name the run span: what was received is then what the run sent."""
    book.run("source", [], ["raw"])
    sender = book.run("sender", ["raw"], [])
    receiver = book.run("receiver", [Io(None, name="message", link=sender, resolved_by="header")], ["result"])

    found = downstream(opened(book), resolve(BookStore(book.made), "raw"))

    assert components(found) == ["sender", "receiver"]
    message = receiver.inputs[0].span_id
    assert Edge(sender.run_id, message, "write") in found.edges
    assert Edge(message, receiver.run_id, "read", "header") in found.edges


def test_a_link_to_the_run_joins_what_it_wrote_empty(book, opened):
    """An empty table of the run's and an empty table received from it are one where their digests are the same."""
    sender = book.run("sender", [], [Io("empty", rows=0)])
    book.run("receiver", [Io("empty", rows=0, link=sender, resolved_by="header")], ["result"])
    store = opened(book)

    assert components(downstream(store, sender.outputs[0])) == ["receiver"]
    assert components(downstream(store, sender)) == ["sender", "receiver"]


def test_a_link_to_a_read_joins_its_run(book, opened):
    """A context that was taken while the run was reading names one of its I/O spans: the run is meant."""
    sender = book.run("sender", ["raw"], [])
    book.run("receiver", [Io(None, name="message", link=sender.inputs[0], resolved_by="header")], ["result"])

    assert components(downstream(opened(book), sender)) == ["sender", "receiver"]


def test_what_has_no_identity_touched_the_run_that_read_it(book, opened):
    """A read without a digest or a link, as root, leads on through its own run."""
    train = book.run("train", [Io(None, name="stream")], ["model"])
    book.run("other", [Io(None, name="stream")], ["other model"])
    book.run("predict", ["model"])

    assert components(downstream(opened(book), train.inputs[0])) == ["train", "predict"]


def test_derived_from_narrows_what_an_input_leads_to(book, opened):
    """An output that names its inputs comes from those alone; one that names none from all."""
    a = book.run("a", [], ["left"])
    b = book.run("b", [], ["right"])
    book.run("split", ["left", "right"], [Io("narrow", derived_from=("left",)), "wide"])
    book.run("use narrow", ["narrow"])
    book.run("use wide", ["wide"])
    store = opened(book)

    assert components(downstream(store, a)) == ["a", "split", "use narrow", "use wide"]
    assert components(downstream(store, b)) == ["b", "split", "use wide"]


def test_a_run_reached_by_two_inputs_gives_the_outputs_of_both(book, opened):
    """Reached by one read and then by another, a run is expanded for each."""
    source = book.run("source", [], ["one", "two"])
    book.run("split", ["one", "two"], [Io("x", derived_from=("one",)), Io("y", derived_from=("two",))])

    assert names(downstream(opened(book), source)) == ["one", "two", "x", "y"]


def test_parents_and_children_are_control_flow(book, opened):
    """A run that called another one has not thereby touched its data."""
    parent = book.run("pipeline", ["configuration"], ["report"])
    book.run("step", ["raw"], ["result"], parent=parent)

    assert components(downstream(opened(book), parent)) == ["pipeline"]


def test_a_cycle_ends(book, opened):
    """Two runs whose links name each other's outputs are both found, once, either way and both ways."""
    one = book.run("one", ["b"], ["a"])
    two = book.run("two", [Io("a", link=one.outputs[0])], ["b"])
    back = Link(two.trace_id, two.outputs[0].span_id, "consumes", "embedded")
    book.made[0] = replace(one, inputs=(replace(one.inputs[0], link=back),))
    store = opened(book)

    for way in (downstream, around):
        found = way(store, two)
        assert (components(found), len(found.edges)) == (["one", "two"], 4)


def test_depth_counts_runs_on(book, opened):
    """Depth 0 is the run with its outputs; each more is one consuming run further on."""
    for number in range(5):
        book.run(f"step {number}", [f"data {number}"], [f"data {number + 1}"])
    store, first = opened(book), book.made[0]

    assert [len(downstream(store, first, depth=depth).runs) for depth in range(6)] == [1, 2, 3, 4, 5, 5]
    assert names(downstream(store, first, depth=0)) == ["data 1"]
    assert names(downstream(store, first.outputs[0], depth=0)) == ["data 1"]
    assert components(around(store, book.made[2], depth=1)) == ["step 1", "step 2", "step 3"]


@pytest.mark.parametrize("way", [downstream, around])
def test_fourteen_chained_diamonds_give_42_runs(book, opened, way):
    """Shared nodes stand once, where walking every path would visit 2^14 of them."""
    diamonds(book, 14)

    found = way(opened(book), book.made[0].inputs[0])

    assert (len(found.runs), len(found.artifacts), len(found.edges)) == (42, 43, 98)


@pytest.mark.parametrize("way", [downstream, around])
def test_questions_to_the_store_grow_with_the_answer(way):
    """Ten times the diamonds cost at most ten times the questions, and a few."""

    def questions(number: int) -> int:
        book = Book()
        diamonds(book, number)
        store = BookStore(book.made)
        assert len(way(store, resolve(store, "raw")).runs) == 3 * number
        return store.questions

    assert questions(50) <= 10 * questions(5) + 20


def test_many_writes_and_reads_of_one_digest_are_told_apart_once(book):
    """A constant that a run wrote a hundred times and another read a hundred times costs a few look-ups."""
    writer = book.run("writer", [], [Io("constant", name=f"output {number}") for number in range(100)])
    book.run("reader", [Io("constant", name=f"input {number}") for number in range(100)], ["result"])
    store = BookStore(book.made)

    assert components(downstream(store, writer)) == ["writer", "reader"]
    assert store.questions < 100 + 200 + 10  # for each span, who links to it; all else once


def test_a_manifest_leads_to_who_reads_its_entries(book, opened):
    """Past a hundred outputs there is no span for each: the entries of the manifest are the writes."""
    split = book.manifest(book.run("split", ["raw"]), "output", [f"part {number}" for number in range(150)])
    book.run("use", ["part 149"], ["result"])

    found = downstream(opened(book), split)

    assert components(found) == ["split", "use"]
    assert len(found.artifacts) == 152


def test_who_read_by_a_manifest_is_found(book, opened):
    """An entry of a reader's manifest is a read."""
    make = book.run("make", [], ["part 3"])
    book.manifest(book.run("join", [], ["whole"]), "input", [f"part {number}" for number in range(5)])

    assert names(downstream(opened(book), make)) == ["part 3", "whole"]


def test_an_answer_by_digest_in_place_of_a_lost_producer_is_partial(book, opened):
    """A read whose link names a write that is not in the store may not be of this one."""
    ingest = book.run("ingest", [], ["data"])
    book.run("train", [Io("data", link=Link("f" * 32, "e" * 16, "consumes", "embedded"))], ["model"])

    found = downstream(opened(book), ingest)

    assert (components(found), found.partial) == (["ingest", "train"], True)


def test_a_trace_of_several_runs_leads_to_all_that_they_touched(book, opened):
    """Every run of the trace is in the answer, and what comes from each."""
    trace = "ab" * 16
    book.run("train", [], ["model"], trace=trace)
    book.run("report", [], ["text"], trace=trace)
    book.run("predict", ["model"])
    book.run("mail", ["text"])
    store = opened(book)

    found = downstream(store, resolve(store, trace))

    assert (found.root, components(found)) == (trace, ["train", "report", "predict", "mail"])


def test_a_range_of_time_cuts_the_walk_and_changes_no_edge(book, opened):
    """Runs that began outside it are not followed, the root stays, and a cut producer is not replaced by another."""
    first = book.run("first", ["raw"], ["data"])
    second = book.run("second", ["raw"], ["data"])
    train = book.run("train", ["data"], ["model"])
    predict = book.run("predict", ["model"], ["predictions"])
    store = opened(book)

    assert components(upstream(store, predict, since_ns=train.start_ns)) == ["train", "predict"]
    assert components(upstream(store, predict, until_ns=first.start_ns)) == ["predict"]
    assert components(downstream(store, second, until_ns=train.start_ns)) == ["second", "train"]
    assert components(around(store, train, since_ns=START, until_ns=second.start_ns)) == ["second", "train"]
    cut = upstream(store, train, until_ns=first.start_ns)
    assert (components(cut), cut.edges) == (["train"], (Edge(digest("data"), train.run_id, "read", LATEST_WRITE),))


@settings(deadline=None)
@given(books())
def test_forward_finds_what_reachability_in_the_graph_of_ios_finds(book):
    """From every run and every write of random pipelines: the descendants, in networkx."""
    graph, store = dependencies(book), BookStore(book.made)

    for run in book.made:
        found = {each.run_id for each in downstream(store, run).runs}
        assert found == touched(graph, ("begin", run.run_id)) | {run.run_id}
        for written in run.outputs:
            assert {each.run_id for each in downstream(store, written).runs} == touched(graph, written.span_id)


@settings(deadline=None, max_examples=30)
@given(books())
def test_the_real_stores_give_the_same_answers(book):
    """Every root, every way: a FileStore and a MemoryStore over the same lines answer as the list of runs does."""
    lines, listed = otlp_lines(book), BookStore(book.made)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        (Path(folder) / "runs.jsonl").write_text(lines)
        files = stack.enter_context(FileStore(Path(folder)))
        for store in (files, MemoryStore(lines.encode().splitlines())):
            for run in book.made:
                for way in (upstream, downstream, around):
                    assert graph_of(way(store, run)) == graph_of(way(listed, run))


@settings(deadline=None)
@given(books())
def test_backward_and_forward_are_one_relation(book):
    """A run is downstream of another if and only if that one is upstream of it; around is the union of both."""
    store = BookStore(book.made)
    back = {run.run_id: {each.run_id for each in upstream(store, run).runs} for run in book.made}
    on = {run.run_id: {each.run_id for each in downstream(store, run).runs} for run in book.made}

    assert {(a, b) for a in on for b in on[a]} == {(b, a) for a in back for b in back[a]}
    for run in book.made:
        assert {each.run_id for each in around(store, run).runs} == back[run.run_id] | on[run.run_id]


@settings(deadline=None)
@given(books())
def test_an_answer_is_a_connected_graph_without_loose_ends(book):
    """Every edge joins two nodes of the answer, each node once, and each is reached from the root."""
    found = downstream(BookStore(book.made), book.made[0])

    nodes = [run.run_id for run in found.runs] + [node_id(each) for each in found.artifacts]
    assert len(set(nodes)) == len(nodes)
    graph = nx.DiGraph([(edge.source, edge.target) for edge in found.edges])
    graph.add_node(found.root)
    assert set(graph) == set(nodes)
    assert nx.descendants(graph, found.root) | {found.root} == set(nodes)


def graph_of(lineage: Lineage) -> tuple[object, ...]:
    runs = [run.run_id for run in lineage.runs]
    return lineage.root, runs, {node_id(each) for each in lineage.artifacts}, set(lineage.edges), lineage.partial
