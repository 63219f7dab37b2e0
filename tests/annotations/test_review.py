"""Which runs a review suspects."""

from __future__ import annotations

import math
from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from pipelines import Book, BookStore, Io
from random_pipelines import books, dependencies
from scipy import stats

from mlotel import annotations
from mlotel.lineage import node_id
from mlotel.model import Annotation
from mlotel.review import MOST_RUNS, review

NOW = 1_800_000_000 * 10**9


class Flagged(BookStore):
    """A book of which something is flagged."""

    def __init__(self, book: Book, flags) -> None:
        super().__init__(book.made, book.manifests)
        self.said = [Annotation("flag", *each) if isinstance(each, tuple) else each for each in flags]

    def runs(self, *, component=None, since_ns=None, until_ns=None, limit=None):
        return [
            run
            for run in super().runs(component=component)
            if (since_ns is None or run.start_ns >= since_ns) and (until_ns is None or run.start_ns <= until_ns)
        ][:limit]

    def annotations(self, *, kind=None, target=None):
        found = [each for each in self.said if kind in (None, each.kind) and target in (None, each.target)]
        return sorted(found, key=lambda each: -each.time_ns)


def flag(thing, time_ns=NOW):
    if hasattr(thing, "component"):
        return Annotation("flag", thing.run_id, time_ns, run_id=thing.run_id)
    return Annotation("flag", node_id(thing), time_ns, run_id=thing.run_id, artifact_name=thing.name)


def counts(found):
    return {each.run.run_id: (each.standing.flagged, each.standing.unflagged) for each in found.suspects}


@pytest.fixture
def days(book):
    """Ten days of a pipeline over one shared table: on days 3 and 7 the features are made by version 2."""
    book.run("shared", [], ["lookup"])
    for day in range(10):
        book.run("ingest", [], [f"raw {day}"], params={"day": day})
        version = "2" if day in (3, 7) else "1"
        book.run("featurize", [f"raw {day}", "lookup"], [f"features {day}"], version=version)
        for part in range(4):
            book.run("score", [f"features {day}"], [Io(f"scores {day} {part}", type="predictions")])
    return book


def runs_of(book, component):
    return [run for run in book.made if run.component == component]


def scores_of(book, *days):
    return [run.outputs[0] for run in runs_of(book, "score") if int(run.outputs[0].name.split()[1]) in days]


def test_a_step_behind_everything_does_not_come_first(days):
    """Of one bad day, its own steps are suspected; what all days share has full coverage and stands last."""
    store = Flagged(days, map(flag, scores_of(days, 3)))

    found = review(store)

    first, last = found.suspects[:2], found.suspects[-1]
    assert {each.run.component for each in first} == {"ingest", "featurize"}
    assert [(each.standing.flagged, each.standing.unflagged) for each in first] == [(4, 0), (4, 0)]
    assert last.run.component == "shared"
    assert (last.standing.coverage, last.standing.p_value) == (1.0, 1.0)
    assert (last.standing.flagged, last.standing.unflagged) == (4, 36)
    assert (found.flagged, found.unflagged, found.suspected) == (4, 36, 7)


def test_what_several_runs_share_is_told(days):
    """Each bad day has runs of its own; the version of the step that made it is what they have in common."""
    found = review(Flagged(days, map(flag, scores_of(days, 3, 7))))

    (trait,) = found.traits
    assert (trait.component, trait.name, trait.value, trait.runs) == ("featurize", "version", "2", 2)
    assert (trait.standing.flagged, trait.standing.unflagged) == (8, 0)
    expected = stats.fisher_exact([[8, 0], [0, 32]], alternative="greater").pvalue
    assert trait.standing.p_value == pytest.approx(expected)


def test_runs_that_nothing_tells_apart_have_one_rank_and_stand_in_order_of_time(days):
    """Twice the same answer."""
    store = Flagged(days, map(flag, scores_of(days, 3)))

    found = review(store)

    assert [each.standing.rank for each in found.suspects] == [1, 1, 3, 3, 3, 3, 7]
    for rank in (1, 3):
        starts = [each.run.start_ns for each in found.suspects if each.standing.rank == rank]
        assert starts == sorted(starts)
    assert review(store) == found


def test_a_limit_cuts_the_list_and_nothing_else(days):
    """The counts stay."""
    store = Flagged(days, map(flag, scores_of(days, 3)))
    whole = review(store)

    assert review(store, limit=2) == replace(whole, suspects=whole.suspects[:2])


def test_a_flagged_run_stands_for_all_its_outputs(book):
    """Those of its manifest among them."""
    bad = book.run("score", ["data"], ["a", Io("b", type="report")])
    bad = book.manifest(bad, "output", ["c", "d"])
    book.run("score", ["data"], ["e", Io("f", type="report")])

    found = review(Flagged(book, [flag(bad)]))

    assert (found.flagged, found.unflagged) == (4, 2)
    assert [(each.what, each.component, each.type) for each in found.kinds] == [
        ("artifact", "score", "dataset"),
        ("artifact", "score", "report"),
    ]


def test_a_flagged_run_without_outputs_is_compared_with_runs_like_it(book):
    """The run itself is what it made."""
    source = book.run("ingest", [], ["raw"])
    bad = book.run("serve", ["raw"])
    book.run("serve", ["raw"])
    book.run("serve", ["other"])

    found = review(Flagged(book, [flag(bad)]))

    assert counts(found) == {bad.run_id: (1, 0), source.run_id: (1, 1)}


def test_a_flagged_prediction_stands_behind_its_run_and_is_compared_with_all_predictions(book):
    """A run of a thousand predictions, two of them flagged, stands behind the other 998 too."""
    models = [book.run("train", [], [f"model {number}"]) for number in range(2)]
    runs = [
        book.run("score", [f"model {number}"], attributes={"mlotel.prediction.count": 1000 + number})
        for number in range(2)
    ]
    flags = [("record:" + "a" * 16, NOW), ("record:" + "b" * 16, NOW + 1)]

    found = review(Flagged(book, [structs.replace(Annotation("flag", *each), run_id=runs[0].run_id) for each in flags]))

    assert counts(found) == {runs[0].run_id: (2, 998), models[0].run_id: (2, 998)}
    assert (found.flagged, found.unflagged) == (2, 998 + 1001)


def test_content_that_was_written_twice_is_one_output(book):
    """The same bytes are the same thing: both runs that wrote them stand behind them."""
    runs = [book.run("score", [], [content]) for content in ("same", "same", "other")]

    found = review(Flagged(book, [flag(runs[0].outputs[0])]))

    assert counts(found) == {runs[0].run_id: (1, 0), runs[1].run_id: (1, 0)}
    assert (found.flagged, found.unflagged) == (1, 1)


def test_what_an_output_is_not_derived_from_is_not_suspected(book):
    """derived_from narrows a review as it narrows lineage."""
    book.run("good source", [], ["good"])
    bad_source = book.run("bad source", [], ["bad"])
    join = book.run("join", ["good", "bad"], [Io("x", derived_from=("bad",)), Io("y", derived_from=("good",))])

    found = review(Flagged(book, [flag(join.outputs[0])]))

    assert counts(found) == {bad_source.run_id: (1, 0), join.run_id: (1, 1)}


def test_a_time_range_narrows_what_is_flagged_and_what_is_compared(days):
    """What runs before it made is left out, and said to be."""
    scores = runs_of(days, "score")
    store = Flagged(days, [flag(scores[0].outputs[0]), flag(scores[20].outputs[0], NOW + 1)])

    found = review(store, since_ns=scores[16].start_ns, until_ns=scores[31].start_ns)

    assert (found.flagged, found.unflagged) == (1, 15)
    assert [each.target for each in found.unplaced] == [node_id(scores[0].outputs[0])]
    assert len(found.flags) == 2


def test_a_flag_of_what_no_run_made_is_left_out(book):
    """A raw file that is flagged has nothing behind it; nor has what is not in the store."""
    run = book.run("ingest", ["raw"], ["clean"])
    nowhere = Annotation("flag", "f" * 32, NOW, run_id="f" * 32)

    found = review(Flagged(book, [flag(run.inputs[0]), nowhere]))

    assert (len(found.unplaced), found.flagged, found.suspects) == (2, 0, [])


def test_a_flag_is_of_the_write_that_comes_from_another_run_where_it_names_a_reader(book):
    """Who flags an input means what was written."""
    writer = book.run("writer", [], ["data"])
    reader = book.run("reader", ["data"], ["result"])

    found = review(Flagged(book, [flag(reader.inputs[0])]))

    assert counts(found) == {writer.run_id: (1, 0)}


def test_nothing_flagged_is_an_empty_review(days):
    """No run is suspect."""
    found = review(Flagged(days, []))

    assert (found.flagged, found.unflagged, found.suspected, list(found.suspects)) == (0, 0, 0, [])


def test_more_runs_than_are_compared_are_said_to_be_left_out(days):
    """The latest are taken, and those that are flagged."""
    store = Flagged(days, [flag(scores_of(days, 0)[0])])

    found = review(store, most_runs=10)

    assert found.truncated
    assert (found.flagged, found.unflagged) == (1, 10)
    assert not review(store).truncated
    assert MOST_RUNS == 10_000


@settings(deadline=None, max_examples=60)
@given(books(), st.data())
def test_the_counts_are_those_of_reachability_in_networkx(book, data):
    """Over random pipelines of three components, with any outputs flagged; SciPy has the p-values."""
    book.made = [structs.replace(run, component=f"component {i % 3}") for i, run in enumerate(book.made)]
    writes = [(run, written) for run in book.made for written in run.outputs]
    numbers = data.draw(st.lists(st.integers(0, len(writes) - 1), unique=True)) if writes else []
    chosen = [writes[number] for number in numbers]
    store = Flagged(book, [flag(written, NOW + i) for i, (_, written) in enumerate(chosen)])

    found = review(store)

    latest = {node_id(written): run.component for run, written in chosen}  # of one content the latest flag counts
    bad = {(component, node) for node, component in latest.items()}
    components = {component for component, _ in bad}
    outputs = {}
    for run, written in writes:
        if run.component in components:
            outputs.setdefault((run.component, node_id(written)), []).append(written)
    graph = dependencies(book)
    behind = {
        key: {each[1] for written in written_as for each in nx.ancestors(graph, written.span_id) if each[0] == "begin"}
        for key, written_as in outputs.items()
    }
    expected = {}
    for run in book.made:
        flagged = sum(run.run_id in behind[key] for key in bad)
        if flagged:
            expected[run.run_id] = flagged, sum(run.run_id in behind[key] for key in outputs.keys() - bad)
    assert counts(found) == expected
    assert (found.flagged, found.unflagged) == (len(bad), len(outputs) - len(bad))
    for each in found.suspects:
        a, b = each.standing.flagged, each.standing.unflagged
        table = [[a, b], [found.flagged - a, found.unflagged - b]]
        assert math.isclose(
            each.standing.p_value, stats.fisher_exact(table, alternative="greater").pvalue, rel_tol=1e-9
        )
    assert [each.standing.p_value for each in found.suspects] == sorted(
        each.standing.p_value for each in found.suspects
    )


def test_a_real_store_gives_the_same_review(days, opened):
    """Flags that were written as records, read back from lines."""
    store = opened(days)
    scores = scores_of(days, 3, 7)
    for each in scores:
        annotations.flag(each, "wrong", store=store)

    found = review(store)

    listed = review(Flagged(days, map(flag, scores)))
    assert counts(found) == counts(listed)
    assert [each.standing for each in found.suspects] == [each.standing for each in listed.suspects]
    assert {each.text for each in found.flags} == {"wrong"}
