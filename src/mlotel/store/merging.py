"""Taking what another process read into an index of its own over into the store's, within SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from msgspec.structs import astuple, replace

from mlotel.store.index import Index
from mlotel.store.rows import RunRow

__all__ = ["join_runs", "take_over"]

_OF_RUNS = ", ".join(RunRow.__struct_fields__)
# Numbers of runs and segments go on after those that are there; names may be there already.
_COPY = (
    "INSERT OR IGNORE INTO main.name (text) SELECT text FROM {part}.name ORDER BY id",
    "CREATE TEMP TABLE naming (there INTEGER PRIMARY KEY, here INTEGER NOT NULL)",
    "INSERT INTO naming SELECT part.id, here.id FROM {part}.name AS part JOIN main.name AS here USING (text)",
    "INSERT INTO main.segment SELECT id + :segment, name, inode, offset, skipped, inside FROM {part}.segment",
    "INSERT INTO main.run SELECT id + :run, run_hi, run_lo, trace_hi, trace_lo, span,"
    " (SELECT here FROM naming WHERE there = component), start, parent, state, by_span, seen,"
    " start_segment + :segment, start_offset, start_length, end_segment + :segment, end_offset, end_length"
    " FROM {part}.run ORDER BY id",
    "INSERT INTO main.io SELECT NULL, span, run + :run, entry, flags, (SELECT here FROM naming WHERE there = name),"
    " uri, digest, time, link, segment + :segment, offset, length FROM {part}.io ORDER BY id",
    "INSERT OR IGNORE INTO main.dependency SELECT run + :run, link FROM {part}.dependency",
    "INSERT OR IGNORE INTO main.annotation SELECT NULL, kind, target, time, segment + :segment, offset, length"
    " FROM {part}.annotation ORDER BY id",
    "INSERT OR IGNORE INTO main.keyed SELECT hash, span, segment + :segment, offset, length FROM {part}.keyed",
    "DROP TABLE naming",
)
# Numbers of files that are gone do not come back.
_LAST_SEGMENT = "SELECT coalesce(max(seq), 0) FROM main.sqlite_sequence WHERE name = 'segment'"
_DOUBLE_RUNS = f"""
SELECT {_OF_RUNS} FROM run WHERE (run_hi, run_lo) IN
    (SELECT run_hi, run_lo FROM run GROUP BY run_hi, run_lo HAVING count(*) > 1)
ORDER BY run_hi, run_lo, id
"""
_REPLACE = f"REPLACE INTO run ({_OF_RUNS}) VALUES ({', '.join('?' * len(RunRow.__struct_fields__))})"
_RENUMBER = (
    "UPDATE io SET run = (SELECT kept FROM double WHERE double.run = io.run) WHERE run IN (SELECT run FROM double)",
    "UPDATE OR IGNORE dependency SET run = (SELECT kept FROM double WHERE double.run = dependency.run)"
    " WHERE run IN (SELECT run FROM double)",
    "DELETE FROM dependency WHERE run IN (SELECT run FROM double)",
    "DELETE FROM run WHERE id IN (SELECT run FROM double)",
)


def take_over(index: Index, path: Path) -> None:
    """Copy all rows of the index at `path`, of other files than this one has read, within the caller's transaction.

    A run of which both have rows has two then: see `join_runs`. The file must stay until the transaction has ended.
    """
    execute = index.connection.execute
    part = index.attach(path)
    numbers = {
        "run": execute("SELECT coalesce(max(id), 0) FROM main.run").fetchone()[0],
        "segment": execute(_LAST_SEGMENT).fetchone()[0],
    }
    for statement in _COPY:
        execute(statement.format(part=part), numbers if ":" in statement else ())


def join_runs(index: Index) -> None:
    """Make one row of those that tell of one run, within the caller's transaction."""
    rows = [RunRow(*row) for row in index.rows(_DOUBLE_RUNS)]
    joined = [_joined(list(of_one)) for _, of_one in groupby(rows, lambda row: (row.run_hi, row.run_lo))]
    kept = {(row.run_hi, row.run_lo): row.id for row in joined}
    gone = [(row.id, first) for row in rows if (first := kept[row.run_hi, row.run_lo]) != row.id]
    execute, executemany = index.connection.execute, index.connection.executemany
    execute("CREATE TEMP TABLE double (run INTEGER PRIMARY KEY, kept INTEGER NOT NULL)")
    executemany("INSERT INTO double VALUES (?, ?)", gone)
    for statement in _RENUMBER:
        execute(statement)
    executemany(_REPLACE, map(astuple, joined))
    execute("DROP TABLE double")


def _joined(rows: Sequence[RunRow]) -> RunRow:
    """What the rows of one run, in the order in which they were read, tell together: as `Ingest` has it.

    A run's span tells all there is, the first one. Before it has come, a start record tells more than the I/O spans.
    """
    first = rows[0]
    span = next((row for row in rows if row.by_span), None)
    if span is not None:
        return replace(span, id=first.id)
    started = [row for row in rows if row.component is not None]
    known = started[-1] if started else next((row for row in rows if row.trace_hi is not None), first)
    ended = next((row for row in reversed(rows) if row.end_segment is not None), first)
    return replace(
        known,
        id=first.id,
        state=ended.state,
        seen=max((row.seen for row in rows if row.seen is not None), default=None),
        end_segment=ended.end_segment,
        end_offset=ended.end_offset,
        end_length=ended.end_length,
    )
