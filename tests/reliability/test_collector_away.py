"""A collector that is away or out of order: the program goes on and ends, and nothing is lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from faulty_collector import FaultyCollector, Reply, faulty_collector
from faulty_grpc_collector import faulty_grpc_collector

from mlotel.sdk.replay import replay as sdk_replay
from mlotel.semconv import attributes as A
from mlotel.semconv import metrics as M

Runs = Callable[..., "subprocess.CompletedProcess[str]"]

SERVERS = {"http/protobuf": faulty_collector, "grpc": faulty_grpc_collector}
NO_SPANS = bytes.fromhex("0a0608031202") + b"no"  # a partial success: three items rejected, because "no"
FAULTS: dict[str, dict[str, Reply]] = {
    "http/protobuf": {
        "503": Reply(503),
        "a page": Reply(headers={"Content-Type": "text/html"}, body=b"<p>log in</p>", taken=False),
        "no answer": Reply(None),
        "slow": Reply(after_s=30, taken=False),
    },
    "grpc": {
        "unavailable": Reply(14),
        "slow": Reply(0, after_s=30, taken=False),
    },
}
WELL = {"http/protobuf": Reply(), "grpc": Reply(0)}

RUNS = """
    import logging, sys, mlotel
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    first, end = map(int, sys.argv[1:])
    for number in range(first, end):
        with mlotel.component("score", params={"number": number}) as run:
            run.log_input(b"x", "x")
"""


AGAIN = """
    mlotel.flush()
    with mlotel.component("last"):
        pass
    mlotel.flush()
"""
POISON = """
    with mlotel.component("poison"):
        pass
"""
FLUSH_FOR_SECONDS = """
    import time
    for _ in range(60):
        mlotel.flush()
        time.sleep(0.1)
"""
UNTIL_SENT = """
    mlotel.flush()
    import os, time
    deadline = time.monotonic() + 40
    store = os.environ["MLOTEL_STORE"]
    def left():
        names = [os.path.join(where, name) for where, _, names in os.walk(f"{store}/spool") for name in names]
        return [name for name in names if name.endswith((".jsonl", ".pb"))]
    while left() and time.monotonic() < deadline:
        mlotel.flush()
        time.sleep(0.1)
    print(left())
    """


@pytest.fixture
def runs(script: Runs) -> Runs:
    """Runs a program with a component run for each number from `first` to before `end`, and then something more."""

    def run(first: int, end: int, then: str = "", **variables: Any) -> subprocess.CompletedProcess[str]:
        return script(RUNS + then, str(first), str(end), **variables)

    return run


def numbers(collector: FaultyCollector) -> list[int]:
    """Return the numbers of the runs whose spans were taken."""
    found = [
        attribute.value.int_value
        for span in collector.spans()
        for attribute in span.attributes
        if attribute.key == f"{A.MLOTEL_PARAM}.number"
    ]
    return sorted(found)


def events(collector: FaultyCollector) -> Counter[str]:
    return Counter(record.event_name for record in collector.log_records())


def warnings(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("mlotel: ")]


def spooled(store: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (store / "spool").rglob("*.jsonl"))


def ask(collector: FaultyCollector, protocol: str = "http/protobuf", **more: Any) -> dict[str, Any]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **more}


def replay(store: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-m", "mlotel", "replay", "--store", str(store), "--format", "json", *arguments],
        env={**kept, **variables}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


CASES = [(protocol, fault) for protocol, faults in FAULTS.items() for fault in faults]


@pytest.mark.parametrize(("protocol", "fault"), CASES)
def test_what_one_process_cannot_send_a_later_one_sends(runs: Runs, tmp_path: Path, protocol: str, fault: str) -> None:
    """The program ends as ever with a sentence for each signal; the next one brings its spans, logs and metrics too."""
    with SERVERS[protocol]() as collector:
        collector.reply = lambda signal, message: FAULTS[protocol][fault]
        first = runs(0, 30, **ask(collector, protocol))
        assert collector.spans() == []
        assert 1 <= len(warnings(first)) <= 3, first.stderr
        assert "Traceback" not in first.stderr
        assert spooled(tmp_path / "store") == 120  # a run is two spans, a start and an end

        collector.reply = lambda signal, message: WELL[protocol]
        later = runs(30, 31, UNTIL_SENT, **ask(collector, protocol))
        assert (later.stdout, later.stderr) == ("[]\n", "")
        assert numbers(collector) == list(range(31))
        assert len({span.span_id for span in collector.spans()}) == 62
        assert events(collector) == {"mlotel.run.start": 31, "mlotel.run.end": 31}
        counts = [point.count for point in collector.points(M.MLOTEL_RUN_DURATION.name)]
        assert set(counts) == {1, 30}


@contextmanager
def never_accepting() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


@pytest.mark.parametrize("protocol", SERVERS)
@pytest.mark.parametrize("kind", ["nobody listens", "a black hole"])
def test_with_nobody_at_the_address_everything_is_kept(runs: Runs, tmp_path: Path, protocol: str, kind: str) -> None:
    """Down from the start, or a listener that never accepts: `mlotel replay` sends it all to one that is there."""
    with never_accepting() as silent:
        endpoint = silent if kind == "a black hole" else "http://127.0.0.1:9"
        done = runs(0, 30, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert 1 <= len(warnings(done)) <= 3, done.stderr
    with SERVERS[protocol]() as collector:
        answer = replay(tmp_path / "store", **ask(collector, protocol))
        assert (answer["sent"], answer["rejected"], answer["kept"], answer["error"]) == (120, 0, 0, None)
        assert answer["metrics"] == 1
        assert numbers(collector) == list(range(30))
    assert list((tmp_path / "store" / "spool").rglob("*.jsonl")) == []


@pytest.mark.parametrize("protocol", SERVERS)
def test_the_same_process_sends_it_when_the_collector_is_back(runs: Runs, protocol: str) -> None:
    """A service that goes on needs nothing done: what was spooled arrives while it runs, each span once."""
    with SERVERS[protocol]() as collector:
        bad = FAULTS[protocol]["503" if protocol == "http/protobuf" else "unavailable"]
        failed: Counter[str] = Counter()

        def reply(signal: str, message: Any) -> Reply:
            failed[signal] += 1
            return bad if failed[signal] <= 2 else WELL[protocol]

        collector.reply = reply
        done = runs(0, 40, UNTIL_SENT, **ask(collector, protocol))
        assert done.stdout == "[]\n", done.stderr
        assert numbers(collector) == list(range(40))
        assert len(collector.spans()) == 80
        assert events(collector) == {"mlotel.run.start": 40, "mlotel.run.end": 40}
        assert collector.points(M.MLOTEL_RUN_DURATION.name)[-1].count == 40


@pytest.mark.parametrize("protocol", SERVERS)
@pytest.mark.parametrize("refused", ["logs", "traces"])
def test_a_signal_that_is_not_taken_holds_up_no_other(runs: Runs, tmp_path: Path, protocol: str, refused: str) -> None:
    """Spans that are spooled arrive while log records are not taken, and the other way round: in order, once each."""
    bad = FAULTS[protocol]["503" if protocol == "http/protobuf" else "unavailable"]
    store = tmp_path / "store"
    runs(0, 200, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    with SERVERS[protocol]() as collector:
        collector.reply = lambda signal, message: bad if signal == refused else WELL[protocol]
        answer = replay(store, **ask(collector, protocol))
        assert (answer["sent"], answer["kept"], answer["metrics"]) == (400, 400, 1)
        assert answer["error"] is not None
        assert (len(collector.spans()), len(collector.log_records())) == ((400, 0) if refused == "logs" else (0, 400))

        collector.reply = lambda signal, message: WELL[protocol]
        answer = replay(store, **ask(collector, protocol))
        assert (answer["sent"], answer["kept"], answer["error"], answer["resent"]) == (400, 0, None, 0)
        arrived = [
            attribute.value.int_value
            for span in collector.spans()
            for attribute in span.attributes
            if attribute.key == f"{A.MLOTEL_PARAM}.number"
        ]
        assert arrived == list(range(200))
        assert len(collector.spans()) == 400
        assert events(collector) == {"mlotel.run.start": 200, "mlotel.run.end": 200}


TWICE = """
    mlotel.flush()
    for number in range(first, end):
        with mlotel.component("again"):
            pass
"""
UNTIL = """
    import os, time
    deadline = time.monotonic() + 50
    while not os.path.exists({there!r}) and time.monotonic() < deadline:
        mlotel.flush()
        time.sleep(0.1)
"""


@pytest.mark.parametrize("stores", [True, False])
def test_a_process_that_goes_on_sends_what_is_taken(runs: Runs, tmp_path: Path, stores: bool) -> None:
    """All signals fail for a while, log records for longer: meanwhile spans arrive, from the disk or from memory."""
    there = tmp_path / "there"
    with faulty_collector() as collector:

        def reply(signal: str, message: Any) -> Reply:
            if len(collector.spans()) == 90:
                there.touch()
            failed = sum(each.signal == signal for each in collector.requests)
            return Reply(503) if signal == "logs" or failed < 2 else Reply()

        collector.reply = reply
        store = {} if stores else {"MLOTEL_STORE": "off"}
        done = runs(
            0, 30, TWICE + UNTIL.format(there=str(there)), **ask(collector, OTEL_METRICS_EXPORTER="none", **store)
        )
        assert there.exists(), done.stderr
        assert numbers(collector) == list(range(30))
        assert len(collector.spans()) == 90
        assert collector.log_records() == []
        if stores:
            assert replay(tmp_path / "store", **ask(collector))["kept"] == 120
        else:
            assert "dropped in all: 120 log records" in done.stderr


def test_spools_of_before_are_sent(runs: Runs, tmp_path: Path) -> None:
    """A file with spans and log records together, as earlier versions wrote them, is sent as far as it goes."""
    runs(0, 30, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_METRICS_EXPORTER="none")
    store = tmp_path / "store"
    one, other = sorted((store / "spool").rglob("*.jsonl"))
    lines = [part.read_bytes().splitlines(keepends=True) for part in (one, other)]
    assert list(map(len, lines)) == [60, 60]
    one.write_bytes(b"".join(first + second for first, second in zip(*lines, strict=True)))
    other.unlink()
    with faulty_collector() as collector:
        collector.reply = lambda signal, message: Reply(503 if signal == "logs" else 200)
        assert replay(store, "--endpoint", collector.endpoint)["kept"] in (119, 120)
        collector.reply = lambda signal, message: Reply()
        answer = replay(store, "--endpoint", collector.endpoint)
        assert (answer["kept"], answer["resent"]) == (0, 0)
        assert numbers(collector) == list(range(30))
        assert (len(collector.spans()), len(collector.log_records())) == (60, 60)
    assert spooled(store) == 0


def test_a_run_that_ends_after_the_shutdown_is_kept(runs: Runs, tmp_path: Path) -> None:
    """The exporters are gone by then: its end and its span are in the spool, and `mlotel replay` sends them."""
    with faulty_collector() as collector:
        last = '    run = mlotel.start_component("open")\n    mlotel.shutdown()\n    run.end()\n'
        runs(0, 3, last, **ask(collector))
        assert events(collector) == {"mlotel.run.start": 4, "mlotel.run.end": 3}
        assert replay(tmp_path / "store", **ask(collector))["sent"] == 2
        assert events(collector) == {"mlotel.run.start": 4, "mlotel.run.end": 4}
        assert "open" in {span.name for span in collector.spans()}


def test_a_collector_that_asks_for_time_is_given_it(runs: Runs) -> None:
    """Retry-After of a 429: no request of that signal comes before, and one comes then."""
    with faulty_collector() as collector:
        collector.reply = lambda signal, message: Reply(429, {"Retry-After": "4"})
        runs(0, 3, "    import time; mlotel.flush(); time.sleep(6); mlotel.flush()\n", **ask(collector))
        at = [[each.at for each in collector.requests if each.signal == signal] for signal in ("traces", "logs")]
    assert max(map(len, at)) >= 2
    assert min(later - before for times in at for before, later in pairwise(times)) >= 3.5


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_signal_that_is_refused_for_good_is_switched_off(runs: Runs, tmp_path: Path, protocol: str) -> None:
    """404 or UNIMPLEMENTED for logs and metrics: one request and one warning each, and traces go on."""
    never = Reply(404 if protocol == "http/protobuf" else 12)
    with SERVERS[protocol]() as collector:
        collector.reply = lambda signal, message: WELL[protocol] if signal == "traces" else never
        done = runs(0, 5, AGAIN, **ask(collector, protocol))
        requests = Counter(each.signal for each in collector.requests)
        assert (requests["logs"], requests["metrics"]) == (1, 1)
        assert len(collector.spans()) == 11
    assert sorted(line.split(" takes no ")[1].split()[0] for line in warnings(done)) == ["logs", "metrics"]
    assert spooled(tmp_path / "store") == 0


@pytest.mark.parametrize("protocol", SERVERS)
def test_traces_that_are_refused_are_kept(runs: Runs, tmp_path: Path, protocol: str) -> None:
    """A mistyped address must not cost the runs: not by the process, and not by a replay to the same address."""
    never = Reply(404 if protocol == "http/protobuf" else 12)
    with SERVERS[protocol]() as collector:
        collector.reply = lambda signal, message: never
        runs(0, 5, **ask(collector, protocol))
        answer = replay(tmp_path / "store", **ask(collector, protocol))
        assert (answer["sent"], answer["kept"]) == (0, 10)
        collector.reply = lambda signal, message: WELL[protocol]
        replay(tmp_path / "store", **ask(collector, protocol))
        assert numbers(collector) == list(range(5))


def dropped(collector: FaultyCollector, name: str = M.MLOTEL_TELEMETRY_DROPPED.name) -> dict[str, int]:
    """Return the latest counts by item and, if there is one, reason; zeros left out."""
    found: dict[str, int] = {}
    for point in collector.points(name):
        labels = {each.key: each.value.string_value for each in point.attributes}
        key = " ".join(labels[name] for name in (A.MLOTEL_TELEMETRY_ITEM, A.ERROR_TYPE) if name in labels)
        found[key] = point.as_int
    return {key: value for key, value in found.items() if value}


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_partial_success_is_counted_and_said(runs: Runs, protocol: str) -> None:
    """Items that a collector rejects are not sent again: they are in `mlotel.telemetry.dropped`, with its reason."""
    with SERVERS[protocol]() as collector:
        partial = Reply(WELL[protocol].status, body=NO_SPANS)
        collector.reply = lambda signal, message: partial if signal == "traces" else WELL[protocol]
        done = runs(0, 5, "    mlotel.flush()\n", **ask(collector, protocol))
        assert len([each for each in collector.requests if each.signal == "traces"]) == 1
        assert dropped(collector) == {"span rejected": 3}
    assert warnings(done) == ["mlotel: spans are dropped: no", "mlotel: dropped in all: 3 spans"]


def test_one_malformed_item_does_not_keep_the_others(runs: Runs, tmp_path: Path) -> None:
    """A collector that answers 400 as long as one item is there gets all the others."""
    with faulty_collector() as collector:

        def reply(signal: str, message: Any) -> Reply:
            return Reply(400) if b"poison" in message.SerializeToString() else Reply()

        collector.reply = reply
        runs(0, 20, POISON, **ask(collector, OTEL_METRICS_EXPORTER="none"))
        answer = replay(tmp_path / "store", **ask(collector))
        assert answer["error"] is None
        assert numbers(collector) == list(range(20))
    assert spooled(tmp_path / "store") == 0


@pytest.mark.parametrize("protocol", SERVERS)
def test_what_may_be_there_twice_is_counted(runs: Runs, tmp_path: Path, protocol: str) -> None:
    """A collector takes a request, and the answer is lost: it is sent again, and that is counted. Nothing else is."""
    lost = Reply(None, taken=True) if protocol == "http/protobuf" else Reply(13, taken=True)
    with SERVERS[protocol]() as collector:
        first = {"traces": lost}
        collector.reply = lambda signal, message: first.pop(signal, WELL[protocol])
        runs(0, 10, **ask(collector, protocol))
        runs(10, 11, "    import time; time.sleep(3)\n", **ask(collector, protocol))
        twice = Counter(numbers(collector))
        assert twice == {**dict.fromkeys(range(10), 2), 10: 1}
        assert dropped(collector, M.MLOTEL_TELEMETRY_RESENT.name) == {"span": 20}
        assert dropped(collector) == {}


def test_a_replay_that_is_killed_counts_what_it_sends_again(runs: Runs, tmp_path: Path) -> None:
    """SIGKILL between request and answer: the next replay sends that request again, says so, and goes on."""
    runs(0, 150, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_METRICS_EXPORTER="none")
    store = tmp_path / "store"
    with faulty_collector() as collector:
        killed = subprocess.Popen([sys.executable, "-m", "mlotel", "replay", "--store", str(store),
                                   "--endpoint", collector.endpoint])  # fmt: skip

        def reply(signal: str, message: Any) -> Reply:
            if len(collector.requests) == 1:  # it has had one answer
                killed.kill()
                killed.wait(60)
            return Reply()

        collector.reply = reply
        killed.wait(60)
        while len(collector.requests) < 2:  # the server notes it when it has replied
            time.sleep(0.01)
        lost = collector.requests[-1]
        counted = len(collector.spans()) + len(collector.log_records())
        collector.requests.remove(lost)
        resent = counted - len(collector.spans()) - len(collector.log_records())
        collector.requests.append(lost)
        answer = replay(store, "--endpoint", collector.endpoint)
        assert answer["resent"] == resent > 0
        twice = Counter(span.span_id for span in collector.spans()) + Counter(
            (record.event_name, record.span_id)
            for record in collector.log_records()  # type: ignore[misc]
        )
        assert len(twice) == 600
        assert sum(count - 1 for count in twice.values()) == resent


def test_replays_at_once_send_each_line_once(runs: Runs, tmp_path: Path) -> None:
    """Three at a time take turns: while one waits for an answer the others send nothing."""
    runs(0, 150, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_METRICS_EXPORTER="none")
    with faulty_collector() as collector, ThreadPoolExecutor(3) as threads:
        collector.reply = lambda signal, message: Reply(after_s=0.5)
        asked = [threads.submit(sdk_replay, tmp_path / "store", collector.endpoint) for _ in range(3)]
        answers = [each.result(60) for each in asked]
        assert [answer.error for answer in answers] == [None] * 3
        assert sum(answer.sent for answer in answers) == 600
        assert len(collector.spans()) == len({span.span_id for span in collector.spans()}) == 300


def test_a_full_spool_drops_metrics_first_then_what_comes(runs: Runs, tmp_path: Path) -> None:
    """The bound holds; metrics of earlier processes make room; the rest is dropped, counted and said."""
    limit = 40_000
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "MLOTEL_SPOOL_MAX_BYTES": str(limit)}
    spool = tmp_path / "store" / "spool"
    runs(0, 1, **away)
    assert len(list(spool.rglob("*.pb"))) == 1
    done = runs(1, 101, **away)
    assert sum(path.stat().st_size for path in spool.rglob("*.jsonl")) <= limit
    assert list(spool.rglob("*.pb")) == []
    kept = spooled(tmp_path / "store")
    assert 0 < kept < 404
    total = next(line for line in warnings(done) if "dropped in all" in line)
    counts = {name: int(number) for number, name in (each.split(" ", 1) for each in total[24:].split(", "))}
    assert counts["spans"] + counts["log records"] == 404 - kept
    assert counts["points of metrics"] > 0


def test_metrics_catch_up_and_are_not_counted_twice(runs: Runs, tmp_path: Path) -> None:
    """After an outage the next export says what all those before would have: one cumulative series from one start."""
    with faulty_collector() as collector:
        collector.reply = lambda signal, message: Reply()
        answers = [Reply(), Reply(503), Reply(503)]
        collector.reply = lambda signal, message: answers.pop(0) if signal == "metrics" and answers else Reply()
        runs(0, 10, FLUSH_FOR_SECONDS, **ask(collector))
        points = collector.points(M.MLOTEL_RUN_DURATION.name)
        assert len({point.start_time_unix_nano for point in points}) == 1
        assert points[-1].count == 10
        assert list((tmp_path / "store" / "spool").rglob("*.pb")) == []
