"""What Grafana makes of dashboards before it asks: panels, their queries, and what variables become in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "dashboards"
BUILT_IN = {"__all", "__range", "__rate_interval", "__url_time_range", "__value", "__field", "__data"}
VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)[.:}]")


@dataclass(frozen=True)
class Asked:
    """One query of a panel, with the dashboard's uid and the panel's title."""

    dashboard: str
    panel: str
    letter: str
    text: str
    kind: str
    exemplars: bool
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel} {self.letter}"


def load() -> dict[str, dict[str, Any]]:
    """Return the committed dashboards by uid."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that are no headings."""
    return [each for each in dashboard["panels"] if each["type"] != "row"]


def queries(kind: str) -> Iterator[Asked]:
    """Yield all queries of ``prometheus`` or of ``tempo``."""
    for uid, dashboard in load().items():
        for panel in panels(dashboard):
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == kind:
                    text = target["expr"] if kind == "prometheus" else target["query"]
                    yield Asked(
                        uid, panel["title"], target["refId"], text, panel["type"],
                        target.get("exemplar", False), target.get("instant", False),
                    )  # fmt: skip


def used(text: str) -> set[str]:
    """Return the names of the variables in a text."""
    return {a or b for a, b in VARIABLE.findall(text)}


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """Return a query with its variables filled in, those of Grafana itself among `values`; fail for others."""
    return VARIABLE.sub(lambda found: values[found[1]], re.sub(r"\$\{(\w+):regex\}", r"$\1", text))


def metrics(expression: str) -> set[str]:
    """Return the metrics that PromQL speaks of, by what is left without texts, labels, windows and functions."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", text)
    text = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right) ?\([^)]*\)", "", text)
    words = re.finditer(r"(?<![\w:$.])[a-zA-Z_:][\w:]*", text)
    names = {each[0] for each in words if not text[each.end() :].lstrip().startswith("(")}
    return names - {"and", "or", "unless", "bool"}
