"""What a component run costs its caller, beside the least that the raw OpenTelemetry SDK can do for the same.

Each way to record runs (the embedded store, OTLP, switched off) is measured in a process of its own, in which it takes
turns with three raw SDK spans: only ratios to these are compared. ``python benchmarks/bench_run.py --quick`` takes a
tenth of the rounds and looks at no ended runs; ``--ended N`` says over how many of these the growth of the memory is
looked at.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import show
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, set_span_in_context
from otlp_sink import sink

import mlotel
from mlotel import _runtime

MODES = {
    "store": "the embedded store",
    "otlp": "OTLP/HTTP",
    "off": "switched off",
}
LOOP = 100
"""Calls of one variant before it is another's turn."""
PAUSE_S = 0.002
REMEMBERED = 70_000
THREADS = (1, 2, 4, 8, 16, 32, 64)
Call = Callable[[], object]


def raw_spans(endpoint: str | None = None) -> Call:
    """Three SDK spans with 33 attributes and one link in all; exported nowhere, or in batches to an endpoint."""
    provider = TracerProvider(shutdown_on_exit=False)
    if endpoint is not None:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    tracer = provider.get_tracer("raw")
    run = {f"attribute.{i}": f"value {i}" for i in range(13)}
    read = {f"attribute.{i}": i for i in range(10)}
    write = {f"attribute.{i}": i for i in range(10)}
    producer = tracer.start_span("producer").get_span_context()

    def call() -> None:
        span = tracer.start_span("run", attributes=run)
        context = set_span_in_context(span)
        tracer.start_span("read", context=context, attributes=read, links=[Link(producer, {"type": "consumes"})]).end()
        tracer.start_span("write", context=context, attributes=write).end()
        span.end()

    return call


def component_run(folder: Path) -> Call:
    """A run with one input that another run wrote and one output, both files whose digests are cached."""
    source, result = folder / "source.bin", folder / "result.bin"
    for path in (source, result):
        path.write_bytes(os.urandom(4096))
        os.utime(path, (1, 1))
    time.sleep(2.1)  # a file that changed less than two seconds ago is not taken from the cache
    component = mlotel.component("bench", version="1", pipeline="bench")
    with mlotel.component("producer") as run:
        run.log_output(source, "source")

    def call() -> None:
        with component as run:
            run.log_input(source, "source")
            run.log_output(result, "result")

    return call


# -- measuring


def times(call: Call, count: int, pause_s: float = 0.0) -> list[float]:
    """Return the microseconds that each of some calls takes."""
    found, clock = [], time.perf_counter_ns
    for _ in range(count):
        if pause_s:
            time.sleep(pause_s)
        start = clock()
        call()
        found.append((clock() - start) / 1e3)
    return found


def taking_turns(variants: Mapping[str, Call], rounds: int, count: int, pause_s: float = 0.0) -> dict[str, Any]:
    """Return, of each variant, percentiles of its wall time and the mean of the process's CPU time, in microseconds."""
    wall: dict[str, list[float]] = {key: [] for key in variants}
    cpu = dict.fromkeys(variants, 0.0)
    for call in variants.values():
        times(call, count)
    for _ in range(rounds):
        for key, call in variants.items():
            before = time.process_time()
            wall[key] += times(call, count, pause_s)
            cpu[key] += time.process_time() - before
    return {
        key: {
            **{f"p{p}".replace(".", ""): float(np.percentile(values, p)) for p in (50, 99, 99.9)},
            "cpu": cpu[key] / len(values) * 1e6,
        }
        for key, values in wall.items()
    }


def at_once(variants: Mapping[str, Call], threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return microseconds a call when so many threads call at once: from end to end, and as each caller sees it."""
    each: dict[str, list[float]] = {key: [] for key in variants}
    waits: dict[str, list[float]] = {key: [] for key in variants}
    for _ in range(rounds):
        for key, call in variants.items():
            took, seen = _burst(call, threads)
            each[key].append(took)
            waits[key] += seen
    return {key: {"each": float(np.median(each[key])), "p50": float(np.median(waits[key]))} for key in variants}


def _burst(call: Call, threads: int, calls: int = 256) -> tuple[float, list[float]]:
    found: list[list[float]] = [[] for _ in range(threads)]
    ready = threading.Barrier(threads + 1)

    def work(place: int) -> None:
        ready.wait()
        found[place] = times(call, calls // threads)

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    for each in workers:
        each.start()
    ready.wait()
    start = time.perf_counter()
    for each in workers:
        each.join()
    return (time.perf_counter() - start) / calls * 1e6, [taken for one in found for taken in one]


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index] # Linux has the line


def memory(call: Call, ended: int) -> dict[str, float]:
    """Return bytes for each open run, and the bytes that are kept of ended ones.

    The process remembers what it wrote, 65,536 outputs at most: `ended` runs come once that many are there.
    """
    count = 10_000
    mlotel.start_component("open").end()
    before = resident()
    runs = [mlotel.start_component("open") for _ in range(count)]
    opened = (resident() - before) / count
    for run in runs:
        run.end()
    del runs, run
    if not ended:
        return {"open": opened}
    times(call, 1_000)
    held = [resident()]
    for count in (REMEMBERED, ended):
        for _ in range(count):
            call()
        held.append(resident())
    return {"open": opened, "remembered": held[1] - held[0], "ended": held[2] - held[1]}


def measure(mode: str, endpoint: str, rounds: int, ended: int) -> dict[str, Any]:
    """Measure one way to record runs, in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if mode == "off":
            _runtime.install(_runtime.nothing)  # as OTEL_SDK_DISABLED=true does, which would switch raw spans off too
        elif mode == "otlp":
            mlotel.configure(endpoint=endpoint)
        else:
            mlotel.configure(store=folder / "store")
        variants = {"raw": raw_spans(), "run": component_run(folder)}
        if mode == "otlp":
            variants["raw, exported"] = raw_spans(endpoint)
        found: dict[str, Any] = {
            "loop": taking_turns(variants, rounds, LOOP),
            "paced": taking_turns(variants, max(1, rounds // 10), LOOP, PAUSE_S),
            "threads": {
                threads: at_once(variants, threads, max(5, rounds // 5))
                for threads in (THREADS if mode == "store" else (1, 8, 64))
            },
        }
        if mode != "off":
            found["memory"] = memory(variants["run"], ended)
        mlotel.shutdown()
    return found


# -- the report


def report(mode: str, found: Mapping[str, Any], ended: int) -> None:
    """Print what was measured."""
    print(f"\nA run with one input and one output: {MODES[mode]}. Microseconds", flush=True)
    print(f"{'':44}{'p50':>8}{'p99':>8}{'p99.9':>8}{'CPU':>8}")
    goals = {("loop", "store"): "≤ 100 p50, 150 p99", ("paced", "store"): "≤ 140 p50, 270 p99"}
    called = {"run": "a run", "raw": "three raw SDK spans", "raw, exported": "… sent in batches"}
    for pace, how in (("loop", "in a loop"), ("paced", f"every {PAUSE_S * 1e3:.0f} ms")):
        for key, each in found[pace].items():
            numbers = "".join(f"{each[name]:8.0f}" for name in ("p50", "p99", "p999", "cpu"))
            print(f"{f'{called[key]} {how}':44}{numbers}  {goals.get((pace, mode), '') if key == 'run' else ''}")
        run, raw = found[pace]["run"], found[pace]["raw"]
        wall, cpu = run["p50"] / raw["p50"], run["cpu"] / raw["cpu"]
        wanted = "≤ 1.7 ×" if (pace, mode) == ("loop", "store") else ""
        print(f"{'  beside the three raw spans':44}{wall:7.2f}×{'':16}{cpu:7.2f}×  {wanted}")
    print(f"{'threads at once':44}{'a run':>8}{'raw':>8}{'beside':>8}{'waits':>8}")
    for threads, measured in found["threads"].items():
        run, raw = measured["run"], measured["raw"]
        ratio = run["each"] / raw["each"]
        print(f"{threads:>15}{'':29}{run['each']:8.0f}{raw['each']:8.0f}{ratio:7.2f}×{run['p50']:8.0f}", flush=True)
    if "memory" in found:
        held = found["memory"]
        show("memory of an open run", f"{held['open'] / 1e3:.1f} kB")
        if ended:
            show(f"memory after {REMEMBERED:,} ended runs, each with an output", f"{held['remembered'] / 1e6:.1f} MB")
            show(f"growth over the next {ended:,}", f"{held['ended'] / 1e6:.1f} MB", "none")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report of all ways, or measure one and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", nargs="*", default=list(MODES), help="store, otlp, off; all of them if none is given")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--ended", type=int)
    parser.add_argument("--one", metavar="ENDPOINT", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    rounds = 10 if options.quick else 100
    ended = (0 if options.quick else 50_000) if options.ended is None else options.ended
    if options.one is not None:
        print(json.dumps(measure(options.mode[0], options.one, rounds, ended)))
        return 0
    own = ["--ended", f"{ended}", *(["--quick"] if options.quick else [])]
    with sink() as endpoint:
        for mode in options.mode:
            command = [sys.executable, __file__, mode, *own, "--one", endpoint]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            report(mode, json.loads(done.stdout), ended)
    return 0


if __name__ == "__main__":
    sys.exit(main())
