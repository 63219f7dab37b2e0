"""Removing what is old from the embedded store, day by day, while others write and read.

A day (UTC) goes as a whole: its segments, and its files of keyed predictions. Nobody writes to the segments of a day
gone by, so no writer is waited for; today's and yesterday's stay in any case, as clocks may not agree. What a segment
tells of something that stays is kept in a smaller segment in its place:

* all of a run that has not ended, or that ended on a day that stays;
* flags, notes and labels of runs and artifacts that stay, and every retraction.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mlotel.errors import ConfigurationError, StoreError
from mlotel.store.files import INDEX, FileStore
from mlotel.store.journal import SEGMENTS, segment_name
from mlotel.store.predictions.tails import predictions_root, tails
from mlotel.store.rows import Place
from mlotel.store.segments import day_of_time, first_open_day, is_written, segment_writer

__all__ = ["Removed", "collect"]

_CHUNK_BYTES = 128 * 2**20
"""What is removed at once, before others that share the index have their turn."""
_INSTEAD, _UNSEEN = ".instead.", ".kept"
"""What is to take a segment's place is called by the segment's name, then by what it will be called, then ``.kept``."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed from a store, or would be. Sizes are in bytes.

    `days` are the days that went, as ``YYYY-MM-DD``. `runs` counts the runs, `segments` and `predictions` the files.
    `size` is what the store has left, index and predictions included and the spool not.
    """

    days: tuple[str, ...]
    runs: int
    segments: int
    predictions: int
    removed_bytes: int
    size: int


@dataclass(frozen=True, slots=True)
class _Day:
    """What is kept of one day: files and their sizes in bytes."""

    segments: dict[str, int]
    predictions: dict[Path, int]

    @property
    def size(self) -> int:
        return sum(self.segments.values()) + sum(self.predictions.values())

    def without(self, kept: Mapping[str, Collection[Place]]) -> _Day:
        """What goes of it: of segments, what is not kept."""
        left = {name: size - _length(kept.get(name, ())) for name, size in self.segments.items()}
        return _Day({name: size for name, size in left.items() if size > 0}, self.predictions)


def collect(
    root: Path | str,
    *,
    keep: timedelta | None = None,
    max_bytes: int | None = None,
    dry_run: bool = False,
    clock: Callable[[], int] = time.time_ns,
) -> Removed:
    """Remove days from the embedded store at `root`, the oldest first. Others may write to it and read it meanwhile.

    Args:
        root: the store's folder.
        keep: days that ended longer ago than this go.
        max_bytes: days go until the store is no larger than this; today and yesterday stay, so it may remain larger.
        dry_run: remove nothing, and tell what would go.
        clock: nanoseconds since the epoch.

    Raises:
        ConfigurationError: no limit was given, or none that can be used.
        StoreNotFoundError: there is nothing at `root`.
        StoreError: it is no embedded store, its index stays locked, or files cannot be removed.
    """
    _check(keep, max_bytes)
    now_ns = clock()
    with FileStore(root, clock=clock) as store:
        if store.journal_root is None:
            raise StoreError(f"the files at {store.root} are somebody else's: who writes them has to remove them")
        folder = store.root / SEGMENTS
        try:
            if not dry_run:
                _finish(folder)
            store.refresh()
            days, before = _days(store.root), _size_of_all(store.root)
            going = _going(days, before, now_ns, keep, max_bytes)
            kept: Mapping[str, Collection[Place]] = {}
            runs = 0
            if going:
                staying = store.staying([name for day in going for name in days[day].segments], going[-1])
                kept, runs = staying.places, staying.runs_gone
            gone = {day: rest for day in going if (rest := days[day].without(kept)).size}
            segments = {name: size for day in gone.values() for name, size in day.segments.items()}
            predictions = {path: size for day in gone.values() for path, size in day.predictions.items()}
            removed = sum(day.size for day in gone.values())
            if not dry_run:
                for chunk in _chunks(segments):
                    _exchange(store, folder, {name: kept.get(name, ()) for name in chunk})
                _remove(predictions)
                store.shrink_index()
        except OSError as error:
            raise StoreError(f"the store {store.root} cannot be made smaller: {error}") from error
    left = before - removed if dry_run else _size_of_all(store.root)
    return Removed(tuple(gone), runs, len(segments), len(predictions), removed, left)


def _check(keep: timedelta | None, max_bytes: int | None) -> None:
    if keep is None and max_bytes is None:
        raise ConfigurationError("nothing says what may go: give how long to keep runs, or how large the store may be")
    if keep is not None and keep <= timedelta(0):
        raise ConfigurationError(f"runs must be kept for longer than {keep}: write 90d for 90 days")
    if max_bytes is not None and max_bytes < 0:
        raise ConfigurationError(f"no store is smaller than nothing: {max_bytes} bytes")


def _days(root: Path) -> dict[str, _Day]:
    """What there is of each day. Files that are no segments of ours are left out."""
    found: defaultdict[str, _Day] = defaultdict(lambda: _Day({}, {}))
    for name in os.listdir(root / SEGMENTS) if (root / SEGMENTS).is_dir() else ():
        writer = segment_writer(name)
        if writer is not None:
            found[writer[0]].segments[name] = _size(root / SEGMENTS / name)
    predictions = predictions_root(root)
    if predictions.is_dir():
        from mlotel.store.predictions.parts import parts  # Arrow is loaded where there are such files

        for path in tails(predictions):
            writer = segment_writer(path.name)
            if writer is not None:
                found[writer[0]].predictions[path] = _size(path)
        for part in parts(predictions):
            found[part.day].predictions[part.path] = _size(part.path)
    return found


def _going(
    days: Mapping[str, _Day], size: int, now_ns: int, keep: timedelta | None, max_bytes: int | None
) -> Sequence[str]:
    """The days that go, in their order."""
    kept_from = "" if keep is None else day_of_time(now_ns - keep // timedelta(microseconds=1) * 1000)
    lines = sum(sum(day.segments.values()) for day in days.values())
    indexed = 1 + (size - sum(day.size for day in days.values())) / max(lines, 1)
    going = []
    left = float(size)
    for day in sorted(days):
        if day >= first_open_day(now_ns) or (day >= kept_from and (max_bytes is None or left <= max_bytes)):
            break
        going.append(day)
        left -= sum(days[day].segments.values()) * indexed + sum(days[day].predictions.values())
    return going


def _chunks(segments: Mapping[str, int]) -> Iterator[Sequence[str]]:
    chunk: list[str] = []
    size = 0
    for name in sorted(segments):
        chunk.append(name)
        size += segments[name]
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _exchange(store: FileStore, folder: Path, kept: Mapping[str, Collection[Place]]) -> None:
    """Remove segments, and put what is kept of them in the place of each. Raises OSError."""
    going = {}
    for name, places in kept.items():
        with contextlib.suppress(FileNotFoundError):  # somebody else removed it
            going[name] = _write(folder, name, places) if places else None
    if any(going.values()):
        _sync(folder)
    with store.exchanging():
        for name, path in going.items():
            try:
                (folder / name).unlink()
            except FileNotFoundError:
                if path is not None:
                    path.unlink()
            else:
                if path is not None:
                    path.rename(folder / _final_name(path))


def _write(folder: Path, name: str, places: Collection[Place]) -> Path:
    """Write the lines that are kept of a segment into a file that readers do not see yet."""
    path = folder / f"{name}{_INSTEAD}{segment_name(name[:10])}{_UNSEEN}"
    try:
        with open(folder / name, "rb") as segment, open(path, "xb", opener=_private) as file:
            for place in sorted(places):
                segment.seek(place.offset)
                file.write(segment.read(place.length) + b"\n")
            file.flush()
            written = os.fstat(segment.fileno()).st_mtime_ns  # by which a run of another host is told to be lost
            os.utime(path, ns=(written, written))
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _finish(folder: Path) -> None:
    """Put in its place what a process that died had written to take the place of a segment, if that is gone."""
    for path in folder.glob(f"*{_UNSEEN}"):
        name, _, remover = path.name.removesuffix(_UNSEEN).partition(_INSTEAD)
        if is_written(remover, elsewhere=True):
            continue  # by somebody who is removing segments as well
        if (folder / name).exists():
            path.unlink(missing_ok=True)
        else:
            path.rename(folder / _final_name(path))


def _final_name(path: Path) -> str:
    """Return a name for what is kept, which still says whose lines these are."""
    name, _, remover = path.name.removesuffix(_UNSEEN).partition(_INSTEAD)
    return f"{name.rpartition('-')[0]}-{remover.rpartition('-')[2]}"


def _remove(files: Iterable[Path]) -> None:
    """Remove files, and the folders that are empty without them."""
    for path in files:
        path.unlink(missing_ok=True)
    for folder in {path.parent for path in files if path.parent.name != SEGMENTS}:
        with contextlib.suppress(OSError):  # not empty: a part that was merged this moment
            folder.rmdir()
            folder.parent.rmdir()


def _length(places: Iterable[Place]) -> int:
    return sum(place.length + 1 for place in places)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone this moment
        return 0


def _size_of_index(root: Path) -> int:
    return sum(_size(path) for path in root.glob(f"{INDEX}*"))


def _size_of_all(root: Path) -> int:
    return _size_of_index(root) + sum(day.size for day in _days(root).values())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
