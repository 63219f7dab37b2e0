"""The operations that answer about runs and their lineage."""

from __future__ import annotations

from mlotel.model import RUN_STATES
from mlotel.store.conditions import Condition
from mlotel.ui import answers
from mlotel.ui.asked import SINCE, UNTIL, WHAT, limit
from mlotel.ui.operations import Operation, Parameter
from mlotel.ui.paging import Cursor
from mlotel.ui.schemas import array, mapping, reference

__all__ = ["READING"]

_CURSOR = Parameter("cursor", "Where the page begins: `next` of the page before it.", parse=Cursor.parse)
_RUN_PAGE = mapping(
    "Runs, latest start first.",
    runs=array(reference("run")),
    next={
        "type": ["string", "null"],
        "description": "The cursor of the next page; null where this is the last. A page may be short, and even empty, "
        "and still have a next one.",
    },
)

READING = (
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
            SINCE,
            UNTIL,
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
            limit(50, 500),
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
        (
            Parameter(
                "run", "A run id, trace id or span id, its first digits (4 or more), or record:KEY.", required=True
            ),
        ),
    ),
    Operation(
        "GET",
        "/span",
        "getRunOfSpan",
        "The run that a span belongs to: its own span, or that of something it read or wrote.",
        answers.run_of_span,
        reference("run"),
        (
            Parameter("trace_id", "Trace id, 32 hexadecimal digits.", required=True),
            Parameter("span_id", "Span id, 16 hexadecimal digits.", required=True),
        ),
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
            SINCE,
            UNTIL,
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
            SINCE,
            UNTIL,
            limit(200, 1000),
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
            WHAT,
            Parameter("direction", "Which way.", choices=answers.DIRECTIONS, default="upstream"),
            Parameter("depth", "Go over so many runs, each way; over all if it is not given.", minimum=0),
            Parameter("most", "Refuse to answer with more runs and artifacts than this, together.", minimum=1),
            SINCE,
            UNTIL,
        ),
    ),
)
