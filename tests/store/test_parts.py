"""An index that several processes fill together holds what one process alone puts into it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from otlp_lines import SECOND, T0, RunLines, digest, link_to, log_line, span_line

from mlotel.semconv import attributes as A
from mlotel.store import parts
from mlotel.store.files import FileStore
from mlotel.store.filling import Unread
from mlotel.store.index import Index
from mlotel.store.indexed import StoreStatus
from mlotel.store.parts import _Part, _reading

RUNS = 60
TODAY = time.strftime("%Y-%m-%d", time.gmtime())  # segments of earlier days grow no more


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Small files are read by several processes as well; nothing stays in the folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(parts, "_LEAST_BYTES", 1)
    yield folder
    assert not folder.is_dir() or not list(folder.iterdir())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / ".mlotel"
    (root / "segments").mkdir(parents=True)
    return root


def lines_of_runs() -> list[bytes]:
    """Of each run its start, heartbeats, two artifacts and an end; every third is open, every fifth told by records."""
    lines: list[bytes] = []
    before: dict[str, Any] | None = None
    for number in range(RUNS):
        run = RunLines(number, f"component-{number % 7}", start_s=number * 10)
        written = run.write(f"name-{number % 5}", digest("abcdef"[number % 6]))
        links = [link_to(before)] if before else []
        read = run.read(f"name-{number % 4}", digest("abcdef"[(number + 5) % 6]), links=links)
        lines += [run.start(), run.heartbeat(1.0), run.heartbeat(2.0), span_line(read), span_line(written)]
        if number % 5 == 0:
            lines.append(run.end_record("failed", 3.0))
            entries = [{"name": "entry", "digest": digest("9"), "size": 3}]
            lines.append(run.manifest(entries, written["spanId"], "output"))
        elif number % 3:
            above = None if number % 2 else RunLines(number - 1).span_id
            depends_on = {**links[0], **link_to(links[0], **{A.MLOTEL_LINK_TYPE: "depends_on"})}
            span = {**run.span("ok", parent=above), "links": [depends_on]}
            lines += [span_line(span)] * (1 + number % 2)  # what comes twice counts once
        before = written
    note = RunLines(3).record("mlotel.note", T0 + 5, **{A.MLOTEL_RUN_ID: RunLines(3).run_id})
    lines += [log_line(note)] * 2
    lines += [b"torn", b'{"resourceSpans":[{']
    return lines


def name(number: int) -> str:
    return f"{TODAY}-00000000-1-{number:02}.jsonl"


def write(root: Path, files: Sequence[Sequence[bytes]]) -> None:
    for number, lines in enumerate(files):
        (root / "segments" / name(number)).write_bytes(b"".join(line + b"\n" for line in lines))


def answers(root: Path, processes: int) -> dict[str, object]:
    """What a store says whose index is made by so many processes."""
    for path in root.glob("index.sqlite*"):
        path.unlink()
    with FileStore(root, clock=lambda: T0 + 10**6 * SECOND, processes=processes) as store:
        runs = store.runs()
        artifacts = store.find_artifacts()
        spans = [(run.trace_id, each.span_id) for run in runs for each in (run, *run.inputs, *run.outputs)]
        return {
            "status": store.status(),
            "heartbeats": store._index().rows("SELECT run_hi, run_lo, seen FROM run ORDER BY 1, 2"),
            "runs": runs,
            "heads": store.heads(),
            "artifacts": sorted(artifacts, key=lambda each: (each.span_id, each.name or "")),
            "states": store.component_states(),
            "readers": [store.readers_of(*span) for span in spans],
            "children": [store.children_of(*span) for span in spans],
            "dependents": [store.dependents_of(*span) for span in spans],
            "annotations": store.annotations(),
            "names": store.artifact_names(1000),
            "writers": [store.writer_of(digest(character)) for character in "abcdef9"],
        }


@pytest.mark.parametrize("seed", range(5))
def test_lines_in_any_order_in_any_files(root: Path, seed: int) -> None:
    lines = lines_of_runs()
    random.Random(seed).shuffle(lines)
    write(root, [lines[first::4] for first in range(4)])

    alone, together = answers(root, 1), answers(root, 3)

    assert together == alone
    assert together["status"] == StoreStatus(runs=RUNS, artifacts=2 * RUNS + RUNS // 5, segments=4, skipped=2, torn=0)


def test_processes_are_started_where_most_is_unread(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Sequence[str]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: started.append(command) or popen(command, **more))
    lines = lines_of_runs()
    write(root, [lines[:40]])

    with FileStore(root, processes=3) as store:
        few = len(store.runs())
        assert not started  # one file
        write(root, [lines[:40], lines[40:50], lines[50:60]])
        store.runs()
        assert not started  # less than what has been read
        write(root, [lines[:40], lines[40:150], lines[150:]])
        assert len(store.runs()) == RUNS > few
        count = len(started)
        assert count > 0
        assert len(store.runs()) == RUNS
    assert len(started) == count

    assert answers(root, 3) == answers(root, 1)
    assert len(started) == 2 * count


def no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")


def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_PROGRAM", "import os; os.kill(os.getpid(), 9)")


def killed_when_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_PROGRAM", parts._PROGRAM + "; import os; os.kill(os.getpid(), 9)")


def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    monkeypatch.setattr(parts, "_PROGRAM", limit + parts._PROGRAM)


def no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")


@pytest.mark.parametrize("trouble", [no_python, killed, killed_when_done, no_room, no_temporary_folder])
def test_what_others_cannot_read_is_read(
    root: Path, trouble: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of_runs()
    write(root, [lines[first::4] for first in range(4)])
    alone = answers(root, 1)
    trouble(monkeypatch)

    assert answers(root, 3) == alone


def test_an_interrupt_leaves_neither_processes_nor_half_an_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of_runs()
    write(root, [lines[first::4] for first in range(4)])
    processes: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen
    fill = parts.fill

    def start(command: Any, **more: Any) -> subprocess.Popen[bytes]:
        processes.append(popen(command, **more))
        return processes[-1]

    def interrupted(*arguments: Any) -> bool:
        monkeypatch.setattr(parts, "fill", fill)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(parts, "fill", interrupted)
    with FileStore(root, processes=3) as store:
        with pytest.raises(KeyboardInterrupt):
            store.runs()
        assert [process.poll() is not None for process in processes] == [True, True]
        with closing(Index(root / "index.sqlite")) as index:
            assert index.rows("SELECT count(*) FROM run") == [(0,)]
        assert len(store.runs()) == RUNS


def test_a_reader_ends_with_whoever_asked(root: Path, temporary_folder: Path) -> None:
    """A pipe among the files, on which a reader waits for ever."""
    os.mkfifo(root / "segments" / "00.jsonl")
    asked = temporary_folder / "asked"
    asked.mkdir()
    program = (
        "import sys, time; from pathlib import Path; from mlotel.store.parts import _Part, _reading;"
        "from mlotel.store.filling import Unread;"
        f"part = _Part({str(root)!r}, {str(asked / '0.sqlite')!r}, [Unread('00.jsonl', 1, 0, 1, False)]);"
        "reading = _reading(part); print(reading.__enter__().pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        _wait_until(lambda: (asked / "0.sqlite").exists())
        os.kill(pid, 0)
        os.killpg(process.pid, signal.SIGKILL)
    _wait_until(lambda: not _is_running(pid))
    _wait_until(lambda: not asked.exists())


def test_modules_come_from_where_the_asking_process_has_them(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with a module of a known name is a place like any other to look at runs from."""
    for module in ("msgspec", "sitecustomize"):  # the latter is loaded when Python starts
        (tmp_path / f"{module}.py").write_text("import os; os._exit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lines = lines_of_runs()
    write(root, [lines])
    size = (root / "segments" / name(0)).stat().st_size
    (tmp_path / "part").mkdir()
    part = _Part(str(root), str(tmp_path / "part" / "0.sqlite"), [Unread(name(0), 1, 0, size, False)])

    with _reading(part) as process:
        assert process.wait() == 0


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
