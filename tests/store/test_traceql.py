"""What mlotel says in TraceQL: whatever text gets into it is compared and never obeyed, and no run is lost by it."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from otlp_lines import SECOND, T0, RunLines, digest, span_line
from tempo_standin import span_of
from traceql_standin import Span, parse

from mlotel.errors import QueryError
from mlotel.model import Run
from mlotel.semconv import attributes as A
from mlotel.store import traceql
from mlotel.store.conditions import Condition
from mlotel.store.memory import MemoryStore

HOSTILE = [
    "",
    '"',
    "\\",
    '\\"',
    '" || true || span.x = "',
    "a\nb",
    "a\r\n} | count() > 0",
    "\0",
    "\x1b[2J\x7f\x9f",
    "ä€😀\u202e\u2028",
    "\ud800",
    "`x`",
    "nil",
    "{{ }}",
    "a" * 5000,
]
texts = st.sampled_from(HOSTILE) | st.text(st.characters(codec=None), max_size=20)


def written(text: str) -> str:
    """The text as an encoder of UTF-8 writes it: halves of surrogate pairs as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def span_with(attributes: dict[str, Any]) -> Span:
    run = RunLines(1)
    document = json.loads(run.end(**attributes))["resourceSpans"][0]
    return span_of(document["scopeSpans"][0]["spans"][0], document["resource"])


@given(texts)
def test_a_literal_stands_for_its_text(text: str) -> None:
    """Read as a string literal (of Python, whose escapes for these are Go's), it is the text again, in plain ASCII."""
    literal = traceql.literal(text)

    assert ast.literal_eval(literal) == written(text)
    assert literal.isascii()
    assert literal.isprintable()


@given(texts, texts)
def test_a_text_is_compared_and_never_obeyed(wanted: str, actual: str) -> None:
    """A query for an artifact's name selects a span of this name and no other, whatever stands in the names."""
    query = parse(traceql.spans({A.MLOTEL_ARTIFACT_NAME: wanted, A.MLOTEL_IO_DIRECTION: "output"}))
    spans = [
        span_with({A.MLOTEL_ARTIFACT_NAME: written(each), A.MLOTEL_IO_DIRECTION: "output"}) for each in (wanted, actual)
    ]

    assert query.evaluate(spans[:1]) == spans[:1]
    assert query.evaluate(spans[1:]) == (spans[1:] if written(actual) == written(wanted) else [])
    assert query.fields == [("span.", A.MLOTEL_ARTIFACT_NAME), ("span.", A.MLOTEL_IO_DIRECTION)]


@given(texts)
@example("a b")
@example('a"b\\c')
def test_a_name_stands_for_one_attribute(attribute: str) -> None:
    """An attribute's name is read back as the same one; one that cannot be written is not written."""
    name = traceql.name(attribute)

    if name is None:
        assert attribute == "" or any(not each.isprintable() for each in attribute)
    else:
        assert parse(f"{{ {name} != nil }}").fields == [("span.", attribute)]


RUNS = [
    RunLines(1, **{A.MLOTEL_PARAM + ".k": 7, A.MLOTEL_METRIC + ".auc": 0.5, A.MLOTEL_COMPONENT_VERSION: "2.0"}),
    RunLines(2, 'a" b', **{A.MLOTEL_PARAM + ".k": 7.0, A.MLOTEL_METRIC + ".auc": 1, A.CICD_PIPELINE_NAME: "p"}),
    RunLines(3, "eval", **{A.MLOTEL_PARAM + ".k": "7", A.MLOTEL_TAG + ".k": "true", A.ERROR_TYPE: "a.b.Odd"}),
    RunLines(4, "eval", **{A.MLOTEL_PARAM + ".k": True, A.MLOTEL_COMPONENT_TAGS: ["x", "y"]}),
    RunLines(
        5, "eval", **{A.MLOTEL_PARAM + ".a b": "x", A.MLOTEL_PARAM + ".k": "x\\y", A.MLOTEL_METRIC + ".auc": -1e300}
    ),
]
STATES = ["ok", "failed", "cancelled", None, None]
LINES = [
    [
        span_line(run.read("data", digest("a"), **{A.MLOTEL_ARTIFACT_URI: "s3://b/data.parquet"})),
        span_line(run.write("x\\y", digest("b"))),
        run.end(state, n, status={"code": 2 if n % 2 else 0}),
    ]
    for n, (run, state) in enumerate(zip(RUNS, STATES, strict=True))
]
READ: Sequence[tuple[Run, Sequence[Span]]] = [
    (
        MemoryStore(lines).runs()[0],
        [
            span_of(scope["spans"][0], group["resource"])
            for group in (json.loads(line)["resourceSpans"][0] for line in lines)
            for scope in group["scopeSpans"]
        ],
    )
    for lines in LINES
]

values = (
    st.sampled_from(["7", "7.0", "true", "x", 'a" b', "x\\y", "eval", "ok", "failed", "data", "b" * 12, "a.b.Odd", "."])
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.booleans()
    | texts
)
keys = st.sampled_from(
    [
        *("component", "pipeline", "version", "service", "state", "error.type", "error.message", "time", "duration"),
        *("artifact", "input", "output", "param.k", "param.a b", "metric.auc", "tag.k", "param.a\nb"),
        *(f"attribute.{key}" for key in (A.MLOTEL_COMPONENT_TAGS, A.SERVICE_NAME, A.MLOTEL_PARAM + ".k")),
    ]
)
ops = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "~", "exists"])


@given(st.lists(st.tuples(keys, ops, values), min_size=1, max_size=3), st.none() | st.sampled_from(["eval", 'a" b']))
@example([("param.k", "=", "7")], None)
@example([("duration", ">=", 0.0)], None)
@example([("input", "~", "[.]parquet$")], None)
@example([("metric.auc", "<", -1)], None)
@example([("state", "=", "failed")], "eval")
def test_no_run_is_lost(asked: list[tuple[str, str, Any]], component: str | None) -> None:
    """The query is one that Tempo takes, and it selects the trace of every run for which all conditions hold."""
    try:
        where = [Condition(*each) for each in asked]
    except QueryError:
        return  # no condition
    query = parse(traceql.runs(component, where))

    for run, spans in READ:
        if component in (None, run.component) and all(condition.matches(run) for condition in where):
            assert query.evaluate(spans), (str(where[0]), traceql.runs(component, where))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Condition("component", "=", "train"), True),
        (Condition("component", "~", "tr"), True),
        (Condition("component", "~", r"\Qtr"), False),
        (Condition("param.k", "=", 7), True),
        (Condition("param.k", ">", 7), False),
        (Condition("param.a\nb", "=", 7), False),
        (Condition("metric.auc", ">", 0.5), True),
        (Condition("metric.auc", "!=", 0.5), False),
        (Condition("metric.auc", ">", float("inf")), False),
        (Condition("metric.auc", "exists", True), True),
        (Condition("metric.auc", "exists", False), False),
        (Condition("time", ">", T0), True),
        (Condition("duration", ">", 1.5), True),
        (Condition("error.message", "=", "x"), False),
        (Condition("output", "=", "x"), True),
        (Condition("state", "!=", "ok"), False),
    ],
    ids=str,
)
def test_what_tempo_selects_by_itself(condition: Condition, expected: bool) -> None:
    """Conditions that TraceQL cannot say in full are left to those who read the runs."""
    assert traceql.selects(condition) is expected


def test_links_to_a_trace() -> None:
    """The query for links selects the spans that have one to any span of the trace."""
    run = RunLines(1, start_s=SECOND)
    span = run.read("x", links=[{"traceId": "ab" * 16, "spanId": "cd" * 8}])
    document = json.loads(span_line(span))["resourceSpans"][0]
    spans = [span_of(document["scopeSpans"][0]["spans"][0], document["resource"])]

    assert parse(traceql.links("ab" * 16)).evaluate(spans) == spans
    assert parse(traceql.links("cd" * 16)).evaluate(spans) == []
