"""Filling an index by several processes: each reads some of the files into an index of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.json import decode, encode

from mlotel.store.filling import Unread, fill
from mlotel.store.index import SMALL_CACHE, Index
from mlotel.store.merging import join_runs, take_over
from mlotel.store.segments import Segments

__all__ = ["fill_by_processes", "is_worth_it", "read_part"]

# A process starts in a tenth of a second, in which four megabytes are read; it has to be worth its memory as well.
_LEAST_BYTES = 32 * 2**20
# What one of them does alone (taking over what the others read, making the indices) is a quarter of the work.
_MOST = 4
_PROGRAM = "import sys; sys.path[:] = {path!a}; from mlotel.store.parts import read_part; read_part()"


class _Part(Struct):
    """What a process is asked to read, and the index to read it into."""

    root: str
    index: str
    unread: Sequence[Unread]


def is_worth_it(unread: Sequence[Unread], processes: int) -> bool:
    """Whether so many processes would read what is unread sooner than one."""
    return len(_divided(unread, processes)) > 1


def fill_by_processes(index: Index, root: Path, segments: Segments, unread: Sequence[Unread], processes: int) -> None:
    """Read what is unread into an empty `index`, within the caller's transaction; the caller makes its indices then.

    What another process cannot read (there is no room for its index, or it was killed) is read by this one.

    Args:
        index: holds no runs.
        root: where the store is; `segments` are its files.
        segments: the files.
        unread: what to read of them.
        processes: how many may read at once, this one among them.
    """
    own, *others = _divided(unread, processes)
    with ExitStack() as running:
        parts: list[tuple[Sequence[Unread], Path, subprocess.Popen[bytes]]] = []
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="mlotel-"))
            index.after_transaction(partial(shutil.rmtree, folder, ignore_errors=True))
            for number, files in enumerate(others):
                path = folder / f"{number}.sqlite"
                parts.append((files, path, running.enter_context(_reading(_Part(str(root), str(path), files)))))
        fill(index, segments, own)
        left = [file for files in others[len(parts) :] for file in files]
        for files, path, process in parts:
            if process.wait() == 0:
                take_over(index, path)
            else:
                left += files
    join_runs(index)
    index.add_indices()
    fill(index, segments, left)


def read_part() -> None:
    """What another process does: it reads what the first line of its input asks for, and ends when that ends."""
    part = decode(sys.stdin.buffer.readline(), type=_Part)
    threading.Thread(target=_end_with_input, args=(Path(part.index),), daemon=True).start()
    index = Index(Path(part.index), cache_bytes=SMALL_CACHE, temporary=True)
    with index.transaction():
        fill(index, Segments(Path(part.root)), part.unread)
    index.close()


def _end_with_input(path: Path) -> None:
    os.read(sys.stdin.fileno(), 1)  # not by the buffer, whose lock this thread would hold when Python ends
    shutil.rmtree(path.parent, ignore_errors=True)  # whoever asked was killed
    os._exit(1)


def _divided(unread: Sequence[Unread], processes: int) -> Sequence[Sequence[Unread]]:
    """Files that follow each other, about as much to read in each part; in one part where more are not worth it."""
    total = sum(file.size - file.offset for file in unread)
    count = max(1, min(processes, _MOST, total // _LEAST_BYTES))
    parts: list[list[Unread]] = [[] for _ in range(count)]
    passed = 0
    for file in unread:
        size = file.size - file.offset
        parts[(2 * passed + size) * count // (2 * total + 1)].append(file)  # where the middle of the file falls
        passed += size
    return [part for part in parts if part]


@contextmanager
def _reading(part: _Part) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads a part, which ends with the ``with`` block. Raises OSError where there can be none."""
    # Isolated: neither the working directory nor the environment says which modules are loaded. In a group of its own:
    # what ends this process from a terminal is no business of one that has to clean up then.
    command = [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, process_group=0) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(encode(part) + b"\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()
