"""Content that very many runs wrote: which of them wrote what was read is found without reading them all."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from pipelines import Book, BookStore, Io, otlp_lines
from random_pipelines import books

from mlotel.lineage import LATEST_WRITE, downstream, upstream
from mlotel.lineage import _records as records
from mlotel.store.memory import MemoryStore


class Counting(MemoryStore):
    """Counts the lines that are read back."""

    def __init__(self, book: Book) -> None:
        super().__init__(otlp_lines(book).encode().splitlines())
        self.read = 0
        line = self._assembly._line

        def counted(place):
            self.read += 1
            return line(place)

        self._assembly._line = counted


@pytest.mark.parametrize("writers", [1, 300])
def test_a_read_of_what_was_written_often_reads_few_of_the_writes(book, writers):
    """The latest write before the read is the answer; that others wrote the same is told, if there were others."""
    written = [book.run("write", [], [Io("same", name=f"{number}") for number in range(300 // writers)])]
    written += [book.run("write", [], ["same"]) for _ in range(writers - 1)]
    reader = book.run("read", ["same"], ["result"])
    for _ in range(300):
        book.run("write again", [], ["same"])
    store = Counting(book)

    found = upstream(store, reader.outputs[0])

    assert [run.run_id for run in found.runs] == [written[-1].run_id, reader.run_id]
    assert [edge.resolved_by for edge in found.edges if edge.kind == "read"] == [LATEST_WRITE]
    assert store.read < (150 if writers == 300 else 450)  # a run that wrote it 300 times is read as a whole


def test_that_nobody_else_wrote_it_is_told(book):
    """However often the one run did."""
    book.run("write", [], [Io("same", name=f"{number}") for number in range(100)])
    reader = book.run("read", ["same"], ["result"])

    found = upstream(Counting(book), reader.outputs[0])

    assert [edge.resolved_by for edge in found.edges if edge.kind == "read"] == ["digest"]


@pytest.mark.parametrize("many", [0, 1, 2])
@settings(max_examples=15, deadline=None)
@given(book=books())
def test_the_answer_is_that_of_a_store_that_reads_them_all(many, book):
    """Whatever was written by whom, however few writes are many."""
    store, whole = MemoryStore(otlp_lines(book).encode().splitlines()), BookStore(book.made, book.manifests)
    for run in book.made:
        for way in (upstream, downstream):
            expected = way(whole, run)
            with patch.object(records, "_MANY", many):
                found = way(store, run)

            assert [each.run_id for each in found.runs] == [each.run_id for each in expected.runs]
            assert set(found.edges) == set(expected.edges)
            assert found.partial == expected.partial
