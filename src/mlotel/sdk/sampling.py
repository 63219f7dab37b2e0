"""A sampler that keeps lineage whole where the spans of other libraries are sampled.

A run cannot know whether something that it writes will be read next month by a run that is kept. So that each recorded
run has all of its upstream, all runs are recorded, with their reads and writes; what is sampled is the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from mlotel._log import logger
from mlotel.errors import ConfigurationError
from mlotel.semconv import attributes as A

__all__ = ["SAMPLER_NAME", "LineageSampler", "lineage_sampler"]

SAMPLER_NAME = "mlotel_lineage"
"""What `OTEL_TRACES_SAMPLER` calls it."""

# In the trace state of a span that is recorded for the lineage alone: whatever it calls sees a parent that is sampled,
# and would be recorded too. https://www.w3.org/TR/trace-context/#tracestate-header
_KEY, _LINEAGE_ALONE = "mlotel", "lineage"
_MOST_ENTRIES = 32


class LineageSampler(Sampler):
    """Samples every component run with its reads and writes, and other spans as `others` would without the runs.

    A span of another library below a run that `others` would not have sampled is not sampled either, in this process
    and in those that the trace goes on to, if they have this sampler too. It stands outermost: a `ParentBased` around
    it would not ask it about what is below a span that is not sampled.

    Args:
        others: Decides on all other spans.
        leaves: Components whose runs write nothing that other runs read, such as the answering of a request: they are
            sampled as `others` decides, and no lineage of another run gets a hole by that.

    Raises:
        ConfigurationError: `others` is no sampler, or `leaves` is text.
    """

    def __init__(self, others: Sampler, *, leaves: Collection[str] = ()) -> None:
        if not isinstance(others, Sampler):
            raise ConfigurationError(
                f"others must be a sampler of the OpenTelemetry SDK, not a {type(others).__qualname__}: write "
                "LineageSampler(ParentBased(TraceIdRatioBased(0.01)))"
            )
        if isinstance(leaves, str):
            raise ConfigurationError(f"leaves must be a list of components' names: write leaves=[{leaves!r}]")
        self._others = others
        self._leaves = frozenset(leaves)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide on a span that is about to be created."""
        parent = get_current_span(parent_context).get_span_context()
        component = attributes.get(A.MLOTEL_COMPONENT_NAME) if attributes else None
        if component is None and attributes and A.MLOTEL_RUN_ID in attributes:
            # a read, a write or a prediction goes with its run
            if parent.trace_flags.sampled:
                return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, parent.trace_state)
            return SamplingResult(Decision.DROP, None, parent.trace_state)
        if _for_lineage_alone(parent):
            parent_context = set_span_in_context(NonRecordingSpan(_unsampled(parent)), parent_context)
        decided = self._others.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if component is None or component in self._leaves or decided.decision is Decision.RECORD_AND_SAMPLE:
            return decided
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, _marked(parent.trace_state))

    def get_description(self) -> str:
        """Say what this is, for logs."""
        return f"LineageSampler{{{self._others.get_description()}}}"


def lineage_sampler(argument: float | str | None = None) -> LineageSampler:
    """Return the sampler that ``OTEL_TRACES_SAMPLER=mlotel_lineage`` asks for.

    Args:
        argument: `OTEL_TRACES_SAMPLER_ARG`: the ratio, from 0 to 1, of traces of which other libraries' spans are kept
            where there is no parent that decides; 1 where it is none, with a warning if it was meant to be one.
    """
    try:
        ratio = 1.0 if argument is None or argument == "" else float(argument)
        root = TraceIdRatioBased(ratio)
    except ValueError:
        logger.warning("mlotel: OTEL_TRACES_SAMPLER_ARG=%s is no ratio from 0 to 1: 1 is used", argument)
        root = TraceIdRatioBased(1.0)
    return LineageSampler(ParentBased(root))


def _for_lineage_alone(context: SpanContext) -> bool:
    return context.trace_flags.sampled and context.trace_state.get(_KEY) == _LINEAGE_ALONE


def _unsampled(context: SpanContext) -> SpanContext:
    """Return what the context would be if no run had been recorded."""
    flags = TraceFlags(context.trace_flags & ~TraceFlags.SAMPLED)
    return SpanContext(context.trace_id, context.span_id, context.is_remote, flags, context.trace_state.delete(_KEY))


def _marked(state: TraceState) -> TraceState:
    if _KEY in state:
        return state.update(_KEY, _LINEAGE_ALONE)
    if len(state) >= _MOST_ENTRIES:  # the oldest stands last
        state = state.delete(list(state)[-1])
    return state.add(_KEY, _LINEAGE_ALONE)
