"""What is asked about runs: whether they succeed, how long they take, how long it takes to recover."""

from __future__ import annotations

from mlotel.grafana._promql import BY_RUN, CALLS, COMPONENT, DURATIONS, PIPELINE, STATE, Series, any_of, quantile
from mlotel.semconv import metrics as M

__all__ = ["FAILED", "OK", "burn", "failing", "recovery", "slowest", "success"]

OK, FAILED = f'{STATE}="ok"', f'{STATE}="failed"'
_DONE = f'{STATE}=~"ok|failed"'

_RESOLUTION = 30
"""Seconds between two looks at whether a component was failing, where the time that it took to recover is added up."""


def success(at: Series, window: str, by: str = "") -> str:
    """Return the share of runs that succeeded, of those that ended by themselves."""
    who = f"sum by {by}" if by else "sum"
    # the sum that is there when nothing succeeded keeps the labels
    ok = f"({who} (increase({at(CALLS, OK)}[{window}])) or 0 * {who} (increase({at(CALLS, _DONE)}[{window}])))"
    return f"{ok}\n/ ({who} (increase({at(CALLS, _DONE)}[{window}])) > 0)"


def failing(at: Series) -> str:
    """Return 1 for each component that has not succeeded since its latest failure, 0 for one that has."""
    failed = f"max by {BY_RUN} ({at(M.MLOTEL_RUN_LAST_FAILURE_TIME)})"
    succeeded = f"max by {BY_RUN} ({at(M.MLOTEL_RUN_LAST_SUCCESS_TIME)})"
    return f"({failed} > bool {succeeded} or {failed} ^ 0)"


def recovery(at: Series, window: str) -> str:
    """Return the mean time, in seconds, from a first failure to the next success.

    It is the time that a component was failing, over how many times it began to: (changes to and fro) / 2, upwards,
    and at least one.
    """
    over = f"{failing(at)}[{window}:{_RESOLUTION}s]"
    return f"{_RESOLUTION} * sum_over_time({over})\n/ clamp_min(ceil(changes({over}) / 2), 1)"


def slowest(at: Series, window: str) -> str:
    """Return the 95th percentile of the durations of each component's runs, in seconds."""
    return quantile(0.95, at.part(DURATIONS, "bucket"), window, f"{PIPELINE}, {COMPONENT}")


def burn(at: Series, window: str) -> str:
    """Return how many times faster than the objective allows runs fail, as the rules record it."""
    name = f"run:errors_ratio_rate{window}"
    return f"{at.recorded(name, any_of(COMPONENT, 'component'))}\n/ (1 - $objective)"
