"""What the collector has acknowledged survives its own death and its backend's."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable

import pytest
from backends import Jaeger, eventually
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from mlotel_stack import Stack

pytestmark = pytest.mark.stack


def test_acknowledged_spans_survive_a_killed_collector(own_stack: Callable[..., Stack]) -> None:
    """Spans acknowledged while Jaeger is down are in Jaeger, once each, though the collector was killed meanwhile."""
    stack = own_stack()
    jaeger = Jaeger(stack.endpoints["jaeger_ui"])
    stack.kill("jaeger")
    provider = TracerProvider(resource=Resource({"service.name": "delays"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{stack.endpoints['otlp_http']}/v1/traces")))
    tracer = provider.get_tracer("mlotel")
    sent = set()
    for number in range(1_000):
        span = tracer.start_span("featurize", attributes={"seq": number})
        span.end()
        sent.add(f"{span.get_span_context().span_id:016x}")
    assert provider.force_flush()  # every batch was answered
    provider.shutdown()

    stack.kill("collector")
    stack.begin("jaeger")
    stack.begin("collector")

    def received() -> list[str]:
        return [span.span_id for span in jaeger.spans("delays")]

    eventually(lambda: len(set(received())) == len(sent))
    assert sorted(received()) == sorted(sent)


def test_a_restarted_stack_has_the_same_addresses(own_stack: Callable[..., Stack]) -> None:
    """A service that was restarted answers where it did before, under another pid."""
    stack = own_stack()
    before = dict(stack.endpoints), stack.pids()
    stack.restart("prometheus")

    assert stack.endpoints == before[0]
    changed = {name for name, pid in stack.pids().items() if pid != before[1][name]}
    assert changed == {"prometheus"}


def test_a_stopped_stack_leaves_nothing(own_stack: Callable[..., Stack]) -> None:
    """After stop no service answers, none of its processes is there and its folder is empty."""
    stack = own_stack()
    stack.stop()

    assert stack.pids() == {}
    assert list(stack.run_dir.iterdir()) == []
    with pytest.raises(urllib.error.URLError):
        Jaeger(stack.endpoints["jaeger_ui"]).spans("delays")
