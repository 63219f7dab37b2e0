"""The later runs of a component: all of them, in order, with few questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlotel.freshness import Made, Read, judge
from mlotel.inspection._reruns import Reruns
from mlotel.model import Run
from mlotel.store.conditions import Condition


class Listed:
    """A store over a list of starts; it counts its questions and what it handed out."""

    def __init__(self, starts: Sequence[int], failed: Sequence[bool] = ()) -> None:
        states = ["failed" if each else "ok" for each in failed] + ["ok"] * (len(starts) - len(failed))
        self.made = [
            Run(f"{n:032x}", "make", state, start, f"{n:032x}", f"{n:016x}", end_ns=start + 1)
            for n, (start, state) in enumerate(zip(starts, states, strict=True))
        ]
        self.questions = self.runs_read = 0

    def runs(
        self,
        *,
        component: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        where: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> Sequence[Run]:
        found = [
            run
            for run in sorted(self.made, key=lambda run: (-run.start_ns, run.run_id))
            if component == run.component
            and (since_ns is None or run.start_ns >= since_ns)
            and (until_ns is None or run.start_ns <= until_ns)
            and all(each.matches(run) for each in where)
        ][:limit]
        self.questions += 1
        self.runs_read += len(found)
        return found


def reruns(store: Any) -> Reruns:
    return Reruns(store, "make")


@given(
    starts=st.lists(st.integers(0, 60), max_size=120),
    failed=st.lists(st.booleans(), max_size=120),
    ranges=st.lists(st.tuples(st.integers(-1, 61), st.integers(-1, 61)), min_size=1, max_size=5),
)
def test_any_time_of_any_runs(starts: list[int], failed: list[bool], ranges: list[tuple[int, int]]) -> None:
    """Those that a look at each run finds, latest first, also where many began at once, whatever was asked before."""
    store = Listed(starts, failed[: len(starts)])
    asked = reruns(store)
    for after, before in ranges:
        found = [each.start_ns for each in asked.between(after, before)]
        assert found == sorted(
            (run.start_ns for run in store.made if run.state == "ok" and after < run.start_ns < before), reverse=True
        )


def test_the_latest_run_is_had_with_one_question() -> None:
    """However many there are, and it is not asked again."""
    store = Listed(range(10_000))
    asked = reruns(store)
    for _ in range(10):
        assert next(asked.between(5_000, 10_000)).start_ns == 9_999

    assert store.questions == 1
    assert store.runs_read < 10


def test_what_lies_far_back_is_asked_for_alone() -> None:
    """The runs between then and now are not read."""
    store = Listed(range(10_000))
    found = next(reruns(store).between(100, 200)).start_ns

    assert found == 199
    assert store.runs_read < 100


def test_runs_that_make_the_same_again_for_ever_are_not_all_read() -> None:
    """A daily run whose content never changes makes nothing stale, and not each of its days is looked at."""
    read_back = 0

    def later(*_: object) -> Iterator[Made]:
        nonlocal read_back
        for day in range(50_000, 0, -1):
            read_back += 1
            yield Made("make", None, f"{day:032x}", day, day, {"blake3:aa"})

    producer = Made("make", None, "0" * 32, 0, 0, {"blake3:aa"})
    read = Read("calendar", "blake3:aa", "", "f" * 32, 1)

    assert judge(read, producer, 0, stale_after_ns=None, later=later, now_ns=60_000) == ()
    assert read_back < 5000
