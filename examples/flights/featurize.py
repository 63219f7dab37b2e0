"""Featurize: what a model may know when the aircraft leaves the gate, one file per month.

    python featurize.py flights.parquet features/
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def featurize(flights: Path, features: Path) -> None:
    table = pq.read_table(flights)
    departure, arrival = minutes(table["sched_dep_time"]), minutes(table["sched_arr_time"])
    duration = pc.subtract(arrival, departure)  # by the clocks of the two airports
    day = pc.strptime(pc.utf8_slice_codeunits(table["key"], 0, 10), "%Y-%m-%d", "s")
    rows = pa.table(
        {
            "key": table["key"],
            "month": table["month"],
            "carrier": codes(table["carrier"]),
            "origin": codes(table["origin"]),
            "dest": codes(table["dest"]),
            "weekday": pc.day_of_week(day),
            "distance": table["distance"],
            "departure": departure,
            "duration": pc.if_else(pc.less(duration, 0), pc.add(duration, 24 * 60), duration),
            "dep_delay": table["dep_delay"],
        }
    )
    features.mkdir(exist_ok=True)
    for month in range(1, 13):
        of_month = rows.filter(pc.equal(rows["month"], month)).drop_columns("month")
        pq.write_table(of_month, features / f"2013-{month:02}.parquet")


def minutes(clock: pa.ChunkedArray) -> pa.ChunkedArray:
    """Minutes since midnight of a clock time written as the number HHMM."""
    hours = pc.divide(clock, 100)
    return pc.subtract(clock, pc.multiply(hours, 40))


def codes(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """The position of each name among all names in alphabetical order."""
    known = pc.unique(names).sort()
    return pc.index_in(names, known)


if __name__ == "__main__":
    featurize(*map(Path, sys.argv[1:]))
