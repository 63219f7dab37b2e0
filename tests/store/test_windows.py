"""Windows: the parts of a time range, the latest first."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mlotel.store.windows import Windows

DAY = 24 * 3600 * 10**9


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.none() | st.integers(1, 10**6),
    st.integers(1, 1000),
    st.lists(st.booleans(), max_size=60),
)
def test_windows_cover_the_range_from_its_end(
    since: int, length: int, longest: int | None, shortest: int, parted: list[bool]
) -> None:
    """However often they are parted, those that are not meet end to end, from the range's end to its beginning."""
    windows = Windows(since, since + length, longest=longest, shortest=shortest)
    done = []
    for start, end in windows:
        assert longest is None or end - start <= max(longest, shortest)
        if not (parted and parted.pop() and windows.part()):
            done.append((start, end))

    assert done[0][1] == since + length
    assert done[-1][0] == since
    assert all(later[0] == earlier[1] for later, earlier in pairwise(done))
    assert all(start <= end for start, end in done)


def test_a_window_of_the_shortest_length_is_not_parted() -> None:
    """Where there is nothing to part, it is said."""
    windows = Windows(0, 10, longest=None, shortest=10)

    assert [windows.part() for _ in windows] == [False]


def test_parts_are_shorter_towards_the_end() -> None:
    """There is much lately: a month is down to a minute in a few steps."""
    windows = Windows(0, 30 * DAY, longest=None, shortest=10**9)
    steps = 0
    for start, end in windows:
        steps += 1
        if end - start < 60 * 10**9:
            break
        windows.part()

    assert steps <= 6


def test_nothing_lies_in_a_range_that_ends_before_it_begins() -> None:
    """Such a range has no windows."""
    assert list(Windows(5, 4, longest=None, shortest=1)) == []


def test_stopping_leaves_the_rest() -> None:
    """After `stop` no window follows."""
    windows = Windows(0, 100, longest=10, shortest=1)
    seen = []
    for window in windows:
        seen.append(window)
        windows.stop()

    assert seen == [(90, 100)]
