"""Appending to the embedded store: what survives, and what a pipeline never sees."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from otlp_lines import RunLines

from mlotel.store.files import FileStore
from mlotel.store.journal import Journal, host_key

LINE = b'{"resourceSpans":[]}\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "work" / ".mlotel"


def segments(root: Path) -> list[Path]:
    return sorted((root / "segments").iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_made_before_the_first_line(root: Path) -> None:
    """A journal that is never written to leaves no trace."""
    Journal(root).close()

    assert not root.parent.exists()


def test_the_store_is_private_and_unseen_by_git(root: Path) -> None:
    """Folders are the owner's alone, so are segments; git ignores all of it."""
    old = os.umask(0)
    try:
        assert Journal(root).append(LINE)
    finally:
        os.umask(old)

    (segment,) = segments(root)
    assert [mode(path) for path in (root, segment.parent, segment, root / ".gitignore")] == [0o700, 0o700, 0o600, 0o600]
    assert (root / ".gitignore").read_text() == "*\n"


def test_a_segments_name_says_who_wrote_it(root: Path) -> None:
    """Day, host key, process id and a random part, none with a colon: such names are allowed everywhere."""
    Journal(root, clock=Clock()).append(LINE)

    (segment,) = segments(root)
    assert re.fullmatch(rf"2026-09-21-{host_key()}-{os.getpid()}-[0-9a-f]{{8}}\.jsonl", segment.name)


def test_lines_are_there_at_once_and_in_order(root: Path) -> None:
    """When append has returned, another reader finds the line."""
    journal = Journal(root)
    lines = [b'{"n":%d}\n' % n for n in range(100)]
    for number, line in enumerate(lines, 1):
        assert journal.append(line)
        assert segments(root)[0].read_bytes() == b"".join(lines[:number])


def test_two_journals_do_not_share_a_segment(root: Path) -> None:
    """Each journal writes to a file of its own."""
    for _ in range(2):
        Journal(root).append(LINE)

    assert len(segments(root)) == 2


def test_a_full_segment_is_followed_by_a_new_one(root: Path) -> None:
    """Past the size limit the next line begins a new segment; none is split or lost."""
    clock = Clock()
    journal = Journal(root, segment_bytes=1000, clock=clock)
    for _ in range(200):
        journal.append(LINE)
        clock.now += 0.01

    sizes = [segment.stat().st_size for segment in segments(root)]
    assert sum(sizes) == 200 * len(LINE)
    assert max(sizes) < 1000 + 2 * len(LINE)
    assert all(size % len(LINE) == 0 for size in sizes)


def test_a_new_day_begins_a_new_segment(root: Path) -> None:
    """A segment is written on its own day alone (UTC), so that old ones can be removed by name."""
    clock = Clock()
    journal = Journal(root, clock=clock)
    for _ in range(3):
        journal.append(LINE)
        clock.now += 86_400

    assert [segment.name[:10] for segment in segments(root)] == ["2026-09-21", "2026-09-22", "2026-09-23"]


def test_a_removed_store_is_made_anew(root: Path) -> None:
    """When the folder is removed under a running pipeline, the next line is in a new one."""
    clock = Clock()
    journal = Journal(root, clock=clock)
    journal.append(LINE)
    shutil.rmtree(root)
    clock.now += 0.01

    assert journal.append(b'{"after":1}\n')
    assert [segment.read_bytes() for segment in segments(root)] == [b'{"after":1}\n']
    assert (root / ".gitignore").exists()
    assert journal.dropped == 0


def test_an_unwritable_place_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing can be made (below a regular file) every line is dropped and counted; one warning is logged."""
    (tmp_path / "file").write_text("")
    clock = Clock()
    journal = Journal(tmp_path / "file" / ".mlotel", clock=clock)

    with caplog.at_level(logging.WARNING, logger="mlotel"):
        for _ in range(3):
            assert not journal.append(LINE)
            clock.now += 10

    assert journal.dropped == 3
    assert [(record.name, record.levelname) for record in caplog.records] == [("mlotel", "WARNING")]
    assert str(tmp_path / "file" / ".mlotel") in caplog.text


def test_it_is_tried_again_later(tmp_path: Path) -> None:
    """A place that can be written again takes the lines again, after the time that was asked for."""
    obstacle = tmp_path / "file"
    obstacle.write_text("")
    clock = Clock()
    journal = Journal(obstacle / ".mlotel", retry_s=5, clock=clock)
    answers = [journal.append(LINE)]
    obstacle.unlink()
    answers.append(journal.append(LINE))
    clock.now += 5
    answers.append(journal.append(LINE))

    assert answers == [False, False, True]
    assert journal.dropped == 2


def scripted(*answers: int | None) -> Callable[[int, bytes], int]:
    """A write that takes so many bytes of each record in turn (None: all), and then everything."""
    left = list(answers)

    def write(fd: int, data: bytes) -> int:
        answer = left.pop(0) if left else None
        return os.write(fd, data if answer is None else data[:answer])

    return write


def test_after_a_short_write_the_next_record_begins_a_line(root: Path) -> None:
    """A disk that is full in the middle of a line spoils that attempt alone: the record is written again on its own."""
    first, second, third = (RunLines(n).end() + b"\n" for n in (1, 2, 3))
    journal = Journal(root, write=scripted(None, 40))

    assert [journal.append(line) for line in (first, second, third)] == [True, True, True]
    assert segments(root)[0].read_bytes() == first + second[:40] + b"\n" + second + third
    with FileStore(root) as store:
        assert (len(store.runs()), store.status().skipped) == (3, 1)


def test_a_record_that_stays_torn_is_counted(root: Path) -> None:
    """If the second attempt is cut as well, the record is dropped and counted, and the next one is readable."""
    first, second = (RunLines(n).end() + b"\n" for n in (1, 2))
    journal = Journal(root, write=scripted(40, 30))

    assert [journal.append(line) for line in (first, second)] == [False, True]
    assert journal.dropped == 1
    with FileStore(root) as store:
        assert [run.run_id for run in store.runs()] == [RunLines(2).run_id]


def test_a_full_disk_never_reaches_the_caller(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """ENOSPC, here from the kernel's own /dev/full, drops the line with one warning; later lines are written."""
    full = os.open("/dev/full", os.O_WRONLY)
    disk_is_full = True

    def write(fd: int, data: bytes) -> int:
        return os.write(full if disk_is_full else fd, data)

    journal = Journal(root, write=write)
    answers = [journal.append(LINE), journal.append(LINE)]
    disk_is_full = False
    answers.append(journal.append(LINE))
    os.close(full)

    assert answers == [False, False, True]
    assert journal.dropped == 2
    assert len(caplog.records) == 1
    assert segments(root)[0].read_bytes() == b"\n" + LINE


def test_files_closed_by_somebody_else(root: Path) -> None:
    """Daemons close every file they find open: the line goes to a new segment, and no other file is closed for it."""
    journal = Journal(root)
    journal.append(LINE)
    assert journal._segment is not None
    os.close(journal._segment.fd)

    assert journal.append(b'{"after":1}\n')
    assert sorted(segment.read_bytes() for segment in segments(root)) == sorted([LINE, b'{"after":1}\n'])
    assert journal.dropped == 0


def test_a_number_that_is_another_files_now(root: Path, tmp_path: Path) -> None:
    """When the segment's number has become another file's, that is noticed, and that file is left open."""
    clock = Clock()
    journal = Journal(root, clock=clock)
    journal.append(LINE)
    clock.now += 1
    assert journal._segment is not None
    number = journal._segment.fd
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    os.dup2(other, number)

    assert journal.append(b'{"after":1}\n')
    assert journal.append(b'{"after":2}\n')
    assert b'{"after":1}\n{"after":2}\n' in [segment.read_bytes() for segment in segments(root)]
    os.write(number, b"still open")
    os.close(number)
    os.close(other)
    assert (tmp_path / "other").read_bytes() == b"still open"


def test_a_closed_journal_takes_nothing(root: Path) -> None:
    """After close, lines are dropped and counted."""
    journal = Journal(root)
    journal.append(LINE)
    journal.close()

    assert not journal.append(LINE)
    assert journal.dropped == 1
    assert segments(root)[0].read_bytes() == LINE


def test_threads_do_not_tear_each_others_lines(root: Path) -> None:
    """Lines of several threads stand whole in the segments, though these are changed all the time."""
    journal = Journal(root, segment_bytes=4096)
    lines = [b'{"thread":%d,"pad":"%s"}\n' % (n, b"x" * (n * 37)) for n in range(8)]

    def work(line: bytes) -> None:
        for _ in range(200):
            assert journal.append(line)

    threads = [threading.Thread(target=work, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    written = [line for segment in segments(root) for line in segment.read_bytes().splitlines(keepends=True)]
    assert sorted(written) == sorted(lines * 200)


def test_a_forked_child_writes_to_its_own_segment(root: Path) -> None:
    """After a fork, parent and child each append to a file of their own; a lock held meanwhile does not matter."""
    journal = Journal(root)
    journal.append(b'{"who":"parent"}\n')
    with journal._opening:  # as another thread would hold it
        child = os.fork()
        if child == 0:
            done = journal.append(b'{"who":"child"}\n')
            os._exit(0 if done else 1)
    _, status = os.waitpid(child, 0)
    journal.append(b'{"who":"parent"}\n')

    assert os.waitstatus_to_exitcode(status) == 0
    contents = {segment.name.split("-")[4]: segment.read_bytes() for segment in segments(root)}
    assert contents == {str(os.getpid()): b'{"who":"parent"}\n' * 2, str(child): b'{"who":"child"}\n'}


def test_a_fork_while_another_thread_opens_a_segment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child does not take that for a file that could not be opened, which is tried again only a second later."""
    parent, begun, go_on, real = os.getpid(), threading.Event(), threading.Event(), os.open

    def open_slowly(path: str | Path, *arguments: int, **options: int) -> int:
        if os.getpid() == parent and os.fspath(path).endswith(".jsonl"):
            begun.set()
            assert go_on.wait(60)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_slowly)
    journal = Journal(root)
    opens = threading.Thread(target=journal.append, args=(b'{"who":"parent"}\n',))
    opens.start()
    assert begun.wait(60)
    child = os.fork()
    if child == 0:
        os._exit(0 if journal.append(b'{"who":"child"}\n') else 1)
    _, status = os.waitpid(child, 0)
    go_on.set()
    opens.join()

    assert os.waitstatus_to_exitcode(status) == 0
    assert sorted(segment.read_bytes() for segment in segments(root)) == [b'{"who":"child"}\n', b'{"who":"parent"}\n']


def test_a_journal_that_is_gone_does_not_mind_a_fork(root: Path) -> None:
    """The registration for forks does not keep a journal alive, nor fail when it is gone."""
    journal = Journal(root)
    journal.append(LINE)
    del journal

    child = os.fork()
    if child == 0:
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_signal_handler_may_append(root: Path) -> None:
    """A handler that ends a run in the middle of another append neither waits for itself nor loses a line."""
    sent = False

    def write(fd: int, data: bytes) -> int:
        nonlocal sent
        if not sent:
            sent = True
            signal.raise_signal(signal.SIGUSR1)
        return os.write(fd, data)

    journal = Journal(root, write=write)
    before = signal.signal(signal.SIGUSR1, lambda *_: journal.append(b'{"from":"handler"}\n') or None)
    try:
        assert journal.append(LINE)
    finally:
        signal.signal(signal.SIGUSR1, before)

    written = b"".join(segment.read_bytes() for segment in segments(root)).splitlines()
    assert sorted(written) == sorted([b'{"from":"handler"}', LINE.strip()])


WRITER = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from otlp_lines import RunLines
from mlotel.store.journal import Journal
journal = Journal(Path({root!r}))
number = {first}
while number < {last}:
    assert journal.append(RunLines(number).end() + b"\\n")
    number += 1
    print(number, flush=True)
"""


def writer(root: Path, first: int, last: int) -> subprocess.Popen[str]:
    code = textwrap.dedent(WRITER).format(path=sys.path, root=str(root), first=first, last=last)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_what_was_written_survives_kill_9(root: Path) -> None:
    """A process killed without warning leaves every line whose append had returned."""
    process = writer(root, 1, 10**9)
    assert process.stdout is not None
    said = 0
    while said < 500:
        said = int(process.stdout.readline())
    process.kill()
    rest = process.stdout.read().splitlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    # The very last number may be cut as well.
    said = int(rest[-2]) if len(rest) > 1 else said

    with FileStore(root) as store:
        runs = {run.run_id for run in store.runs()}
        assert {RunLines(n).run_id for n in range(1, said)} <= runs
        assert store.status().skipped == 0


def test_processes_writing_at_once(root: Path) -> None:
    """Writers in several processes neither wait for each other nor mix their lines, while a reader looks on."""
    writers = [writer(root, first, first + 500) for first in (0, 1000, 2000)]
    seen = [0]
    while any(process.poll() is None for process in writers):
        for process in writers:
            assert process.stdout is not None
            process.stdout.read(4096)
        if (root / "segments").is_dir():
            with FileStore(root) as store:
                seen.append(len(store.runs()))
    for process in writers:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 0

    assert seen == sorted(seen)
    with FileStore(root) as store:
        assert len(store.runs()) == 1500
        assert (store.status().skipped, store.status().torn, store.status().segments) == (0, 0, 3)
