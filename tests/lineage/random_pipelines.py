"""Random pipelines, and what depends on what in them as a graph of networkx: an oracle that knows nothing of walks."""

from __future__ import annotations

from bisect import bisect_right

import networkx as nx
from hypothesis import strategies as st
from pipelines import Book, Io

from mlotel.model import Artifact, Link, Run

NOWHERE = Link("f" * 32, "e" * 16, "consumes", "embedded")


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Pipelines in which each run reads some of what was written before it: by digest, by a link to the write or to the
    run, with a link that leads nowhere; contents are few, so that several runs write the same, and may be empty. Some
    runs depend on earlier ones by hand.
    """
    book = Book()
    contents = [f"raw {number}" for number in range(3)]
    for number in range(draw(st.integers(1, 12))):
        reads = [_read(draw, book, each) for each in draw(st.lists(st.sampled_from(contents), max_size=3, unique=True))]
        written = draw(st.lists(st.sampled_from([f"content {n}" for n in range(6)]), max_size=2, unique=True))
        writes = [
            Io(
                each,
                derived_from=tuple(draw(st.sets(st.sampled_from([io.name or "" for io in reads])))) if reads else (),
                rows=_rows(each),
            )
            for each in written
        ]
        by_hand = draw(st.lists(st.sampled_from(book.made), max_size=2)) if book.made and draw(st.booleans()) else []
        book.run(f"run {number}", reads, writes, depends_on={each.run_id: each for each in by_hand}.values())
        contents += written
    return book


def _read(draw: st.DrawFn, book: Book, content: str) -> Io:
    read = Io(content, name=f"read {content}", rows=_rows(content))
    written = [each for run in book.made for each in run.outputs if each.name == content]
    kind = draw(st.sampled_from(["digest", "digest", "write", "run", "message", "nowhere"]))
    if kind == "write" and written:
        return Io(**{**vars(read), "link": draw(st.sampled_from(written))})
    if kind in ("run", "message") and book.made:
        sender = draw(st.sampled_from(book.made))
        message = {"content": None} if kind == "message" else {}
        return Io(**{**vars(read), **message, "link": sender, "resolved_by": "header"})
    return Io(**{**vars(read), "link": NOWHERE}) if kind == "nowhere" else read


def _rows(content: str) -> int:
    return 0 if content == "content 5" else 10


def dependencies(book: Book) -> nx.DiGraph:
    """A graph of every read and write, by span id, and of two nodes a run: where it begins and where it ends.

    What was read leads to the run's end and to the writes that come from it; the run's beginning leads to its writes.
    """
    graph = nx.DiGraph()
    for run in book.made:
        graph.add_edge(("begin", run.run_id), ("known", run.run_id))
        for written in run.outputs:
            graph.add_edge(("begin", run.run_id), written.span_id)
            for source in written.derived_from or [each.span_id for each in run.inputs]:
                graph.add_edge(source, written.span_id)
    by_span = {run.span_id: run for run in book.made}
    for run in book.made:
        for link in run.dependencies:
            before = by_span[link.span_id].run_id
            for node in (("begin", before), ("end", before)):
                graph.add_edges_from([(node, ("begin", run.run_id)), (node, ("end", run.run_id))])
        for read in run.inputs:
            graph.add_edge(read.span_id, ("end", run.run_id))
            source = producer(book, read)
            if isinstance(source, Run):
                graph.add_edge(("begin", source.run_id), read.span_id)
                graph.add_edge(("end", source.run_id), read.span_id)
            elif source is not None:
                graph.add_edge(source.span_id, read.span_id)
    return graph


def producer(book: Book, read: Artifact) -> Artifact | Run | None:
    """The write that a read comes from, the run where no such write is known, or None."""
    writes = [each for run in book.made for each in run.outputs]
    if read.link is not None and read.link != NOWHERE:
        for each in writes:
            if each.span_id == read.link.span_id:
                return each
        sender = next(run for run in book.made if run.span_id == read.link.span_id)
        return next((each for each in sender.outputs if each.digest == read.digest), sender)
    if read.digest is None or read.rows == 0:
        return None
    same = sorted((each for each in writes if each.digest == read.digest), key=lambda each: each.time_ns)
    before = bisect_right([each.time_ns for each in same], read.time_ns)
    return same[before - 1] if before else None


def behind(graph: nx.DiGraph, run: Run) -> set[str]:
    """The ids of the runs that a run was made from, and its own."""
    found = nx.ancestors(graph, ("end", run.run_id)) if ("end", run.run_id) in graph else set()
    return {each[1] for each in found if isinstance(each, tuple)} | {run.run_id}


def touched(graph: nx.DiGraph, node: object) -> set[str]:
    """The ids of the runs that read what comes from a node."""
    found = nx.descendants(graph, node) if node in graph else set()
    return {each[1] for each in found if isinstance(each, tuple) and each[0] == "end"}
