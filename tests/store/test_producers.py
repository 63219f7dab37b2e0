"""Finding who wrote what is read: in this process, in another one, or not at all."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from otlp_lines import SECOND, RunLines, digest, span_line

from mlotel.freshness import Made
from mlotel.semconv import attributes as A
from mlotel.store.files import FileStore
from mlotel.store.index import Index
from mlotel.store.journal import Journal
from mlotel.store.producers import ProducerLookup

OTHER_PROCESS = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from mlotel.store.journal import Journal
journal = Journal(Path({root!r}))
print("ready", flush=True)
for line in sys.stdin:
    assert journal.append(line.encode())
    print("done", flush=True)
"""


class OtherProcess:
    """A process that appends the lines it is given to the store."""

    def __init__(self, root: Path) -> None:
        code = textwrap.dedent(OTHER_PROCESS).format(path=sys.path, root=str(root))
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def _answer(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline()

    def append(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.decode() + "\n")
        self._process.stdin.flush()
        self._answer()

    def __enter__(self) -> OtherProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".mlotel"


def written(number: int, content: str, **attributes: object) -> tuple[bytes, tuple[int, int]]:
    """A line with a write span, and the ids that a lookup of it answers."""
    span = RunLines(number, start_s=number).write("x", digest(content), **attributes)
    return span_line(span), (int(span["traceId"], 16), int(span["spanId"], 16))


def test_what_this_process_wrote(root: Path) -> None:
    """A digest that this process wrote is found without any store; the latest writer counts."""
    lookup = ProducerLookup(root)
    lookup.remember(digest("a"), 1, 2)
    lookup.remember(digest("a"), 3, 4)

    assert lookup.find(digest("a")) == (3, 4)
    assert not root.exists()


def test_the_oldest_are_forgotten_first(root: Path) -> None:
    """Only so many digests are remembered; writing one again makes it the latest."""
    lookup = ProducerLookup(root, limit=2)
    for number, content in enumerate("abac"):
        lookup.remember(digest(content), number, number)

    assert [lookup.find(digest(content)) for content in "abc"] == [(2, 2), None, (3, 3)]


@pytest.mark.parametrize("place", [None, "missing", "file", "file/below"])
def test_a_store_that_cannot_be_read_finds_nothing(tmp_path: Path, place: str | None) -> None:
    """No store, or none that could be one: the answer is None, never an exception."""
    (tmp_path / "file").write_text("")
    lookup = ProducerLookup(None if place is None else tmp_path / place)

    assert [lookup.find(digest("a")) for _ in range(2)] == [None, None]


def test_what_another_process_wrote(root: Path) -> None:
    """Each line of another process is found by the next question after it, by one and the same lookup."""
    lookup = ProducerLookup(root)
    assert lookup.find(digest("a")) is None
    with OtherProcess(root) as other:
        for number, content in enumerate("abcdef", 1):
            line, ids = written(number, content)
            assert lookup.find(digest(content)) is None
            other.append(line)
            assert lookup.find(digest(content)) == ids
            assert lookup.find(digest("9")) is None


def test_the_latest_writer_replaces_an_earlier_answer(root: Path) -> None:
    """An answer that was given before does not stand in the way of a later writer."""
    lookup = ProducerLookup(root)
    with OtherProcess(root) as one, OtherProcess(root) as two:
        first, first_ids = written(1, "a")
        second, second_ids = written(2, "a")
        one.append(first)
        answers = [lookup.find(digest("a"))]
        two.append(second)
        answers.append(lookup.find(digest("a")))

    assert answers == [first_ids, second_ids]


def test_a_process_that_has_ended(root: Path) -> None:
    """What a process wrote last, just before it ended, is found."""
    lookup = ProducerLookup(root)
    line, ids = written(1, "a")
    last, last_ids = written(2, "b")
    with OtherProcess(root) as other:
        other.append(line)
        assert lookup.find(digest("a")) == ids
        other.append(last)

    assert lookup.find(digest("b")) == last_ids


def test_more_writers_than_are_looked_at_each_time(root: Path) -> None:
    """With very many writers a question may skip the look at their files, but not for long."""
    lookup = ProducerLookup(root)
    segments = root / "segments"
    Journal(root).append(b"\n")
    (segment,) = segments.iterdir()
    foreign = [segments / f"{segment.name[:11]}{n:08x}-1-00.jsonl" for n in range(40)]
    for path in foreign:
        path.write_bytes(b"")
    assert lookup.find(digest("a")) is None
    line, ids = written(1, "a")
    foreign[7].write_bytes(line + b"\n")

    for _ in range(10**6):
        if lookup.find(digest("a")) == ids:
            return
    pytest.fail("the new line was never seen")


def test_a_large_store_that_nobody_has_indexed_is_taken_in_bites(root: Path) -> None:
    """A question reads only so much; the newest first, and the rest with the next questions."""
    journal = Journal(root, segment_bytes=1, clock=iter(range(10**9, 2 * 10**9, 86_400)).__next__)
    ids = {}
    for number, content in enumerate("abcdef", 1):
        line, ids[content] = written(number, content)
        journal.append(line + b"\n")
    lookup = ProducerLookup(root, bite=1)

    assert lookup.find(digest("f")) == ids["f"]
    assert lookup.find(digest("a")) is None
    found = [lookup.find(digest(content)) for content in "aaaabcdef"]
    assert found[3:] == [ids[content] for content in "abcdef"]


def test_little_of_the_index_is_kept_in_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has other work to do: SQLite may keep 8 MiB of pages, not the 64 of the command line."""
    opened: list[Index] = []

    def open_index(*arguments: Any, **more: Any) -> Index:
        opened.append(Index(*arguments, **more))
        return opened[-1]

    monkeypatch.setattr("mlotel.store.files.Index", open_index)
    lookup = ProducerLookup(root)
    with OtherProcess(root) as other:
        other.append(span_line(RunLines(1).write("model", digest("a"))))
        assert lookup.find(digest("a")) is not None

    assert [index.rows("PRAGMA cache_size") for index in opened] == [[(-8 * 1024,)]]
    lookup.close()


def test_a_locked_index_is_left_alone_for_a_while(root: Path) -> None:
    """While another process holds the index, a question waits once, and the next ones not at all."""
    with OtherProcess(root) as other:
        other.append(written(1, "a")[0])
    with FileStore(root) as store:
        store.refresh()
    blocker = sqlite3.connect(root / "index.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    lookup = ProducerLookup(root, timeout_s=0.05)
    try:
        assert lookup.find(digest("a")) is None
    finally:
        blocker.close()

    assert lookup.find(digest("a")) is None


def test_empty_content_makes_no_edge(root: Path) -> None:
    """All empty tables have the same digest: it names no producer."""
    with OtherProcess(root) as other:
        other.append(written(1, "a", **{A.MLOTEL_ARTIFACT_ROWS: 0})[0])

    assert ProducerLookup(root).find(digest("a")) is None


def test_a_forked_child_asks_for_itself(root: Path) -> None:
    """After a fork the child finds what was known before and what comes after; the parent's lookup goes on."""
    lookup = ProducerLookup(root)
    before, before_ids = written(1, "a")
    after, after_ids = written(2, "b")
    lookup.remember(digest("c"), 1, 2)
    with OtherProcess(root) as other:
        other.append(before)
        assert lookup.find(digest("a")) == before_ids
        with lookup._lock:  # as another thread would hold it
            child = os.fork()
            if child == 0:
                other.append(after)
                found = [lookup.find(digest(content)) for content in "abc"]
                os._exit(0 if found == [before_ids, after_ids, (1, 2)] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        assert lookup.find(digest("b")) == after_ids


def test_threads_may_ask_at_once(root: Path) -> None:
    """Threads share a lookup: each gets the right answer."""
    lines = [written(number, content) for number, content in enumerate("abcdef", 1)]
    with OtherProcess(root) as other:
        for line, _ in lines:
            other.append(line)
    lookup = ProducerLookup(root)
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(50):
            for content, (_, ids) in zip("abcdef", lines, strict=True):
                found = lookup.find(digest(content))
                if found != ids:
                    wrong.append(found)
            lookup.remember(digest("0"), 1, 2)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_store_that_is_removed_and_comes_back(root: Path) -> None:
    """A lookup follows its store: gone, nothing is found; made anew, its new content is."""
    lookup = ProducerLookup(root)
    line, ids = written(1, "a")
    with OtherProcess(root) as other:
        other.append(line)
    assert lookup.find(digest("a")) == ids
    moved = root.rename(root.with_name("moved"))
    assert lookup.find(digest("a")) is None
    moved.rename(root)

    assert lookup.find(digest("a")) == ids


def test_a_closed_lookup_opens_again(root: Path) -> None:
    """After close, a question opens the index again."""
    line, ids = written(1, "a")
    with OtherProcess(root) as other:
        other.append(line)
    lookup = ProducerLookup(root)
    lookup.find(digest("a"))
    lookup.close()

    assert lookup.find(digest("a")) == ids
    lookup.close()


def test_it_agrees_with_the_store(root: Path) -> None:
    """A lookup and a reader of the same store name the same producer, for each digest."""
    with OtherProcess(root) as other:
        for number, content in enumerate("abcabca", 1):
            other.append(written(number, content)[0])
    lookup = ProducerLookup(root)

    with FileStore(root) as store:
        for content in "abcd":
            link = store.writer_of(digest(content))
            expected = None if link is None else (int(link.trace_id, 16), int(link.span_id, 16))
            assert lookup.find(digest(content)) == expected
    lookup.close()


def made(lines: RunLines, after_s: float | None, *digests: str, pipeline: str | None = None) -> Made:
    """What is known of a run that ended ok so long after it began, or has not ended."""
    ended = None if after_s is None else lines.start_ns + round(after_s * SECOND)
    return Made(lines.component, pipeline, lines.run_id, lines.start_ns, ended, frozenset(digests))


def test_the_run_behind_a_span_of_another_process(root: Path) -> None:
    """The run and the time of a write, of the run's own span its start; nothing of a span that nobody knows."""
    run = RunLines(1, "make", **{A.CICD_PIPELINE_NAME: "p"})
    write = run.write("x", digest("a"), after_s=0.5)
    lookup = ProducerLookup(root)
    with OtherProcess(root) as other:
        other.append(span_line(write))
        other.append(run.end("ok", 2.0))
    trace_id, span_id = int(run.trace_id, 16), int(write["spanId"], 16)
    known = made(run, 2.0, digest("a"), pipeline="p")

    assert lookup.origin(trace_id, span_id) == (known, run.start_ns + SECOND // 2)
    assert lookup.origin(trace_id, int(run.span_id, 16)) == (known, run.start_ns)
    assert lookup.origin(trace_id, 7) is None
    assert lookup.origin(7, span_id) is None


def test_later_runs_of_this_process_and_of_others(root: Path) -> None:
    """Those that ended ok and began between the times, latest first, as soon as the writer had to be looked for."""
    runs = [RunLines(number, "make", start_s=10.0 * number) for number in range(6)]
    lookup = ProducerLookup(root)
    lookup.ended(made(runs[4], 1.0))
    with OtherProcess(root) as other:
        for run, state in zip(runs[:4], ("ok", "ok", "failed", "ok"), strict=True):
            other.append(span_line(run.write("x", digest("a"))))
            other.append(run.end(state))
        other.append(runs[5].start())
    first = made(runs[0], 1.0, digest("a"))
    before, after = runs[0].start_ns, runs[5].start_ns

    assert list(lookup.later(first, before, after)) == [made(runs[4], 1.0)]
    assert lookup.find(digest("a")) is not None
    assert list(lookup.later(first, before, after)) == [
        made(runs[4], 1.0),
        made(runs[3], 1.0, digest("a")),
        made(runs[1], 1.0, digest("a")),
    ]
    assert list(lookup.later(first, before, runs[4].start_ns)) == [
        made(runs[3], 1.0, digest("a")),
        made(runs[1], 1.0, digest("a")),
    ]


def test_what_this_process_wrote_is_known_without_a_store(root: Path) -> None:
    """The run behind a write is remembered, the oldest is forgotten first, and no store is opened for it."""
    runs = [RunLines(number) for number in range(3)]
    lookup = ProducerLookup(root, limit=2)
    for number, run in enumerate(runs):
        lookup.wrote(number, made(run, None), number)

    assert lookup.origin(1, 2) == (made(runs[2], None), 2)
    assert lookup.origin(1, 0) is None
    assert list(lookup.later(made(runs[0], None), 0, 2**62)) == []
    assert not root.exists()
    assert [ProducerLookup(None).origin(1, 2), ProducerLookup(tmp_file(root)).origin(1, 2)] == [None, None]


def tmp_file(root: Path) -> Path:
    """A file where a store should be."""
    path = root.with_name("file")
    path.write_text("")
    return path


def test_a_forked_child_knows_the_runs_of_its_parent(root: Path) -> None:
    """What was written before the fork, and what another process wrote after it."""
    mine, theirs = RunLines(1, "make"), RunLines(2, "make")
    write = theirs.write("x", digest("a"))
    lookup = ProducerLookup(root)
    lookup.wrote(7, made(mine, None), 5)
    with OtherProcess(root) as other:
        other.append(span_line(write))
        with lookup._lock:
            child = os.fork()
            if child == 0:
                other.append(theirs.end())
                found = lookup.origin(int(theirs.trace_id, 16), int(write["spanId"], 16))
                right = found is not None and found[0].run_id == theirs.run_id
                os._exit(0 if right and lookup.origin(1, 7) == (made(mine, None), 5) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_descriptors_that_somebody_else_closes(root: Path, tmp_path: Path) -> None:
    """After somebody closed every file of the process, a lookup goes on and leaves alone what was opened since."""
    code = """
    import os, sys
    from pathlib import Path
    sys.path[:0] = {path!r}
    from otlp_lines import SECOND, RunLines, digest, span_line
    from mlotel.store.journal import Journal
    from mlotel.store.producers import ProducerLookup

    def elsewhere(number, content):
        if os.fork() == 0:
            Journal(Path({root!r})).append(span_line(RunLines(number).write("x", digest(content))) + b"\\n")
            os._exit(0)
        os.wait()

    lookup = ProducerLookup(Path({root!r}))
    elsewhere(1, "a")
    assert lookup.find(digest("a"))
    os.closerange(3, 256)
    files = [open(f"{folder!s}/mine-{{n}}", "w") for n in range(30)]
    elsewhere(2, "b")
    assert lookup.find(digest("a"))
    assert lookup.find(digest("b"))
    lookup.close()
    for file in files:
        file.write("mine")
        file.close()
    """
    program = textwrap.dedent(code).format(path=sys.path, root=str(root), folder=tmp_path)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert [path.read_text() for path in tmp_path.glob("mine-*")] == ["mine"] * 30
