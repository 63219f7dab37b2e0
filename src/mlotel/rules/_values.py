"""Rules as values, and what their users can choose."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlotel.drift.tolerance import ALPHA, DELTA
from mlotel.errors import ConfigurationError
from mlotel.semconv import metrics as M

__all__ = ["AlertRule", "Group", "Options", "RecordingRule", "Rule", "seconds"]

_DURATION = re.compile(r"(?:\d+y)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?(?:\d+ms)?")
_SECONDS = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 0.001}
_SPANS = (0.1, 1, 10, 60, 600, 3600)  # buckets of the collector's span metrics


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A series that Prometheus computes: the value of `expr` as `record`, with `labels` added."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alert for each series of `expr` that is there for the duration `hold`."""

    alert: str
    expr: str
    hold: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


Rule = RecordingRule | AlertRule


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, so that each sees those before it."""

    name: str
    rules: tuple[Rule, ...]
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen of the rules.

    Attributes:
        window: the rows that are judged together: those of the last hour, by default. Its rows should be as many as
            those of the windows that the reference's overdispersion was found with.
        hold: how long something has to be so before it alerts.
        delta: the PSI that is tolerated, δ.
        alpha: the level of all tests of a model in one window together.
        wasserstein: whether Wasserstein's distance is computed, which takes a line for each bin of each feature.
        prediction: the name that predictions have in references.
        objective: the share of runs, and of requests, that must end well and in time.
        run_seconds: how long a run may take: a bucket's boundary.
        request_seconds: how long a request may take: a bucket's boundary.
        runs: what runs are counted by: ``spans`` by the collector's span metrics, which add up runs of batch jobs;
            ``process`` by what each process itself counts, where there is no collector and processes last.
        expect: components that have to succeed again within a time (a Prometheus duration), by name.
        jobs: scrape jobs that must be up.
        runbooks: where docs/alerts.md is read.
        dashboards: where Grafana is.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    window: str = "1h"
    hold: str = "5m"
    delta: float = DELTA
    alpha: float = ALPHA
    wasserstein: bool = True
    prediction: str = "prediction"
    objective: float = 0.99
    run_seconds: float = 3600
    request_seconds: float = 0.5
    runs: Literal["spans", "process"] = "spans"
    expect: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[str, ...] = ("mlotel", "otelcol")
    runbooks: str = "docs/alerts.md"
    dashboards: str = "http://localhost:3000"

    def __post_init__(self) -> None:
        for what, said in (("window", self.window), ("hold", self.hold), *self.expect.items()):
            if seconds(said) == 0 and (what != "hold" or not said):
                raise ConfigurationError(f"{what}: {said!r} is no duration: write it as Prometheus does, 90m or 26h")
        if not 0 < self.alpha < 0.5 or not 0 <= self.delta < math.inf:
            raise ConfigurationError("alpha is a level between 0 and 0.5, delta a PSI of 0 or more")
        if not 0 < self.objective < 1:
            raise ConfigurationError(f"the objective is {self.objective}: give a share below 1, such as 0.99")
        runs = _SPANS if self.runs == "spans" else M.MLOTEL_RUN_DURATION.boundaries or ()
        requests = M.MLOTEL_PREDICTION_DURATION.boundaries or ()
        for what, value, known in (("run", self.run_seconds, runs), ("request", self.request_seconds, requests)):
            if value not in known:
                listed = ", ".join(f"{each:g}" for each in known)
                raise ConfigurationError(f"{value:g} s is no bucket of {what}s' durations: give one of {listed}")


def seconds(duration: str) -> float:
    """Return the seconds of a Prometheus duration, 0 if it is none.

    >>> seconds("1d2h"), seconds("soon")
    (93600, 0)
    """
    if not _DURATION.fullmatch(duration):
        return 0
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([a-z]+)", duration))
