"""The files that lines stand in: which there are, what is new in them, and one line read back."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlotel.store.journal import SEGMENTS, host_key
from mlotel.store.lines import LONGEST_LINE, Block, blocks
from mlotel.store.liveness import HEARTBEATS_MISSED_NS, is_alive
from mlotel.store.rows import Place

__all__ = ["Segments", "Sizes", "day_of_time", "first_open_day", "is_heard", "is_written", "segment_writer"]

# Inode and size of files, by name.
Sizes = dict[str, tuple[int, int]]

_SUFFIXES = (".jsonl", ".json")
_BUFFER = 2**18
_FILES_OPEN = 32
# What a run read and wrote follows each other in a file: it is read by one call of the system.
_AHEAD = 2**15
_DAY_S = 86_400
_SEGMENT_NAME = re.compile(r"(\d{4}-\d\d-\d\d)-([0-9a-f]{8})-(\d+)-[0-9a-f]+\.jsonl")


def _seek_and_read(fd: int, length: int, offset: int) -> bytes:
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, length)


# One call of the system instead of two, where there is one.
_PREAD = getattr(os, "pread", _seek_and_read)


def segment_writer(name: str) -> tuple[str, str, int] | None:
    """Day, host key and process id in the name of a segment, None where it is another file's."""
    match = _SEGMENT_NAME.fullmatch(name)
    return None if match is None else (match[1], match[2], int(match[3]))


def first_open_day(now_ns: int) -> str:
    """The earliest day (as names of segments begin) whose segments may still be written.

    A segment is written on its own day alone; the day before is for clocks that do not agree.
    """
    return day_of_time(now_ns - _DAY_S * 10**9)


def day_of_time(time_ns: int) -> str:
    """Return the day (UTC) of a time in nanoseconds since the epoch, as names of segments begin."""
    return time.strftime("%Y-%m-%d", time.gmtime(time_ns // 10**9))


def is_written(name: str, *, elsewhere: bool) -> bool:
    """Whether the process that a file is named after, as segments are, is there to write to it.

    Args:
        name: the file's name.
        elsewhere: what to take for the answer where no process of this host is named: others cannot be seen.
    """
    writer = segment_writer(name)
    return is_alive(writer[2]) if writer is not None and writer[1] == host_key() else elsewhere


def is_heard(path: Path, now_ns: int) -> bool:
    """Whether a file was appended to within three heartbeats, 90 s; True where it cannot be asked.

    Args:
        path: the file.
        now_ns: the present time, nanoseconds since the epoch.
    """
    try:
        return now_ns - os.stat(path).st_mtime_ns <= HEARTBEATS_MISSED_NS
    except OSError:
        return True


class Segments:
    """The segments of the embedded store at `root`, or the file or folder of OTLP/JSON lines that it is.

    `settled` tells whether it is known which: an empty folder may become either. `embedded` tells which it is.
    """

    def __init__(self, root: Path) -> None:
        self.settled = self.embedded = False
        self.folder = root
        self._root = root
        self._only: str | None = None
        self._files: dict[str, int] = {}
        self._by_number: dict[int, str] = {}
        self._heard: dict[tuple[str, int], int | None] = {}
        self._ahead = (-1, 0, b"")  # segment, first byte, what stands there
        self.settle()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close every file; they are opened again when they are needed."""
        for fd in self._files.values():
            with contextlib.suppress(OSError):
                os.close(fd)
        self.abandon()

    def abandon(self) -> None:
        """Forget the open files without closing them: their descriptors may be those of other files by now."""
        self._files.clear()
        self._ahead = (-1, 0, b"")

    def names(self) -> Iterable[str]:
        """The names of the files."""
        return _names(self.folder) if self._only is None else (self._only,)

    def settle(self) -> bool:
        """Find out what there is at the root, if it is not known yet; return whether it is known now."""
        if not self.settled:
            if self._root.is_file():
                self.folder, self._only = self._root.parent, self._root.name
            elif (self._root / SEGMENTS).is_dir():
                self.folder, self.embedded = self._root / SEGMENTS, True
            elif not any(_names(self._root)):
                return False
            self.settled = True
        return True

    def sizes(self, now_ns: int, seen: Sizes) -> Sizes:
        """Inode and size of each file by name, in the order of names, which for segments is the order of days.

        Args:
            now_ns: the present time, nanoseconds since the epoch.
            seen: the answer of last time; what it says of segments that are written no more is taken over.
        """
        open_day = first_open_day(now_ns) if self.embedded else ""
        folder = os.path.join(self.folder, "")  # joining paths takes longer than asking for a file's size
        sizes: Sizes = {}
        for name in sorted(self.names()):
            if name < open_day and name in seen:
                sizes[name] = seen[name]
                continue
            try:
                status = os.stat(folder + name)
            except OSError:  # removed this moment
                continue
            sizes[name] = (status.st_ino, status.st_size)
        return sizes

    def blocks(self, name: str, offset: int, least: int, *, inside: bool) -> Iterator[Block]:
        """What stands in a file from `offset` on: see `mlotel.store.lines.blocks`.

        Raises OSError where the file cannot be read.
        """
        with open(self.folder / name, "rb", buffering=_BUFFER) as file:
            file.seek(offset)
            yield from blocks(file, min(least, _BUFFER), inside=inside)

    def number(self, names: dict[int, str]) -> None:
        """Take over which number stands for which file in a Place."""
        self._by_number = names
        self._heard.clear()
        self.close()

    def heard_from(self, number: int) -> int | None:
        """When the process that wrote segment `number` last appended to any of its own, nanoseconds since the epoch.

        By the clock of the file system, whatever that process takes the time to be. None where names tell no writers.
        """
        writer = segment_writer(self._by_number.get(number, "")) if self.embedded else None
        if writer is None:
            return None
        key = writer[1:]
        if key not in self._heard:
            times = []
            for name in self.names():
                if f"-{key[0]}-{key[1]}-" in name:
                    with contextlib.suppress(OSError):
                        times.append(os.stat(self.folder / name).st_mtime_ns)
            self._heard[key] = max(times, default=None)
        return self._heard[key]

    def line(self, place: Place) -> bytes:
        """The line at a place. Raises OSError where its file is gone or shorter than that."""
        segment, begin, ahead = self._ahead
        if segment == place.segment and begin <= place.offset and place.offset + place.length <= begin + len(ahead):
            return ahead[place.offset - begin : place.offset - begin + place.length]
        name = self._by_number.get(place.segment)
        if name is None or place.length > LONGEST_LINE:  # no index of ours says so
            raise FileNotFoundError(place)
        fd = self._files.get(name)
        if fd is None:
            if len(self._files) >= _FILES_OPEN:
                self.close()
            # Kept open until `close`: opening costs more than reading one line.
            fd = self._files[name] = os.open(self.folder / name, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        ahead = _PREAD(fd, max(place.length, _AHEAD), place.offset)
        if len(ahead) < place.length:
            raise OSError(f"{name} is shorter than it was")
        self._ahead = place.segment, place.offset, ahead
        return ahead[: place.length]

    def is_torn(self, name: str, now_ns: int) -> bool:
        """Whether an unfinished last line of this file stays so, its writer being gone."""
        heard = is_heard(self.folder / name, now_ns)
        return not (is_written(name, elsewhere=heard) if self.embedded else heard)


def _names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIXES):
                    yield entry.name
    except OSError:
        return
