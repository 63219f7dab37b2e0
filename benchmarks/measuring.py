"""What the benchmarks have in common: taking turns, the best of several rounds, and lines of a result."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Row", "best_ms", "interleaved", "print_rows", "show"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result: what was measured, the goal and what was reached, in words."""

    what: str
    goal: str
    reached: str
    met: bool


def print_rows(rows: Sequence[Row]) -> None:
    """Print a table of goals and results."""
    width = max(len(row.what) for row in rows)
    print(f"{'what':{width}}  {'goal':22}  {'reached':14}")
    for row in rows:
        print(f"{row.what:{width}}  {row.goal:22}  {row.reached:14}  {'met' if row.met else 'MISSED'}")


def show(what: str, value: str, target: str = "") -> None:
    """Print one line of a result at once."""
    print(f"{what:<62}{value:>18}  {target}", flush=True)


def interleaved(
    jobs: Mapping[str, Callable[[], object]], repeat: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return each job's median seconds; the jobs take turns, so that what slows the machine slows all."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeat):
        for name, job in jobs.items():
            start = clock()
            job()
            times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def best_ms(call: Callable[[], object], rounds: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the milliseconds that one call takes by a clock, the best of several."""
    times = []
    for _ in range(rounds):
        start = clock()
        call()
        times.append(clock() - start)
    return min(times) * 1e3
