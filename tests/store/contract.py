"""What every store must do, whatever it keeps its lines in. A subclass says how a store of some lines is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from otlp_lines import SECOND, T0, RunLines, digest, key_values, link_to, log_line, span_line

from mlotel import provenance
from mlotel.model import Artifact, Link, Run
from mlotel.semconv import attributes as A
from mlotel.store import Store
from mlotel.store.conditions import Condition
from mlotel.store.indexed import IndexedStore

StoreOf = Callable[..., IndexedStore]


CONDITIONS = [
    ("component", "=", "train"),
    ("component", "!=", "train"),
    ("component", "~", "^tr|a b"),
    ("component", "=", 'a b" || true || "'),
    ("pipeline", "=", "delays"),
    ("pipeline", "exists", True),
    ("pipeline", "exists", False),
    ("version", "~", "[.]0$"),
    ("service", "=", "shop"),
    ("service", "!=", "shop"),
    ("state", "=", "ok"),
    ("state", "=", "failed"),
    ("state", "!=", "failed"),
    ("error.type", "=", "ValueError"),
    ("error.message", "~", "row"),
    ("time", ">", T0 + SECOND),
    ("time", "<=", T0 + SECOND),
    ("duration", ">=", 2.0),
    ("duration", "<", 2),
    ("param.depth", "=", 7),
    ("param.depth", "=", "7"),
    ("param.depth", "!=", 7),
    ("param.depth", ">", 6.5),
    ("param.rate", "=", 0.5),
    ("param.rate", "<", "1e0"),
    ("param.on", "=", "true"),
    ("param.of what?", "exists", True),
    ('param.a"b\\c', "=", 'd"e\\f'),
    ("metric.auc", ">", 0.7),
    ("metric.auc", ">=", 1),
    ("metric.auc", "<=", 0.75),
    ("metric.auc", "=", 1),
    ("metric.auc", "!=", 1),
    ("tag.team", "=", "ops"),
    ("tag.team", "~", "op"),
    (f"attribute.{A.MLOTEL_COMPONENT_TAGS}", "=", "b"),
    (f"attribute.{A.SERVICE_NAME}", "=", "shop"),
    ("artifact", "=", "flights"),
    ("artifact", "!=", "flights"),
    ("artifact", "exists", True),
    ("artifact", "exists", False),
    ("input", "=", "flights"),
    ("output", "=", "flights"),
    ("output", "=", "blake3:" + "d" * 64),
    ("artifact", "=", "d" * 12),
    ("input", "=", "s3://b/flights.parquet"),
    ("input", "~", "[.]parquet$"),
]
"""Key, operator and value of conditions, to be asked of the runs that `conditioned` holds."""


def nested(number: int, before: str, after: str, field: str) -> bytes:
    """A line of a span with an attribute in which `number` values lie in one another, which json cannot write."""
    line = span_line({**RunLines(5).span(), "attributes": [{"key": A.MLOTEL_RUN_ID, field: {"stringValue": "HERE"}}]})
    return line.replace(b'{"stringValue":"HERE"}', f"{before * number}{{}}{after * number}".encode())


class StoreContract:
    @pytest.fixture
    def store_of(self) -> StoreOf:
        """Makes a store of lines: ``store_of(*lines, now_s=…)``, the clock standing at T0 + now_s."""
        raise NotImplementedError

    def test_implements_the_protocol(self, store_of: StoreOf) -> None:
        """Every store is a Store."""
        assert isinstance(store_of(), Store)

    def test_without_lines_there_is_nothing(self, store_of: StoreOf) -> None:
        """An empty store answers every question with nothing, and raises at none."""
        store = store_of()

        answers = (
            store.runs(),
            store.find_runs("abcd"),
            store.run_of_span("0" * 31 + "1", "0" * 15 + "1"),
            store.find_artifacts(digest=digest("a")),
            store.writer_of(digest("a")),
            store.readers_of("0" * 31 + "1", "0" * 15 + "1"),
            store.dependents_of("0" * 31 + "1", "0" * 15 + "1"),
            store.children_of("0" * 31 + "1", "0" * 15 + "1"),
            store.predictions("key"),
        )

        assert [bool(answer) for answer in answers] == [False] * 9

    def test_a_whole_run_is_read_back(self, store_of: StoreOf) -> None:
        """Every field of a run and of its artifacts comes back as it was written."""
        producer = RunLines(9, "featurize", start_s=-10)
        written = producer.write("features", digest("f"))
        run = RunLines(
            1,
            "train",
            **{
                A.CICD_PIPELINE_NAME: "delays",
                A.MLOTEL_COMPONENT_VERSION: "2.1",
                A.VCS_REF_HEAD_REVISION: "c0ffee",
                A.VCS_REF_HEAD_NAME: "main",
                A.MLOTEL_VCS_DIRTY: True,
                A.VCS_REPOSITORY_URL_FULL: "https://example.org/delays",
                A.MLOTEL_PARAM + ".depth": 7,
                A.MLOTEL_PARAM + ".rate": 0.5,
                A.MLOTEL_METRIC + ".auc": 0.75,
                A.MLOTEL_TAG + ".team": "ops",
                A.MLOTEL_COMPONENT_TAGS: ["a", "b"],
            },
        )
        read = run.read(
            "features",
            digest("f"),
            links=[link_to(written, **{A.MLOTEL_LINK_TYPE: "consumes", A.MLOTEL_LINK_RESOLVED_BY: "embedded"})],
            **{
                A.MLOTEL_ARTIFACT_TYPE: "features",
                A.MLOTEL_ARTIFACT_DIGEST_SCOPE: "logical",
                A.MLOTEL_ARTIFACT_URI: "out/features.parquet",
                A.MLOTEL_ARTIFACT_ROWS: 100,
                A.MLOTEL_ARTIFACT_COLUMNS: 5,
                A.MLOTEL_ARTIFACT_SIZE: 4096,
                A.MLOTEL_ARTIFACT_SCHEMA_DIGEST: digest("5"),
                A.MLOTEL_ARTIFACT_NOTE: "as it was",
            },
        )
        model = run.write("model", digest("d"), links=[link_to(read, **{A.MLOTEL_LINK_TYPE: "derived_from"})])
        store = store_of(run.start(), span_line(read), span_line(model), run.end(parent="00000000000000ff"))

        features = Artifact(
            name="features",
            direction="input",
            span_id=read["spanId"],
            run_id=run.run_id,
            type="features",
            digest=digest("f"),
            scope="logical",
            uri="out/features.parquet",
            rows=100,
            columns=5,
            size=4096,
            schema_digest=digest("5"),
            note="as it was",
            time_ns=int(read["startTimeUnixNano"]),
            link=Link(written["traceId"], written["spanId"], "consumes", "embedded"),
        )
        expected = Run(
            run_id=run.run_id,
            component="train",
            state="ok",
            start_ns=T0,
            trace_id=run.trace_id,
            span_id=run.span_id,
            end_ns=T0 + SECOND,
            pipeline="delays",
            version="2.1",
            parent_span_id="00000000000000ff",
            service="shop",
            inputs=(features,),
            outputs=(
                Artifact(
                    name="model",
                    direction="output",
                    span_id=model["spanId"],
                    run_id=run.run_id,
                    digest=digest("d"),
                    time_ns=int(model["startTimeUnixNano"]),
                    derived_from=(read["spanId"],),
                ),
            ),
            params={"depth": 7, "rate": 0.5},
            metrics={"auc": 0.75},
            tags={"team": "ops"},
            git={"commit": "c0ffee", "branch": "main", "dirty": True, "repository": "https://example.org/delays"},
            attributes={
                A.SERVICE_NAME: "shop",
                **run.attributes,
                A.MLOTEL_COMPONENT_TAGS: ("a", "b"),
                A.MLOTEL_RUN_STATE: "ok",
            },
        )
        assert store.runs() == (expected,)

    def test_runs_come_latest_first(self, store_of: StoreOf) -> None:
        """Runs are in the order of their starts, the latest first, whatever order their lines are in."""
        runs = [RunLines(n, start_s=s) for n, s in ((1, 5), (2, 1), (3, 9), (4, 3))]

        store = store_of(*[run.end() for run in runs])

        assert [run.start_ns - T0 for run in store.runs()] == [9 * SECOND, 5 * SECOND, 3 * SECOND, SECOND]

    def test_runs_can_be_limited(self, store_of: StoreOf) -> None:
        """`limit` keeps the latest ones, 0 none."""
        store = store_of(*[RunLines(n, start_s=n).end() for n in range(5)])

        assert [len(store.runs(limit=limit)) for limit in (0, 2, 9, None)] == [0, 2, 5, 5]

    def test_runs_of_one_component(self, store_of: StoreOf) -> None:
        """`component` keeps the runs of exactly that name; a name that never ran has none."""
        store = store_of(*[RunLines(n, name, start_s=n).end() for n, name in enumerate(["a", "b", "a", "ab"])])

        found = {name: len(store.runs(component=name)) for name in ("a", "b", "ab", "c", "")}

        assert found == {"a": 2, "b": 1, "ab": 1, "c": 0, "": 0}

    def test_runs_of_a_time_range(self, store_of: StoreOf) -> None:
        """`since_ns` and `until_ns` keep the runs that began between them, both ends included."""
        store = store_of(*[RunLines(n, "ab"[n % 2], start_s=n).end() for n in range(6)])

        def seconds(since_s: float | None, until_s: float | None, **more: Any) -> list[float]:
            since, until = (None if s is None else T0 + round(s * SECOND) for s in (since_s, until_s))
            return [(run.start_ns - T0) / SECOND for run in store.runs(since_ns=since, until_ns=until, **more)]

        assert seconds(2, 4) == [4, 3, 2]
        assert seconds(2, None) == [5, 4, 3, 2]
        assert seconds(None, 1.5) == [1, 0]
        assert seconds(4, 2) == []
        assert seconds(1, 5, component="b") == [5, 3, 1]
        assert seconds(1, 5, component="b", limit=2) == [5, 3]

    def test_runs_that_meet_a_condition(self, conditioned: IndexedStore) -> None:
        """`where` keeps the runs that the condition matches, whoever selects them."""
        conditions = [Condition(*each) for each in CONDITIONS]
        everything = conditioned.runs()
        assert len(everything) == 3

        wrong = {}
        for each in conditions:
            conditioned.close()  # nothing that is known from another question helps
            found = [run.run_id[-1] for run in conditioned.runs(where=[each])]
            expected = [run.run_id[-1] for run in everything if each.matches(run)]
            if found != expected:
                wrong[str(each)] = (found, expected)

        assert wrong == {}
        assert {conditioned.translates(each) for each in conditions} <= {True, False}

    @pytest.fixture
    def conditioned(self, store_of: StoreOf) -> IndexedStore:
        """Runs of all sorts."""
        train = RunLines(
            1,
            "train",
            start_s=1,
            **{
                A.CICD_PIPELINE_NAME: "delays",
                A.MLOTEL_COMPONENT_VERSION: "2.0",
                A.MLOTEL_PARAM + ".depth": 7,
                A.MLOTEL_PARAM + ".rate": 0.5,
                A.MLOTEL_PARAM + ".on": True,
                A.MLOTEL_METRIC + ".auc": 0.75,
                A.MLOTEL_TAG + ".team": "ops",
                A.MLOTEL_COMPONENT_TAGS: ["a", "b"],
            },
        )
        odd = RunLines(
            2,
            'a b" || true || "',
            start_s=2,
            **{
                A.MLOTEL_COMPONENT_VERSION: "10",
                A.MLOTEL_PARAM + ".depth": "7",
                A.MLOTEL_PARAM + ".rate": 2,
                A.MLOTEL_PARAM + ".of what?": "x",
                A.MLOTEL_PARAM + '.a"b\\c': 'd"e\\f',
                A.MLOTEL_METRIC + ".auc": 1,
                A.MLOTEL_TAG + ".team": "shop",
            },
        )
        fails = RunLines(3, "train", start_s=0, **{A.MLOTEL_PARAM + ".depth": 7.5, A.MLOTEL_METRIC + ".auc": 1.0})
        spans = [
            train.read("flights", digest("f"), **{A.MLOTEL_ARTIFACT_URI: "s3://b/flights.parquet"}),
            train.write("model", digest("d")),
            odd.write("flights", digest("e")),
        ]
        return store_of(
            *map(span_line, spans),
            train.end(),
            odd.end(after_s=2),
            span_line(
                fails.span(
                    "failed", 3, status={"code": 2, "message": "ValueError: no rows"}, **{A.ERROR_TYPE: "ValueError"}
                ),
                service="other",
            ),
        )

    def test_all_conditions_have_to_hold(self, store_of: StoreOf) -> None:
        """Conditions are ANDed, and the latest so many that meet them all are kept."""
        runs = [RunLines(n, "ab"[n % 2], start_s=n, **{A.MLOTEL_PARAM + ".k": n % 3}) for n in range(12)]
        store = store_of(*[run.end() for run in runs])
        where = [Condition("component", "=", "b"), Condition("param.k", "=", 1), Condition("time", ">", T0)]

        assert [run.run_id for run in store.runs(where=where)] == [runs[7].run_id, runs[1].run_id]
        assert [run.run_id for run in store.runs(where=where, limit=1)] == [runs[7].run_id]
        assert [run.run_id for run in store.runs(component="b", where=where[1:])] == [runs[7].run_id, runs[1].run_id]
        assert store.runs(component="a", where=where) == ()

    def test_who_depends_on_a_run(self, store_of: StoreOf) -> None:
        """Dependents are found by the link that says so, latest first; links of other kinds are none."""
        base, first, second, retry = (RunLines(n, start_s=n) for n in range(1, 5))
        lines = [base.end()]
        for run, kind in ((first, "depends_on"), (second, "depends_on"), (retry, "retry_of")):
            said = {A.MLOTEL_LINK_TYPE: kind}
            lines.append(span_line({**run.span(**said), "links": [link_to(base.span(), **said)]}))
        store = store_of(*lines)

        found = store.dependents_of(base.trace_id, base.span_id)

        assert [run.run_id for run in found] == [second.run_id, first.run_id]
        assert found[0].dependencies == (Link(base.trace_id, base.span_id, "depends_on"),)
        assert store.dependents_of(base.trace_id.upper(), base.span_id.upper()) == found
        assert store.dependents_of(first.trace_id, base.span_id) == ()
        assert store.dependents_of(base.trace_id, "no span id") == ()

    def test_what_was_started_within_a_run(self, store_of: StoreOf) -> None:
        """Children are the runs whose parent span, or nearest run above, is the run's, latest first."""
        parent, near, far, other = (RunLines(n, start_s=n) for n in range(1, 5))
        for run in (near, far, other):
            run.trace_id = parent.trace_id
        above = {A.MLOTEL_PARENT_SPAN_ID: parent.span_id}
        store = store_of(
            parent.end(),
            near.end(parent=parent.span_id),
            far.end(parent="00000000000000ee", **above),
            other.end(parent=near.span_id),
        )

        found = store.children_of(parent.trace_id, parent.span_id)

        assert [run.run_id for run in found] == [far.run_id, near.run_id]
        assert {run.parent_span_id for run in found} == {parent.span_id}
        assert store.children_of(parent.trace_id.upper(), parent.span_id.upper()) == found
        assert store.children_of(RunLines(9).trace_id, parent.span_id) == ()
        assert store.children_of(parent.trace_id, "no span id") == ()

    @pytest.mark.parametrize("length", [4, 5, 15, 16, 17, 31, 32])
    def test_runs_are_found_by_the_beginning_of_an_id(self, store_of: StoreOf, length: int) -> None:
        """Run id, trace id and span id are found by prefixes of any length from 4 digits, in either case."""
        run = RunLines(0x1234)
        store = store_of(run.end(), RunLines(0x99).end())

        for identity in (run.run_id, run.trace_id, run.span_id):
            reference = identity[:length]
            expected = {one.run_id for one in store.runs() if any(i.startswith(reference) for i in _ids(one))}

            for spelled in (reference, reference.upper(), f" {reference}\n"):
                assert {one.run_id for one in store.find_runs(spelled)} == expected
            assert run.run_id in expected

    @pytest.mark.parametrize("reference", ["", "a", "abc", "xyzw", "a" * 33, "a000-0000", "*%_*"])
    def test_what_is_no_reference_finds_nothing(self, store_of: StoreOf, reference: str) -> None:
        """Fewer than 4 digits, more than 32, or what is not hex finds no run."""
        store = store_of(RunLines(1).end())

        assert store.find_runs(reference) == ()

    def test_a_run_is_found_by_its_spans(self, store_of: StoreOf) -> None:
        """The run span and each I/O span lead to the run; a span of the same id in another trace does not."""
        run = RunLines(1)
        read = run.read("x", digest("a"))
        store = store_of(span_line(read), run.end())

        answers = [
            store.run_of_span(run.trace_id, run.span_id),
            store.run_of_span(run.trace_id, read["spanId"]),
            store.run_of_span(run.trace_id.upper(), read["spanId"].upper()),
            store.run_of_span(RunLines(2).trace_id, run.span_id),
            store.run_of_span(run.trace_id, RunLines(2).span_id),
            store.run_of_span("no", "id"),
        ]

        assert [None if answer is None else answer.run_id for answer in answers] == [run.run_id] * 3 + [None] * 3

    def test_artifacts_are_found_by_each_key(self, store_of: StoreOf) -> None:
        """Digest (whole or the beginning of its hex), name, URI and direction select, together if several are given."""
        a, b = RunLines(1, start_s=1), RunLines(2, start_s=2)
        lines = (
            span_line(a.write("x", digest("1"), **{A.MLOTEL_ARTIFACT_URI: "x.parquet"})),
            span_line(a.write("y", "sha256:" + "1" * 63 + "2")),
            a.end(),
            span_line(b.read("x", digest("1"), **{A.MLOTEL_ARTIFACT_URI: "s3://b/x.parquet"})),
            span_line(b.write("z", None)),
            b.end(),
        )
        store = store_of(*lines)

        def names(**keys: str) -> list[str]:
            return [f"{artifact.direction[0]} {artifact.name}" for artifact in store.find_artifacts(**keys)]

        assert names(digest=digest("1")) == ["i x", "o x"]
        assert names(digest="1" * 20) == ["i x", "o y", "o x"]
        assert names(digest="blake3:11") == ["i x", "o x"]
        assert names(digest="1" * 63 + "2") == ["o y"]
        assert names(digest="2") == []
        assert names(digest="blake3:zz") == []
        assert names(name="x") == ["i x", "o x"]
        assert names(name="none") == []
        assert names(uri="x.parquet") == ["o x"]
        assert names(direction="output") == ["o z", "o y", "o x"]
        assert names(digest=digest("1"), direction="input") == ["i x"]
        assert names(digest=digest("1"), name="x", uri="s3://b/x.parquet", direction="input") == ["i x"]
        assert names(digest=digest("1"), name="y") == []

    def test_the_latest_artifacts(self, store_of: StoreOf) -> None:
        """With a limit, of what a question finds the latest so many are the answer."""
        runs = [RunLines(n, start_s=n * 10) for n in (2, 1, 3)]
        lines = [
            line
            for run in runs
            for line in (
                span_line(run.read("in", digest("c"), **{A.MLOTEL_ARTIFACT_URI: "s3://b/in"})),
                span_line(run.write("out", digest(run.run_id[-1]))),
                run.end(),
            )
        ]
        store = store_of(*lines)

        def made_by(**keys: Any) -> list[str]:
            return [artifact.run_id[-1] for artifact in store.find_artifacts(**keys)]

        assert made_by(name="out", limit=2) == ["3", "2"]
        assert made_by(digest=digest("c"), limit=1) == ["3"]
        assert made_by(uri="s3://b/in", direction="input", limit=1) == ["3"]
        assert made_by(name="in", limit=5) == ["3", "2", "1"]
        assert made_by(name="in", limit=0) == []

    def test_a_digest_that_is_not_hex_is_found_whole(self, store_of: StoreOf) -> None:
        """Digests of other systems need not be hex: they are found by their whole text."""
        run = RunLines(1)
        store = store_of(span_line(run.write("x", 'etag:"W/zz-9"')), run.end())

        assert len(store.find_artifacts(digest='etag:"W/zz-9"')) == 1

    def test_the_latest_writer_of_a_digest(self, store_of: StoreOf) -> None:
        """The latest write counts, apart from reads, from empty content, and from what the caller excludes."""
        first, second, reader = RunLines(1, start_s=1), RunLines(2, start_s=2), RunLines(3, start_s=3)
        one, two = first.write("x", digest("1")), second.write("x", digest("1"))
        empty = [
            second.write(str(n), digest("e"), **{key: 0})
            for n, key in enumerate((A.MLOTEL_ARTIFACT_ROWS, A.MLOTEL_ARTIFACT_SIZE))
        ]
        spans = [one, two, *empty, reader.read("x", digest("1"))]
        store = store_of(*map(span_line, spans), first.end(), second.end(), reader.end())

        def found(key: str, **keys: object) -> str | None:
            link = store.writer_of(key, **keys)  # type: ignore[arg-type] # the keywords of writer_of
            return None if link is None else link.span_id

        assert store.writer_of(digest("1")) == Link(second.trace_id, two["spanId"], "consumes", "digest")
        assert found(digest("1"), exclude_run=second.run_id) == one["spanId"]
        assert found(digest("1"), before_ns=second.start_ns) == one["spanId"]
        assert found(digest("1"), before_ns=first.start_ns) is None
        assert found(digest("e")) is None
        assert found(digest("2")) is None
        assert found("blake3:" + "1" * 63 + "2") is None

    def test_who_read_what_a_span_wrote(self, store_of: StoreOf) -> None:
        """Readers are found by the link to the span that wrote, with or without a digest."""
        writer, reader, other = RunLines(1, start_s=1), RunLines(2, start_s=2), RunLines(3, start_s=3)
        written = writer.write("stream")
        read = [one.read("stream", links=[link_to(written)]) for one in (reader, other)]
        store = store_of(*map(span_line, [written, *read]), writer.end(), reader.end(), other.end())

        found = store.readers_of(written["traceId"], written["spanId"])

        assert [artifact.run_id for artifact in found] == [other.run_id, reader.run_id]
        assert store.readers_of(written["traceId"].upper(), written["spanId"].upper()) == found
        assert store.readers_of(RunLines(7).trace_id, written["spanId"]) == ()
        assert store.readers_of(written["traceId"], "no span id") == ()

    def test_a_run_that_has_only_started(self, store_of: StoreOf) -> None:
        """A start record alone makes a run, with its parameters and what it has read so far."""
        run = RunLines(1, **{A.MLOTEL_PARAM + ".k": 3, A.MLOTEL_PARENT_SPAN_ID: "00000000000000aa"})
        store = store_of(run.start(), span_line(run.read("x", digest("a"))), now_s=10)

        (found,) = store.runs()

        assert (found.state, found.end_ns, found.params, found.parent_span_id, found.service, len(found.inputs)) == (
            "running",
            None,
            {"k": 3},
            "00000000000000aa",
            "shop",
            1,
        )

    @pytest.mark.parametrize(("now_s", "state"), [(10, "running"), (89, "running"), (91, "lost"), (1e6, "lost")])
    def test_a_run_elsewhere_is_lost_after_three_heartbeats(self, store_of: StoreOf, now_s: float, state: str) -> None:
        """A run of another machine counts as running until 90 s after its start."""
        store = store_of(RunLines(1).start(**{A.HOST_NAME: "elsewhere"}), now_s=now_s)

        assert [run.state for run in store.runs()] == [state]

    @pytest.mark.parametrize(("now_s", "state"), [(140, "running"), (151, "lost")])
    def test_heartbeats_keep_a_run_alive(self, store_of: StoreOf, now_s: float, state: str) -> None:
        """The 90 s count from the latest heartbeat, in whatever order they arrive."""
        run = RunLines(1)
        lines = (run.heartbeat(60), run.start(**{A.HOST_NAME: "elsewhere"}), run.heartbeat(30))

        assert [one.state for one in store_of(*lines, now_s=now_s).runs()] == [state]

    def test_a_run_of_a_living_process_here_is_running(self, store_of: StoreOf) -> None:
        """On this host the process itself is looked for: however long ago the run began."""
        store = store_of(RunLines(1).start(**_here()), now_s=10**6)

        assert [run.state for run in store.runs()] == ["running"]

    @pytest.mark.parametrize(
        "difference",
        [
            {A.PROCESS_PID: 2**22 + 1},
            {A.PROCESS_CREATION_TIME: datetime.fromtimestamp(0, UTC).isoformat()},
            {A.MLOTEL_PROCESS_BOOT_ID: "before the reboot"},
        ],
        ids=["no such process", "another process of that number", "before a reboot"],
    )
    def test_a_run_whose_process_is_gone_is_lost(self, store_of: StoreOf, difference: dict[str, object]) -> None:
        """On this host a run is lost at once when its process is gone, is another one, or the host was restarted."""
        store = store_of(RunLines(1).start(**{**_here(), **difference}), now_s=1)

        assert [run.state for run in store.runs()] == ["lost"]

    @pytest.mark.parametrize(
        ("state", "status", "expected"),
        [
            ("ok", {}, "ok"),
            ("failed", {"code": 2}, "failed"),
            ("cancelled", {"code": 2}, "cancelled"),
            (None, {}, "ok"),
            (None, {"code": 1}, "ok"),
            (None, {"code": 2}, "failed"),
            (None, {"code": "STATUS_CODE_ERROR"}, "failed"),
            ("running", {"code": 2}, "failed"),
        ],
    )
    def test_the_state_of_an_ended_run(
        self, store_of: StoreOf, state: str | None, status: dict[str, object], expected: str
    ) -> None:
        """An ended run is what its span says, or else what the span's status says."""
        store = store_of(RunLines(1).end(state, status=status))

        assert [run.state for run in store.runs()] == [expected]

    @pytest.mark.parametrize(
        ("kind", "message", "expected"),
        [
            ("ValueError", "ValueError: no rows", {"type": "ValueError", "message": "no rows"}),
            ("pkg.errors.Odd", "Odd: no rows", {"type": "pkg.errors.Odd", "message": "no rows"}),
            ("pkg.errors.Odd", "pkg.errors.Odd: a: b", {"type": "pkg.errors.Odd", "message": "a: b"}),
            ("KeyError", "KeyError", {"type": "KeyError"}),
            ("KeyError", "", {"type": "KeyError"}),
            (None, "something", {"message": "something"}),
            (None, "", None),
        ],
    )
    def test_the_error_of_a_failed_run(
        self, store_of: StoreOf, kind: str | None, message: str, expected: dict[str, str] | None
    ) -> None:
        """An error has the exception's type and its message without the type before it."""
        status = {"code": 2, "message": message}
        store = store_of(RunLines(1).end("failed", status=status, **{A.ERROR_TYPE: kind}))

        assert [run.error for run in store.runs()] == [expected]

    def test_an_end_record_ends_a_run(self, store_of: StoreOf) -> None:
        """Where the span goes elsewhere, the end record gives state, time and what it says beside."""
        run = RunLines(1, **{A.MLOTEL_PARAM + ".k": 3})
        end = run.end_record("failed", 5, **{A.ERROR_TYPE: "OSError", A.MLOTEL_METRIC + ".loss": 0.5})

        (found,) = store_of(run.start(), end).runs()

        assert (found.state, found.duration_s, found.params, found.metrics, found.error) == (
            "failed",
            5.0,
            {"k": 3},
            {"loss": 0.5},
            {"type": "OSError"},
        )

    def test_the_order_of_lines_does_not_matter(self, store_of: StoreOf) -> None:
        """Signals arrive by different ways: any order of the same lines gives the same run."""
        run = RunLines(1)
        lines = [run.start(), run.heartbeat(30), span_line(run.write("x", digest("a"))), run.end("ok", 40)]
        lines.append(run.end_record("ok", 40))
        expected = store_of(*lines).runs()
        assert len(expected) == 1

        for turn in range(1, len(lines)):
            assert store_of(*lines[turn:], *lines[:turn]).runs() == expected
        assert store_of(*reversed(lines)).runs() == expected

    def test_what_comes_twice_counts_once(self, store_of: StoreOf) -> None:
        """A replay delivers at least once: the same spans and records again change nothing."""
        run = RunLines(1)
        lines = [
            run.start(),
            span_line(run.read("x", digest("a"))),
            run.manifest([{"name": "p", "digest": digest("b")}], "00000000000000dd"),
            run.end(),
        ]
        store = store_of(*lines, *lines, span_line(run.span()), *lines)

        assert len(store.runs()) == 1
        assert len(store.runs()[0].inputs) == 1
        assert len(store.find_artifacts(digest=digest("b"))) == 1

    def test_the_entries_of_a_manifest_are_found(self, store_of: StoreOf) -> None:
        """Each entry of a manifest is found by digest and name, under its run, but is no input of its own."""
        run = RunLines(1)
        whole = run.read("parts", digest("c"), **{A.MLOTEL_ARTIFACT_DIGEST_SCOPE: "manifest"})
        entries = [{"name": f"part-{n}", "digest": digest(str(n))} for n in range(3)]
        store = store_of(run.start(), span_line(whole), run.manifest(entries, whole["spanId"]), run.end())

        found = store.find_artifacts(name="part-2")

        assert [(one.digest, one.run_id, one.span_id, one.direction) for one in found] == [
            (digest("2"), run.run_id, whole["spanId"], "input")
        ]
        assert store.find_artifacts(digest=digest("1"))[0].name == "part-1"
        assert [one.name for one in store.runs()[0].inputs] == ["parts"]

    def test_a_manifest_may_come_in_parts(self, store_of: StoreOf) -> None:
        """Long lists come in several records: their entries are told apart and keep their order."""
        run = RunLines(1)
        whole = run.read("parts", digest("c"), **{A.MLOTEL_ARTIFACT_DIGEST_SCOPE: "manifest"})
        entries = [{"name": f"part-{n}", "digest": digest(str(n))} for n in range(5)]
        parts = [run.manifest(entries[first : first + 2], whole["spanId"], first=first) for first in (0, 2, 4)]
        store = store_of(run.start(), span_line(whole), *parts, run.end())

        assert [one.name for one in store.manifest_entries(whole["spanId"])] == [entry["name"] for entry in entries]
        assert store.find_artifacts(name="part-4")[0].digest == digest("4")
        assert store.manifest_entries("00000000000000ee") == ()
        assert store.manifest_entries("no span id") == ()

    def test_a_write_that_failed_is_no_artifact(self, store_of: StoreOf) -> None:
        """The span of a write that ended in an error says that there is nothing to read."""
        run = RunLines(1)
        failed = {**run.write("half", digest("a")), "status": {"code": 2, "message": "OSError: disk full"}}
        store = store_of(run.start(), span_line(failed), run.end())

        assert store.find_artifacts(name="half") == ()
        assert store.runs()[0].outputs == ()

    def test_links_may_have_lost_their_attributes(self, store_of: StoreOf) -> None:
        """Jaeger drops the attributes of links; what the span says then counts."""
        writer, reader = RunLines(1), RunLines(2)
        written = writer.write("x", digest("a"))
        said = {A.MLOTEL_LINK_TYPE: "consumes", A.MLOTEL_LINK_RESOLVED_BY: "sidecar"}
        store = store_of(span_line(reader.read("x", digest("a"), links=[link_to(written)], **said)), reader.end())

        assert store.runs()[0].inputs[0].link == Link(writer.trace_id, written["spanId"], "consumes", "sidecar")

    def test_many_spans_in_one_line(self, store_of: StoreOf) -> None:
        """A collector writes many spans of several resources to a line: each is found."""
        runs = [RunLines(n, start_s=n) for n in range(5)]
        spans = [one for run in runs for one in (run.read("x", digest("a")), run.write("y", digest("b")), run.span())]
        store = store_of(span_line(*spans), log_line(*[run.record("other", T0) for run in runs]))

        assert [(run.run_id, len(run.inputs), len(run.outputs)) for run in store.runs()] == [
            (run.run_id, 1, 1) for run in reversed(runs)
        ]

    def test_spans_that_are_not_mlotels_are_left_out(self, store_of: StoreOf) -> None:
        """Spans without a run id, other events, metrics and blank lines are no runs and no faults."""
        run = RunLines(1)
        foreign = {**run.span(), "attributes": key_values({"http.request.method": "GET"})}
        metrics = b'{"resourceMetrics":[{"resource":{},"scopeMetrics":[]}]}'
        store = store_of(
            span_line(foreign), metrics, b"", b"   ", b'{"resourceSpans":[]}', log_line(run.record("x", T0)), run.end()
        )

        assert len(store.runs()) == 1
        assert store.status().skipped == 0

    @pytest.mark.parametrize(
        "junk",
        [
            b"junk",
            b'{"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"scope":{},"spans":[{"traceId":"0a',
            b"[1, 2]",
            b"null",
            b"{}",
            b'{"resourceSpans":[{"scopeSpans":[{"spans":7}]}]}',
            b'{"resourceSpans":{"a":1}}',
            b'{"resourceSpans":[{"scopeSpans":[{"spans":["x"]}]}]}',
            b"\xff\xfe\x00",
            span_line({**RunLines(5).span(), "spanId": "short"}),
            span_line({**RunLines(5).span(), "startTimeUnixNano": "yesterday"}),
            span_line({**RunLines(5).span(), "traceId": 7}),
            pytest.param(
                nested(100_000, '{"arrayValue":{"values":[', "]}}", "value"), id="values nested deeply in what is read"
            ),
            pytest.param(nested(100_000, "[", "]", "other"), id="lists nested deeply in what is passed over"),
        ],
        ids=str,
    )
    def test_junk_is_skipped_and_counted(self, store_of: StoreOf, junk: bytes) -> None:
        """A line that is torn, or is no OTLP, costs nothing but itself."""
        store = store_of(RunLines(1).end(), junk, RunLines(2, start_s=1).end())

        assert len(store.runs()) == 2
        assert store.status().skipped == 1
        assert store.unread() == 1

    @pytest.mark.parametrize("wrong", [{"spanId": "zz"}, {"spanId": 7}, {"attributes": [7]}, {"links": {}}], ids=str)
    def test_one_bad_span_costs_no_other(self, store_of: StoreOf, wrong: dict[str, object]) -> None:
        """In a line of several spans, the good ones are read though one is bad."""
        good, bad = RunLines(1), {**RunLines(2).span(), **wrong}
        store = store_of(span_line(bad, good.span()))

        assert [run.run_id for run in store.runs()] == [good.run_id]
        assert store.status().skipped == 1

    def test_variants_of_the_json_form(self, store_of: StoreOf) -> None:
        """Integers as numbers, doubles as strings, ids in capitals and enumerations by name are all read."""
        run = RunLines(0xABC)
        span = run.span(None, status={"code": "STATUS_CODE_OK"})
        span |= {"traceId": run.trace_id.upper(), "spanId": run.span_id.upper(), "kind": "SPAN_KIND_INTERNAL"}
        span |= {"startTimeUnixNano": T0, "endTimeUnixNano": T0 + 5}
        span["attributes"] += [
            {"key": A.MLOTEL_PARAM + ".n", "value": {"intValue": 5}},
            {"key": A.MLOTEL_PARAM + ".x", "value": {"doubleValue": "-Infinity"}},
            {"key": A.MLOTEL_PARAM + ".y", "value": {"doubleValue": 2}},
        ]

        (found,) = store_of(span_line(span)).runs()

        assert (found.trace_id, found.span_id, found.params) == (
            run.trace_id,
            run.span_id,
            {"n": 5, "x": float("-inf"), "y": 2.0},
        )

    def test_more_runs_than_fit_one_query(self, store_of: StoreOf) -> None:
        """Thousands of runs, with their artifacts, come back whole and in order."""
        runs = [RunLines(n, start_s=n) for n in range(1200)]
        lines = [line for run in runs for line in (span_line(run.write("x", digest("a"))), run.end())]

        found = store_of(*lines).runs()

        assert [run.run_id for run in found] == [run.run_id for run in reversed(runs)]
        assert {len(run.outputs) for run in found} == {1}


def _ids(run: Run) -> Sequence[str]:
    return (run.run_id, run.trace_id, run.span_id)


def _here() -> dict[str, object]:
    me = provenance.identity()
    return {
        A.HOST_NAME: me.host,
        A.MLOTEL_PROCESS_BOOT_ID: me.boot_id,
        A.MLOTEL_PROCESS_PID_NAMESPACE: me.pid_namespace,
        A.PROCESS_PID: me.pid,
        A.PROCESS_CREATION_TIME: me.created,
    }
