"""What ran: components and tags, counted from an index or from runs alike."""

from __future__ import annotations

from collections import Counter
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipelines import START, Book, BookStore, otlp_lines

from mlotel.lineage import component_names, component_tags, components, run_tags
from mlotel.store.memory import MemoryStore


def said(owner=None, tags=(), description=None):
    return {
        "mlotel.component.owner": owner,
        "mlotel.component.tags": list(tags),
        "mlotel.component.description": description,
    }


@pytest.fixture
def team(book, opened):
    """Three components, one of which changed its owner."""
    book.run("load", attributes=said("ann", ["raw"]), tags={"stage": "prod"})
    book.run("train", attributes=said("bob"), state="failed", error={"type": "E", "message": ""})
    book.run("load", attributes=said("cat", ["raw", "nightly"], "loads"), tags={"stage": "prod"})
    book.run("train", attributes=said("bob", ["nightly"]), tags={"stage": "trial", "who": "bob"})
    book.run("score", state="lost")
    return opened(book)


def test_components_stand_with_their_counts_and_what_the_latest_run_says(team):
    """The one that ran last first."""
    found = components(team)

    assert [(each.name, each.runs, dict(each.states), each.owner, each.tags, each.description) for each in found] == [
        ("score", 1, {"lost": 1}, None, (), None),
        ("train", 2, {"failed": 1, "ok": 1}, "bob", ("nightly",), None),
        ("load", 2, {"ok": 2}, "cat", ("raw", "nightly"), "loads"),
    ]
    assert [each.median_duration_s for each in found] == [None, 1.0, 1.0]


def test_components_are_found_by_owner_and_tag(team):
    """As their latest run says; both together narrow further."""
    assert [each.name for each in components(team, owner="bob")] == ["train"]
    assert [each.name for each in components(team, owner="ann")] == []
    assert [each.name for each in components(team, tag="nightly")] == ["train", "load"]
    assert [each.name for each in components(team, tag="nightly", owner="cat")] == ["load"]


def test_components_of_a_time(team, book):
    """Runs outside it are not counted, and say nothing."""
    until = book.made[1].start_ns

    assert [(each.name, each.runs, each.owner) for each in components(team, until_ns=until)] == [
        ("train", 1, "bob"),
        ("load", 1, "ann"),
    ]
    assert [each.name for each in components(team, since_ns=book.made[4].start_ns)] == ["score"]
    assert components(team, since_ns=book.made[4].start_ns + 1) == ()


def test_the_names_of_all_components(team):
    """In order, each once."""
    assert list(component_names(team)) == ["load", "score", "train"]


def test_tags_stand_with_those_that_carry_them(team):
    """Components by their latest run, runs by each value."""
    assert component_tags(components(team)) == {"nightly": ("load", "train"), "raw": ("load",)}
    assert [(each.key, each.value, each.runs, each.components) for each in run_tags(team.runs())] == [
        ("stage", "prod", 2, ("load",)),
        ("stage", "trial", 1, ("train",)),
        ("who", "bob", 1, ("train",)),
    ]


def test_an_empty_store_has_no_components(book, opened):
    """And no tags."""
    store = opened(book)

    assert (components(store), list(component_names(store)), run_tags(store.runs())) == ((), [], ())


states = st.sampled_from(["ok", "failed", "cancelled", "lost"])


@given(st.lists(st.tuples(st.sampled_from("abc"), states), max_size=30), st.integers(0, 40))
def test_the_index_counts_as_the_runs_do(made, since):
    """Any number of runs in any states; the median is that of the latest 20."""
    book = Book()
    for name, state in made:
        book.run(name, ["x"] * (len(made) % 3), state=state)
    since_ns = START + since * 10**9

    counted = components(MemoryStore(otlp_lines(book).encode().splitlines()), since_ns=since_ns)

    runs = [run for run in book.made if run.start_ns >= since_ns]
    assert {each.name: dict(each.states) for each in counted} == {
        name: dict(Counter(run.state for run in runs if run.component == name))
        for name in {run.component for run in runs}
    }
    for each in counted:
        ended = [run.duration_s for run in runs if run.component == each.name][-20:]
        ended = [duration for duration in ended if duration is not None]
        assert each.median_duration_s == (median(ended) if ended else None)
    assert [each.name for each in counted] == [
        each.name for each in components(BookStore(book.made), since_ns=since_ns)
    ]
