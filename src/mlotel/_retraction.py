"""Reading what bears a retracted label: it is told at once, and refused where the component asked for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Link, SpanContext

from mlotel._runtime import guard
from mlotel.errors import RetractedError
from mlotel.model import Artifact, Fingerprint, RetractedLabel
from mlotel.model import Link as ModelLink
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E
from mlotel.store.times import format_time

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["judged", "tell"]

_WARN = 13


def judged(run: ActiveRun, name: str, found: Fingerprint, link: Link | None) -> Sequence[RetractedLabel]:
    """Return the retracted labels that an input bears, as far as the store of this process knows.

    Args:
        run: The run that reads it.
        name: What it is called.
        found: What is known of its content.
        link: The link to the span that wrote it.
    """
    retractions = run._runtime.retractions
    if not retractions.any(whole=run._settings.blocks_retracted) or (found.digest is None and link is None):
        return ()
    context = None if link is None else link.context
    read = Artifact(
        name=name,
        direction="input",
        span_id="",  # it has none yet
        run_id=run.run_id,
        digest=found.digest,
        scope=found.scope,
        rows=found.rows,
        size=found.size,
        time_ns=run._now(),
        link=context and ModelLink(f"{context.trace_id:032x}", f"{context.span_id:016x}", "consumes"),
    )
    return retractions.of(read)


def tell(
    run: ActiveRun, context: SpanContext, name: str, digest: str | None, borne: Sequence[RetractedLabel]
) -> RetractedError | None:
    """Warn of an input that bears retracted labels; return the error to raise where it must not be read any more.

    Args:
        run: The run that reads it.
        context: Its read span.
        name: What it is called.
        digest: Its digest, if it has one.
        borne: The labels, the one with the earliest deadline first.
    """
    now = run._runtime.clock.time_ns()
    refused: RetractedError | None = None
    for each in borne:
        sentence = _sentence(name, digest, each, now)
        attributes: dict[str, Any] = {
            A.MLOTEL_RUN_ID: run.run_id,
            A.MLOTEL_ARTIFACT_NAME: name,
            A.MLOTEL_LABEL: each.label,
        }
        if digest is not None:
            attributes[A.MLOTEL_ARTIFACT_DIGEST] = digest
        if each.deadline_ns is not None:
            attributes[A.MLOTEL_RETRACT_DEADLINE] = each.deadline_ns
        run._runtime.events.emit(
            E.MLOTEL_ARTIFACT_RETRACTED,
            time_ns=run._now(),
            context=context,
            attributes=attributes,
            severity=_WARN,
            body=sentence,
        )
        error = RetractedError(sentence, artifact=name, label=each.label, deadline_ns=each.deadline_ns)
        if run._settings.blocks_retracted and each.deadline_ns is not None and each.deadline_ns <= now:
            refused = refused or error
        else:
            guard(f"input of component {run.name!r}", error)
    return refused


def _sentence(name: str, digest: str | None, borne: RetractedLabel, now_ns: int) -> str:
    what = f"{name!r} ({digest[:19]})" if digest else repr(name)
    source = "" if borne.source == name else f", which it has from {borne.source!r}"
    deadline = borne.deadline_ns
    if deadline is None:
        until = ""
    else:
        until = f"; its time {'was' if deadline <= now_ns else 'is'} up at {format_time(deadline)}"
    return (
        f"{what} bears the retracted label {borne.label!r}{source}{until}. "
        "Read other data, or take the retraction back with `mlotel restore`"
    )
