"""Lines of any length, in files that anybody may have written: passed over, counted once, never held in memory."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from amounts import amount
from faulty_collector import faulty_collector
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry import trace

import mlotel
from mlotel.store.files import FileStore

LIMIT = 4096
RUNS = 8
HOLE = amount(1, 12) * 2**29
"""Bytes without a newline, of which the file system keeps none."""
MOST = 2**29 * 3 // 4
"""Bytes of memory that reading such a file may take: Python and its libraries, and twice the longest line."""
PEAK = """
    import re

    def peak():  # that of getrusage begins with the parent's
        with open("/proc/self/status") as status:
            return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) * 1024
"""
told_by_linux = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="no other system tells the peak of a process alone"
)


@pytest.fixture(scope="module")
def run_lines(tmp_path_factory: pytest.TempPathFactory) -> Sequence[bytes]:
    """The lines of runs' spans, as mlotel writes them, by the numbers of the runs."""
    root = tmp_path_factory.mktemp("runs")
    mlotel.configure(store=root)
    for number in range(RUNS):
        with mlotel.component("train", params={"number": number}):
            pass
    mlotel.shutdown()
    (segment,) = (root / "segments").iterdir()
    lines = [line for line in segment.read_bytes().splitlines() if line.startswith(b'{"resourceSpans"')]
    assert len(lines) == RUNS
    assert max(map(len, lines)) < LIMIT // 2
    return lines


def numbers(store: FileStore) -> list[int]:
    return sorted(int(str(run.params["number"])) for run in store.runs())


def of_length(line: bytes, length: int) -> bytes:
    """The same document with so much white space in it that the line has this length."""
    return line[:1] + b" " * (length - len(line)) + line[1:]


Kind = Callable[[bytes], bytes]
KINDS: dict[str, Kind] = {
    "as written": lambda line: line,
    "as long as may be": lambda line: of_length(line, LIMIT),
    "a byte too long": lambda line: of_length(line, LIMIT + 1),
    "much too long": lambda line: of_length(line, 5 * LIMIT + 3),
    "a good one at the end of a long one": lambda line: b"x" * (LIMIT + 1) + line,
    "a good one where a long one was passed over": lambda line: b"x" * (2 * LIMIT) + line + b"x" * (2 * LIMIT),
    "blank": lambda line: b"",
}
LINES = st.lists(st.sampled_from(sorted(KINDS)), max_size=RUNS)


@settings(max_examples=amount(30, 2000))
@given(
    kinds=LINES,
    cuts=st.lists(st.floats(0, 1), max_size=6),
    bytes_at_once=st.integers(LIMIT // 2, 3 * LIMIT),
    again=st.booleans(),
)
@example(kinds=["much too long", "as written"], cuts=[0.3, 0.5, 0.9], bytes_at_once=100_000, again=True)
@example(kinds=["as written", "a byte too long", "as written"], cuts=[0.4, 0.6], bytes_at_once=100, again=False)
def test_lines_that_come_in_pieces(
    kinds: list[str], cuts: list[float], bytes_at_once: int, again: bool, run_lines: Sequence[bytes]
) -> None:
    """However a file grows and is read meanwhile: runs on lines that may be so long are there, others count once."""
    lines = [KINDS[kind](line) for kind, line in zip(kinds, run_lines, strict=False)]
    content = b"".join(line + b"\n" for line in lines)
    ends = sorted({*(round(cut * len(content)) for cut in cuts), len(content)})
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlotel.store.lines.LONGEST_LINE", LIMIT)
        segment = Path(folder, "segments", f"{time.strftime('%Y-%m-%d', time.gmtime())}-00000000-1-00.jsonl")
        segment.parent.mkdir()
        store = FileStore(folder)
        for end in ends:
            with segment.open("ab") as file:
                file.write(content[segment.stat().st_size : end])
            for _ in range(len(content) + 2):  # at least a byte each time
                if store.refresh(max_bytes=bytes_at_once):
                    break
            if again:  # what the index says has to do
                store.close()
        told, status = numbers(store), store.status()
        store.close()
        with sqlite3.connect(Path(folder, "index.sqlite")) as index:
            places = index.execute("SELECT offset, inside FROM segment").fetchall()
        index.close()

    short = [number for number, line in enumerate(lines) if 0 < len(line) <= LIMIT]
    assert told == short
    assert (status.skipped, status.torn) == (sum(len(line) > LIMIT for line in lines), 0)
    assert places == [(len(content), 0)]


def test_a_long_line_without_an_end_counts_once(
    tmp_path: Path, run_lines: Sequence[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts when it is too long, not again when it goes on, nor as torn, nor when it ends; what follows is read."""
    monkeypatch.setattr("mlotel.store.lines.LONGEST_LINE", LIMIT)
    path = tmp_path / "spans.jsonl"
    seen = []
    for piece in (run_lines[0] + b"\n", b"x" * LIMIT, b"x", b"x" * 10 * LIMIT, b"\n" + run_lines[1] + b"\n"):
        with path.open("ab") as file:
            file.write(piece)
        os.utime(path, (0, 0))  # its writer has been silent for long
        with FileStore(path) as store:
            status = store.status()
            seen.append((status.runs, status.skipped, status.torn))

    assert seen == [(1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 0), (2, 1, 0)]


# -- real ones


def with_hole(path: Path, before: bytes, after: bytes | None) -> None:
    """Write a file with a line between others, or at its end, that is longer than the memory of who reads it."""
    with path.open("wb") as file:
        file.write(before)
        file.truncate(len(before) + HOLE)
        if after is not None:
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + after)


def measured(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program, to which `peak` tells how much memory it has taken."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PEAK) + textwrap.dedent(program), *map(str, arguments)],
        env=kept,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


COMMAND = """
    import atexit, pathlib, runpy, sys

    told = pathlib.Path(sys.argv.pop(1))
    atexit.register(lambda: told.write_text(str(peak())))
    runpy.run_module("mlotel", run_name="__main__", alter_sys=True)
"""


@told_by_linux
@pytest.mark.parametrize("ended", [True, False])
def test_what_does_not_fit_into_memory_is_passed_over_and_told(
    ended: bool, tmp_path: Path, run_lines: Sequence[bytes]
) -> None:
    """`mlotel runs` on half a gibibyte without a newline shows the runs around it, and says what it left out."""
    path = tmp_path / "spans.jsonl"
    with_hole(path, run_lines[0] + b"\n", run_lines[1] + b"\n" if ended else None)
    done = measured(COMMAND, tmp_path / "peak", "runs", "--store", path, "--format", "json")

    assert int((tmp_path / "peak").read_text()) < MOST
    assert len(json.loads(done.stdout)) == 1 + ended
    assert "1 line of the store could not be read and was left out" in done.stderr


LEFT = """
    import sys
    from mlotel.store.files import FileStore

    with FileStore(sys.argv[1]) as store:
        print(len(store.predictions("customer 1")), peak())
"""


@told_by_linux
def test_predictions_around_it_are_found(tmp_path: Path) -> None:
    """A line in the journal of predictions that does not fit into memory is passed over, too."""
    mlotel.configure(store=tmp_path, record_key_secret=False)
    for number in range(2):
        with mlotel.component("score") as run:
            run.log_predictions([0.5 + number], keys=["customer 1"])
    mlotel.shutdown()
    (journal,) = (tmp_path / "predictions" / "_journal" / "segments").iterdir()
    first, second = journal.read_bytes().splitlines(keepends=True)
    with_hole(journal, first, second)
    found, taken = map(int, measured(LEFT, tmp_path).stdout.split())

    assert found == 2
    assert taken < MOST


TWENTY_RUNS = """
    import mlotel
    for number in range(20):
        with mlotel.component("train", params={"number": number}):
            pass
"""


@told_by_linux
def test_what_is_spooled_around_it_is_sent(tmp_path: Path, script: Callable[..., Any]) -> None:
    """`mlotel replay` sends the lines before and after it, counts it as rejected, and removes the file."""
    script(TWENTY_RUNS, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    spool = tmp_path / "store" / "spool"
    spooled = [path for path in spool.rglob("*.jsonl") if b'{"resourceSpans"' in path.read_bytes()]
    lines = [line for path in spooled for line in path.read_bytes().splitlines(keepends=True)]
    assert len(lines) == 20
    for path in spooled[1:]:
        path.unlink()
    with_hole(spooled[0], b"".join(lines[:7]), b"".join(lines[7:]))
    for path in spool.rglob("*.pb"):
        path.unlink()
    with (spool / "metrics" / "2026-01-01-00000000-1-00.pb").open("wb") as file:
        file.truncate(HOLE)
    os.utime(file.name, (0, 0))
    with faulty_collector() as collector:
        where = ("--store", tmp_path / "store", "--endpoint", collector.endpoint)
        answer = json.loads(measured(COMMAND, tmp_path / "peak", "replay", *where, "--format", "json").stdout)
        found = [span.span_id for span in collector.spans()]

    assert int((tmp_path / "peak").read_text()) < MOST
    assert (answer["sent"], answer["rejected"], answer["metrics"], answer["error"]) == (60, 1, 0, None)
    assert len(found) == len(set(found)) == 20
    assert [path for path in spool.rglob("*") if path.suffix in (".jsonl", ".pb", ".sent")] == []


# -- many that are just not too long

MANY = """
    import sys
    from mlotel.store.files import FileStore

    with FileStore(sys.argv[1]) as store:
        store.runs()  # of an empty store: everything is loaded
        with open(sys.argv[1] + "/segments/2026-01-01-00000000-1-00.jsonl", "wb") as file:
            filler = "x" * 2**21
            for number in range(int(sys.argv[2])):
                long = {sys.argv[4]: f"{filler}{number}"}
                file.write(line_of(number, globals()[sys.argv[3]], **long).encode() + b"\\n")
        before = peak()
        status = store.status()
        for number in range(status.runs):
            (run,) = store.runs_from(number, 1)
        print(status.runs, status.skipped, peak() - before)
"""
LARGE = {
    # by what makes them so: the form of the lines, what is long in them, and whether they hold runs
    "resources": ("SPAN", "resource", True),
    "beginnings of runs": ("START", "parameter", True),
    "names": ("SPAN", "component", False),
    "parameters": ("SPAN", "parameter", True),
}
MAKERS = """
    TEXT = '{"key":"%s","value":{"stringValue":"%s"}}'
    RESOURCE = '"resource":{"attributes":[%s]}'
    ITEM = '"traceId":"%032x","spanId":"%016x","attributes":[%s]'
    SPAN = '{"resourceSpans":[{%s,"scopeSpans":[{"spans":[{"startTimeUnixNano":"%d","endTimeUnixNano":"99",%s}]}]}]}'
    RECORD = '{"timeUnixNano":"%d","eventName":"mlotel.run.start",%s}'
    START = '{"resourceLogs":[{%s,"scopeLogs":[{"logRecords":[' + RECORD + ']}]}]}'

    def line_of(number, form, resource="shop", component="train", parameter="1"):
        said = {"mlotel.run.id": f"{number + 1:032x}", "mlotel.component.name": component, "mlotel.param.x": parameter}
        item = ITEM % (number + 1, number + 1, ",".join(TEXT % each for each in said.items()))
        return form % (RESOURCE % (TEXT % ("a", f"{resource}{number}")), number, item)
"""


@told_by_linux
@pytest.mark.parametrize("large", LARGE)
def test_nothing_is_kept_of_many_long_lines(large: str, tmp_path: Path) -> None:
    """Of seventy lines of 2 MiB each no more is held than a few have, whatever it is that makes them long."""
    form, what, holds_runs = LARGE[large]
    (tmp_path / "segments").mkdir()
    many = amount(70, 1000)
    done = measured(textwrap.dedent(MAKERS) + textwrap.dedent(MANY), tmp_path, many, form, what)
    runs, skipped, grown = map(int, done.stdout.split())

    assert (runs, skipped) == ((many, 0) if holds_runs else (0, many))
    assert grown < 96 * 2**20  # all of them are 140 MiB


# -- what mlotel writes itself


def test_what_others_put_on_a_run_never_hides_it(tmp_path: Path) -> None:
    """A run on whose span other code puts more than a line may have is there, with all that mlotel said of it."""
    mlotel.configure(store=tmp_path)
    with mlotel.component("train", params={"number": 7}) as run:
        run.log_input(b"x", name="raw")
        span = trace.get_current_span()
        span.set_attribute("prompt", "x" * 40 * 2**20)
        for number in range(70):
            span.add_event(f"answer {number}", {"text": "y" * 2**20})
    with mlotel.component("next"):
        pass
    mlotel.shutdown()
    with FileStore(tmp_path) as store:
        after, found = store.runs()
        assert store.unread() == 0

    assert (after.component, found.component, found.state) == ("next", "train", "ok")
    assert (found.params, [each.name for each in found.inputs]) == ({"number": 7}, ["raw"])
    (segment,) = (tmp_path / "segments").iterdir()
    documents: list[Any] = [json.loads(line) for line in segment.read_bytes().splitlines()]
    spans = [each["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for each in documents if "resourceSpans" in each]
    (told,) = [each for each in spans if each["name"] == "train"]
    assert (told["droppedAttributesCount"], told["droppedEventsCount"]) == (1, 70)
    assert "events" not in told
