"""One walk from many roots finds what a walk from each of them finds."""

from __future__ import annotations

import networkx as nx
from hypothesis import given, settings
from msgspec.structs import replace
from pipelines import Book, BookStore, Io
from random_pipelines import behind, books, dependencies, touched

from mlotel.lineage import node_id, reach_back, reach_forward, upstream
from mlotel.model import Link


def bits_of(numbers):
    return sum(1 << number for number in numbers)


@settings(deadline=None)
@given(books())
def test_back_from_many_runs_is_reachability_for_each(book):
    """Each run's bits are those of the runs that have it among their ancestors, in networkx."""
    graph = dependencies(book)

    found = reach_back(BookStore(book.made), [(run, 1 << number) for number, run in enumerate(book.made)])

    expected = {
        each.run_id: bits_of(i for i, run in enumerate(book.made) if each.run_id in behind(graph, run))
        for each in book.made
    }
    assert {run_id: found.of_run[run_id] for run_id in found.runs} == expected


@settings(deadline=None)
@given(books())
def test_back_from_many_writes_keeps_to_what_they_are_derived_from(book):
    """An output that names what it came from has behind it those inputs alone, whatever else is walked with it."""
    graph = dependencies(book)
    writes = [written for run in book.made for written in run.outputs]

    found = reach_back(BookStore(book.made), [(written, 1 << i) for i, written in enumerate(writes)])

    ancestors = [nx.ancestors(graph, written.span_id) for written in writes]
    for run in book.made:
        expected = bits_of(i for i, nodes in enumerate(ancestors) if ("begin", run.run_id) in nodes)
        assert found.of_run.get(run.run_id, 0) == expected


@settings(deadline=None)
@given(books())
def test_forward_from_many_writes_is_reachability_for_each(book):
    """Each run's bits are those of the writes that have it among their descendants, in networkx."""
    graph = dependencies(book)
    writes = [written for run in book.made for written in run.outputs]

    found = reach_forward(BookStore(book.made), [(written, 1 << i) for i, written in enumerate(writes)])

    reached = [touched(graph, written.span_id) for written in writes]
    for run in book.made:
        assert found.of_run.get(run.run_id, 0) == bits_of(i for i, ids in enumerate(reached) if run.run_id in ids)


@settings(deadline=None, max_examples=50)
@given(books())
def test_the_artifacts_are_those_of_the_walk_from_each(book):
    """What names them, by root."""
    store = BookStore(book.made)

    found = reach_back(store, [(run, 1 << number) for number, run in enumerate(book.made)])

    each = [{node_id(artifact) for artifact in upstream(store, run).artifacts} for run in book.made]
    assert found.of_artifact == {
        node: bits_of(i for i, nodes in enumerate(each) if node in nodes) for node in set().union(*each)
    }


def test_roots_may_share_bits_and_a_trace_is_its_runs():
    """A bit stands for whatever it is given to."""
    book = Book()
    first = book.run("first", [], ["a"])
    second = book.run("second", ["a"], ["b"])
    third = book.run("third", ["b"])

    found = reach_back(BookStore(book.made), [((second, third), 0b10), (first.outputs[0], 0b01)])

    assert found.of_run == {first.run_id: 0b11, second.run_id: 0b10, third.run_id: 0b10}


def test_a_cycle_ends():
    """Two runs that read what the other wrote stand behind each other."""
    book = Book()
    one = book.run("one", [Io("b")], ["a"])
    two = book.run("two", [Io("a", link=one.outputs[0])], ["b"])
    link = Link(two.trace_id, two.outputs[0].span_id, "consumes", "embedded")
    one = replace(one, inputs=(replace(one.inputs[0], link=link),))

    found = reach_back(BookStore([one, two]), [(one, 0b01), (two, 0b10)])

    assert found.of_run == {one.run_id: 0b11, two.run_id: 0b11}


def test_a_run_that_is_lost_makes_the_answer_partial():
    """As in any other walk."""
    book = Book()
    run = book.run("reader", [Io("a", link=Link("f" * 32, "e" * 16, "consumes"))])

    assert reach_back(BookStore(book.made), [(run, 1)]).partial
    assert not reach_back(BookStore(book.made), [(run.inputs[0], 0)]).runs


def test_the_store_is_asked_once_for_each_run_and_artifact():
    """Walking from every output of many asks no more than walking through the pipeline once."""
    book = Book()
    book.run("ingest", [], ["raw"])
    for number in range(200):
        book.run("score", ["raw"], [f"scores {number}"])
    store = BookStore(book.made)

    found = reach_back(store, [(run.outputs[0], 1 << i) for i, run in enumerate(book.made)], known=book.made)

    assert found.of_run[book.made[0].run_id] == (1 << 201) - 1
    assert store.questions < 10
