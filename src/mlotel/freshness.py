"""When an input is stale: one rule, for the run that reads it and for whoever asks later.

An input is stale by age where it was written more than a threshold before the run began. It is stale by a fresher run
where the component that wrote it has a run that began later than the writing one and before the reading one, and ended
ok. A run that wrote the same content again made nothing fresher; where the latest thousand did, the search ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from mlotel.model import Run, Staleness

__all__ = ["STALE_AFTER_NS", "Later", "Made", "Read", "days", "judge"]

_SECOND = 10**9
_SAME = 1000  # runs one after another that wrote the same again: how far back is looked for one that did not
_UNITS = (("day", 86_400 * _SECOND), ("hour", 3600 * _SECOND), ("minute", 60 * _SECOND), ("second", _SECOND))

STALE_AFTER_NS = 30 * 86_400 * _SECOND
"""The threshold of a component that names none: 30 days."""


class Made(NamedTuple):
    """A run that may have made something, as far as the rule looks at it.

    Times are nanoseconds since the epoch; `ended_ok_ns` is None where it has not ended, or not ok. `digests` are those
    of what it wrote.
    """

    component: str
    pipeline: str | None
    run_id: str
    start_ns: int
    ended_ok_ns: int | None = None
    digests: Collection[str] = ()

    @classmethod
    def of(cls, run: Run) -> Made:
        """Return what a run made."""
        return cls(
            run.component,
            run.pipeline,
            run.run_id,
            run.start_ns,
            run.end_ns if run.state == "ok" else None,
            frozenset([each.digest for each in run.outputs if each.digest]),
        )


class Read(NamedTuple):
    """An input: its name, its digest, the id of its span (once it has one), and which run read it, begun when."""

    name: str
    digest: str | None
    span_id: str
    run_id: str
    began_ns: int


Later = Callable[[Made, int, int], Iterable[Made]]
"""The runs of a run's component that began after the first time and before the second one, latest first."""


def judge(
    read: Read,
    producer: Made,
    written_ns: int,
    *,
    stale_after_ns: int | None,
    later: Later,
    now_ns: int | None = None,
) -> tuple[Staleness, ...]:
    """Return why an input is stale: its age, a fresher run, both or nothing.

    Args:
        read: The input.
        producer: The run that wrote it.
        written_ns: When that was, as all times in nanoseconds since the epoch.
        stale_after_ns: The threshold of the component that read it; None where no age makes it stale.
        later: Finds the later runs of the producer's component.
        now_ns: Judge also what has come to hold since the run began; None: only what held then.
    """
    # what most runs need: two comparisons and one look-up
    began_ns = read.began_ns
    found: tuple[Staleness, ...] = ()
    if stale_after_ns is not None:
        if began_ns - written_ns > stale_after_ns:
            found = (_stale(read, producer, written_ns, stale_after_ns, "age", "ran", began_ns),)
        elif now_ns is not None and now_ns - written_ns > stale_after_ns:
            found = (_stale(read, producer, written_ns, stale_after_ns, "age", "since", now_ns),)
    fresher, when, moment_ns = _latest(read, producer, later, producer.start_ns, began_ns, now_ns), "ran", began_ns
    if fresher is None and now_ns is not None:
        after_ns = max(began_ns - 1, producer.start_ns)
        fresher, when, moment_ns = _latest(read, producer, later, after_ns, now_ns + 1, now_ns), "since", now_ns
    if fresher is not None:
        found += (_stale(read, producer, written_ns, stale_after_ns, "fresher_run", when, moment_ns, fresher),)
    return found


def _stale(
    read: Read,
    producer: Made,
    written_ns: int,
    stale_after_ns: int | None,
    reason: str,
    when: str,
    moment_ns: int,
    fresher: Made | None = None,
) -> Staleness:
    return Staleness(
        artifact=read.name,
        span_id=read.span_id,
        component=producer.component,
        writer_id=producer.run_id,
        written_ns=written_ns,
        reason=reason,
        when=when,
        age_ns=moment_ns - written_ns,
        stale_after_ns=stale_after_ns,
        fresher_id=None if fresher is None else fresher.run_id,
        fresher_ns=None if fresher is None else fresher.start_ns,
    )


def _latest(read: Read, producer: Made, later: Later, after_ns: int, before_ns: int, now_ns: int | None) -> Made | None:
    """Return the latest run between two times that made anew what was read, and had ended ok by now."""
    if before_ns - after_ns < 2:
        return None
    same = 0
    for each in later(producer, after_ns, before_ns):
        if (
            after_ns < each.start_ns < before_ns
            and each[:2] == producer[:2]  # component and pipeline
            and each.ended_ok_ns is not None
            and (now_ns is None or each.ended_ok_ns <= now_ns)
            and each.run_id != read.run_id
        ):
            if read.digest is None or read.digest not in each.digests:
                return each
            same += 1
            if same == _SAME:
                return None
    return None


def days(duration_ns: int) -> str:
    """Return a long duration in words, in the largest unit of which there is one: ``41.2 days``."""
    name, unit = next((each for each in _UNITS if duration_ns >= each[1]), _UNITS[-1])
    count = f"{duration_ns / unit:,.1f}".removesuffix(".0")
    return f"{count} {name}{'' if count == '1' else 's'}"
