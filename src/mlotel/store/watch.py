"""Noticing that lines were appended to the files of a folder, at the price of as few looks at files as can be."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from mlotel.store.journal import host_key
from mlotel.store.segments import first_open_day, segment_writer

__all__ = ["State", "Watch"]

# Size of each file by name, -1 where nothing is appended any more: equal as long as nothing happens.
State = dict[str, int]

_DONE = -1
# Directory times move in ticks of some milliseconds: a folder that changed this recently may change unseen.
_RACY_NS = 10**9
# Beyond this many files a look costs so much that it may be put off until it takes this share of the time.
_FREE_LOOKS, _SHARE = 16, 1 / 20


class Watch:
    """Looks at the files of `folder`. Segments whose writers are gone, or of days gone by, are not looked at again.

    Args:
        folder: the folder of the files.
        names: lists the names of the files that count.
        segments: whether they are segments, whose names say who writes them.
        others_only: leave out what this process itself writes.
        sparing: with very many writers, look less often.
        clock: nanoseconds since the epoch, of the same clock as the file system's times.
    """

    def __init__(
        self,
        folder: Path,
        names: Callable[[], Iterable[str]],
        *,
        segments: bool = True,
        others_only: bool = False,
        sparing: bool = False,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._folder = os.fspath(folder)
        self._names = names
        self._segments = segments
        self._others_only = others_only
        self._sparing = sparing
        self._clock = clock
        self._folder_time: int | None = None
        self._state: State = {}
        self._living: dict[str, str] = {}
        self._next_look = 0

    def look(self) -> State:
        """The state now; the same object as last time where nothing has changed. OSError where the folder is gone."""
        folder_time = os.stat(self._folder).st_mtime_ns
        if folder_time == self._folder_time:
            self._look_again()
            return self._state
        now = self._clock()
        state = self._list(now)
        if state != self._state:
            self._state = state
            self._living = {name: os.path.join(self._folder, name) for name, size in state.items() if size != _DONE}
        self._folder_time = folder_time if now - folder_time > _RACY_NS else None
        return self._state

    def _list(self, now: int) -> State:
        open_day = first_open_day(now) if self._segments else ""
        here, me = host_key(), os.getpid()
        state: State = {}
        for name in self._names():
            writer = segment_writer(name) if self._segments else None
            if writer is not None:
                ours = writer[1] == here
                if ours and writer[2] == me and self._others_only:
                    continue
                # Asked before the size is: what a writer appended before it went is part of that size.
                if name < open_day or (ours and not _exists(writer[2])):
                    state[name] = _DONE
                    continue
            state[name] = _size(os.path.join(self._folder, name))
        return state

    def _look_again(self) -> None:
        """Look at the files that may have grown, and note their sizes in a new state if they have."""
        sparing = self._sparing and len(self._living) > _FREE_LOOKS
        began = time.monotonic_ns() if sparing else 0
        if sparing and began < self._next_look:
            return
        state = self._state
        for name, path in self._living.items():
            size = _size(path)
            if size != state[name]:
                if state is self._state:
                    state = dict(state)
                state[name] = size
        self._state = state
        if sparing:
            ended = time.monotonic_ns()
            self._next_look = ended + round((ended - began) / _SHARE)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # removed this moment
        return _DONE


def _exists(pid: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process
        return True
    return True
