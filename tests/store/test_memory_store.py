"""MemoryStore: the contract of stores, and what is its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from contract import StoreContract, StoreOf
from otlp_lines import SECOND, T0, RunLines

from mlotel.store.memory import MemoryStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store_of(self) -> StoreOf:
        def make(*lines: bytes, now_s: float = 0.0) -> MemoryStore:
            return MemoryStore(lines, clock=lambda: T0 + round(now_s * SECOND))

        return make


def test_lines_handed_in_later_are_seen() -> None:
    """Each question sees every line appended before it."""
    store = MemoryStore()
    counts = []
    for number in range(3):
        store.append(RunLines(number).end() + b"\n")
        counts.append(len(store.runs()))

    assert counts == [1, 2, 3]


def test_clear_forgets_every_line() -> None:
    """After clear the store is as new, and can be filled again."""
    store = MemoryStore([RunLines(1).end()])
    assert len(store.runs()) == 1

    store.clear()

    assert (store.lines, store.runs()) == ((), ())
    store.append(RunLines(2).end())
    assert [run.run_id for run in store.runs()] == [RunLines(2).run_id]


def test_close_keeps_the_lines() -> None:
    """A closed store opens again with the next question."""
    store = MemoryStore([RunLines(1).end()])

    store.close()

    assert len(store.runs()) == 1


def test_a_snapshot_is_of_its_beginning() -> None:
    """New lines are looked for when it begins, and by other threads; not by each of its questions."""
    store = MemoryStore([RunLines(1).end()])

    with store.snapshot():
        store.append(RunLines(2).end())
        with ThreadPoolExecutor(1) as others:
            seen = len(store.runs()), others.submit(lambda: len(store.runs())).result()
        with store.snapshot():
            later = len(store.runs())
        store.append(RunLines(3).end())
        again = len(store.runs())

    assert (*seen, later, again, len(store.runs())) == (1, 2, 2, 2, 3)


def test_what_is_held_does_not_change() -> None:
    """Within a block over `held` questions are answered by the lines read before it, and afterwards by all of them."""
    store = MemoryStore([RunLines(1).end()])
    assert len(store.runs()) == 1
    store.append(RunLines(2).end())

    with store.held(), store.held():
        held = len(store.runs())

    assert (held, len(store.runs())) == (1, 2)
