from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pipelines import Book, BookStore, otlp_lines

from mlotel.store import Store
from mlotel.store.files import FileStore
from mlotel.store.memory import MemoryStore

OpenBook = Callable[[Book], Store]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture(params=["list", "memory", "files"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenBook]:
    """Return what makes a store of a book: of its runs as they are, and of OTLP lines that the real stores read."""
    stores = ExitStack()

    def write(book: Book) -> Store:
        if request.param == "list":
            return BookStore(book.made, book.manifests)
        lines = otlp_lines(book)
        if request.param == "memory":
            return MemoryStore(lines.encode().splitlines())
        folder = tmp_path / "store"
        folder.mkdir(exist_ok=True)
        (folder / "runs.jsonl").write_text(lines)
        return stores.enter_context(FileStore(folder))

    with stores:
        yield write
