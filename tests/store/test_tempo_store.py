"""TempoStore over a stand-in that speaks Tempo's documented API: the contract of stores, and what is its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from otlp_lines import SECOND, T0, RunLines, digest, link_to, span_line
from remote_contract import DAY, RemoteContract
from tempo_standin import StandInTempo

from mlotel.errors import QueryError, StoreError
from mlotel.lineage import around, downstream, resolve, upstream
from mlotel.semconv import attributes as A
from mlotel.store.memory import MemoryStore
from mlotel.store.tempo import TempoStore

TempoOf = Callable[..., StandInTempo]


class TestTempoStore(RemoteContract):
    """The contract of stores, with spans that a Tempo would have."""

    @pytest.fixture(params=["v2", "v1"])
    def store_of(self, tempo_of: TempoOf, request: pytest.FixtureRequest) -> Iterator[Callable[..., TempoStore]]:
        made = []

        def make(*lines: bytes, now_s: float = 0.0, **arguments: object) -> TempoStore:
            tempo = tempo_of(*lines, v2=request.param == "v2")
            clock = T0 + round(now_s * SECOND)
            given = {"since_ns": T0 - DAY, "until_ns": T0 + DAY, **arguments}
            made.append(TempoStore(tempo.url, clock=lambda: clock, **given))  # type: ignore[arg-type]
            return made[-1]

        yield make
        for store in made:
            store.close()


@pytest.fixture
def pipeline() -> list[bytes]:
    """Two runs, the second of which reads what the first wrote and what nobody wrote."""
    make, use = RunLines(1, "make"), RunLines(2, "use", start_s=10)
    made = make.write("made", digest("a"))
    spans = [
        made,
        use.read("renamed", digest("a"), links=[link_to(made, **{A.MLOTEL_LINK_TYPE: "consumes"})]),
        use.read("raw", digest("b")),
        use.write("result", digest("c")),
    ]
    return [*map(span_line, spans), make.end(), use.end()]


def open_store(tempo: StandInTempo, **arguments: object) -> TempoStore:
    return TempoStore(tempo.url, **{"since_ns": T0 - DAY, "until_ns": T0 + DAY, **arguments})  # type: ignore[arg-type]


def searches(tempo: StandInTempo) -> list[dict[str, str]]:
    """The searches that were asked for, by their parameters."""
    parts = [urlsplit(path) for path in tempo.asked]
    return [
        {key: values[0] for key, values in parse_qs(part.query).items()} for part in parts if part.path == "/api/search"
    ]


@pytest.mark.parametrize("what", ["result", "made", "name:renamed", "raw", digest("a"), "a" * 8])
def test_lineage_is_that_of_the_same_lines_in_memory(tempo_of: TempoOf, pipeline: list[bytes], what: str) -> None:
    """Backwards, forwards and both ways: the same runs, artifacts and edges."""
    kept = MemoryStore(pipeline)
    with open_store(tempo_of(*pipeline)) as store:
        for way in (upstream, downstream, around):
            assert way(store, resolve(store, what)) == way(kept, resolve(kept, what))


def test_readers_are_searched_for_by_link(tempo_of: TempoOf) -> None:
    """Unlike Jaeger, Tempo finds a link: a reader of another digest and another name is found."""
    writer, reader = RunLines(1), RunLines(2, start_s=1)
    written = writer.write("a", digest("a"))
    read = reader.read("b", digest("b"), links=[link_to(written)])
    with open_store(tempo_of(span_line(written), writer.end(), span_line(read), reader.end())) as store:
        assert [each.name for each in store.readers_of(written["traceId"], written["spanId"])] == ["b"]


def test_only_the_latest_traces_are_fetched_for_a_limit(tempo_of: TempoOf) -> None:
    """For the latest few runs of many, a search and a few traces are asked for."""
    tempo = tempo_of(*[RunLines(n, start_s=n).end() for n in range(150)])
    with open_store(tempo) as store:
        assert [run.run_id for run in store.runs(limit=3)] == [RunLines(n).run_id for n in (149, 148, 147)]
        assert len(tempo.asked) <= 1 + 8


def test_a_trace_is_fetched_once(tempo_of: TempoOf) -> None:
    """What is known already is not asked for again."""
    tempo = tempo_of(RunLines(1).end())
    with open_store(tempo) as store:
        assert len(store.runs()) == len(store.runs()) == 1
        assert sum("/traces/" in path for path in tempo.asked) == 1


def test_runs_by_a_beginning_cost_only_the_traces_that_fit(tempo_of: TempoOf) -> None:
    """Ids are compared with those that a search names: other traces are not fetched."""
    tempo = tempo_of(*[RunLines(n << 8, start_s=n).end() for n in range(50)])
    wanted = RunLines(7 << 8).run_id
    with open_store(tempo) as store:
        assert [run.run_id for run in store.find_runs(wanted[:30])] == [wanted]
        assert sum("/traces/" in path for path in tempo.asked) == 1


@pytest.mark.parametrize("limit_s", [3600, 24 * 3600])
def test_a_tempo_that_searches_short_times_only(tempo_of: TempoOf, limit_s: int) -> None:
    """The time range is parted until Tempo takes it, and what it takes is remembered."""
    runs = [RunLines(n, start_s=n * 7200) for n in range(4)]
    tempo = tempo_of(*[run.end() for run in runs], max_duration_s=limit_s)
    with open_store(tempo, since_ns=T0 - 3600 * SECOND, until_ns=T0 + 8 * 3600 * SECOND) as store:
        assert [run.run_id for run in store.runs()] == [run.run_id for run in reversed(runs)]
        assert not store.partial
        tempo.asked.clear()
        assert len(store.runs()) == 4
        assert all(int(each["end"]) - int(each["start"]) <= limit_s for each in searches(tempo))


def test_thirty_days_are_searched_in_parts(tempo_of: TempoOf) -> None:
    """By default 30 days are searched, and no search is longer than the seven days that Tempo takes by default."""
    runs = [RunLines(n, start_s=-n * DAY / SECOND) for n in (0, 6, 8, 29, 31)]
    tempo = tempo_of(*[run.end() for run in runs])
    with TempoStore(tempo.url, clock=lambda: T0) as store:
        assert [run.run_id for run in store.runs()] == [run.run_id for run in runs[:-1]]
        assert len(searches(tempo)) == 5


def test_a_trace_of_many_runs(tempo_of: TempoOf) -> None:
    """A search names a hundred spans of a trace at most: the trace is fetched whatever they are."""
    runs = [RunLines(n, start_s=n) for n in range(250)]
    for run in runs:
        run.trace_id = runs[0].trace_id
    with open_store(tempo_of(*[run.end() for run in runs])) as store:
        assert [run.run_id for run in store.runs(limit=2)] == [runs[249].run_id, runs[248].run_id]
        assert [run.run_id for run in store.find_runs(runs[200].run_id[:32])] == [runs[200].run_id]
        assert [run.run_id for run in store.find_runs(runs[201].span_id)] == [runs[201].run_id]


def test_more_traces_than_a_question_may_fetch(tempo_of: TempoOf) -> None:
    """The latest of them are the answer, which is partial."""
    with open_store(tempo_of(*[RunLines(n, start_s=n).end() for n in range(30)]), max_traces=20) as store:
        assert [run.run_id for run in store.runs()] == [RunLines(n).run_id for n in range(29, 9, -1)]
        assert "20 traces" in store.problems[0]


def test_a_query_of_ones_own(tempo_of: TempoOf, pipeline: list[bytes]) -> None:
    """`search` passes TraceQL through, and returns the runs that a selected span belongs to, latest first."""
    tempo = tempo_of(*pipeline)
    query = f'{{ span.{A.MLOTEL_ARTIFACT_DIGEST} = "{digest("a")}" }}'
    with open_store(tempo) as store:
        assert [run.component for run in store.search(query)] == ["use", "make"]
        assert [run.component for run in store.search(query, limit=1)] == ["use"]
        assert [run.component for run in store.search(query, until_ns=T0)] == ["make"]
        assert [run.component for run in store.search('{ resource.service.name = "shop" } | count() > 3')] == ["use"]
        assert store.search('{ name = "nobody" }') == ()
    assert {each["q"] for each in searches(tempo)} >= {query}


def test_a_query_that_is_none(tempo_of: TempoOf) -> None:
    """What Tempo says of it is passed on; an empty one is not asked."""
    tempo = tempo_of(RunLines(1).end())
    with open_store(tempo) as store:
        with pytest.raises(StoreError, match=r"does not take the query .*parse error at line 1"):
            store.search("{ oops")
        with pytest.raises(QueryError, match="empty"):
            store.search("  ")
        assert len(searches(tempo)) == 1


def test_a_query_that_selects_more_than_is_named(tempo_of: TempoOf) -> None:
    """Of a trace with more than a hundred selected spans, some may be missed, and that is told."""
    run = RunLines(1)
    spans = [run.write(f"part-{n}", digest("a")) for n in range(120)]
    with open_store(tempo_of(*map(span_line, spans), run.end())) as store:
        assert [each.run_id for each in store.search("{ }")] == [run.run_id]
        assert store.partial
        assert "more than 100 spans" in store.problems[0]


def test_what_a_lineage_asks_again_and_again_is_asked_once(tempo_of: TempoOf, pipeline: list[bytes]) -> None:
    """The same search by digest or link is not done twice within half a minute; later it is, and finds what is new."""
    tempo, now = tempo_of(*pipeline), [T0]
    late = RunLines(3, "late", start_s=20)
    with open_store(tempo, clock=lambda: now[0]) as store:
        asked = []
        for _ in range(2):
            assert len(store.find_artifacts(digest=digest("a"), direction="input")) == 1
            assert len(store.readers_of(RunLines(1).trace_id, store.runs(component="make")[0].outputs[0].span_id)) == 1
            asked.append(len([each for each in searches(tempo) if "component" not in each["q"]]))
        tempo.add([span_line(late.read("made", digest("a"))), late.end()])
        now[0] += 31 * SECOND
        found = store.find_artifacts(digest=digest("a"), direction="input")

    assert asked == [2, 2]
    assert [each.run_id for each in found] == [late.run_id, RunLines(2).run_id]


def test_what_was_fetched_is_not_kept_without_end(tempo_of: TempoOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past a number of spans the next question begins anew, and answers the same."""
    monkeypatch.setattr("mlotel.store.fetching._MOST_KEPT", 10)
    tempo = tempo_of(*[RunLines(n, "ab"[n % 2], start_s=n).end() for n in range(30)])
    with open_store(tempo) as store:
        assert len(store.runs()) == 30
        assert len(store.runs(component="a", limit=5)) == 5
        assert len(store._spans) < 30
        assert len(store.runs(component="b")) == 15


def test_the_parts_of_a_long_time_are_searched_at_once(tempo_of: TempoOf) -> None:
    """Where all of them are needed, the searches of 30 days do not wait for one another."""
    waiting, together = threading.Barrier(5), []

    def all_of_them(path: str) -> None:
        if "/api/search" in path:
            together.append(waiting.wait(20))

    tempo = tempo_of(RunLines(1).end(), fault=all_of_them)
    with TempoStore(tempo.url, clock=lambda: T0 + SECOND) as store:
        assert len(store.runs()) == 1
    assert len(together) == 5
