"""The embedded store beside what it replaces: encoding, appending, filling the index, asking.

Encoders take turns in one process, so that their ratio means something on a busy machine; times are CPU times.
`python bench_store.py RUNS` sets the number of runs (three spans and a start record each), 20,000 if not said.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring import show
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, TraceFlags
from orjson import loads

from mlotel.semconv import attributes as A
from mlotel.semconv import events
from mlotel.store.encoding import SpanLines
from mlotel.store.files import FileStore
from mlotel.store.journal import Journal
from mlotel.store.producers import ProducerLookup

RESOURCE = Resource({"service.name": "delays", "host.name": "worker-17", "process.runtime.version": "3.11.7"})
SCOPE = InstrumentationScope("mlotel", "0.1.0")
T0 = 1_790_000_000_000_000_000


def best(call: Callable[[], object], *, number: int = 2000, rounds: int = 7) -> float:
    """Microseconds of CPU time for one call, the best of several rounds."""
    call()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(number):
            call()
        times.append(time.process_time() - start)
    return min(times) / number * 1e6


def ratio(
    one: Callable[[], object], other: Callable[[], object], *, number: int, rounds: int = 15
) -> tuple[float, float]:
    """Microseconds of both, taking turns."""
    pairs = [(best(one, number=number, rounds=1), best(other, number=number, rounds=1)) for _ in range(rounds)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def span_of_20_attributes() -> ReadableSpan:
    attributes: dict[str, str | int] = {
        f"mlotel.artifact.key{n}": n * 1000 if n % 3 == 0 else f"a value of some length {n}" for n in range(20)
    }
    context = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7, False, TraceFlags(1))
    return ReadableSpan(
        "write features",
        context,
        SpanContext(context.trace_id, 7, False, TraceFlags(1)),
        RESOURCE,
        attributes,
        instrumentation_scope=SCOPE,
        start_time=T0,
        end_time=T0 + 1000,
    )


def run_lines(number: int, rnd: random.Random) -> Iterator[bytes]:
    """A start record, a read, a write and the run span, about as large as real ones."""
    trace_id, span_id, run_id = rnd.getrandbits(128), rnd.getrandbits(64), f"{rnd.getrandbits(128):032x}"
    start = T0 + number * 10**9
    base = {
        A.MLOTEL_COMPONENT_NAME: f"component {number % 20}",
        A.MLOTEL_RUN_ID: run_id,
        A.CICD_PIPELINE_NAME: "delays",
        A.VCS_REF_HEAD_REVISION: "5" * 40,
        A.VCS_REF_HEAD_NAME: "main",
        A.MLOTEL_VCS_DIRTY: False,
        A.MLOTEL_ENVIRONMENT_DIGEST: "blake3:" + "e" * 64,
        A.MLOTEL_CODE_DIGEST: "blake3:" + "c" * 64,
        A.PROCESS_PID: 4242,
        A.MLOTEL_PARAM + ".depth": 7,
    }
    encoder = LINES.encoder(RESOURCE, SCOPE)
    yield encoder.event(events.MLOTEL_RUN_START, time_ns=start, trace_id=trace_id, span_id=span_id, attributes=base)
    for side, direction in enumerate(("input", "output")):
        digest = f"blake3:{rnd.getrandbits(256):064x}"
        attributes = {
            A.MLOTEL_RUN_ID: run_id,
            A.MLOTEL_IO_DIRECTION: direction,
            A.MLOTEL_ARTIFACT_NAME: f"table {side}",
            A.MLOTEL_ARTIFACT_TYPE: "dataset",
            A.MLOTEL_ARTIFACT_DIGEST: digest,
            A.MLOTEL_ARTIFACT_DIGEST_SCOPE: "logical",
            A.MLOTEL_ARTIFACT_URI: f"out/{number}/table-{side}.parquet",
            A.MLOTEL_ARTIFACT_SIZE: 123_456,
            A.MLOTEL_ARTIFACT_ROWS: 1000,
            A.MLOTEL_ARTIFACT_COLUMNS: 20,
        }
        producer = SpanContext(rnd.getrandbits(128), rnd.getrandbits(64), True)
        links = [] if side else [Link(producer, {A.MLOTEL_LINK_TYPE: "consumes"})]
        times = (start + side * 1000, start + side * 1000 + 500)
        yield encoder.span(_span(direction, (trace_id, rnd.getrandbits(64)), span_id, times, attributes, links))
    ended = {**base, A.MLOTEL_RUN_STATE: "ok", A.MLOTEL_RUN_CPU_TIME: 1.5}
    yield encoder.span(_span("component", (trace_id, span_id), None, (start, start + 10**9), ended, []))


def _span(
    name: str, ids: tuple[int, int], parent: int | None, times: tuple[int, int], attributes: object, links: list[Link]
) -> ReadableSpan:
    above = None if parent is None else SpanContext(ids[0], parent, False)
    return ReadableSpan(
        name,
        SpanContext(*ids, False),
        above,
        RESOURCE,
        attributes,  # type: ignore[arg-type] # a mapping of attribute values
        links=links,
        instrumentation_scope=SCOPE,
        start_time=times[0],
        end_time=times[1],
    )


LINES = SpanLines()


def show_time(what: str, call: Callable[[], object], target: str = "", *, number: int = 2000) -> None:
    show(what, f"{best(call, number=number):.2f} µs", target)


def encoder() -> None:
    span = span_of_20_attributes()
    ours, official = ratio(lambda: LINES.span(span), lambda: encode_spans([span]).SerializeToString(), number=500)
    show("encode a span of 20 attributes", f"{ours:.1f} µs", "target ≤ 7")
    show("  official protobuf encoder", f"{official:.1f} µs")
    show("  official / ours", f"{official / ours:.1f}", "target ≥ 5")


def journal(root: Path) -> None:
    line = LINES.span(span_of_20_attributes())
    store = Journal(root)
    file = os.open(root.parent / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ours, plain = ratio(lambda: store.append(line), lambda: os.write(file, line), number=1000)
    os.close(file)
    store.close()
    show("append a line", f"{ours:.2f} µs")
    show("  beside a bare os.write", f"{ours / plain:.2f}")


def index(root: Path, runs: int) -> None:
    rnd = random.Random(1)
    writer = Journal(root)
    lines = []
    for number in range(runs):
        for line in run_lines(number, rnd):
            writer.append(line)
            lines.append(line)
    writer.close()
    start = time.process_time()
    for line in lines:
        loads(line)
    parsing = time.process_time() - start
    spans = 3 * runs
    with FileStore(root) as store:
        start = time.process_time()
        store.refresh()
        took = time.process_time() - start
    size = os.path.getsize(root / "index.sqlite")
    average = sum(map(len, lines)) / len(lines)
    show(f"fill the index: {spans:,} spans, {runs:,} start records", f"{took:.2f} s")
    show("  spans a second", f"{spans / took:,.0f}", "target ≥ 60,000")
    show("  lines a second", f"{len(lines) / took:,.0f}", f"lines of {average:,.0f} B on average")
    show("  beside orjson.loads of the same lines", f"{took / parsing:.2f}")
    show("  size of the index", f"{size / spans:.0f} B/span", "target ≤ 170")
    questions(root)


def questions(root: Path) -> None:
    with FileStore(root) as store:
        recent = store.runs(limit=50)
        digest, run_id = str(recent[3].outputs[0].digest), recent[3].run_id
        table = store._index()
        show_time("recent 50: rows of the index", lambda: table.run_rows("TRUE", (), 50), "target ≤ 1,000", number=50)
        show_time("recent 50: whole runs, read back", lambda: store.runs(limit=50), number=10)
        show_time("artifacts of a digest", lambda: store.find_artifacts(digest=digest), "target ≤ 50", number=200)
        show_time("a run by the beginning of its id", lambda: store.find_runs(run_id[:8]), number=100)
    lookup = ProducerLookup(root)
    lookup.remember("blake3:11", 1, 2)
    if lookup.find(digest) is None:
        raise AssertionError("the producer was not found")
    show_time("producer: written by this process", lambda: lookup.find("blake3:11"), "target ≤ 1")
    show_time("producer: written by another, asked before", lambda: lookup.find(digest))
    show_time("producer: unknown, nothing new in the store", lambda: lookup.find("blake3:ff"), "target: a few")
    lookup.close()


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory(prefix="mlotel-bench-") as folder:
        encoder()
        journal(Path(folder) / "journal")
        index(Path(folder) / "store", runs)


if __name__ == "__main__":
    main()
