"""How the trace context of an artifact's writer travels with the artifact.

Each carrier holds a W3C ``traceparent`` and the artifact's digest, nothing else: no baggage and no tracestate, which
would take whatever an application keeps there to wherever its files go.
"""

from __future__ import annotations

import re

from opentelemetry.trace import SpanContext, TraceFlags

from mlotel.model import ArtifactContext, Run

__all__ = ["artifact_context", "format_traceparent", "parse_traceparent", "span_context_of"]

# https://www.w3.org/TR/trace-context/#traceparent-header: later versions may append fields, ff is no version
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,200})?")
_DIGEST = re.compile(r"(blake3|sha256):[0-9a-f]{64}")


def format_traceparent(context: SpanContext) -> str:
    """Return the ``traceparent`` of a span context."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 0x03:02x}"


def parse_traceparent(text: object) -> SpanContext | None:
    """Return the remote span context that `text` stands for, or None if it is not a valid ``traceparent``."""
    if not isinstance(text, str) or len(text) > 512:
        return None
    match = _TRACEPARENT.fullmatch(text.strip())
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    context = SpanContext(
        int(match[2], 16), int(match[3], 16), is_remote=True, trace_flags=TraceFlags(int(match[4], 16))
    )
    return context if context.is_valid else None


def span_context_of(made: object) -> SpanContext | None:
    """Return the context of a run that was read from a store, or of what a carrier held; None for anything else."""
    if isinstance(made, Run):
        return parse_traceparent(f"00-{made.trace_id}-{made.span_id}-01")
    return parse_traceparent(getattr(made, "traceparent", None))


def artifact_context(traceparent: object, digest: object) -> ArtifactContext | None:
    """Return the context that a carrier's two fields hold, or None where they are absent or malformed.

    A digest that is not of a known form makes the whole carrier worthless: it could not be checked.
    """
    if parse_traceparent(traceparent) is None:
        return None
    if digest is not None and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        return None
    return ArtifactContext(str(traceparent).strip(), digest)
