"""Pieces that the queries of Tempo are made of.

Variables stand between backticks and in their form for regular expressions: what they hold, a backslash included, is
then compared and never read as TraceQL (https://grafana.com/docs/tempo/latest/traceql/construct-traceql-queries/).
"""

from __future__ import annotations

from collections.abc import Sequence

from mlotel.grafana._values import Link, Query, Variable
from mlotel.semconv import attributes as A

__all__ = [
    "COMPONENT_CHOSEN",
    "TRACE_COLUMNS",
    "TRACE_LINKS",
    "from_digest",
    "recent",
    "spans",
    "tempo",
    "to_component",
    "to_trace",
]

COMPONENT_CHOSEN = f"span.{A.MLOTEL_COMPONENT_NAME} =~ `${{component:regex}}`"
"""Whether one value is chosen or several, it is written alike."""

_SOURCES = "${tempo:queryparam}&${datasource:queryparam}"


def _link(title: str, uid: str, name: str) -> Link:
    return Link(title, f"/d/{uid}?${{__url_time_range}}&{_SOURCES}&var-{name}=${{__value.raw}}")


to_component = _link("Component", "mlotel-component", "component")
"""From the name of a component to its dashboard."""

from_digest = _link("Who wrote it, who read it", "mlotel-lineage", "digest")
"""From a digest to all that wrote and read it."""

to_trace = _link("This trace", "mlotel-lineage", "trace")
"""From a trace's id to all of its spans."""

TRACE_COLUMNS = {
    "traceIdHidden": "Trace",
    "time": "Start",
    A.MLOTEL_COMPONENT_NAME: "Component",
    A.MLOTEL_RUN_STATE: "State",
    A.ERROR_TYPE: "Error",
    A.CICD_PIPELINE_NAME: "Pipeline",
    A.MLOTEL_RUN_ID: "Run",
    A.VCS_REF_HEAD_REVISION: "Commit",
    "duration": "Duration",
}
"""What is shown of runs; Tempo's answers have a hidden field of the trace's id."""

TRACE_LINKS = {"Trace": to_trace, "Component": to_component}


def tempo() -> Variable:
    """Return the variable of the data source that all queries of traces go to."""
    return Variable("tempo", "Tempo", "datasource", "tempo")


def spans(conditions: Sequence[str], shown: Sequence[str]) -> Query:
    """Return the query for spans on which all conditions hold, with some attributes as columns."""
    selected = ", ".join(f"span.{each}" for each in shown)
    return Query(f"{{ {' && '.join(conditions)} }} | select({selected})", backend="tempo")


def recent(*conditions: str) -> Query:
    """Return the query for runs on which all conditions hold."""
    return spans(
        conditions,
        (
            A.MLOTEL_COMPONENT_NAME, A.MLOTEL_RUN_STATE, A.ERROR_TYPE, A.CICD_PIPELINE_NAME, A.MLOTEL_RUN_ID,
            A.VCS_REF_HEAD_REVISION,
        ),
    )  # fmt: skip
