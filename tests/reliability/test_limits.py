"""Runs that are told too much, and values of every kind: capped, told, and still known for what they are."""

from __future__ import annotations

import datetime
import decimal
import enum
import hashlib
import json
import math
import tracemalloc
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amounts import amount
from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import mlotel
from mlotel import _heartbeat, _runtime, sdk
from mlotel.model import Run
from mlotel.store.files import FileStore

DAY_NS = 86_400 * 10**9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    mlotel.configure(store=tmp_path / "store", digest="sha256")
    return tmp_path / "store"


def only_run(root: Path) -> Run:
    with FileStore(root) as store:
        (run,) = store.runs()
    return run


# -- the SDK's limits

TOO_MUCH = """
    component = mlotel.component("train", version="2", pipeline="p", owner="me", tags=["a"], description="d")
    with component as run:
        run.log_input(b"in", "raw", type="dataset")
        run.log_params({f"p{n}": n for n in range(100)})
        run.log_metrics({f"m{n}": n for n in range(100)})
        for n in range(50):
            run.set_tag(f"t{n}", "x")
        run.set_attributes({f"other.{n}": n for n in range(100)})
        run.log_predictions([0.0, 1.0, 2.0])
        run.log_output(b"out", "model", type="model")
"""
TOLD = 100 + 100 + 50 + 100


@pytest.mark.parametrize("limit", [16, 24, 64, 128])
def test_an_applications_limit_never_costs_identity(limit: int, script: Callable[..., Any]) -> None:
    """However few attributes a provider keeps, a run and its artifacts are known, and the SDK has nothing to drop."""
    done = script(
        f"""
    import json, logging
    logging.basicConfig(format="%(name)s %(message)s")
    logging.getLogger("mlotel").setLevel(logging.ERROR)
    from opentelemetry import trace
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes={limit}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    import mlotel
    {TOO_MUCH}
    for span in exporter.get_finished_spans():
        print(json.dumps([span.name, span.dropped_attributes, dict(span.attributes), run.run_id]))
    """
    )

    assert done.stderr == ""  # the SDK warns of each attribute that it drops
    spans = {name: (dropped, said, run_id) for name, dropped, said, run_id in map(json.loads, done.stdout.splitlines())}
    assert set(spans) == {"train", "read raw", "write model"}
    for dropped, said, run_id in spans.values():
        assert (dropped, said["mlotel.run.id"]) == (0, run_id)
        assert len(said) <= limit
    run, read, write = (spans[name][1] for name in ("train", "read raw", "write model"))
    assert (run["mlotel.component.name"], run["mlotel.component.version"]) == ("train", "2")
    assert (run["cicd.pipeline.name"], run["mlotel.run.state"]) == ("p", "ok")
    assert run["mlotel.params.digest"].startswith("blake3:")
    kept = [key for key in run if key.startswith(("mlotel.param.", "mlotel.metric.", "mlotel.tag.", "other."))]
    assert run["mlotel.run.dropped"] == TOLD - len(kept)
    assert limit < 64 or run["mlotel.prediction.count"] == 3
    assert (read["mlotel.io.direction"], read["mlotel.artifact.name"]) == ("input", "raw")
    assert (write["mlotel.io.direction"], write["mlotel.artifact.name"]) == ("output", "model")
    assert len(read["mlotel.artifact.digest"]) == len(write["mlotel.artifact.digest"]) == len("blake3:") + 64


def test_limits_that_leave_nothing_are_raised(script: Callable[..., Any], tmp_path: Path) -> None:
    """Where the environment asks for four attributes of twenty characters, what identifies a run is kept, and told."""
    done = script(
        f"""
    import logging, sys
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # nobody listens there
    import mlotel
    {TOO_MUCH}
    mlotel.shutdown(0.1)
    """,
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="4",
        OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT="20",
        OTEL_SPAN_LINK_COUNT_LIMIT="0",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
    )

    assert [line for line in done.stdout.splitlines() if "too few" in line] == [
        "mlotel: 4 attributes a span are too few to know runs and artifacts by: 16 are kept",
        "mlotel: 20 characters a value are too few to know runs and artifacts by: 255 are kept",
        "mlotel: 0 links a span are too few to know runs and artifacts by: 100 are kept",
    ]
    run = only_run(tmp_path / "store")
    assert (run.component, run.version, run.pipeline, run.state) == ("train", "2", "p", "ok")
    assert [(each.name, len(each.digest or "")) for each in (*run.inputs, *run.outputs)] == [("raw", 71), ("model", 71)]


def test_an_application_that_keeps_too_little_is_told(script: Callable[..., Any]) -> None:
    """Limits of the application's own provider are its own affair: each that loses lineage is one warning."""
    done = script(
        """
    import logging
    logging.basicConfig(format="%(message)s")
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    from opentelemetry import trace
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    trace.set_tracer_provider(TracerProvider(span_limits=SpanLimits(max_links=1, max_span_attribute_length=8)))
    import mlotel
    for _ in range(3):
        with mlotel.component("train"):
            pass
    """
    )

    told = "mlotel: the application's tracer provider keeps {}, too few to know runs and artifacts by: let it keep {}"
    assert done.stderr.splitlines() == [told.format("8 characters a value", 255), told.format("1 links a span", 100)]


def test_a_run_keeps_as_many_events_of_others_as_the_sdk_does(root: Path) -> None:
    """Of a thousand that other code adds to the current span the latest 128 are written, and the others counted."""

    def told(span: trace.Span) -> trace.Span:
        for number in range(1000):
            span.add_event("step", {"number": number})
        return span

    with mlotel.component("train"):
        told(trace.get_current_span())
    theirs: Any = told(TracerProvider().get_tracer("x").start_span("train"))
    (segment,) = (root / "segments").iterdir()
    line = next(each for each in segment.read_bytes().splitlines() if each.startswith(b'{"resourceSpans"'))
    (ours,) = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]

    numbers = [int(each["attributes"][0]["value"]["intValue"]) for each in ours["events"]]
    assert numbers == [each.attributes["number"] for each in theirs.events] == list(range(872, 1000))
    assert ours["droppedEventsCount"] == theirs.dropped_events == 872


def test_dependencies_past_the_cap_are_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of two hundred runs that one depends on the first hundred are kept, and the rest is counted."""
    others = []
    for _ in range(200):
        with mlotel.component("other") as other:
            others.append(other)
    with mlotel.component("train") as run:
        for other in others:
            run.depends_on(other)
    with FileStore(root) as store:
        (found,) = store.runs(component="train")

    assert [each.span_id for each in found.dependencies] == [other.span_id for other in others[:100]]
    assert found.attributes["mlotel.run.dropped"] == 100
    assert len(caplog.records) == 1


def test_what_identifies_a_run_cannot_be_set(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An attribute of a user's own does not make a run another one; its neighbours are set."""
    with mlotel.component("train") as run:
        run.set_attributes({"mlotel.run.id": "0" * 32, "mlotel.component.name": "other", "team": "a"})

    found = only_run(root)
    assert (found.run_id, found.component, found.attributes["team"]) == (run.run_id, "train", "a")
    assert len(caplog.records) == 1
    assert "set by mlotel alone" in caplog.text


# -- much of one thing


def test_parameters_of_100_megabytes(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Texts, lists and a hundred thousand names: what is kept of them is small, and so is what it takes to keep it."""
    params: dict[str, Any] = {"text": "x" * 100_000_000, "list": ["x" * 1000] * 100_000, "bytes": bytes(100_000_000)}
    params |= {f"p{n}": n for n in range(100_000)}
    with mlotel.component("train") as run:
        tracemalloc.start()
        run.log_params(params)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    found = only_run(root)

    assert peak < 20_000_000
    assert found.params["text"] == "x" * 1000
    assert (found.params["list"], found.params["bytes"]) == ("list", "bytes")
    assert len(found.params) == 32
    assert found.attributes["mlotel.run.dropped"] == 100_003 - 32
    assert caplog.records == []
    assert sum(path.stat().st_size for path in (root / "segments").iterdir()) < 20_000


def test_very_many_metrics(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The latest value counts, however often it is logged; names past the cap are told once, and nothing is kept."""
    calls = amount(20_000, 1_000_000)
    with mlotel.component("train") as run:
        run.log_metrics({f"other {n}": n for n in range(31)})
        run.log_metrics({"loss": 1.0})
        tracemalloc.start()
        for n in range(calls):
            run.log_metrics({"loss": 1 / (n + 1), f"name {n}": n})
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    found = only_run(root)

    assert found.metrics == {**{f"other {n}": n for n in range(31)}, "loss": 1 / calls}
    assert found.attributes["mlotel.run.dropped"] == calls
    assert len(caplog.records) == 1
    assert kept < 100_000


def test_ten_thousand_artifacts(root: Path) -> None:
    """A hundred spans and one manifest, in which every name stands with its digest."""
    count = 10_000
    with mlotel.component("train") as run:
        for n in range(count):
            run.log_output(b"content %d" % n, f"part-{n}")
    found = only_run(root)
    with FileStore(root) as store:
        manifest = next(each for each in found.outputs if each.scope == "manifest")
        listed = store.manifest_entries(manifest.span_id)

    expected = [(f"part-{n}", "sha256:" + hashlib.sha256(b"content %d" % n).hexdigest()) for n in range(count)]
    spans = [each for each in found.outputs if each.scope != "manifest"]
    assert [(each.name, each.digest) for each in (*spans, *listed)] == expected
    assert len(spans) == 100
    assert manifest.rows == count - 100


def test_a_run_that_stays_open_for_days(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five days of heartbeats: it runs all the time, then has lasted five days, and nothing adds up in memory."""

    class Clock:
        now = 1_790_000_000 * 10**9

        def time_ns(self) -> int:
            return self.now

        def monotonic_ns(self) -> int:
            return self.now - 10**18

    monkeypatch.setattr(_heartbeat, "_open", {})  # other tests may have left runs open
    clock = Clock()
    began = clock.now
    before = _runtime.install(lambda: replace(sdk.runtime(), clock=clock))
    try:
        run = mlotel.start_component("service")
        run.log_input(b"model", "model")
        for _ in range(100):
            _heartbeat.beat()
        tracemalloc.start()
        for beat in range(5 * 2880):
            clock.now = began + beat * 30 * 10**9
            _heartbeat.beat()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        with FileStore(root, clock=clock.time_ns) as store:
            (open_run,) = store.runs()
        clock.now = began + 5 * DAY_NS
        run.end()
    finally:
        _runtime.install(before)
    found = only_run(root)

    assert kept < 100_000
    assert (open_run.state, [each.name for each in open_run.inputs]) == ("running", ["model"])
    assert (found.state, found.start_ns, found.end_ns) == ("ok", began, began + 5 * DAY_NS)


# -- values of every kind


class Colour(enum.Enum):
    RED = 1


class Text(str):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Huge:
    def __repr__(self) -> str:
        raise RuntimeError("it would take all day")


ODD: dict[str, tuple[Any, Any]] = {
    "none": (None, "None"),
    "true": (True, True),
    "big": (2**63, hex(2**63)),
    "bigger": (-(10**400), f"{-(10**400):#x}"),
    "largest": (2**63 - 1, 2**63 - 1),
    "float": (1e308, 1e308),
    "text": ("ü" * 2000, "ü" * 1000),
    "half": ("a\ud800b", "a?b"),
    "nul": ("a\0b", "a\0b"),
    "subclass": (Text("kept"), "kept"),
    "enum": (Colour.RED, "RED"),
    "date": (datetime.date(2026, 1, 2), "2026-01-02"),
    "decimal": (decimal.Decimal("1.10"), "1.10"),
    "uuid": (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    "numpy": (np.float32(0.5), 0.5),
    "numpy integer": (np.int64(7), 7),
    "array": (np.zeros(3), "ndarray"),
    "complex": (1j, "complex"),
    "bytes": (b"x", "bytes"),
    "class": (dict, "dict"),
    "object": (Huge(), "Huge"),
    "function": (len, "builtin_function_or_method"),
    "list": ([1, 2], "list"),
}


def test_values_of_every_kind(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Scalars are kept by value, the rest by the name of its type, as parameters and as attributes alike."""
    loop: list[Any] = []
    loop.append(loop)
    told = {name: value for name, (value, _) in ODD.items()} | {"loop": loop}
    expected = {name: shown for name, (_, shown) in ODD.items()} | {"loop": "list"}
    with mlotel.component("train") as run:
        run.log_params(told)
        run.set_attributes({f"own.{name}": value for name, value in told.items()})
    found = only_run(root)

    assert found.params == expected
    assert {key[4:]: value for key, value in found.attributes.items() if key.startswith("own.")} == expected
    assert caplog.records == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(root: Path, value: float) -> None:
    """NaN and infinities are metrics and parameters like others."""
    with mlotel.component("train") as run:
        run.log_params({"p": value})
        run.log_metrics({"m": value})
    found = only_run(root)

    assert [repr(found.params["p"]), repr(found.metrics["m"])] == [repr(value)] * 2
