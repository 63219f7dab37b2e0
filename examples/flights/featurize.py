"""Featurize: what a model may know when the aircraft leaves the gate, one file per month.

    python featurize.py flights.parquet features

The decorator is told to leave the arguments alone: mlotel.io records the tables as they are read and written.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

import mlotel
from mlotel.io import read_table, write_table


@mlotel.component("featurize", version="1", pipeline="flights", inputs=False, outputs=False)
def featurize(flights: Path, features: Path) -> None:
    table = read_table(flights, "flights")
    rows = make_features(table)
    features.mkdir(exist_ok=True)
    for month in range(1, 13):
        of_month = rows.filter(pc.equal(table["month"], month))
        write_table(of_month, features / f"2013-{month:02}.parquet", f"features/2013-{month:02}", type="features")


def make_features(flights: pa.Table) -> pa.Table:
    day = pc.strptime(pc.utf8_slice_codeunits(flights["key"], 0, 10), "%Y-%m-%d", "s")
    departure, arrival = minutes(flights["sched_dep_time"]), minutes(flights["sched_arr_time"])
    duration = pc.subtract(arrival, departure)  # by the clocks of the two airports
    return pa.table({
        "key": flights["key"],
        "carrier": codes(flights["carrier"]),
        "origin": codes(flights["origin"]),
        "dest": codes(flights["dest"]),
        "weekday": pc.day_of_week(day),
        "distance": flights["distance"],
        "departure": departure,
        "duration": pc.if_else(pc.less(duration, 0), pc.add(duration, 24 * 60), duration),
        "dep_delay": flights["dep_delay"],
    })  # fmt: skip


def minutes(clock: pa.ChunkedArray) -> pa.ChunkedArray:
    """Minutes since midnight of a clock time that is written as the number HHMM."""
    return pc.subtract(clock, pc.multiply(pc.divide(clock, 100), 40))


def codes(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """The position of each name among all names in alphabetical order."""
    return pc.index_in(names, pc.unique(names).sort())


if __name__ == "__main__":
    featurize(*map(Path, sys.argv[1:]))
