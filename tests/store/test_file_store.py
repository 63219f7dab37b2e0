"""FileStore over the embedded store: the contract of stores, and what files bring with them."""

from __future__ import annotations

import io
import os
import re
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract import StoreContract, StoreOf
from otlp_lines import SECOND, T0, RunLines, digest, span_line

from mlotel.errors import StoreError, StoreNotFoundError
from mlotel.store.files import FileStore
from mlotel.store.index import Index
from mlotel.store.journal import host_key

TODAY = time.strftime("%Y-%m-%d", time.gmtime())


def write(root: Path, *lines: bytes, name: str = f"{TODAY}-00000000-1-00.jsonl") -> Path:
    folder = root / "segments"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))
    return folder / name


class TestFileStore(StoreContract):
    processes = 1

    @pytest.fixture
    def store_of(self, tmp_path: Path) -> Iterator[StoreOf]:
        made: list[FileStore] = []

        def make(*lines: bytes, now_s: float = 0.0) -> FileStore:
            root = tmp_path / f"store-{len(made)}"
            # appended at the latest time that is told, by a writer whose clock is right
            times = [int(time) for line in lines for time in re.findall(rb'"timeUnixNano":"(\d+)"', line)]
            for number in range(self.processes):
                segment = write(root, *lines[number :: self.processes], name=f"{TODAY}-00000000-1-{number:02}.jsonl")
                os.utime(segment, ns=(max(times, default=T0),) * 2)
            made.append(FileStore(root, clock=lambda: T0 + round(now_s * SECOND), processes=self.processes))
            return made[-1]

        yield make
        for store in made:
            store.close()


class TestFileStoreReadByProcesses(TestFileStore):
    """Each line stands in another file than the one before, and another process reads it."""

    processes = 3

    @pytest.fixture(autouse=True)
    def small_files_are_worth_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mlotel.store.parts._LEAST_BYTES", 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".mlotel"


def run_ids(root: Path) -> set[str]:
    with FileStore(root) as store:
        return {run.run_id for run in store.runs()}


def test_a_store_that_is_not_there_is_told() -> None:
    """Asking for a store where there is none raises, naming the place."""
    with pytest.raises(StoreNotFoundError, match="/nowhere/at/all"):
        FileStore("/nowhere/at/all")


def test_new_lines_are_seen_by_the_next_question(root: Path) -> None:
    """A store that is open sees lines and segments that are appended meanwhile."""
    write(root, RunLines(1).end())
    with FileStore(root) as store:
        counts = [len(store.runs())]
        write(root, RunLines(2).end())
        counts.append(len(store.runs()))
        write(root, RunLines(3).end(), name=f"{TODAY}-00000000-2-00.jsonl")
        counts.append(len(store.runs()))

    assert counts == [1, 2, 3]


def test_the_index_is_private_and_survives(root: Path) -> None:
    """The index is a file of mode 0600, and another reader goes on where the first one stopped."""
    segment = write(root, RunLines(1).end())
    run_ids(root)

    assert stat.S_IMODE(os.stat(root / "index.sqlite").st_mode) == 0o600
    with sqlite3.connect(root / "index.sqlite") as connection:
        assert connection.execute("SELECT offset FROM segment").fetchone()[0] == segment.stat().st_size
    connection.close()


def test_segments_are_read_once(root: Path) -> None:
    """What the index has is not read again: bytes changed behind its back, in place, do not show."""
    segment = write(root, RunLines(1).end())
    with FileStore(root) as store:
        assert store.status().runs == 1
    size = segment.stat().st_size
    with open(segment, "r+b") as file:
        file.write(b"x" * (size - 1))

    with FileStore(root) as store:
        assert (store.status().runs, store.status().skipped) == (1, 0)


@pytest.mark.parametrize("damage", ["deleted", "junk", "truncated", "another version", "another database"])
def test_a_damaged_index_is_made_anew(root: Path, damage: str) -> None:
    """Whatever happens to the index file, the segments bring everything back."""
    write(root, *[RunLines(n).end() for n in range(50)])
    before = run_ids(root)
    index = root / "index.sqlite"
    if damage == "deleted":
        index.unlink()
    elif damage == "junk":
        index.write_bytes(b"this is no database" * 1000)
    elif damage == "truncated":
        index.write_bytes(index.read_bytes()[:5000])
    else:
        if damage == "another database":
            index.unlink()
        with sqlite3.connect(index) as connection:
            connection.execute("PRAGMA user_version = 999")
            connection.execute("CREATE TABLE other (x)")
        connection.close()

    assert run_ids(root) == before
    assert len(before) == 50


def test_damage_while_a_reader_has_it_open(root: Path) -> None:
    """A reader whose index is overwritten under it builds a new one and answers."""
    write(root, *[RunLines(n).end() for n in range(200)])
    with FileStore(root) as store:
        assert len(store.runs()) == 200
        for suffix in ("", "-wal"):
            path = Path(f"{root / 'index.sqlite'}{suffix}")
            if path.exists():
                path.write_bytes(b"\0" * path.stat().st_size)
        write(root, RunLines(999).end())

        assert len(store.runs()) == 201


def test_another_version_while_a_reader_has_it_open(root: Path) -> None:
    """An mlotel of another version may take over the index: each finds its own again."""
    write(root, *[RunLines(n).end() for n in range(5)])
    with FileStore(root) as store:
        assert len(store.runs()) == 5
        other = sqlite3.connect(root / "index.sqlite", isolation_level=None)
        other.execute("DROP TABLE run")
        other.execute("PRAGMA user_version = 999")
        other.close()

        assert len(store.runs()) == 5


def test_an_index_that_cannot_be_written_is_kept_in_memory(root: Path) -> None:
    """Where no index file can be had (here a folder stands in its place) the store answers all the same."""
    write(root, RunLines(1).end())
    (root / "index.sqlite").mkdir()

    assert run_ids(root) == {RunLines(1).run_id}
    assert (root / "index.sqlite").is_dir()


def test_a_store_without_segments_is_left_as_it_is(root: Path) -> None:
    """Looking at an empty folder writes nothing into it."""
    root.mkdir()

    assert run_ids(root) == set()
    assert list(root.iterdir()) == []


def test_an_empty_folder_may_become_a_store(root: Path) -> None:
    """A reader that was there before the first line sees it, and keeps its index beside the segments from then on."""
    root.mkdir()
    with FileStore(root) as store:
        assert store.runs() == ()
        write(root, RunLines(1).end())

        assert len(store.runs()) == 1
    assert (root / "index.sqlite").is_file()


def test_a_removed_segment_takes_its_runs_with_it(root: Path) -> None:
    """Segments may be deleted by age: their runs and artifacts are forgotten, the others stay."""
    old, new = RunLines(1), RunLines(2)
    segment = write(root, span_line(old.write("x", digest("a"))), old.end(), name="2025-01-01-00000000-1-00.jsonl")
    write(root, span_line(new.write("x", digest("a"))), new.end())
    with FileStore(root) as store:
        assert len(store.runs()) == 2
        segment.unlink()

        assert [run.run_id for run in store.runs()] == [new.run_id]
        assert [one.run_id for one in store.find_artifacts(digest=digest("a"))] == [new.run_id]
    assert run_ids(root) == {new.run_id}


def test_a_replaced_segment_is_read_again(root: Path) -> None:
    """A segment that became shorter is another file: what it said before is forgotten."""
    segment = write(root, RunLines(1).end(), RunLines(2).end())
    with FileStore(root) as store:
        assert len(store.runs()) == 2
        segment.write_bytes(RunLines(3).end() + b"\n")

        assert [run.run_id for run in store.runs()] == [RunLines(3).run_id]


def test_a_run_may_begin_and_end_in_different_segments(root: Path) -> None:
    """After a rotation the end stands in another segment than the start; when the older one goes, the run stays."""
    run = RunLines(1)
    older = write(root, run.start(), span_line(run.read("x", digest("a"))), name="2025-01-01-00000000-1-00.jsonl")
    write(root, run.end())
    with FileStore(root) as store:
        assert [(one.state, len(one.inputs)) for one in store.runs()] == [("ok", 1)]
        older.unlink()

        assert [(one.state, len(one.inputs)) for one in store.runs()] == [("ok", 0)]


def segment_of(pid: int) -> str:
    return f"{TODAY}-{host_key()}-{pid}-00.jsonl"


def test_an_unfinished_line_of_a_living_writer_is_waited_for(root: Path) -> None:
    """A writer may be in the middle of a line: it is read when it is finished, and is no fault before."""
    line = RunLines(1).end() + b"\n"
    segment = write(root, name=segment_of(os.getpid()))
    segment.write_bytes(line[:100])
    with FileStore(root) as store:
        assert (len(store.runs()), store.status().torn, store.status().skipped) == (0, 0, 0)
        with open(segment, "ab") as file:
            file.write(line[100:])

        assert (len(store.runs()), store.status().torn, store.status().skipped) == (1, 0, 0)


def test_a_line_that_is_finished_while_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rest of a line, and more lines, come when the file was at its end a moment ago, nothing is spoilt."""
    first, *others = [RunLines(number).end() + b"\n" for number in (1, 2, 3)]
    segment = write(root, name=segment_of(os.getpid()))
    segment.write_bytes(first[:100])

    class Growing(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:
            read = super().readinto(buffer)
            if read == 0 and segment.stat().st_size == 100:
                with open(segment, "ab") as file:
                    file.write(first[100:] + b"".join(others))
            return read

    monkeypatch.setattr(
        "mlotel.store.segments.open", lambda path, *_, **__: io.BufferedReader(Growing(path)), raising=False
    )
    with FileStore(root) as store:
        store.runs()
        monkeypatch.undo()

        assert (len(store.runs()), store.status().torn, store.status().skipped) == (3, 0, 0)


def test_an_unfinished_last_line_of_a_dead_writer_is_counted(root: Path) -> None:
    """A crash in the middle of a write leaves a torn last line: skipped, and told as such."""
    segment = write(root, RunLines(1).end(), name=segment_of(2**22 + 1))
    with open(segment, "ab") as file:
        file.write(RunLines(2).end()[:100])

    with FileStore(root) as store:
        assert (len(store.runs()), store.status().torn, store.status().skipped) == (1, 1, 0)


def test_a_torn_line_in_the_middle_costs_itself_alone(root: Path) -> None:
    """After a short write the next record begins with a newline: the one between is skipped and counted."""
    segment = write(root, RunLines(1).end())
    with open(segment, "ab") as file:
        file.write(RunLines(2).end()[:80] + b"\n" + RunLines(3).end() + b"\n\n" + RunLines(4).end() + b"\n")

    with FileStore(root) as store:
        assert {run.run_id for run in store.runs()} == {RunLines(n).run_id for n in (1, 3, 4)}
        assert store.status().skipped == 1


def test_a_whole_last_line_needs_no_newline(root: Path) -> None:
    """A last line that is a whole document counts though its newline is missing, and the newline may still come."""
    segment = write(root)
    segment.write_bytes(RunLines(1).end())
    with FileStore(root) as store:
        assert len(store.runs()) == 1
        with open(segment, "ab") as file:
            file.write(b"\n" + RunLines(2).end() + b"\n")

        assert (len(store.runs()), store.status().skipped) == (2, 0)


def test_readers_at_the_same_time_agree(root: Path) -> None:
    """Readers that fill the same index at once neither fail nor count anything twice."""
    write(root, *[RunLines(n).end() for n in range(300)])
    answers: list[object] = []

    def read() -> None:
        try:
            with FileStore(root) as store:
                answers.append((len(store.runs()), store.status().runs))
        except Exception as error:
            answers.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [(300, 300)] * 8


def test_who_opens_a_new_index_at_once_waits_for_the_others(tmp_path: Path) -> None:
    """SQLite itself does not wait for the lock by which a journal is made write-ahead."""
    answers: list[object] = []
    everybody = threading.Barrier(8)

    def open_index(path: Path) -> None:
        everybody.wait()
        try:
            Index(path).close()
            answers.append("opened")
        except sqlite3.Error as error:
            answers.append(error)

    for n in range(30):
        threads = [threading.Thread(target=open_index, args=(tmp_path / f"{n}.sqlite",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert answers == ["opened"] * 240


def test_one_store_serves_several_threads(root: Path) -> None:
    """Threads may ask the same store while lines are appended."""
    write(root, *[RunLines(n).end() for n in range(20)])
    failures: list[Exception] = []
    with FileStore(root) as store:

        def ask() -> None:
            try:
                for _ in range(30):
                    assert len(store.runs()) >= 20
                    store.find_runs(RunLines(3).run_id)
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(20, 40):
            write(root, RunLines(number).end())
        for thread in threads:
            thread.join()

        assert failures == []
        assert len(store.runs()) == 40


def test_a_forked_child_opens_the_index_for_itself(root: Path) -> None:
    """A store that is open when the process forks serves parent and child, each by a connection of its own."""
    write(root, RunLines(1).end())
    with FileStore(root) as store:
        assert len(store.runs()) == 1
        write(root, RunLines(2).end())
        child = os.fork()
        if child == 0:
            os._exit(len(store.runs()))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2

        write(root, RunLines(3).end())
        assert len(store.runs()) == 3


def test_an_index_that_stays_locked_is_told(root: Path) -> None:
    """A reader that cannot get at the index in time raises a StoreError, chained to SQLite's."""
    write(root, RunLines(1).end())
    run_ids(root)
    write(root, RunLines(2).end())
    blocker = sqlite3.connect(root / "index.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        with FileStore(root, timeout_s=0.05) as store, pytest.raises(StoreError, match="locked") as caught:
            store.runs()
    finally:
        blocker.close()

    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


def test_a_closed_store_opens_again(root: Path) -> None:
    """After close, the next question opens what it needs."""
    write(root, RunLines(1).end())
    store = FileStore(root)
    store.runs()
    store.close()

    assert len(store.runs()) == 1
    store.close()


def test_counts_only_grow_while_everybody_writes_and_reads(root: Path) -> None:
    """With writers that begin new segments and several readers with connections of their own, no run is ever unseen."""
    write(root, RunLines(0).end())
    failures: list[object] = []
    done = threading.Event()

    def read() -> None:
        try:
            with FileStore(root) as store:
                seen = 0
                while not done.is_set():
                    count = len(store.runs())
                    if count < seen:
                        failures.append((seen, count))
                    seen = count
        except Exception as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 150):
        write(root, RunLines(number).end(), name=f"{TODAY}-00000000-{number % 40}-00.jsonl")
    done.set()
    for reader in readers:
        reader.join()

    assert failures == []
    with FileStore(root) as store:
        assert len(store.runs()) == 150
