from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

# The runs made up for the tests of lineage serve here as well
sys.path.insert(0, str(Path(__file__).parent.parent / "lineage"))

from pipelines import Book, otlp_lines
from ui_server import Client, serving

from mlotel.store import Store
from mlotel.store.memory import MemoryStore

Serve = Callable[..., Client]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def served() -> Iterator[Serve]:
    """Return what serves a store, or a book, until the test is over."""
    with ExitStack() as servers:

        def begin(what: Store | Book, **reading: Any) -> Client:
            store = MemoryStore(otlp_lines(what).encode().splitlines()) if isinstance(what, Book) else what
            return servers.enter_context(serving(store, **reading))

        yield begin


@pytest.fixture(scope="module")
def empty() -> Iterator[Client]:
    """A server over a store without runs, for tests that change nothing."""
    with serving(MemoryStore()) as client:
        yield client
