"""What stands behind an output: the walk, on runs in a list and on the real stores."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from pipelines import Book, BookStore, Io, digest
from random_pipelines import behind, books, dependencies

from mlotel.lineage import LATEST_WRITE, node_id, resolve, upstream
from mlotel.model import Edge, Lineage, Link


def components(lineage: Lineage) -> list[str]:
    return [run.component for run in lineage.runs]


def names(lineage: Lineage) -> list[str]:
    return [each.name for each in lineage.artifacts]


def test_a_chain_goes_back_to_the_raw_file(book, opened):
    """A chain of runs joined by digests alone is walked back to what no run wrote, in order of time."""
    ingest = book.run("ingest", ["raw"], ["clean"])
    train = book.run("train", ["clean"], ["model"])
    book.run("unrelated", ["other"], ["result"])

    found = upstream(opened(book), train.outputs[0])

    assert components(found) == ["ingest", "train"]
    assert names(found) == ["raw", "clean", "model"]
    assert found.root == digest("model")
    assert set(found.edges) == {
        Edge(train.run_id, digest("model"), "write"),
        Edge(digest("clean"), train.run_id, "read", "digest"),
        Edge(ingest.run_id, digest("clean"), "write"),
        Edge(digest("raw"), ingest.run_id, "read"),
    }
    assert not found.partial


def test_a_run_as_root_comes_with_its_inputs_and_without_its_outputs(book, opened):
    """Upstream of a run is what it read, not what it wrote."""
    book.run("ingest", ["raw"], ["clean"])
    train = book.run("train", ["clean"], ["model"])

    found = upstream(opened(book), train)

    assert (found.root, components(found), names(found)) == (train.run_id, ["ingest", "train"], ["raw", "clean"])


def test_names_do_not_decide(book, opened):
    """Two artifacts of one name and different content are not one artifact."""
    book.run("other", [], [Io("other content", name="data")])
    train = book.run("train", [Io("content", name="data")], ["model"])

    assert components(upstream(opened(book), train)) == ["train"]


def test_the_same_content_under_two_names_is_one_artifact(book, opened):
    """What was written as one name and read as another is joined by its digest."""
    book.run("ingest", [], [Io("content", name="written as")])
    train = book.run("train", [Io("content", name="read as")], ["model"])

    found = upstream(opened(book), train)

    assert components(found) == ["ingest", "train"]
    assert names(found) == ["written as"]


@pytest.mark.parametrize("extent", [{"rows": 0}, {"rows": None, "size": 0}])
def test_empty_artifacts_are_not_joined_by_digest(book, opened, extent):
    """Two empty tables or files say nothing about each other: no edge, and two nodes."""
    book.run("ingest", [], [Io("empty", **extent)])
    train = book.run("train", [Io("empty", **extent)], ["model"])

    found = upstream(opened(book), train)

    assert components(found) == ["train"]
    assert [node_id(each) for each in found.artifacts] == [train.inputs[0].span_id]


def test_a_link_joins_even_empty_artifacts(book, opened):
    """The embedded context of an empty table is evidence where its digest is none."""
    written = book.run("ingest", [], [Io("empty", rows=0)]).outputs[0]
    train = book.run("train", [Io("empty", rows=0, link=written)], ["model"])

    found = upstream(opened(book), train)

    assert components(found) == ["ingest", "train"]
    assert [(edge.kind, edge.resolved_by) for edge in found.edges] == [("read", "embedded"), ("write", None)]


def test_the_link_decides_over_the_digest(book, opened):
    """Where several runs wrote the same digest, the read belongs to the write that its link names."""
    first = book.run("first", [], ["data"]).outputs[0]
    book.run("second", [], ["data"])
    train = book.run("train", [Io("data", link=first, resolved_by="sidecar")], ["model"])

    found = upstream(opened(book), train)

    assert components(found) == ["first", "train"]
    assert Edge(digest("data"), train.run_id, "read", "sidecar") in found.edges


def test_without_a_link_the_latest_write_before_the_read_decides(book, opened):
    """Of several writers of one digest, it is the last one before the read, and the edge says that it was so chosen."""
    book.run("first", [], ["data"])
    book.run("second", [], ["data"])
    train = book.run("train", ["data"], ["model"])
    book.run("third", [], ["data"])

    found = upstream(opened(book), train)

    assert components(found) == ["second", "train"]
    assert Edge(digest("data"), train.run_id, "read", LATEST_WRITE) in found.edges


def test_a_write_after_the_read_is_no_producer(book, opened):
    """Who writes the same bytes later, as a copy, has not made what was read before."""
    train = book.run("train", ["raw"], ["model"])
    book.run("copy", [], ["raw"])

    assert components(upstream(opened(book), train)) == ["train"]


def test_a_link_that_the_digests_contradict_is_not_believed(book, opened):
    """A context that was carried into a file of other content gives way to the digest."""
    stale = book.run("stale", [], ["old content"]).outputs[0]
    book.run("true", [], ["new content"])
    train = book.run("train", [Io("new content", link=stale)], ["model"])

    found = upstream(opened(book), train)

    assert components(found) == ["true", "train"]
    assert Edge(digest("new content"), train.run_id, "read", "digest") in found.edges


def test_digests_of_different_scopes_do_not_contradict_each_other(book, opened):
    """A file read by its bytes and written by its rows is one artifact where a link says so."""
    written = book.run("ingest", [], [Io("rows of it", scope="logical")]).outputs[0]
    train = book.run("train", [Io("bytes of it", scope="bytes", link=written)], ["model"])

    found = upstream(opened(book), train)

    assert components(found) == ["ingest", "train"]
    assert [node_id(each) for each in found.artifacts] == [digest("rows of it")]


def test_a_link_to_the_run_itself_joins(book, opened):
    """A context from headers or the environment may name the producer's run span instead of its write span."""
    sender = book.run("sender", ["raw"], [])
    receiver = book.run("receiver", [Io(None, name="message", link=sender, resolved_by="header")], ["result"])

    found = upstream(opened(book), receiver)

    assert components(found) == ["sender", "receiver"]
    assert Edge(receiver.inputs[0].span_id, receiver.run_id, "read", "header") in found.edges


def test_a_producer_that_is_not_in_the_store_makes_the_answer_partial(book, opened):
    """A link into a trace that this store has never seen is told, unless the walk was to end before it."""
    elsewhere = Link("f" * 32, "e" * 16, "consumes", "embedded")
    train = book.run("train", [Io("data", link=elsewhere)], ["model"])

    store = opened(book)

    found = upstream(store, train)
    assert (components(found), found.partial) == (["train"], True)
    assert not upstream(store, train, depth=0).partial


def test_derived_from_narrows_what_an_output_came_from(book, opened):
    """An output that names its inputs leads to those alone; another output of the same run to all of them."""
    book.run("a", [], ["left"])
    book.run("b", [], ["right"])
    split = book.run("split", ["left", "right"], [Io("narrow", derived_from=("left",)), "wide"])
    store = opened(book)

    assert components(upstream(store, split.outputs[0])) == ["a", "split"]
    assert components(upstream(store, split.outputs[1])) == ["a", "b", "split"]


def test_a_run_reached_by_two_outputs_gives_the_inputs_of_both(book, opened):
    """Narrowed and narrowed otherwise: a run that is behind the root twice is expanded for each of its outputs."""
    book.run("a", [], ["left"])
    book.run("b", [], ["right"])
    book.run("c", [], ["unused"])
    book.run(
        "split", ["left", "right", "unused"], [Io("one", derived_from=("left",)), Io("two", derived_from=("right",))]
    )
    join = book.run("join", ["one", "two"], ["joined"])

    assert components(upstream(opened(book), join)) == ["a", "b", "split", "join"]


def test_parents_and_children_are_control_flow(book, opened):
    """A run that called another one has not thereby made its data."""
    parent = book.run("pipeline", ["configuration"])
    child = book.run("step", ["raw"], ["result"], parent=parent)

    assert components(upstream(opened(book), child)) == ["step"]


def test_a_cycle_ends(book, opened):
    """Two runs whose links name each other's outputs are both found, once."""
    one = book.run("one", ["b"], ["a"])
    two = book.run("two", [Io("a", link=one.outputs[0])], ["b"])
    back = Link(two.trace_id, two.outputs[0].span_id, "consumes", "embedded")
    book.made[0] = replace(one, inputs=(replace(one.inputs[0], link=back),))

    found = upstream(opened(book), two)

    assert components(found) == ["one", "two"]
    assert len(found.edges) == 4


def test_a_run_that_reads_back_what_it_wrote_is_its_own_producer(book, opened):
    """A checkpoint that is read again in the run that wrote it makes a loop of two edges, and the walk ends."""
    run = book.run("train", ["raw"], ["checkpoint"])
    again = replace(run.inputs[0], span_id="ab" * 8, name="checkpoint", digest=digest("checkpoint"))
    book.made[0] = replace(run, inputs=(*run.inputs, replace(again, time_ns=run.outputs[0].time_ns + 1)))

    found = upstream(opened(book), run.outputs[0])

    assert components(found) == ["train"]
    assert Edge(digest("checkpoint"), run.run_id, "read", "digest") in found.edges


def test_depth_counts_runs_back(book, opened):
    """Depth 0 is the run with its inputs; each more is one producing run further back."""
    for number in range(5):
        book.run(f"step {number}", [f"data {number}"], [f"data {number + 1}"])
    store, last = opened(book), book.made[-1]

    sizes = [len(upstream(store, last, depth=depth).runs) for depth in range(6)]

    assert sizes == [1, 2, 3, 4, 5, 5]
    assert names(upstream(store, last, depth=0)) == ["data 4"]
    assert names(upstream(store, last.outputs[0], depth=0)) == ["data 5"]


def test_depth_is_the_shortest_way(book, opened):
    """What is near by one way and far by another is reached within the nearer depth, with what is behind it."""
    book.run("source", ["raw"], ["s"])
    book.run("long 1", ["s"], ["l1"])
    book.run("long 2", ["l1"], ["l2"])
    end = book.run("end", ["l2", "s"], ["result"])

    assert components(upstream(opened(book), end, depth=1)) == ["source", "long 2", "end"]


def test_fourteen_chained_diamonds_give_42_runs(book, opened):
    """Shared nodes stand once, where walking every path would visit 2^14 of them."""
    last = "raw"
    for number in range(14):
        left, right, joined = f"left {number}", f"right {number}", f"joined {number}"
        book.run("left", [last], [left])
        book.run("right", [last], [right])
        book.run("join", [left, right], [joined])
        last = joined

    found = upstream(opened(book), book.made[-1].outputs[0])

    assert (len(found.runs), len(found.artifacts), len(found.edges)) == (42, 43, 98)


def test_questions_to_the_store_grow_with_the_answer(book):
    """A diamond (three runs, three artifacts) costs at most two questions for each of its artifacts, at any depth."""

    def questions(diamonds: int) -> int:
        book, last = Book(), "raw"
        for number in range(diamonds):
            book.run("left", [last], [f"l {number}"])
            book.run("right", [last], [f"r {number}"])
            book.run("join", [f"l {number}", f"r {number}"], [f"j {number}"])
            last = f"j {number}"
        store = BookStore(book.made)
        assert len(upstream(store, book.made[-1]).runs) == 3 * diamonds
        return store.questions

    assert questions(5) <= 6 * 5
    assert questions(50) <= 6 * 50


def test_many_writers_and_readers_of_one_digest_are_asked_for_once(book):
    """A constant that a hundred runs wrote and a hundred read costs one look-up, not a hundred."""
    for _ in range(100):
        book.run("writer", [], ["constant"])
    end = book.run("reader", [Io("constant", name=f"input {number}") for number in range(100)], ["result"])
    store = BookStore(book.made)

    assert components(upstream(store, end)) == ["writer", "reader"]
    assert store.questions < 10


def test_a_producer_that_told_its_outputs_in_a_manifest_is_found(book, opened):
    """Past a hundred outputs there is no span for each: the entry of the manifest is the write."""
    book.manifest(book.run("split", ["raw"]), "output", [f"part {number}" for number in range(150)])
    use = book.run("use", ["part 149"], ["result"])

    found = upstream(opened(book), use)

    assert components(found) == ["split", "use"]
    assert Edge(digest("part 149"), use.run_id, "read", "digest") in found.edges


def test_what_a_manifest_lists_was_read(book, opened):
    """Past a hundred inputs there is no span for each: the producers of all that the manifest lists are found."""
    for number in range(5):
        book.run(f"make {number}", [], [f"part {number}"])
    join = book.manifest(book.run("join", ["part 0"]), "input", [f"part {number}" for number in range(1, 5)])

    found = upstream(opened(book), join)

    assert components(found) == ["make 0", "make 1", "make 2", "make 3", "make 4", "join"]
    assert "manifest" in names(found)


def test_a_trace_of_several_runs_stands_for_all_of_them(book, opened):
    """Every run of the trace is in the answer, and what stands behind each."""
    book.run("ingest", ["raw"], ["clean"])
    trace = "ab" * 16
    book.run("train", ["clean"], ["model"], trace=trace)
    book.run("report", [], ["text"], trace=trace)
    store = opened(book)

    found = upstream(store, resolve(store, trace))

    assert (found.root, components(found)) == (trace, ["ingest", "train", "report"])


@settings(deadline=None)
@given(books())
def test_the_walk_finds_what_reachability_in_the_graph_of_ios_finds(book):
    """Over random pipelines the runs found are the ancestors, in networkx, in a graph that has a node for every I/O."""
    graph, store = dependencies(book), BookStore(book.made)

    for run in book.made:
        assert {each.run_id for each in upstream(store, run).runs} == behind(graph, run)


@settings(deadline=None)
@given(books())
def test_an_answer_is_a_connected_graph_without_loose_ends(book):
    """Every edge joins two nodes of the answer, each node once, and the root is reached from each of them."""
    found = upstream(BookStore(book.made), book.made[-1])

    nodes = [run.run_id for run in found.runs] + [node_id(each) for each in found.artifacts]
    assert len(set(nodes)) == len(nodes)
    graph = nx.DiGraph([(edge.source, edge.target) for edge in found.edges])
    graph.add_node(found.root)
    assert set(graph) == set(nodes)
    assert nx.ancestors(graph, found.root) | {found.root} == set(nodes)
