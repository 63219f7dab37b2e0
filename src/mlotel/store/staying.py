"""Which lines of segments must stay when the segments go: those that tell of something that stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlotel.model import Annotation
from mlotel.store.assembly import Assembly
from mlotel.store.index import Index, numbers
from mlotel.store.rows import STATES, Place, RunRow, digest_number, span_number, trace_numbers
from mlotel.store.segments import day_of_time

__all__ = ["Staying"]

_OPEN = STATES.index("open")
_ALWAYS = ("retract", "restore")


class Staying:
    """What stays of `going` segments.

    Args:
        index: the index of the store, up to date.
        assembly: reads back the lines that it points to.
        going: the names of the segments.
        until: the last day that goes, ``YYYY-MM-DD``: a lost run that gave a sign of life later stays.

    `places` holds the lines that stay by the names of their segments, and `runs_gone` counts the runs that do not.
    """

    def __init__(self, index: Index, assembly: Assembly, going: Collection[str], until: str) -> None:
        self._index, self._assembly = index, assembly
        names = {row.id: name for name, row in index.segments().items() if name in going}
        self._gone = f"IN ({numbers(names)})"
        rows = index.run_rows(f"state = {_OPEN} AND start_segment {self._gone}")
        held = [row.id for row in rows if self._is_held(row, until)]
        self._stays = (
            f"(run.id IN ({numbers(held)}) OR run.start_segment NOT {self._gone} OR run.end_segment NOT {self._gone})"
        )
        found: defaultdict[str, set[Place]] = defaultdict(set)
        for place in (*self._ends("start"), *self._ends("end"), *self._artifacts(), *self._annotations()):
            found[names[place.segment]].add(place)
        self.places: Mapping[str, Collection[Place]] = found
        told = f"(run.start_segment {self._gone} OR run.end_segment {self._gone})"
        self.runs_gone = index.count_runs(f"{told} AND NOT coalesce({self._stays}, 0)")

    def _is_held(self, row: RunRow, until: str) -> bool:
        """Whether a run that has not ended still runs, or was lost after the last day that goes."""
        if day_of_time(max(row.seen or 0, row.start or 0)) > until:
            return True
        return any(run.state == "running" for run in self._assembly.heads([row]))

    def _ends(self, which: str) -> Iterator[Place]:
        """Where runs that stay began, or ended."""
        columns = ", ".join(f"{which}_{column}" for column in Place._fields)
        sql = f"SELECT {columns} FROM run WHERE {which}_segment {self._gone} AND {self._stays}"
        return map(Place._make, self._index.rows(sql))

    def _artifacts(self) -> Iterator[Place]:
        """What runs that stay have read and written."""
        places = "SELECT io.segment, io.offset, io.length FROM io JOIN run ON run.id = io.run"
        return map(Place._make, self._index.rows(f"{places} WHERE io.segment {self._gone} AND {self._stays}"))

    def _annotations(self) -> Iterator[Place]:
        """What was said of runs and artifacts that stay, and of labels."""
        for row in self._index.annotation_rows(f"segment {self._gone}"):
            for said in self._assembly.annotations([row]):
                if said.kind in _ALWAYS or self._is_there(said):
                    yield Place(row.segment, row.offset, row.length)

    def _is_there(self, said: Annotation) -> bool:
        """Whether a run that stays is what was spoken of, or has read or written it."""
        if said.run_id is not None and self._any_run("run_hi = ? AND run_lo = ?", _ids(said.run_id)):
            return True
        if ":" in said.target:
            return self._any_artifact("io.digest = ?", digest_number(said.target))
        return len(said.target) == 16 and self._any_artifact("io.span = ?", span_number(said.target))

    def _any_run(self, where: str, parameters: tuple[Any, ...]) -> bool:
        sql = f"SELECT 1 FROM run WHERE component IS NOT NULL AND {where} AND {self._stays} LIMIT 1"
        return bool(self._index.rows(sql, parameters))

    def _any_artifact(self, where: str, number: int) -> bool:
        sql = f"SELECT 1 FROM io JOIN run ON run.id = io.run WHERE {where} AND {self._stays} LIMIT 1"
        return bool(self._index.rows(sql, (number,)))


def _ids(run_id: str) -> tuple[int, int]:
    try:
        return trace_numbers(run_id)
    except ValueError:  # no run has it
        return 0, 0
