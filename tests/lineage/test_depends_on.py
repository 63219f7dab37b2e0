"""Dependencies said by hand: recorded on the run's span, and followed both ways."""

from __future__ import annotations

import logging

import pytest

import mlotel
from mlotel.lineage import downstream, upstream
from mlotel.model import Edge
from mlotel.testing import CapturedRuns


def test_a_run_that_depends_on_another_leads_to_what_that_one_read(book, opened):
    """Backward, what stands behind the other run stands behind this one; the edge goes as the data does."""
    ingest = book.run("ingest", ["raw"], ["clean"])
    load = book.run("load a table", ["clean"])
    report = book.run("report", depends_on=[load])

    found = upstream(opened(book), report)

    assert [run.component for run in found.runs] == ["ingest", "load a table", "report"]
    assert Edge(load.run_id, report.run_id, "depends_on") in found.edges
    assert not found.partial
    assert ingest.run_id in {edge.source for edge in found.edges}


def test_forward_finds_who_depends_on_what_an_artifact_touched(book, opened):
    """Forward, a run that depends on a reader is touched too, and so is all that it wrote."""
    ingest = book.run("ingest", ["raw"], ["clean"])
    load = book.run("load a table", ["clean"])
    report = book.run("report", [], ["figures"], depends_on=[load])
    book.run("mail", ["figures"])

    found = downstream(opened(book), ingest)

    assert [run.component for run in found.runs] == ["ingest", "load a table", "report", "mail"]
    assert Edge(load.run_id, report.run_id, "depends_on") in found.edges


@pytest.mark.parametrize(("depth", "expected"), [(0, ["c"]), (1, ["b", "c"]), (2, ["a", "b", "c"])])
def test_a_dependency_by_hand_is_one_step(book, opened, depth, expected):
    """`depth` counts a dependency by hand as it counts an artifact on the way."""
    a = book.run("a")
    b = book.run("b", depends_on=[a])
    c = book.run("c", depends_on=[b])

    assert [run.component for run in upstream(opened(book), c, depth=depth).runs] == expected


def test_a_dependency_that_is_not_in_the_store_makes_the_answer_partial(book, opened):
    """What is said to be behind a run and cannot be found is told."""
    gone = book.run("gone")
    run = book.run("run", depends_on=[gone])
    book.made.remove(gone)

    assert upstream(opened(book), run).partial


def test_depends_on_takes_runs_and_contexts(mlotel_runs: CapturedRuns) -> None:
    """A run of this process, a run read from a store and what a message's headers held: all become links."""
    headers: dict[str, str] = {}
    with mlotel.component("first") as first:
        mlotel.inject(headers)
    with mlotel.component("second"):
        pass
    (_, second) = mlotel_runs.runs
    with mlotel.component("third") as third:
        third.depends_on(first)
        third.depends_on(second)
    with mlotel.component("fourth") as fourth:
        fourth.depends_on(mlotel.extract(headers))

    *_, third_read, fourth_read = mlotel_runs.runs
    spans = [(link.trace_id, link.span_id, link.type) for link in third_read.dependencies]
    assert spans == [(run.trace_id, run.span_id, "depends_on") for run in (first, second)]
    assert [link.span_id for link in fourth_read.dependencies] == [first.span_id]
    found = upstream(mlotel_runs.store, third_read)
    assert [run.component for run in found.runs] == ["first", "second", "third"]


@pytest.mark.parametrize("other", [None, "a name", 5, object()])
def test_what_is_no_run_is_a_warning(
    other: object, mlotel_runs: CapturedRuns, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong argument costs the dependency, never the pipeline."""
    with caplog.at_level(logging.WARNING, "mlotel"), mlotel.component(f"wrong {other!r:.9}") as run:
        run.depends_on(other)  # type: ignore[arg-type]

    assert "depends on a run" in caplog.text
    assert mlotel_runs.runs[0].dependencies == ()


def test_a_run_within_a_span_of_another_library_knows_the_run_above_it(mlotel_runs: CapturedRuns) -> None:
    """A client's span may stand between: the run is a child of the run all the same."""
    from opentelemetry import trace
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

    with mlotel.component("outer") as outer:
        between = SpanContext(int(outer.trace_id, 16), 0xABCDEF, False, TraceFlags(1))
        with trace.use_span(NonRecordingSpan(between)), mlotel.component("inner"):
            pass

    (child,) = mlotel_runs.store.children_of(outer.trace_id, outer.span_id)
    assert (child.component, child.parent_span_id) == ("inner", outer.span_id)
