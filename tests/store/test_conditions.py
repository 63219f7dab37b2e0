"""Conditions: what they mean, and that a store's index finds the same runs as looking at each."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from otlp_lines import SECOND, T0, RunLines, digest, span_line

from mlotel.errors import QueryError
from mlotel.model import Artifact, Run
from mlotel.semconv import attributes as A
from mlotel.store.conditions import Condition
from mlotel.store.memory import MemoryStore
from mlotel.store.times import format_time, parse_duration, parse_time

NOW = T0 + 10 * 86400 * SECOND
ORDERS = {"<": -1, "<=": -1, ">": 1, ">=": 1}


def run(**fields) -> Run:
    ids = {"run_id": "a" * 32, "trace_id": "b" * 32, "span_id": "c" * 16}
    return Run(**{"component": "train", "state": "ok", "start_ns": T0, "end_ns": T0 + 90 * SECOND, **ids, **fields})


def artifact(name: str, direction: str = "input", **fields) -> Artifact:
    return Artifact(name, direction, "d" * 16, "a" * 32, **fields)


def holds(text: str, of: Run) -> bool:
    return Condition.parse(*text.split(" ", 2), clock=lambda: NOW).matches(of)


@pytest.mark.parametrize(
    "text",
    [
        "component = train",
        "component != predict",
        "component ~ ^tr",
        "component exists",
        "component exists yes",
        "pipeline = delays",
        "version ~ ^2[.]",
        "service = shop",
        "state = failed",
        "state != ok",
        "error.type = ValueError",
        "error.message ~ bad .* here",
        "time >= 2026-09-21T14:13:20Z",
        "time <= 2026-09-21T14:13:20Z",
        "time < 7d",
        "time > 11d",
        "duration <= 90",
        "duration >= 1.5m",
        "duration < 0.1h",
        "param.depth = 5",
        "param.depth = 5.0",
        "param.depth != 6",
        "param.depth > 4.5",
        "param.depth ~ ^5$",
        "param.name = a b",
        "param.name < b",
        "param.flag = true",
        "param.flag = True",
        "param.day >= 2026-11-01",
        "metric.auc >= 0.75",
        "metric.auc < inf",
        "tag.team = ops",
        "tag.size > 9",
        "tag.other exists no",
        "tag.empty exists",
        "attribute.cloud.region ~ ^eu-",
        "attribute.mlotel.component.tags = nightly",
        "attribute.mlotel.component.tags = raw",
        "attribute.mlotel.component.tags != daily",
        "input = raw",
        "input = file:///data/raw.csv",
        f"input = {digest('7')}",
        "input = blake3:7777",
        "input = 77777777",
        "input = BLAKE3:7777",
        "input != model",
        "output = model",
        "output exists",
        "artifact = model",
        "artifact = raw",
        "artifact ~ csv$",
    ],
)
def test_conditions_that_hold(text):
    """Each key, with operators that fit it."""
    assert holds(text, FULL)


FULL = run(
    pipeline="delays",
    version="2.1",
    service="shop",
    state="failed",
    error={"type": "ValueError", "message": "something bad is here"},
    params={"depth": 5, "name": "a b", "flag": True, "day": "2026-11-03"},
    metrics={"auc": 0.75},
    tags={"team": "ops", "size": "10", "empty": ""},
    attributes={"cloud.region": "eu-1", A.MLOTEL_COMPONENT_TAGS: ("nightly", "raw")},
    inputs=(artifact("raw", uri="file:///data/raw.csv", digest=digest("7")), artifact("labels")),
    outputs=(artifact("model", "output"),),
)


@pytest.mark.parametrize(
    "text",
    [
        "component = Train",
        "component != train",
        "component exists no",
        "component ~ ^rain",
        "state = ok",
        "error.type != ValueError",
        "time > 9d",
        "duration > 90s",
        "param.depth = 05x",
        "param.depth > 5",
        "param.depth > a",
        "param.name > 5",
        "param.flag > 0",
        "param.flag = 1",
        "param.other = 5",
        "param.other != 5",
        "param.other ~ .*",
        "metric.auc > 0.75",
        "metric.auc != 0.75",
        "metric.loss < 1",
        "tag.size < 9",
        "attribute.mlotel.component.tags != raw",
        "input = model",
        "input = 7777777",
        "input = blake3:777",
        "input = sha256:7777",
        "input != raw",
        "output = raw",
        "output ~ csv",
        "artifact exists no",
    ],
)
def test_conditions_that_do_not_hold(text):
    """A value that is not there meets no operator, and a number has no order with a text."""
    assert not holds(text, FULL)


def test_a_path_is_an_artifact_by_where_it_lies(tmp_path, monkeypatch):
    """A relative path is that of the file, as it was recorded."""
    monkeypatch.chdir(tmp_path)
    found = run(inputs=(artifact("x", uri=(tmp_path / "raw.csv").as_uri()),))

    assert Condition("input", "=", "raw.csv").matches(found)
    assert not Condition("input", "=", "other.csv").matches(found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compnent", "=", "a"), "did you mean component?"),
        (("parm.depth", "=", "a"), "did you mean param.depth?"),
        (("error", "=", "a"), "did you mean error.type"),
        (("param", "=", "a"), "say which one, as in param.NAME"),
        (("metric.", "=", "1"), "say which one, as in metric.NAME"),
        (("zzz", "=", "a"), "there are component, pipeline"),
        (("", "=", "a"), "there are component, pipeline"),
        (("component", "<", "a"), "use =, !=, ~, exists"),
        (("component", "like", "a"), "use =, !=, ~, exists"),
        (("component", "=", ""), "needs text"),
        (("time", "=", "7d"), "use <, <=, >, >=, exists"),
        (("time", ">", "soon"), "is no time"),
        (("duration", "=", "90s"), "use <, <=, >, >=, exists"),
        (("duration", ">", "long"), "is no duration"),
        (("metric.auc", ">", "high"), "is a number"),
        (("metric.auc", ">", "nan"), "is a number"),
        (("metric.auc", "~", "1"), "use =, !=, <, <=, >, >=, exists"),
        (("state", "=", "broken"), "the states are running, ok"),
        (("component", "~", "("), "no regular expression of RE2"),
        (("component", "~", r"(?=a)"), "no regular expression of RE2"),
        (("component", "~", "a" * 1001), "up to 1,000 characters"),
        (("component", "exists", "maybe"), "yes or no"),
    ],
)
def test_what_is_no_condition_is_told(words, message):
    """The error says what would be one."""
    with pytest.raises(QueryError, match=re.escape(message)):
        Condition.parse(*words)


@pytest.mark.parametrize(
    "fields",
    [
        ("time", ">", "7d"),
        ("metric.x", ">", "1"),
        ("component", "=", 5),
        ("time", "<", 1 << 63),
        ("param.x", "=", None),
        ("component", "exists", "yes"),
        ("component", "~", 5),
    ],
)
def test_a_value_of_the_wrong_type_is_told(fields):
    """From Python, values are what they mean, not what people type."""
    with pytest.raises(QueryError, match="needs"):
        Condition(*fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("param.depth>5", Condition("param.depth", ">", "5")),
        ("param.depth >= 5", Condition("param.depth", ">=", "5")),
        ("component==a=b", Condition("component", "=", "a=b")),
        ("tag.a!=b c", Condition("tag.a", "!=", "b c")),
        ("input~[.]csv$", Condition("input", "~", "[.]csv$")),
        ("metric.auc<0.5", Condition("metric.auc", "<", 0.5)),
        ("duration>2m", Condition("duration", ">", 120.0)),
        ("param.depth gt 5", Condition("param.depth", ">", "5")),
        ("tag.team exists no", Condition("tag.team", "exists", False)),
        ("error.type exists", Condition("error.type", "exists", True)),
        ("component eq a=b", Condition("component", "=", "a=b")),
        ("tag.team = a gt b", Condition("tag.team", "=", "a gt b")),
    ],
)
def test_a_condition_in_one_word(text, expected):
    """Key and value stand around the first operator, be it a sign or a word between blanks."""
    assert Condition.parse_word(text) == expected


def test_a_word_without_an_operator_is_no_condition():
    """The error shows the form."""
    with pytest.raises(QueryError, match="KEY OP VALUE"):
        Condition.parse_word("component")


@pytest.mark.parametrize(("name", "op"), {"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items())
def test_operators_have_names_that_need_no_quotes(name, op):
    """A shell takes < and > for itself."""
    assert Condition.parse("param.x", name, "1") == Condition("param.x", op, "1")


def test_a_condition_reads_as_it_is_asked():
    """Times and durations as people write them."""
    asked = [
        ("param.x", "gt", "5"),
        ("time", ">", "2026-11-21T09:30:00Z"),
        ("duration", "<", "2m"),
        ("input", "exists", "no"),
    ]

    assert [str(Condition.parse(*words)) for words in asked] == [
        "param.x > 5",
        "time > 2026-11-21T09:30:00Z",
        "duration < 120s",
        "input exists no",
    ]


def test_a_pattern_takes_linear_time():
    """A pattern that a backtracking engine would not finish in a lifetime finds nothing, at once."""
    assert not Condition("param.x", "~", "(a+)+$").matches(run(params={"x": "a" * 100_000 + "b"}))


def test_any_text_may_be_looked_through():
    """Half surrogate pairs and null characters included."""
    assert Condition("param.x", "~", "b$").matches(run(params={"x": "\ud800a\0b"}))


numbers = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, width=32)


@given(numbers, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), numbers)
def test_numbers_compare_as_in_python(actual, op, wanted):
    """Whole numbers exactly, whatever their size, as parameters and as metrics, typed or given."""
    expected = bool(eval(f"a {op.replace('=', '==') if op == '=' else op} b", {"a": actual, "b": wanted}))

    assert Condition.parse("param.x", op, repr(wanted)).matches(run(params={"x": actual})) is expected
    assert Condition("param.x", op, wanted).matches(run(params={"x": actual})) is expected
    assert Condition("metric.x", op, wanted).matches(run(metrics={"x": actual})) is expected


@given(st.text(), st.text())
def test_text_compares_as_text(actual, wanted):
    """Equality is of every character; != is the opposite of = wherever there is a value."""
    tagged = run(tags={"x": actual})

    assert Condition("tag.x", "=", wanted).matches(tagged) is (actual == wanted)
    assert Condition("tag.x", "!=", wanted).matches(tagged) is (actual != wanted)
    assert Condition("tag.x", "=", actual).matches(tagged)


@given(st.text("ab.", max_size=8), st.text("ab.", min_size=1, max_size=4))
def test_patterns_are_found_anywhere(text, literal):
    """As Python's own engine finds them, anchored and not."""
    for pattern in (re.escape(literal), "^" + re.escape(literal), re.escape(literal) + "$", "[ab]+[.]"):
        expected = re.search(pattern, text) is not None
        assert Condition("param.x", "~", pattern).matches(run(params={"x": text})) is expected


@given(st.text(), st.sampled_from(["=", "!=", "<", "~", "exists", "gt", "?"]), st.text())
def test_any_three_words_are_a_condition_or_a_query_error(key, op, value):
    """Nothing else comes out, and what is a condition can be looked for in any run."""
    for spelled in (key, f"param.{key}", f"metric.{key}", "time", "state", "artifact"):
        try:
            condition = Condition.parse(spelled, op, value)
        except QueryError:
            continue
        assert condition.matches(FULL) in (True, False)


@given(st.datetimes(datetime(1680, 1, 1), datetime(2260, 1, 1), timezones=st.just(UTC)), st.integers(-14 * 60, 14 * 60))
def test_times_are_read_and_written_exactly(moment, offset):
    """With any offset, to the nanosecond; written in UTC."""
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    local = (moment + timedelta(minutes=offset)).replace(tzinfo=None)
    zone = f"{'+' if offset >= 0 else '-'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"

    assert parse_time(f"{local.isoformat(timespec='microseconds')}{zone}", 0) == expected
    assert parse_time(f"{local.isoformat(timespec='microseconds')}789{zone}", 0) == expected + 789
    assert parse_time(format_time(expected), 0) == expected


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h"]))
def test_how_long_ago_and_durations_have_units(count, unit):
    """Both read the same units."""
    seconds = count * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]

    assert parse_duration(f"{count}{unit}") == pytest.approx(seconds)
    assert parse_time(f"{count}{unit}", NOW) == NOW - round(seconds * 1000) * 10**6


# What runs of the store may be like, and what may be asked about them.
few = st.sampled_from
names = few(["train", "predict", "load"])
things = st.lists(st.tuples(few(["in", "out"]), few(["raw", "model", "x.csv"]), few("123")), max_size=3)
made = st.lists(
    st.tuples(names, st.integers(0, 5), few(["ok", "failed", "cancelled", "open"]), st.integers(0, 3), things),
    max_size=12,
)
asked = st.lists(
    st.one_of(
        st.builds(partial(Condition, "component"), few(["=", "!=", "~"]), few(["train", "load", "nothing", "r"])),
        st.builds(partial(Condition, "state"), few(["=", "!="]), few(["ok", "failed", "lost", "running"])),
        st.builds(
            partial(Condition, "time"), few(["<", "<=", ">", ">="]), st.integers(0, 5).map(lambda n: T0 + n * SECOND)
        ),
        st.builds(partial(Condition, "param.depth"), few(["=", "<", ">="]), st.integers(0, 3)),
        st.builds(Condition, few(["service", "attribute.service.name"]), few(["=", "!=", "~"]), few(["shop", "s"])),
        st.builds(Condition, few(['tag.größe/"x"', "tag.n"]), few(["=", "!="]), few(["train", "load"])),
        st.builds(
            Condition,
            few(["artifact", "input", "output"]),
            few(["=", "!=", "~"]),
            few(["raw", "model", "file:///x.csv", digest("1"), "blake3:2222", "33333333", "none"]),
        ),
        st.builds(
            Condition, few(["component", "input", "param.depth", "error.type", "time"]), few(["exists"]), st.booleans()
        ),
    ),
    max_size=3,
)


@given(made, asked, st.none() | st.integers(0, 4), st.none() | st.integers(0, 5), st.none() | st.integers(0, 5))
def test_a_store_finds_what_looking_at_each_run_finds(runs, where, limit, since, until):
    """In the same order, whatever the index can tell of the conditions."""
    lines = []
    for number, (component, start, state, depth, artifacts) in enumerate(runs):
        said = {A.MLOTEL_PARAM + ".depth": depth, A.MLOTEL_TAG + '.größe/"x"': component}
        one = RunLines(number, component, start_s=start, **said)
        for direction, name, character in artifacts:
            make = one.read if direction == "in" else one.write
            lines.append(span_line(make(name, digest(character), **{A.MLOTEL_ARTIFACT_URI: f"file:///{name}"})))
        lines.append(one.start() if state == "open" else one.end(state))
    store = MemoryStore(lines, clock=lambda: T0 + 3600 * SECOND)
    bounds = {"since_ns": since, "until_ns": until}
    bounds = {key: None if said is None else T0 + said * SECOND for key, said in bounds.items()}

    found = store.runs(where=where, limit=limit, **bounds)

    expected = [
        each
        for each in store.runs()
        if all(condition.matches(each) for condition in where)
        and (since is None or each.start_ns >= T0 + since * SECOND)
        and (until is None or each.start_ns <= T0 + until * SECOND)
    ]
    assert list(found) == expected[:limit]
    assert store.count_runs(**bounds) == len(store.runs(**bounds))


# Values as JSON of an attribute, in the forms in which encoders write them.
TEXTS = (
    "7",
    "007",
    "+7",
    " 7",
    "7.0",
    "1e3",
    "2.50",
    "true",
    "True",
    "None",
    "nan",
    "NaN",
    "v1.2",
    "a b",
    "größe",
    "-7",
)
FORMS = [{"stringValue": text} for text in TEXTS]
FORMS += [{"intValue": "7"}, {"intValue": 1000}, {"intValue": "-7"}, {"intValue": "12345678"}, {"boolValue": True}, {}]
FORMS += [{"doubleValue": number} for number in (7.0, 1000.0, 2.5, 1e22, 2.2999999999999998, -0.0, "NaN")]
FORMS += [{"arrayValue": {"values": [{"stringValue": "v1.2"}, {"intValue": "7"}, {}]}}]
WANTED = (*TEXTS, "0", "1000", "2.5", "2.3", "12345678", "1e22", "10000000000000000000000", "v1", "7.", "false")


@pytest.mark.parametrize("key", ["attribute.k", "param.k", "version"])
def test_whatever_way_a_value_is_written_it_is_found(key):
    """A store that looks for words in lines before it reads them leaves nothing out."""
    lines = []
    for number, form in enumerate(FORMS):
        end = json.loads(RunLines(number, start_s=number).end())
        (span,) = end["resourceSpans"][0]["scopeSpans"][0]["spans"]
        name = {"attribute.k": "k", "param.k": A.MLOTEL_PARAM + ".k", "version": A.MLOTEL_COMPONENT_VERSION}[key]
        span["attributes"].append({"key": name, "value": form})
        lines.append(json.dumps(end).encode())
    store = MemoryStore(lines)
    runs = store.runs()

    found = {wanted: store.runs(where=[Condition(key, "=", wanted)]) for wanted in WANTED}

    expected = {wanted: tuple(run for run in runs if Condition(key, "=", wanted).matches(run)) for wanted in WANTED}
    assert len(runs) == len(FORMS)
    assert any(expected.values())
    assert found == expected


def test_few_lines_are_read_where_matches_come_early():
    """With a limit, reading ends when enough was found: the lines of older runs are never touched."""
    read = []

    class Counting(MemoryStore):
        def __init__(self, lines):
            super().__init__(lines)
            line = self._assembly._line
            self._assembly._line = lambda place: read.append(place) or line(place)

    store = Counting([RunLines(n, start_s=n, **{A.MLOTEL_PARAM + ".n": n % 2}).end() for n in range(2000)])

    found = store.runs(where=[Condition("param.n", "=", 1)], limit=20)

    assert len(found) == 20
    assert len(read) < 200
