"""Lineage: runs and artifacts as Tempo has them, searched by digest, with links from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlotel.grafana._promql import CALLS, COMPONENT, PIPELINE, Series, any_of, pipelines, prometheus
from mlotel.grafana._traceql import (
    COMPONENT_CHOSEN,
    TRACE_COLUMNS,
    TRACE_LINKS,
    from_digest,
    recent,
    spans,
    tempo,
    to_trace,
)
from mlotel.grafana._values import Dashboard, Link, Options, Panel, Query, Row, Variable
from mlotel.semconv import attributes as A

__all__ = ["lineage"]

_DIGEST = f"span.{A.MLOTEL_ARTIFACT_DIGEST} =~ `([a-z0-9]+:)?${{digest:regex}}.*`"
_NAME = f"span.{A.MLOTEL_ARTIFACT_NAME} =~ `(${{artifact:regex}}).*`"
_WRITTEN, _READ = (f'span.{A.MLOTEL_IO_DIRECTION} = "{direction}"' for direction in ("output", "input"))

_ABOUT = (
    A.MLOTEL_ARTIFACT_NAME,
    A.MLOTEL_ARTIFACT_TYPE,
    A.MLOTEL_ARTIFACT_DIGEST,
    A.MLOTEL_ARTIFACT_ROWS,
    A.MLOTEL_ARTIFACT_URI,
    A.MLOTEL_RUN_ID,
)
_COLUMNS = {
    "traceIdHidden": "Trace",
    "time": "Time",
    A.MLOTEL_ARTIFACT_NAME: "Artifact",
    A.MLOTEL_ARTIFACT_TYPE: "Type",
    A.MLOTEL_ARTIFACT_DIGEST: "Digest",
    A.MLOTEL_ARTIFACT_ROWS: "Rows",
    A.MLOTEL_ARTIFACT_URI: "Where",
    A.MLOTEL_RUN_ID: "Run",
}
_LINKS = {"Trace": to_trace, "Digest": from_digest}

_HELP = """\
**Backwards:** click on a digest, see under *Who wrote it* which run made it, click on its trace, and go on from what
that run read. **Forwards:** *Who read it*, and what those runs wrote. The walk in one step, over all runs:

`mlotel lineage DIGEST --tempo URL` · `mlotel lineage DIGEST --tempo URL --send-trace` draws the answer as one trace.
"""


def lineage(options: Options) -> Dashboard:
    """Return the dashboard of runs and artifacts."""
    of_pipeline = Series(options, any_of(PIPELINE, "pipeline"))(CALLS)
    return Dashboard(
        "mlotel-lineage",
        "mlotel: lineage",
        "Which run wrote an artifact, which runs read it, and the trace of each, from Tempo.",
        (
            tempo(),
            prometheus(),
            pipelines(Series(options)),
            # Without a value for all: a run of no pipeline lacks the attribute, so its component has to be named
            Variable("component", "Component", "query", f"label_values({of_pipeline}, {COMPONENT})", True, None),
            Variable("artifact", "Artifact begins with", "text", ""),
            Variable("digest", "Digest begins with", "text", ""),
            Variable("trace", "Trace", "text", ""),
        ),
        (
            Row("One artifact, by its digest", _artifact()),
            Row("Runs", _runs()),
            Row("Artifacts, by name", _artifacts()),
        ),
        since="now-24h",
    )  # fmt: skip


def _artifact() -> tuple[Panel, ...]:
    return (
        Panel(
            "How to walk", "text", "What to click on, and the command that walks by itself.",
            width=24, height=4, text=_HELP,
        ),
        _table(
            "Who wrote it",
            "Writes of the digest above, given with or without its algorithm. Several are runs that made the same: "
            "the earliest is where it comes from.",
            (_WRITTEN, _DIGEST), _ABOUT, _COLUMNS, _LINKS,
        ),
        _table(
            "Who read it",
            "Reads of the digest above: what has to be made anew if it was wrong. `mlotel retract` warns them.",
            (_READ, _DIGEST), _ABOUT, _COLUMNS, _LINKS,
        ),
        Panel(
            "Trace", "traces",
            "The trace whose id stands above, or that was clicked on: a run, with each read and write below it. A "
            "read's links lead to the write that it read from, in that run's own trace.",
            (Query("$trace", backend="tempo", shows="trace"),),
            width=24, height=10,
        ),
    )  # fmt: skip


def _runs() -> tuple[Panel, ...]:
    return (
        Panel(
            "Runs", "table",
            "Of the components chosen, the latest first. Click on a trace for what a run read and wrote.",
            (recent(COMPONENT_CHOSEN),),
            width=24, columns=TRACE_COLUMNS, column_links=TRACE_LINKS,
        ),
        Panel(
            "Runs that failed", "table",
            "With the class of the error; the message stands in the trace. What they should have made is lacking, or "
            "old.",
            (recent(f'span.{A.MLOTEL_RUN_STATE} = "failed"', COMPONENT_CHOSEN),),
            columns=TRACE_COLUMNS, column_links=TRACE_LINKS,
        ),
        _table(
            "Stale inputs",
            "Reads of what was too old, or had been made anew: age, or a fresher run of its producer. Run what makes "
            "it, then the reader.",
            (f"span.{A.MLOTEL_ARTIFACT_STALE_REASON} != nil",),
            (A.MLOTEL_ARTIFACT_NAME, A.MLOTEL_ARTIFACT_STALE_REASON, A.MLOTEL_ARTIFACT_AGE, A.MLOTEL_ARTIFACT_DIGEST),
            {
                "traceIdHidden": "Trace", "time": "Time", A.MLOTEL_ARTIFACT_NAME: "Artifact",
                A.MLOTEL_ARTIFACT_STALE_REASON: "Why", A.MLOTEL_ARTIFACT_AGE: "Age", A.MLOTEL_ARTIFACT_DIGEST: "Digest",
            },
            _LINKS,
            units={"Age": "s"},
        ),
    )  # fmt: skip


def _artifacts() -> tuple[Panel, ...]:
    return (
        _table(
            "Written",
            "Artifacts whose name begins as it says above. Click on a digest to see who wrote and read it.",
            (_WRITTEN, _NAME), _ABOUT, _COLUMNS, _LINKS,
        ),
        _table(
            "Read",
            "The same for what was read. A read whose digest nobody wrote came from outside, or from an uninstrumented "
            "step.",
            (_READ, _NAME), _ABOUT, _COLUMNS, _LINKS,
        ),
        _table(
            "In alarm",
            "Tables that had left their reference, with the features that did.",
            (f"span.{A.MLOTEL_DRIFT_ALARM} = true", f"span.{A.MLOTEL_IO_DIRECTION} != nil"),
            (
                A.MLOTEL_ARTIFACT_NAME, A.MLOTEL_DRIFT_FEATURES, A.MLOTEL_ARTIFACT_DIGEST,
                A.MLOTEL_DRIFT_REFERENCE_DIGEST,
            ),
            {
                "traceIdHidden": "Trace", "time": "Time", A.MLOTEL_ARTIFACT_NAME: "Artifact",
                A.MLOTEL_DRIFT_FEATURES: "Features", A.MLOTEL_ARTIFACT_DIGEST: "Digest",
                A.MLOTEL_DRIFT_REFERENCE_DIGEST: "Reference",
            },
            {**_LINKS, "Reference": from_digest},
            width=24,
        ),
    )  # fmt: skip


def _table(
    title: str,
    description: str,
    conditions: Sequence[str],
    shown: Sequence[str],
    columns: Mapping[str, str],
    links: Mapping[str, Link],
    *,
    units: Mapping[str, str] | None = None,
    width: int = 12,
) -> Panel:
    return Panel(
        title, "table", description, (spans(conditions, shown),),
        width=width, columns=columns, column_links=links, units=units or {},
    )  # fmt: skip
