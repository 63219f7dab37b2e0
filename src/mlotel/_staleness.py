"""Whether an input is stale while it is read, as far as the run's process can know: then it is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanContext

from mlotel.freshness import Read, days, judge
from mlotel.model import Staleness
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["attributes_of", "judged", "tell"]

_WARN = 13


def judged(run: ActiveRun, name: str, digest: str | None, writer: SpanContext) -> Sequence[Staleness]:
    """Return why an input is stale that the span `writer` wrote; nothing where that span is not known."""
    runtime = run._runtime
    origin = runtime.producers.origin(writer.trace_id, writer.span_id)
    if origin is None:
        return ()
    made, written_ns = origin
    began_ns, limit_ns = run._start_ns, run._settings.stale_after_ns
    later = runtime.producers.later(made, made.start_ns, began_ns)
    found: Sequence[Staleness] = ()
    if later or (limit_ns is not None and began_ns - written_ns > limit_ns):  # most inputs are not judged any further
        read = Read(name, digest, "", run.run_id, began_ns)
        found = judge(read, made, written_ns, stale_after_ns=limit_ns, later=lambda *_: later)
    if runtime.instruments.enabled:
        runtime.instruments.input_judged(run._labels, stale=bool(found))
    return found


def attributes_of(found: Sequence[Staleness]) -> dict[str, Any]:
    """Return what the read span of a stale input says about it."""
    return {
        A.MLOTEL_ARTIFACT_STALE_REASON: "_and_".join(each.reason for each in found),
        A.MLOTEL_ARTIFACT_AGE: found[0].age_ns / 1e9,
    }


def tell(run: ActiveRun, span: trace.Span, digest: str | None, found: Sequence[Staleness]) -> None:
    """Emit the event of a stale input, correlated with its read span."""
    attributes = {A.MLOTEL_RUN_ID: run.run_id, A.MLOTEL_ARTIFACT_NAME: found[0].artifact, **attributes_of(found)}
    if digest is not None:
        attributes[A.MLOTEL_ARTIFACT_DIGEST] = digest
    fresher = found[-1].fresher_id
    if fresher is not None:
        attributes[A.MLOTEL_ARTIFACT_STALE_RUN_ID] = fresher
    run._runtime.events.emit(
        E.MLOTEL_ARTIFACT_STALE,
        time_ns=run._now(),
        context=span.get_span_context(),
        attributes=attributes,
        severity=_WARN,
        body="; ".join(map(_sentence, found)),
    )


def _sentence(found: Staleness) -> str:
    if found.reason == "age":
        limit = days(found.stale_after_ns or 0)
        return f"{found.artifact} was {days(found.age_ns)} old, and runs are to read nothing older than {limit}"
    return f"{found.component} had a later run than the one that wrote {found.artifact}: {found.fresher_id}"
