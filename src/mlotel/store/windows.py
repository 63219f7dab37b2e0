"""Parts of a time range, the latest first, that are divided where there is too much in them."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

__all__ = ["Windows"]


class Windows:
    """Goes through the windows of a time range, the latest first; both ends of a window belong to it.

    Times are nanoseconds since the epoch.

    Args:
        since: where the range begins.
        until: where it ends.
        longest: how long a window may be; None for as long as the range.
        shortest: what is no longer than this is not divided.
    """

    def __init__(self, since: int, until: int, *, longest: int | None, shortest: int) -> None:
        self._until, self._shortest = until, shortest
        self._longest = None if longest is None else max(longest, shortest)
        self._left = [(since, until)] if since <= until else []
        self._current: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[tuple[int, int]]:
        while self._left:
            start, end = self._left.pop()
            if self._longest is not None and end - start > self._longest:
                self._left.append((start, end - self._longest))
                start = end - self._longest
            self._current = (start, end)
            yield start, end

    def part(self) -> bool:
        """Go through the current window once more in two parts; False where it is too short for that."""
        if self._current is None:
            return False
        start, end = self._current
        if end - start <= self._shortest:
            return False
        middle = self._middle(start, end)
        self._left += [(start, middle), (middle, end)]
        return True

    def stop(self) -> None:
        """Leave the windows that are left."""
        self._left.clear()

    def _middle(self, start: int, end: int) -> int:
        """Where to part: there is much lately, so parts are the shorter, the nearer they are to the range's end."""
        farthest, nearest = self._until - start, max(self._until - end, self._shortest)
        middle = self._until - round(sqrt(farthest) * sqrt(nearest))
        return middle if start < middle < end else (start + end) // 2
