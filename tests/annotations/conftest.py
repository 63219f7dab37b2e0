from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# The runs made up for the tests of lineage serve here as well
sys.path.insert(0, str(Path(__file__).parent.parent / "lineage"))

from pipelines import Book, otlp_lines

from mlotel.store.memory import MemoryStore


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MLOTEL_STORE", "MLOTEL_AUTHOR", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def memory_of(book: Book) -> MemoryStore:
    return MemoryStore(otlp_lines(book).encode().splitlines())


@pytest.fixture
def opened() -> Callable[[Book], MemoryStore]:
    """Return what makes a store of a book."""
    return memory_of


def records_in(lines: Any) -> list[dict[str, Any]]:
    """Every log record of lines of OTLP/JSON."""
    return [
        record
        for line in lines
        for resource in json.loads(line).get("resourceLogs", ())
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]


@pytest.fixture
def records() -> Callable[[Any], list[dict[str, Any]]]:
    return records_in
