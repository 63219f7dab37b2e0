"""When an input is stale: one rule, for the run that reads it and for whoever asks later.

An input is stale by age where it was written more than a threshold before the run began. It is stale by a fresher run
where the component that wrote it has a run that began later than the writing one and before the reading one, and ended
ok. A run that wrote the same content again made nothing fresher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from mlotel.model import Artifact, Run, Staleness

__all__ = ["STALE_AFTER_NS", "Later", "Made", "judge"]

STALE_AFTER_NS = 30 * 86_400 * 10**9
"""The threshold of a component that names none: 30 days."""


@dataclass(frozen=True, slots=True)
class Made:
    """A run that may have made something, as far as the rule looks at it.

    Times are nanoseconds since the epoch; `ended_ok_ns` is None where it has not ended, or not ok. `digests` are those
    of what it wrote.
    """

    component: str
    pipeline: str | None
    run_id: str
    start_ns: int
    ended_ok_ns: int | None = None
    digests: frozenset[str] = frozenset()

    @classmethod
    def of(cls, run: Run) -> Made:
        """Return what a run made."""
        return cls(
            run.component,
            run.pipeline,
            run.run_id,
            run.start_ns,
            run.end_ns if run.state == "ok" else None,
            frozenset(each.digest for each in run.outputs if each.digest),
        )


Later = Callable[[Made, int, int], Iterable[Made]]
"""The runs of a run's component that began after the first time and before the second one, latest first."""


def judge(
    read: Artifact,
    *,
    began_ns: int,
    producer: Made,
    written_ns: int,
    stale_after_ns: int | None,
    later: Later,
    now_ns: int | None = None,
) -> tuple[Staleness, ...]:
    """Return why an input is stale: its age, a fresher run, both or nothing.

    Args:
        read: The input.
        began_ns: When the run that read it began, as all times in nanoseconds since the epoch.
        producer: The run that wrote it.
        written_ns: When that was.
        stale_after_ns: The threshold of the run's component; None where no age makes it stale.
        later: Finds the later runs of the producer's component.
        now_ns: Judge also what has come to hold since the run began; None: only what held then.
    """
    told = partial(
        Staleness,
        artifact=read.name,
        span_id=read.span_id,
        component=producer.component,
        writer_id=producer.run_id,
        written_ns=written_ns,
        stale_after_ns=stale_after_ns,
    )
    found = []
    for when, moment_ns in (("ran", began_ns), ("since", now_ns)):
        if stale_after_ns is not None and moment_ns is not None and moment_ns - written_ns > stale_after_ns:
            found.append(told(reason="age", when=when, age_ns=moment_ns - written_ns))
            break
    for when, after_ns, before_ns, moment_ns in (
        ("ran", producer.start_ns, began_ns, began_ns),
        ("since", max(began_ns - 1, producer.start_ns), 0 if now_ns is None else now_ns + 1, now_ns or 0),
    ):
        fresher = _latest(read, producer, later, after_ns, before_ns, now_ns)
        if fresher is not None:
            age_ns = moment_ns - written_ns
            found.append(
                told(
                    reason="fresher_run",
                    when=when,
                    age_ns=age_ns,
                    fresher_id=fresher.run_id,
                    fresher_ns=fresher.start_ns,
                )
            )
            break
    return tuple(found)


def _latest(
    read: Artifact, producer: Made, later: Later, after_ns: int, before_ns: int, now_ns: int | None
) -> Made | None:
    """Return the latest run between two times that made the producer's artifact anew and had ended ok by now."""
    if before_ns - after_ns < 2:
        return None
    for each in later(producer, after_ns, before_ns):
        if (
            after_ns < each.start_ns < before_ns
            and (each.component, each.pipeline) == (producer.component, producer.pipeline)
            and each.ended_ok_ns is not None
            and (now_ns is None or each.ended_ok_ns <= now_ns)
            and each.run_id != read.run_id
            and (read.digest is None or read.digest not in each.digests)
        ):
            return each
    return None
