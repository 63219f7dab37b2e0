"""More runs than anybody takes: memory stays bounded, and what goes is counted, said, and lineage last.

Each run carries a number, and every number is looked for in what arrived, what is kept and what is said to be lost.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from amounts import amount
from faulty_collector import FaultyCollector, Reply, faulty_collector
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from programs import run_program

from mlotel.sdk._held import Held
from mlotel.sdk._losses import Losses
from mlotel.sdk._transport import Answer
from mlotel.store.files import FileStore

RUNS = amount(4_000, 1_000_000)
NOWHERE = "http://127.0.0.1:9"

FAST = """
    import logging, sys, mlotel
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    component = mlotel.component("fast")

    def runs(first, end):
        for number in range(first, end):
            with component as run:
                run.log_params({"number": number})
"""
GROWTH = """
    count = int(sys.argv[1])
    runs(0, count // 4)
    before = resident()
    runs(count // 4, count)
    print(resident() - before)
"""


def spooled_numbers(store: Path, *, doubtful: bool = False) -> Counter[int]:
    """The numbers of the runs whose spans wait in the spool, each line read by the standard library's parser.

    Those that the files beside it note as sent are left out; of those that are `doubtful`, nobody knows.
    """
    found: Counter[int] = Counter()
    for path in (store / "spool").rglob("*.jsonl"):
        noted = path.with_suffix(".sent")
        sent, tried = map(int, noted.read_text().split()) if noted.exists() else (0, 0)
        if "unanswered" in path.parts:
            tried = path.stat().st_size
        with open(path, "rb") as lines:
            lines.seek(sent)
            for line in iter(lines.readline, b""):
                if doubtful and lines.tell() > tried:
                    break
                for resource in json.loads(line).get("resourceSpans", ()):
                    for span in (span for scope in resource["scopeSpans"] for span in scope["spans"]):
                        said = {each["key"]: each["value"] for each in span["attributes"]}
                        found[int(said["mlotel.param.number"]["intValue"])] += 1
    return found


def taken_numbers(collector: FaultyCollector) -> Counter[int]:
    return Counter(
        attribute.value.int_value
        for span in collector.spans()
        for attribute in span.attributes
        if attribute.key == "mlotel.param.number"
    )


def said_to_be_dropped(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """What the line at the end says, by kind; nothing where there is none."""
    sums = [line for line in done.stderr.splitlines() if line.startswith("mlotel: dropped in all: ")]
    return {kind: int(number) for line in sums for number, kind in re.findall(r"(\d+) ([a-z ]+)", line[24:])}


# -- the embedded store


def test_runs_into_the_store_leave_nothing_in_memory(tmp_path: Path) -> None:
    """As fast as they come: each is on record when it has ended, and the process is no larger afterwards."""
    done = run_program(FAST + GROWTH, RUNS, store=tmp_path / "store")

    assert int(done.stdout) < 4 * 2**20
    with FileStore(tmp_path / "store") as store:
        assert store.count_runs() == RUNS


# -- a collector that is away or slow, and a store


def test_runs_while_the_collector_is_down_are_spooled(tmp_path: Path) -> None:
    """With nobody at the address every span is on disk at the end, once, and memory is bounded by the queue."""
    done = run_program(
        FAST + GROWTH, RUNS, store=tmp_path / "store", OTEL_EXPORTER_OTLP_ENDPOINT=NOWHERE, OTEL_METRICS_EXPORTER="none"
    )

    assert int(done.stdout) < 24 * 2**20
    spooled = spooled_numbers(tmp_path / "store")
    assert max(spooled.values()) == 1
    # a million runs are more than the spool takes
    assert len(spooled) + said_to_be_dropped(done).get("spans", 0) == RUNS


@pytest.mark.parametrize("room", [2**30, 2**20], ids="a spool of {}".format)
@pytest.mark.parametrize("queue", [2048, 64], ids="a queue of {}".format)
def test_runs_that_a_slow_collector_cannot_take_are_spooled(tmp_path: Path, queue: int, room: int) -> None:
    """Each number is with the collector or waits on disk; in both only where that is noted, nobody having waited."""
    with faulty_collector() as collector:
        collector.reply = lambda signal, message: Reply(after_s=0.5)
        done = run_program(
            FAST + GROWTH,
            RUNS,
            store=tmp_path / "store",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            OTEL_METRICS_EXPORTER="none",
            OTEL_LOGS_EXPORTER="none",
            OTEL_BSP_MAX_QUEUE_SIZE=f"{queue}",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE=f"{min(queue, 512)}",
            MLOTEL_SPOOL_MAX_BYTES=f"{room}",
        )
        taken = taken_numbers(collector)

    assert int(done.stdout) < 24 * 2**20
    spooled = spooled_numbers(tmp_path / "store")
    assert max(spooled.values(), default=1) == max(taken.values()) == 1
    assert taken.keys() & spooled.keys() <= spooled_numbers(tmp_path / "store", doubtful=True).keys()
    accounted = len({*taken, *spooled}) + said_to_be_dropped(done).get("spans", 0)
    # Where the spool is full, the last request, for whose answer nobody waited, counts as dropped; it may have arrived.
    assert RUNS <= accounted <= RUNS + min(queue, 512)


# -- a collector that is away, and no store


def test_without_a_store_what_is_lost_is_said_in_the_end() -> None:
    """Neither a collector nor a store: memory is bounded, and the line at the end counts every span."""
    done = run_program(
        FAST + GROWTH,
        RUNS,
        store="off",
        MLOTEL_SPOOL_MAX_BYTES="1000000",
        OTEL_EXPORTER_OTLP_ENDPOINT=NOWHERE,
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )

    assert int(done.stdout) < 24 * 2**20
    assert said_to_be_dropped(done) == {"spans": RUNS}


def test_without_a_store_a_short_outage_loses_nothing() -> None:
    """What a collector does not take for a while waits in memory, and arrives once when it is back."""
    with faulty_collector() as collector:
        collector.reply = lambda signal, message: Reply(503 if len(collector.requests) < 4 else 200)
        done = run_program(
            FAST
            + """
    import time
    runs(0, 100)
    mlotel.flush()
    runs(100, 200)
    deadline = time.monotonic() + 50
    while not mlotel.flush() and time.monotonic() < deadline:
        time.sleep(0.1)
    mlotel.shutdown(20)
    """,
            store="off",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            OTEL_METRICS_EXPORTER="none",
        )
        taken, events = taken_numbers(collector), Counter(each.event_name for each in collector.log_records())

    assert taken == Counter(range(200))
    assert events == {"mlotel.run.start": 200, "mlotel.run.end": 200}
    assert "dropped" not in done.stderr
    assert "kept in memory" in done.stderr


def test_lineage_is_the_last_to_go(tmp_path: Path) -> None:
    """Where memory does not suffice, heartbeats and single predictions go; runs and their artifacts arrive."""
    back = tmp_path / "back"
    with faulty_collector() as collector:
        collector.reply = lambda signal, message: Reply(200 if back.exists() else 503)
        done = run_program(
            FAST
            + f"""
    import time
    from mlotel import _heartbeat
    for number in range(50):
        with component as run:
            run.log_params({{"number": number}})
            run.log_output(b"%d" % number, "out")
            run.log_predictions([0.5] * 15, keys=[f"{{number}}/{{n}}" for n in range(15)])
            for _ in range(40):
                _heartbeat.beat()
        mlotel.flush()
    open({str(back)!r}, "w").close()
    deadline = time.monotonic() + 50
    while not mlotel.flush() and time.monotonic() < deadline:
        time.sleep(0.1)
    mlotel.shutdown(20)
    """,
            store="off",
            MLOTEL_SPOOL_MAX_BYTES="400000",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        )
        taken = taken_numbers(collector)
        spans = Counter(span.name for span in collector.spans())
        events = Counter(each.event_name for each in collector.log_records())
        dropped = {
            tuple(
                attribute.value.string_value for attribute in sorted(point.attributes, key=lambda each: each.key)
            ): int(point.as_int or point.as_double)
            for point in collector.points("mlotel.telemetry.dropped")
        }

    assert taken == Counter(range(50))
    assert spans["write out"] == 50
    assert (events["mlotel.run.start"], events["mlotel.run.end"]) == (50, 50)
    lost = {
        "spans": 50 * 17 - spans.total(),
        "log records": 50 * 42 - events.total(),
    }
    assert min(lost.values()) > 0
    assert said_to_be_dropped(done) == lost
    assert dropped["memory_full", "span"] == lost["spans"]
    assert dropped["memory_full", "log_record"] == lost["log records"]


def lines(kind: str, count: int) -> list[bytes]:
    """Lines of a hundred bytes of one kind, each with a number."""
    inner = {
        "run": '{"key":"mlotel.component.name","n":%d}',
        "heartbeat": '{"eventName":"mlotel.run.heartbeat","n":%d}',
    }[kind]
    return [(b'{"resourceSpans":[' + (inner % number).encode()).ljust(97) + b"]}\n" for number in range(count)]


def test_memory_holds_what_it_is_allowed_and_counts_the_rest() -> None:
    """Of a hundred lines where there is room for ten, the oldest go, those that are no lineage first: by the metric."""
    reader = InMemoryMetricReader()
    losses = Losses()
    losses.count_with(MeterProvider([reader]).get_meter("test"))
    sent: list[bytes] = []

    def send(signal: str, body: bytes, *, json: bool) -> Answer:
        sent.append(body)
        return Answer("taken")

    held = Held(send, losses, 1000)
    runs, heartbeats = lines("run", 8), lines("heartbeat", 92)
    for line in (*heartbeats[:50], *runs, *heartbeats[50:]):
        held.keep("span", line)
    held.run()

    numbers = [int(number) for number in re.findall(rb'"n":(\d+)', b"".join(sent))]
    assert numbers == [*range(8), 90, 91]
    assert dropped_points(reader) == {("span", "memory_full"): 90}
    held.give_up()
    assert dropped_points(reader) == {("span", "memory_full"): 90}


def dropped_points(reader: InMemoryMetricReader) -> dict[tuple[str, str], int]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        (point.attributes["mlotel.telemetry.item"], point.attributes["error.type"]): point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "mlotel.telemetry.dropped"
        for point in metric.data.data_points
        if "error.type" in point.attributes
    }


@pytest.mark.parametrize("outcome", ["later", "unanswered"])
def test_what_may_have_arrived_is_counted_when_it_is_sent_again(outcome: str) -> None:
    """A request without an answer makes its lines doubtful; one that was refused for now does not."""
    answers = [Answer(outcome), Answer("taken")]  # type: ignore[arg-type] # one of those that there are
    held = Held(lambda signal, body, *, json: answers.pop(0), Losses())
    for line in lines("run", 3):
        held.keep("span", line)

    first, second = held.run(), held.run()

    assert (first.sent, first.error is not None) == (0, True)
    assert (second.sent, second.resent) == (3, 3 if outcome == "unanswered" else 0)
