"""Dashboards as values: what is shown, and not how Grafana writes it down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlotel.errors import ConfigurationError

__all__ = [
    "ALL",
    "WIDTH",
    "Dashboard",
    "Kind",
    "Link",
    "Options",
    "Panel",
    "Query",
    "Row",
    "Threshold",
    "Variable",
]

WIDTH = 24
"""Columns of Grafana's grid."""

ALL = ".*"
"""What "All" of a variable stands for: series without the label are meant as well."""

Kind = Literal["timeseries", "bars", "stat", "table", "heatmap", "bargauge", "state-timeline", "text", "traces"]

_MATCHER = re.compile(r'[a-zA-Z_][a-zA-Z0-9_]*(?:=~|!~|!=|=)"(?:[^"\\\n]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen of the dashboards.

    Attributes:
        selectors: matchers such as ``cluster="eu"`` that every query of scraped series gets.
        recorded_selectors: the same for series that the rules of `mlotel rules` record, which keep few labels of
            those that they are made of.
        objective: the share of runs that should succeed, as it is chosen at first.
        jobs: Prometheus' scrape jobs whose targets must be up.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    selectors: tuple[str, ...] = ()
    recorded_selectors: tuple[str, ...] = ()
    objective: float = 0.99
    jobs: tuple[str, ...] = ("mlotel", "otelcol")

    def __post_init__(self) -> None:
        for each in (*self.selectors, *self.recorded_selectors):
            if not _MATCHER.fullmatch(each):
                raise ConfigurationError(
                    f'{each!r} is no matcher of a label: write it as PromQL does, cluster="eu" or region=~"eu-.+"'
                )
        if not 0 < self.objective < 1:
            raise ConfigurationError(f"the objective is {self.objective}: give a share below 1, such as 0.99")
        if not self.jobs:
            raise ConfigurationError("no job is named: give that of the collector's scrape job, such as mlotel")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: PromQL, or TraceQL where `backend` is ``tempo``.
        legend: what a series is called, with ``{{label}}`` for its labels.
        instant: whether only the end of the range is asked for.
        exemplars: whether traces of single runs are shown beside, as points that lead to them.
        shows: ``spans``, ``traces`` or one ``trace``: what a query of Tempo answers with.
    """

    expr: str
    legend: str = ""
    instant: bool = False
    exemplars: bool = False
    backend: Literal["prometheus", "tempo"] = "prometheus"
    shows: Literal["spans", "traces", "trace"] = "spans"


@dataclass(frozen=True, slots=True)
class Link:
    """Where a value leads: a title and the address, in which ``${…}`` stands for labels, fields and variables."""

    title: str
    url: str


Threshold = tuple[float | None, str]
"""From which value on a colour is meant; None for the lowest."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: what it is called.
        kind: how it is drawn; ``bars`` are stacked over time.
        description: what is shown, and what to do about it.
        queries: what is asked; the queries of a table become its columns, joined by their labels.
        unit: the unit of all values, by Grafana's name of it.
        width: columns of the grid, of 24.
        height: rows of the grid.
        decimals: how many are shown.
        low: the lowest value of the axis.
        high: the highest value of the axis.
        thresholds: from which values on which colours.
        names: what values are called, by value, with a colour.
        links: where values lead.
        columns: of a table, how its fields are called, in this order; others are hidden.
        units: of a table, the units of columns, by what they are called.
        column_links: of a table, where columns lead, by what they are called.
        text: of a panel of text, its Markdown.
    """

    title: str
    kind: Kind
    description: str
    queries: tuple[Query, ...] = ()
    unit: str = ""
    width: int = 12
    height: int = 8
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    thresholds: tuple[Threshold, ...] = ()
    names: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    column_links: Mapping[str, Link] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A heading with panels below it, which fill the grid from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """What is chosen at the top of a dashboard.

    Attributes:
        name: as queries write it, after ``$``.
        label: as people see it.
        kind: a data source, the values of a query, a choice of some values, or any text.
        source: the type of data source, the query, the values with commas between them, or the text at first.
        several: whether several values can be chosen, and all of them.
        every: what "All" stands for; None for the list of all values.
        default: of a choice, the value at first.
    """

    name: str
    label: str
    kind: Literal["datasource", "query", "choice", "text"]
    source: str
    several: bool = False
    every: str | None = ALL
    default: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; links to the others stand on each. `since` is how far back it shows at first."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    since: str = "now-7d"
