"""The cache of unchanged files: when it answers, when it must not, and that it never fails."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlotel.hashing import StatCache, _cache, fingerprint
from mlotel.model import Fingerprint

LARGE = 1 << 20


def later(seconds: float = 3600.0) -> int:
    """A clock for which all files here are old."""
    return time.time_ns() + int(seconds * 1e9)


def plant(cache: StatCache, path: Path, digest: str = "blake3:planted") -> Fingerprint:
    """Remember a fingerprint that no reading would give, so that an answer from the cache shows."""
    planted = Fingerprint(digest=digest, scope="bytes")
    cache.put(f"{path}", "blake3", "bytes", path.stat(), planted)
    return planted


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def test_an_unchanged_file_is_not_read_again(file: Path) -> None:
    """While path, size, times and inode stay, the remembered fingerprint is given."""
    cache = StatCache(now_ns=later)
    first = fingerprint(file, cache=cache)
    assert (first, len(cache)) == (fingerprint(file), 1)
    planted = plant(cache, file)
    assert fingerprint(file, cache=cache) == planted


def test_algorithm_and_scope_are_kept_apart(tmp_path: Path) -> None:
    """One file has one entry for each algorithm and scope."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    cache = StatCache(now_ns=later)
    ways = [{}, {"scope": "bytes"}, {"algorithm": "sha256"}, {"algorithm": "sha256", "scope": "bytes"}]
    first = [fingerprint(path, cache=cache, **way) for way in ways]
    assert [fingerprint(path, cache=cache, **way) for way in ways] == first
    assert (len({found.digest for found in first}), len(cache)) == (4, 4)
    assert first[1].type == "dataset"


def change_content(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(path)


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("change", [change_content, replace, touch, grow])
def test_a_changed_file_is_read_again(file: Path, change: object) -> None:
    """Each change is noticed: new content with the old mtime (by ctime), another inode, another mtime, another size."""
    cache = StatCache(now_ns=later)
    plant(cache, file)
    before = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == before:
        # Until the file system's clock has ticked: within one tick no cache could tell.
        change(file)  # type: ignore[operator]
    assert fingerprint(file, cache=cache).digest == fingerprint(file).digest


@pytest.mark.parametrize(("age", "kept"), [(0.0, 0), (1.9, 0), (2.1, 1), (-100.0, 0)])
def test_a_file_that_changed_just_now_is_not_remembered(file: Path, age: float, kept: int) -> None:
    """Younger than two seconds, or from the future, a file may change again within the same tick of the clock."""
    changed = max(file.stat().st_mtime_ns, file.stat().st_ctime_ns)
    cache = StatCache(now_ns=lambda: changed + int(age * 1e9))
    fingerprint(file, cache=cache)
    assert len(cache) == kept


def test_the_oldest_entries_go_first(tmp_path: Path) -> None:
    """No more fingerprints are kept than was said."""
    cache = StatCache(max_entries=3, now_ns=later)
    paths = [tmp_path / f"{i}" for i in range(5)]
    for path in paths:
        path.write_bytes(b"x")
        fingerprint(path, cache=cache)
    known = [cache.get(f"{path}", "blake3", "bytes") is not None for path in paths]
    assert (len(cache), known) == (3, [False, False, True, True, True])


def test_files_in_folders_are_remembered(tmp_path: Path) -> None:
    """A folder is listed again each time, but its unchanged files are not read again."""
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "file"
    path.write_bytes(b"x")
    cache = StatCache(now_ns=later)
    expected = fingerprint(tmp_path, cache=cache)
    assert (fingerprint(tmp_path, cache=cache), len(cache)) == (expected, 1)
    plant(cache, path, "blake3:" + "00" * 32)
    assert fingerprint(tmp_path, cache=cache).digest != expected.digest


def test_a_missing_file_is_not_known(tmp_path: Path) -> None:
    """Asking for a file that is gone gives None."""
    assert StatCache().get(f"{tmp_path / 'none'}", "blake3", "bytes") is None


def test_large_files_are_remembered_across_processes(tmp_path: Path) -> None:
    """A second cache on the same SQLite file knows files of 1 MiB and more, whole fingerprints, and no smaller ones."""
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(bytes(LARGE))
    small.write_bytes(bytes(LARGE - 1))
    store = tmp_path / "digests.sqlite"
    first = StatCache(store, now_ns=later)
    expected = fingerprint(large, cache=first), fingerprint(small, cache=first)
    second = StatCache(store, now_ns=later)
    assert second.get(f"{large}", "blake3", "bytes") == expected[0]
    assert second.get(f"{small}", "blake3", "bytes") is None
    assert second.get(f"{large}", "sha256", "bytes") is None
    touch(large)
    assert second.get(f"{large}", "blake3", "bytes") is None


def test_the_sqlite_file_forgets_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SQLite file holds a bounded number of fingerprints; what was written last stays."""
    monkeypatch.setattr(_cache, "_PERSIST_ENTRIES", 3)
    cache = StatCache(tmp_path / "digests.sqlite", now_ns=later)
    paths = [tmp_path / f"{i}" for i in range(5)]
    for path in [*paths, paths[2]]:
        path.write_bytes(bytes(LARGE))
        fingerprint(path, cache=cache)
    fresh = StatCache(tmp_path / "digests.sqlite")
    assert [fresh.get(f"{path}", "blake3", "bytes") is not None for path in paths] == [False, False, True, True, True]


def test_a_persisted_file_is_found_by_its_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are kept absolute in the SQLite file."""
    (tmp_path / "large").write_bytes(bytes(LARGE))
    store = tmp_path / "digests.sqlite"
    expected = fingerprint(tmp_path / "large", cache=StatCache(store, now_ns=later))
    monkeypatch.chdir(tmp_path)
    assert StatCache(store).get("large", "blake3", "bytes") == expected


def broken(store: Path) -> None:
    store.write_bytes(b"this is no SQLite file" * 1000)


def folder(store: Path) -> None:
    store.mkdir()


def other_columns(store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("CREATE TABLE fingerprint_v2 (x)")
    connection.close()


def odd_content(store: Path) -> None:
    cache = StatCache(store)
    path = store.with_name("large")
    cache.put(f"{path}", "blake3", "bytes", path.stat(), Fingerprint())
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE fingerprint_v2 SET content = '{\"surprise\": 1}'")
    connection.close()


def no_folder(store: Path) -> None:
    """Leave the store's folder missing."""


@pytest.mark.parametrize("spoil", [broken, folder, other_columns, odd_content, no_folder])
def test_an_unusable_sqlite_file_is_no_error(tmp_path: Path, spoil: object) -> None:
    """Whatever is wrong with the SQLite file, the fingerprint comes, and memory still remembers it."""
    path = tmp_path / "large"
    path.write_bytes(bytes(LARGE))
    store = tmp_path / ("missing/digests.sqlite" if spoil is no_folder else "digests.sqlite")
    spoil(store)  # type: ignore[operator]
    cache = StatCache(store, now_ns=later)
    assert fingerprint(path, cache=cache) == fingerprint(path)
    assert len(cache) == 1


def test_a_locked_sqlite_file_is_no_error(tmp_path: Path) -> None:
    """While another process holds the SQLite file, files are read again."""
    path, store = tmp_path / "large", tmp_path / "digests.sqlite"
    path.write_bytes(bytes(LARGE))
    expected = fingerprint(path, cache=StatCache(store, now_ns=later))
    holder = sqlite3.connect(store, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        cache = StatCache(store, now_ns=later)
        assert fingerprint(path, cache=cache) == expected
    finally:
        holder.close()


def test_threads_share_one_cache(tmp_path: Path) -> None:
    """Many threads may fill and ask one small cache at once."""
    cache = StatCache(tmp_path / "digests.sqlite", max_entries=2, now_ns=later)
    paths = [tmp_path / f"{i}" for i in range(6)]
    for path in paths:
        path.write_bytes(os.urandom(10))
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(30):
                for path in paths:
                    assert fingerprint(path, cache=cache) == fingerprint(path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, len(cache)) == ([], 2)
