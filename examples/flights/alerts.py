"""The alerts of the flights demo: rules from `mlotel rules`, loaded into the stack's Prometheus, and what they say."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

PATIENCE = 90  # seconds until the gauges of the last run have been scraped and judged
EXPECTED = ("ingest", "clean", "featurize", "train", "predict", "evaluate")


def judged(prometheus: str, load: Callable[[Path], None], rules: Path, since: float) -> list[dict[str, Any]]:
    """Load the rules and return the alert rules, evaluated on what the run that ended at `since` told, or later."""
    load(rules)
    heard = None  # when Prometheus had scraped that
    deadline = time.monotonic() + PATIENCE
    while True:
        groups = ask(prometheus, "rules?type=alert")["groups"]
        found = [rule for group in groups if Path(group["file"]).name == rules.name for rule in group["rules"]]
        if heard is None and total(prometheus, "max(mlotel_run_last_success_time_seconds)") >= since:
            heard = datetime.now(UTC)
        if (
            heard is not None
            and found
            and all(datetime.fromisoformat(rule["lastEvaluation"]) > heard for rule in found)
        ):
            return found
        if time.monotonic() > deadline:
            return found
        time.sleep(1)


def alerts(rules: list[dict[str, Any]]) -> Table:
    """Each alert: whether it fires, and for what; of the others what they watch."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("state", "alert", "what"):
        table.add_column(column.upper(), no_wrap=column != "what")
    for rule in sorted(rules, key=lambda rule: (not rule["alerts"], rule["name"])):
        for summary, state in sorted((alert["annotations"]["summary"], alert["state"]) for alert in rule["alerts"]):
            table.add_row(f"[red]{state}[/red]", rule["name"], summary)
    silent = sorted({rule["name"] for rule in rules} - {rule["name"] for rule in rules if rule["alerts"]})
    for name in silent:
        table.add_row("silent", name, "")
    return table


def reasons(prometheus: str) -> list[str]:
    """Why the others are rightly silent, in numbers that Prometheus holds."""
    stale = total(prometheus, "sum(mlotel_data_stale_total)")
    failed = total(prometheus, 'sum(mlotel_span_calls_total{mlotel_run_state="failed"})')
    runs = total(prometheus, "sum(mlotel_span_calls_total)")
    down = total(prometheus, 'count(up{job=~"mlotel|otelcol"} == 0)')
    dropped = total(prometheus, "sum(mlotel_telemetry_dropped_total)")
    return [
        f"{failed:g} of {runs:g} runs failed",
        f"{stale:g} inputs were stale",
        f"{down:g} targets are down",
        f"{dropped:g} items of telemetry were dropped",
    ]


def total(prometheus: str, query: str) -> float:
    """The value of a query that gives one, 0 where it gives none."""
    result = ask(prometheus, "query", query=query)["result"]
    return float(result[0]["value"][1]) if result else 0.0


def ask(prometheus: str, path: str, **parameters: str) -> dict[str, Any]:
    """What Prometheus's API answers."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}{query}", timeout=30) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
    return data
