"""Runs page by page, latest first: each page says where the next one begins, so that none costs more than another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mlotel.errors import QueryError
from mlotel.model import Artifact, Run
from mlotel.store import Store
from mlotel.store.conditions import Condition

__all__ = ["Cursor", "RunPage", "RunQuery", "run_page"]

_CURSOR = re.compile(r"(\d{1,19})\.(\d{1,9})")
_LATEST = 2**63 - 1
_AT_ONCE = 250
_MOST_LOOKED_AT = 5000
"""Runs that one page looks at, one by one: where few are what is asked for, it is short and says where to go on."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: at runs that began at `start_ns` or before, without the first `skip` of those.

    Runs may begin in the same nanosecond (a clock of low resolution), and new ones begin while somebody reads.
    """

    start_ns: int
    skip: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read what `str` writes.

        Raises:
            QueryError: it was not made by `str`.
        """
        match = _CURSOR.fullmatch(text)
        if match is None or int(match[1]) > _LATEST:
            raise QueryError(f"{text!r} is no cursor: pass on `next` of the page before")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.start_ns}.{self.skip}"

    def after(self, runs: Sequence[Run]) -> Cursor:
        """Return where the page begins that follows these runs, the first of which stood at this cursor."""
        if not runs:
            return self
        last = runs[-1].start_ns
        alike = sum(run.start_ns == last for run in runs)
        return Cursor(last, alike + (self.skip if last == self.start_ns else 0))


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs are asked for: all that hold.

    Args:
        component: of this component.
        since_ns: that began at or after this time, nanoseconds since the epoch.
        until_ns: that began at or before this time.
        where: that meet each of these conditions.
        text: in whose names this text stands, whatever the case of its letters.
    """

    component: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    where: tuple[Condition, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, latest start first, and where the next page begins; None where there is none."""

    runs: tuple[Run, ...]
    next: Cursor | None


def run_page(store: Store, query: RunQuery, *, limit: int, cursor: Cursor | None = None) -> RunPage:
    """Return up to `limit` runs from `cursor` on, or the latest ones.

    Raises:
        StoreError: the store cannot be read.
    """
    position = cursor or Cursor(_LATEST if query.until_ns is None else query.until_ns, 0)
    found: list[Run] = []
    looked_at = 0
    query, meets = _parted(store, query)
    at_once = limit + 1 if meets is None else _AT_ONCE
    while looked_at < _MOST_LOOKED_AT:
        chunk = _runs(store, query, position, at_once)
        for number, run in enumerate(chunk):
            if len(found) == limit:  # there is one more: the next page begins here
                return RunPage(tuple(found), position.after(chunk[:number]))
            if meets is None or meets(run):
                found.append(run)
        if len(chunk) < at_once:
            return RunPage(tuple(found), None)
        position = position.after(chunk)
        looked_at += len(chunk)
    return RunPage(tuple(found), position)


def _parted(store: Store, query: RunQuery) -> tuple[RunQuery, Callable[[Run], bool] | None]:
    """Part a query into what the store selects by, and what each run has to be looked at for; None if nothing."""
    selected = tuple(condition for condition in query.where if store.translates(condition))
    others = tuple(condition for condition in query.where if condition not in selected)
    text = None if query.text is None else query.text.casefold()
    if not others and text is None:
        return query, None

    def meets(run: Run) -> bool:
        return all(condition.matches(run) for condition in others) and (text is None or _has_text(run, text))

    return replace(query, where=selected, text=None), meets


def _runs(store: Store, query: RunQuery, position: Cursor, limit: int) -> Sequence[Run]:
    runs = store.runs(
        component=query.component,
        since_ns=query.since_ns,
        until_ns=None if position.start_ns == _LATEST else position.start_ns,
        where=query.where,
        limit=position.skip + limit,
    )
    return runs[position.skip :]


def _has_text(run: Run, text: str) -> bool:
    return any(text in each.casefold() for each in _names(run))


def _names(run: Run) -> Iterator[str]:
    """What a person may remember of a run."""
    yield from (run.component, run.run_id, run.trace_id, run.state)
    yield from (each for each in (run.pipeline, run.version, run.service) if each)
    yield from (f"{key}={value}" for key, value in run.tags.items())
    yield from map(str, run.git.values())
    if run.error is not None:
        yield from run.error.values()
    for artifact in (*run.inputs, *run.outputs):
        yield from _artifact_names(artifact)


def _artifact_names(artifact: Artifact) -> Iterator[str]:
    yield artifact.name
    yield from (each for each in (artifact.uri, artifact.digest) if each)
