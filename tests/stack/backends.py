"""What tests ask Jaeger and Prometheus, over HTTP with the standard library."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def eventually(ask: Callable[[], T], *, within: float = 60.0) -> T:
    """Ask until the answer is true, and return it; fail with the last answer after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"still {answer!r} after {within:.0f} s")
        time.sleep(0.1)


def get(url: str, **parameters: object) -> Any:
    """Return the JSON that a GET answers; a parameter that is a dict goes as JSON text."""
    texts = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in parameters.items()}
    with _direct.open(f"{url}?{urllib.parse.urlencode(texts)}", timeout=30) as answer:
        return json.load(answer)


@dataclass(frozen=True)
class Span:
    """A span as Jaeger's HTTP API shows it; `tags` are attributes, `references` (kind, trace id, span id)."""

    trace_id: str
    span_id: str
    name: str
    service: str
    tags: Mapping[str, Any]
    references: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Jaeger:
    """Jaeger's HTTP query API at `url`."""

    url: str

    def spans(self, service: str, tags: Mapping[str, str] | None = None, limit: int = 10_000) -> list[Span]:
        """Return the spans of all traces, `limit` at most, in which one span of `service` has all of `tags`."""
        found = get(f"{self.url}/api/traces", service=service, limit=limit, **({"tags": dict(tags)} if tags else {}))
        return [_span(trace, span) for trace in found["data"] for span in trace["spans"]]

    def span(self, service: str, tags: Mapping[str, str]) -> Span:
        """Wait for the one span that has all of `tags`, and return it."""

        def matching() -> list[Span]:
            return [span for span in self.spans(service, tags) if tags.items() <= span.tags.items()]

        found = eventually(matching)
        assert len(found) == 1, found
        return found[0]


@dataclass(frozen=True)
class Prometheus:
    """Prometheus' HTTP API at `url`."""

    url: str

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and value of each series of an instant query."""
        answer = get(f"{self.url}/api/v1/query", query=expression)
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    def exemplars(self, expression: str) -> list[dict[str, str]]:
        """Return the labels of the exemplars of the last hour, e.g. `trace_id`."""
        now = time.time()
        answer = get(f"{self.url}/api/v1/query_exemplars", query=expression, start=now - 3600, end=now + 60)
        return [exemplar["labels"] for series in answer["data"] for exemplar in series["exemplars"]]


def _span(trace: Any, span: Any) -> Span:
    return Span(
        trace_id=span["traceID"],
        span_id=span["spanID"],
        name=span["operationName"],
        service=trace["processes"][span["processID"]]["serviceName"],
        tags={tag["key"]: tag["value"] for tag in span["tags"]},
        references=tuple((ref["refType"], ref["traceID"], ref["spanID"]) for ref in span["references"]),
    )
