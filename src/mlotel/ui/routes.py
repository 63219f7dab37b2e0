"""The table of the API's operations: addresses are made of it, and so is its documentation."""

from __future__ import annotations

import time

from mlotel.model import RUN_STATES
from mlotel.store.conditions import Condition
from mlotel.store.times import parse_time
from mlotel.ui import answers
from mlotel.ui.operations import Operation, Parameter
from mlotel.ui.paging import Cursor
from mlotel.ui.schemas import array, mapping, reference

__all__ = ["OPERATIONS"]


def _time(text: str) -> int:
    return parse_time(text, time.time_ns())


_SINCE = Parameter(
    "since",
    "Leave out what began earlier: RFC 3339 (a date alone is its midnight in UTC), or how long ago, as in 12h or 7d.",
    parse=_time,
)
_UNTIL = Parameter("until", "Leave out what began later.", parse=_time)
_CURSOR = Parameter("cursor", "Where the page begins: `next` of the page before it.", parse=Cursor.parse)


def _limit(default: int, most: int) -> Parameter:
    return Parameter("limit", "How many runs a page has at most.", minimum=1, maximum=most, default=default)


_RUN_PAGE = mapping(
    "Runs, latest start first.",
    runs=array(reference("run")),
    next={
        "type": ["string", "null"],
        "description": "The cursor of the next page; null where this is the last. A page may be short, and even empty, "
        "and still have a next one.",
    },
)

OPERATIONS = (
    Operation(
        "GET",
        "/about",
        "about",
        "What is being read.",
        answers.about,
        mapping(
            "The store and the version of mlotel.",
            version={"type": "string"},
            store={"type": "string", "description": "Path or address of the store."},
            unread_lines={"type": "integer", "description": "Lines of the store that could not be read."},
            jaeger_ui={"type": ["string", "null"], "description": "Where Jaeger shows traces, if that is known."},
        ),
    ),
    Operation(
        "GET",
        "/runs",
        "listRuns",
        "Runs, latest start first, page by page.",
        answers.runs,
        _RUN_PAGE,
        (
            Parameter("component", "Only runs of this component."),
            Parameter("state", "Only runs in this state.", choices=RUN_STATES),
            _SINCE,
            _UNTIL,
            Parameter(
                "text",
                "Only runs that have this text in their component, ids, pipeline, version, service, tags, git state, "
                "error or artifacts; letters of either case.",
            ),
            Parameter(
                "where",
                "Only runs that meet this condition, as `mlotel find` takes it: param.depth>5.",
                repeated=True,
                parse=Condition.parse_word,
            ),
            _limit(50, 500),
            _CURSOR,
        ),
    ),
    Operation(
        "GET",
        "/runs/{run}",
        "getRun",
        "One run in full.",
        answers.run,
        reference("run"),
        (Parameter("run", "A run id, trace id or span id, or its first digits (4 or more).", required=True),),
    ),
    Operation(
        "GET",
        "/components",
        "listComponents",
        "The components that ran, the one with the latest run first.",
        answers.components,
        reference("components"),
        (
            Parameter("owner", "Only components of this owner."),
            Parameter("tag", "Only components with this tag."),
            _SINCE,
            _UNTIL,
        ),
    ),
    Operation(
        "GET",
        "/history",
        "getHistory",
        "The runs of one component, latest start first, page by page.",
        answers.history,
        _RUN_PAGE,
        (
            Parameter("component", "The component's name.", required=True),
            _SINCE,
            _UNTIL,
            _limit(200, 1000),
            _CURSOR,
        ),
    ),
    Operation(
        "GET",
        "/lineage",
        "getLineage",
        "What something was made from, what it touched, or both, as a graph.",
        answers.lineage,
        reference("lineage"),
        (
            Parameter(
                "what",
                "What is asked about, as `mlotel lineage` takes it: a run id, trace id, digest, path or artifact name; "
                "with run:, trace:, digest:, path: or name: in front it is taken as that alone.",
                required=True,
            ),
            Parameter("direction", "Which way.", choices=answers.DIRECTIONS, default="upstream"),
            Parameter("depth", "Go over so many runs, each way; over all if it is not given.", minimum=0),
            _SINCE,
            _UNTIL,
        ),
    ),
)
"""Every operation but the one that answers with their documentation."""
