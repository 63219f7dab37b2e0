from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The runs made up for the tests of lineage serve here as well
sys.path.insert(0, str(Path(__file__).parent.parent / "lineage"))

from pipelines import SECOND, START, Book, otlp_lines

from mlotel.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Mlotel = Callable[..., Outcome]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "MLOTEL_STORE", "TRACEPARENT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def now_ns(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let staleness be judged an hour after the runs of the book: by today all of them have read old data."""
    moment = START + 3600 * SECOND
    monkeypatch.setattr("mlotel.inspection._staleness.time_ns", lambda: moment)
    return moment


@pytest.fixture
def mlotel(capsys: pytest.CaptureFixture[str]) -> Mlotel:
    """Return what runs the command line in this process and tells its exit code and what it wrote."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return Outcome(int(exited.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def store(book: Book, tmp_path: Path) -> Callable[[], Path]:
    """Return what writes the book into an OTLP file and returns its path."""

    def write() -> Path:
        path = tmp_path / "runs.jsonl"
        path.write_text(otlp_lines(book))
        return path

    return write
