"""The files of keyed predictions while processes write, die, merge and damage them."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_rows import DAY, T0, find, parts, rows, tails

from mlotel.store.files import FileStore
from mlotel.store.predictions import compaction
from mlotel.store.predictions.compaction import MOST_SMALL, compact
from mlotel.store.predictions.lookup import LookUp
from mlotel.store.predictions.writer import PredictionLog

# Before 1.3 DuckDB read the name of the folder without a model as text
MODEL = "NULLIF(model, '__HIVE_DEFAULT_PARTITION__')"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    (root / "segments").mkdir(parents=True)
    return root


@pytest.fixture
def process(root: Path) -> Iterator[Any]:
    """Starts a program that knows the store as `STORE` and says `print(…, flush=True)` when it is that far."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str) -> subprocess.Popen[str]:
        text = f"STORE = {str(root)!r}\nimport mlotel\nmlotel.configure(store=STORE)\n" + dedent(source)
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2] / "src"), os.environ.get("PYTHONPATH")]))
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", text],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )
        )
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def rows_of(root: Path) -> Counter[tuple[str, float]]:
    """What all files hold, as DuckDB reads it."""
    if not parts(root):
        return Counter()
    found = duckdb.sql(f"SELECT key, value FROM read_parquet('{root}/predictions/*/*/*.parquet')").fetchall()
    return Counter(found)


def abandon(root: Path) -> None:
    """Let the journals look like those of a process that is gone."""
    for path in tails(root):
        day, host, _, rest = path.name.rsplit("-", 3)
        path.rename(path.with_name(f"{day}-{host}-{2**22 + 1}-{rest}"))


def test_what_was_logged_survives_the_process(root: Path, process: Any) -> None:
    """A prediction whose call has returned is found after the process was killed."""
    running = process(
        """
        run = mlotel.start_component("serve")
        for number in range(100):
            run.log_predictions([number], keys=[f"order-{number}"])
        print("done", flush=True)
        input()
        """
    )
    assert running.stdout.readline() == "done\n"
    os.kill(running.pid, signal.SIGKILL)
    running.wait()

    assert [each.value for each in find(root, "order-99")] == [99]


def test_many_processes_write_at_once(root: Path, process: Any) -> None:
    """Nothing is lost or mixed up where processes log one by one and in large batches at the same time."""
    running = [
        process(
            f"""
            with mlotel.component("score", version="{number}") as run:
                for each in range(300):
                    run.log_predictions([each], keys=[f"{number}-{{each}}"], model="m")
                keys = [f"{number}-{{each}}" for each in range(300, 10_300)]
                run.log_predictions([0.5] * 10_000, keys=keys, model="m")
            """
        )
        for number in range(4)
    ]
    assert [each.wait() for each in running] == [0] * 4

    assert sum(rows_of(root).values()) == 40_000
    with FileStore(root) as store:
        for number in range(4):
            assert [each.value for each in store.predictions(f"{number}-299")] == [299]
            assert [each.value for each in store.predictions(f"{number}-10299")] == [0.5]


@pytest.mark.parametrize("where", ["journal", "file"])
def test_a_full_disk_breaks_nothing(
    root: Path, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be written the call says so, it is told once, and no stray file stays."""

    def full(*_: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = PredictionLog(root, file_rows=2)
    assert log.add(rows(1 if where == "journal" else 2))
    if where == "journal":
        monkeypatch.setattr(log._journal, "_write", full)
    else:
        monkeypatch.setattr(os, "replace", full)
    with caplog.at_level("WARNING", logger="mlotel"):
        taken = [log.add(rows(1 if where == "journal" else 2, first=10)) for _ in range(3)]
    monkeypatch.undo()

    assert taken == [False] * 3
    assert len(caplog.records) == 1
    assert "No space left on device" in caplog.text
    assert len(list((root / "predictions").rglob("*.parquet*"))) == (where == "file")
    assert find(root, "key-10") == ()
    assert len(find(root, "key-0")) == 1


def test_where_no_thread_can_be_had_predictions_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends, or has too many threads, merges no files; the next batch asks again."""

    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    log = PredictionLog(root, file_rows=1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        assert all(log.add(rows(1, first=number)) for number in range(20))
        log.wait()
    assert len(parts(root)) == 20
    assert log.add(rows(1, first=20))
    log.wait()

    assert len(parts(root)) < 20
    assert sum(rows_of(root).values()) == 21


def test_many_small_batches_do_not_make_many_files(root: Path) -> None:
    """Calls of one prediction go to one journal file, and batches large enough for files are merged after some."""
    log = PredictionLog(root, file_rows=100)
    for number in range(1000):
        log.add(rows(1, first=number))
    for number in range(40):
        log.add(rows(100, first=10_000 + 100 * number))
    log.wait()

    assert len(tails(root)) == 1
    assert len(parts(root)) <= 2 * MOST_SMALL
    assert rows_of(root) == Counter({(f"key-{each}", float(each)): 1 for each in range(10_000, 14_000)})


def test_full_journals_become_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals that are full and quiet are turned into a file by who asks; what they held is found as before."""
    log = PredictionLog(root)
    log._journal._segment_bytes = 20_000
    for number in range(1000):
        log.add(rows(1, first=number))
    before = len(tails(root))
    monkeypatch.setattr("mlotel.store.predictions.tails.TAIL_BYTES", 20_000)
    monkeypatch.setattr("mlotel.store.predictions.tails._QUIET_S", -1.0)  # the writer has nothing more to say
    monkeypatch.setattr("mlotel.store.files._JOURNAL_READ", 20_000)

    with FileStore(root) as store:
        found = [[each.value for each in store.predictions(f"key-{number}")] for number in range(0, 1000, 40)]

    assert found == [[float(number)] for number in range(0, 1000, 40)]
    assert len(tails(root)) < before
    assert sum(rows_of(root).values()) > 900


small_batches = st.lists(
    st.tuples(st.integers(1, 60), st.sampled_from(["delay", "price", None]), st.integers(0, 2)), max_size=60
)


@settings(max_examples=30)
@given(batches=small_batches, some=st.integers(0, 60))
def test_merging_changes_nothing_that_is_found(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[int, str | None, int]], some: int
) -> None:
    """Whatever is merged, by model and day, all rows are there once, in order, as they were logged."""
    root = tmp_path_factory.mktemp("store")
    (root / "segments").mkdir()
    now = time.time_ns()
    logs = PredictionLog(root, file_rows=1), PredictionLog(root, file_rows=1000)
    expected: Counter[tuple[str | None, str, float]] = Counter()
    for number, (size, model, day) in enumerate(batches):
        logs[number < some].add(rows(size, model=model, time_ns=T0 + day * DAY if day else now))
        expected.update((model, f"key-{each}", float(each)) for each in range(size))
    for log in logs:
        log.wait()
    abandon(root)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compaction, "_MOST_TAILS", 1)
        patched.setattr(compaction, "MOST_SMALL", 2)
        patched.setattr("mlotel.store.predictions.parts.GROUP_ROWS", 7)
        patched.setattr(compaction, "GROUP_ROWS", 7)
        compact(root / "predictions")

    assert tails(root) == []
    per_partition = Counter(path.parent for path in parts(root))
    today = {folder for folder in per_partition if not folder.name.startswith("day=2023-11")}
    assert max((per_partition[folder] for folder in per_partition.keys() - today), default=0) <= 1
    assert max((per_partition[folder] for folder in today), default=0) <= 3 * 2 + 1
    for path in parts(root):
        hashes = pq.read_table(path, partitioning=None).column("key_hash").to_numpy()
        assert (np.sort(hashes) == hashes).all()
    found: Counter[tuple[str | None, str, float]] = Counter()
    if batches:
        files = f"read_parquet('{root}/predictions/*/*/*.parquet', hive_partitioning = true)"
        found.update(duckdb.sql(f"SELECT {MODEL}, key, value FROM {files}").fetchall())
    assert found == expected


def test_a_merge_that_dies_half_way_doubles_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that stand in the merged file and in those that it was to replace are found once."""
    log = PredictionLog(root, file_rows=10)
    for number in range(MOST_SMALL + 1):
        log.add(rows(10, first=10 * number))
    log.add(rows(1, first=1000))
    log.wait()
    abandon(root)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", die)
    for most in (1, 100):  # while it removes a journal, and while it removes files
        monkeypatch.setattr(compaction, "_MOST_TAILS", most)
        with pytest.raises(KeyboardInterrupt):
            compact(root / "predictions")
    monkeypatch.undo()

    assert max(rows_of(root).values()) > 1
    assert [len(find(root, f"key-{number}")) for number in (0, 45, 89, 1000)] == [1, 1, 1, 1]


def test_a_look_up_while_files_are_merged(root: Path) -> None:
    """A look-up that another thread's merging overtakes finds what is there all the same."""
    log = PredictionLog(root, file_rows=10)
    log.add(rows(10))
    done = threading.Event()
    missed = []

    def ask() -> None:
        look_up = LookUp(root / "predictions")
        while not done.is_set():
            if len(look_up.find("key-5")) != 1:
                missed.append(look_up.problems)

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(1, 200):
        log.add(rows(10, first=10 * number))
    log.wait()
    done.set()
    asking.join()

    assert missed == []
    assert len(parts(root)) < 100


def test_damaged_and_foreign_files_are_left_out_and_told(root: Path) -> None:
    """Files that are damaged, of another kind, or claim too much are named, and the rest is found."""
    log = PredictionLog(root, file_rows=1)
    for _ in range(4):
        log.add(rows(100))
    good, cut, changed, emptied = parts(root)
    cut.write_bytes(cut.read_bytes()[:-20])
    content = bytearray(changed.read_bytes())
    content[10:-2000] = bytes(len(content) - 2010)
    changed.write_bytes(content)
    emptied.write_bytes(b"")
    foreign = good.with_name("part-foreign.parquet")
    pq.write_table(pa.table({"key_hash": ["a"], "other": [1]}), foreign)
    unsorted = good.with_name("part-unsorted.parquet")
    pq.write_table(rows(5, first=200).table(), unsorted)
    (good.parent / "note.txt").write_text("not ours")
    (good.parent / ".part-half.parquet").write_bytes(b"PAR1")
    broken = good.with_name("part-broken.parquet")
    os.symlink("nowhere", broken)

    with FileStore(root) as store:
        assert len(store.predictions("key-7")) == 1
        assert set(store.unreadable) == {cut, changed, emptied, foreign, broken}
        assert len(store.predictions("key-203")) == 1


def test_damaged_files_are_never_merged(root: Path) -> None:
    """Where one of the files to merge is damaged or not sorted, all of them stay."""
    log = PredictionLog(root, file_rows=1)
    for number in range(MOST_SMALL):
        log.add(rows(100, first=number * 100))
    log.wait()
    pq.write_table(rows(100, first=5000).table(), parts(root)[0].with_name("part-unsorted.parquet"))
    parts(root)[0].with_name("part-other.parquet").write_bytes(b"PAR1")
    before = parts(root)

    compact(root / "predictions")

    assert parts(root) == before


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"key_hash":"%s"',
        b'{"key_hash":"%s","time":1e99,"trace_id":"","span_id":""}',
        b'{"key_hash":"%s","key":"key-0","time":1,"trace_id":"11","span_id":"22"}',
        b'{"key_hash":"%s","key":["key-0"],"time":1,"trace_id":"' + b"1" * 32 + b'","span_id":"' + b"2" * 16 + b'"}',
        b'{"key_hash":"%s","key":"key-0","value":"x","time":1,"trace_id":"' + b"1" * 32 + b'","span_id":"' + b"2" * 16
        + b'"}',
        b'{"key_hash":"%s","key":"key-0","time":' + b"9" * 40 + b',"trace_id":"' + b"1" * 32 + b'","span_id":"'
        + b"2" * 16 + b'"}',
    ],
)  # fmt: skip
def test_hostile_lines_of_a_journal(root: Path, line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that are torn or say something else are left out, where they are asked for and where they are merged."""
    log = PredictionLog(root)
    log.add(rows(1))
    (tail,) = tails(root)
    good = tail.read_bytes()
    key_hash = json.loads(good)["key_hash"].encode()
    bad = line.replace(b"%s", key_hash) + b"\n"
    tail.write_bytes(bad + good + bad + good[:-20])

    assert [each.value for each in find(root, "key-0")] == [0.0]
    abandon(root)
    monkeypatch.setattr(compaction, "_MOST_TAILS", 1)
    assert compact(root / "predictions")
    assert rows_of(root) == Counter({("key-0", 0.0): 1})


def test_only_one_merges(root: Path) -> None:
    """While one process merges, others leave it alone and go on."""
    log = PredictionLog(root, file_rows=1)
    log.add(rows(1))

    with compaction._alone(root / "predictions") as first:
        assert first
        assert compact(root / "predictions") is False
        assert len(find(root, "key-0")) == 1


def test_a_store_that_cannot_be_written_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who may not write leaves journals and files as they are, and finds what is in them."""
    log = PredictionLog(root, file_rows=5)
    log.add(rows(5))
    log.add(rows(1, first=5))

    def denied(*_: object, **__: object) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("mlotel.store.predictions.compaction._alone", denied)

    assert [len(find(root, key)) for key in ("key-0", "key-5")] == [1, 1]


def test_forked_children_write_journals_of_their_own(root: Path, process: Any) -> None:
    """What a forked child logs is found beside what its parent logged before and after."""
    running = process(
        """
        import os
        with mlotel.component("serve") as run:
            run.log_predictions([1], keys=["before"])
            child = os.fork()
            if not child:
                with mlotel.component("child") as inner:
                    inner.log_predictions([2], keys=["child"])
                os._exit(0)
            os.waitpid(child, 0)
            run.log_predictions([3], keys=["after"])
        """
    )
    assert running.wait() == 0

    assert [[each.value for each in find(root, key)] for key in ("before", "child", "after")] == [[1], [2], [3]]
    assert len(tails(root)) == 2
