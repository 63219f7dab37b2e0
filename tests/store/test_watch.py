"""Noticing what was appended to a folder's files."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest

from mlotel.store.journal import host_key
from mlotel.store.watch import Watch

HOUR = 3600 * 10**9
TODAY = time.strftime("%Y-%m-%d", time.gmtime())
NOBODY = 2**22 + 1


def watch(folder: Path, **options: bool) -> Watch:
    """A watch that takes the folder's time to lie long ago, as it mostly does."""
    return Watch(folder, lambda: os.listdir(folder), clock=lambda: time.time_ns() + HOUR // 60, **options)


def segment(folder: Path, *, day: str = TODAY, host: str = "00000000", pid: int = 1, number: int = 0) -> Path:
    path = folder / f"{day}-{host}-{pid}-{number:08x}.jsonl"
    path.write_bytes(b"x")
    return path


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"x")


def test_as_long_as_nothing_happens_the_state_is_the_same_object(tmp_path: Path) -> None:
    """A look at an unchanged folder answers with the very state of last time."""
    segment(tmp_path)
    watched = watch(tmp_path)

    first = watched.look()

    assert all(watched.look() is first for _ in range(3))


def test_growth_new_files_and_removed_files_show(tmp_path: Path) -> None:
    """Whatever changes among the living files makes another state."""
    path = segment(tmp_path)
    watched = watch(tmp_path)
    states = [watched.look()]

    append(path)
    states.append(watched.look())
    other = segment(tmp_path, number=1)
    states.append(watched.look())
    other.unlink()
    states.append(watched.look())

    assert [len(state) for state in states] == [1, 1, 2, 1]
    assert all(one != other for one, other in itertools.pairwise(states))


def test_a_folder_that_changed_this_moment_is_listed_again(tmp_path: Path) -> None:
    """A new file within the same tick of the folder's time is seen all the same."""
    watched = Watch(tmp_path, lambda: os.listdir(tmp_path))
    segment(tmp_path)
    before = os.stat(tmp_path)
    watched.look()
    segment(tmp_path, number=1)
    os.utime(tmp_path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert len(watched.look()) == 2


@pytest.mark.parametrize(
    ("day", "host", "pid"),
    [("2026-01-01", "00000000", 1), (TODAY, "", NOBODY)],
    ids=["a day gone by", "a process that is gone"],
)
def test_segments_that_are_done_are_not_looked_at(tmp_path: Path, day: str, host: str, pid: int) -> None:
    """Nobody appends to them any more: their size is not asked for."""
    path = segment(tmp_path, day=day, host=host or host_key(), pid=pid)
    watched = watch(tmp_path)
    before = watched.look()
    append(path)

    assert watched.look() is before


def test_files_that_are_no_segments_are_always_looked_at(tmp_path: Path) -> None:
    """A collector's files say nothing of their writer: each is looked at, whatever its name."""
    path = tmp_path / "2026-01-01-00000000-1-00.jsonl"
    path.write_bytes(b"")
    watched = watch(tmp_path, segments=False)
    before = watched.look()
    append(path)

    assert watched.look() != before


def test_what_this_process_writes_can_be_left_out(tmp_path: Path) -> None:
    """A process that asks who else wrote something is not held up by its own lines."""
    mine = segment(tmp_path, host=host_key(), pid=os.getpid())
    theirs = segment(tmp_path, host=host_key(), pid=os.getppid())
    watched = watch(tmp_path, others_only=True)
    before = watched.look()
    append(mine)
    assert watched.look() is before
    append(theirs)

    assert watched.look() != before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Where there is no folder the caller is told."""
    with pytest.raises(FileNotFoundError):
        watch(tmp_path / "none").look()
