"""A history is a sequence of runs, and reads what it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipelines import SECOND, Book, BookStore, otlp_lines

from mlotel.lineage import History
from mlotel.store.memory import MemoryStore


@pytest.fixture
def twelve(book, opened):
    """Return a store of 12 runs of `train` among others, and those 12 in order of time."""
    for number in range(12):
        book.run("load", [], ["raw"])
        book.run("train", ["raw"], ["model"], params={"number": number})
    return opened(book), [run for run in book.made if run.component == "train"]


def test_it_is_the_sequence_of_the_runs_of_a_component(twelve):
    """Earliest first, with everything that any sequence can do."""
    store, runs = twelve
    history = History(store, "train")

    assert isinstance(history, Sequence)
    assert len(history) == 12
    assert ids(history) == ids(runs)
    assert ids(reversed(history)) == ids(reversed(runs))
    assert history[3] in history
    assert history.index(history[5]) == 5
    assert history.count(history[5]) == 1
    assert repr(history) == "<History of 'train': 12 runs>"
    with pytest.raises(TypeError):
        history[0] = runs[0]


bounds = st.none() | st.integers(-15, 15)


@given(start=bounds, stop=bounds, step=bounds.filter(lambda step: step != 0), at=st.integers(-15, 15))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_indices_and_slices_are_those_of_a_list(twelve, start, stop, step, at):
    """Whatever was asked before, and of a history that was asked nothing yet."""
    store, runs = twelve
    asked = History(store, "train")
    asked[-2:]

    for history in (History(store, "train"), asked):
        assert ids(history[start:stop:step]) == ids(runs[start:stop:step])
        if -12 <= at < 12:
            assert history[at].run_id == runs[at].run_id
        else:
            with pytest.raises(IndexError, match="there are 12"):
                history[at]


def test_a_slice_of_no_step_is_an_error(twelve):
    """As of any sequence."""
    with pytest.raises(ValueError, match="step"):
        History(twelve[0], "train")[::0]


def test_a_time_range_narrows_it(twelve):
    """Both ends belong to it; places count within it."""
    store, runs = twelve
    history = History(store, "train", since_ns=runs[3].start_ns, until_ns=runs[7].start_ns)

    assert ids(history) == ids(runs[3:8])
    assert history[0].run_id == runs[3].run_id
    assert history[-1].run_id == runs[7].run_id
    assert ids(History(store, "train", since_ns=runs[11].start_ns + 1)) == []


def test_of_what_never_ran_there_is_nothing(twelve):
    """No runs, and no place for one."""
    history = History(twelve[0], "test")

    assert (len(history), list(history), history[-3:], history[:3]) == (0, [], (), ())
    for at in (0, -1):
        with pytest.raises(IndexError, match="there are 0"):
            history[at]


def test_a_run_that_begins_later_is_no_part_of_it():
    """Places keep their meaning while runs go on."""
    book = Book()
    for _ in range(3):
        book.run("train")
    store = MemoryStore(otlp_lines(book).encode().splitlines())
    history = History(store, "train")
    latest = history[-1]
    later = Book()
    later.made, later._now, later._spans = [], book._now + SECOND, 1000
    later.run("train")

    store.append(otlp_lines(later).encode())

    assert (len(store.runs()), len(history), history[-1], history[2]) == (4, 3, latest, latest)


def test_no_more_is_read_than_asked_for():
    """The last three of a thousand runs are three runs, the first ten are ten."""
    read = []

    class Watched(MemoryStore):
        def runs(self, **asked):
            found = super().runs(**asked)
            read.append(len(found))
            return found

        def runs_from(self, first, count, **asked):
            found = super().runs_from(first, count, **asked)
            read.append(len(found))
            return found

    book = Book()
    for _ in range(1000):
        book.run("train")
    history = History(Watched(otlp_lines(book).encode().splitlines()), "train")

    assert ids(history[-3:]) == ids(book.made[-3:])
    assert ids(history[:10]) == ids(book.made[:10])
    assert history[500].run_id == book.made[500].run_id
    assert ids(history[-2:]) == ids(book.made[-2:])
    assert read == [1, 3, 10, 1]
    assert ids(history) == ids(book.made)


def test_a_store_without_an_index_is_asked_once_for_all():
    """Where runs cannot be counted, they are read once and kept."""
    book = Book()
    for _ in range(5):
        book.run("train")
    store = BookStore(book.made)
    history = History(store, "train")

    assert [len(history), history[0].run_id, history[3].run_id] == [5, book.made[0].run_id, book.made[3].run_id]
    assert store.questions == 2


def ids(runs):
    return [run.run_id for run in runs]
