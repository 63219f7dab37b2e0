"""Clean: cancelled flights go, each flight gets a key, and what is known only after landing is kept apart.

    python clean.py raw.parquet flights.parquet arrivals.parquet

Tables are read and written through mlotel.io, so each file carries the trace context of the run that wrote it.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

import mlotel
from mlotel.io import read_table, write_table

KNOWN_AT_DEPARTURE = [
    "key", "month", "carrier", "origin", "dest", "distance", "sched_dep_time", "sched_arr_time", "dep_delay",
]  # fmt: skip


def clean(raw: Path, flights: Path, arrivals: Path) -> None:
    with mlotel.component("clean", version="1", pipeline="flights") as run:
        table = read_table(raw, "raw")
        departed = table.filter(pc.is_valid(table["dep_time"]))
        departed = departed.append_column("key", keys(departed))
        landed = departed.select(["key", "arr_delay"]).drop_null()  # a diverted flight has no delay

        write_table(departed.select(KNOWN_AT_DEPARTURE), flights, "flights")
        write_table(landed, arrivals, "arrivals", type="labels")
        run.log_metrics({
            "cancelled": table.num_rows - departed.num_rows,
            "diverted": departed.num_rows - landed.num_rows,
        })  # fmt: skip


def keys(flights: pa.Table) -> pa.ChunkedArray:
    """Such as ``2013-12-24 UA1545 EWR``: the day, the flight and where it starts."""
    day = pc.binary_join_element_wise(*(two_digits(flights[part]) for part in ("year", "month", "day")), "-")
    number = pc.binary_join_element_wise(flights["carrier"], flights["flight"].cast(pa.string()), "")
    return pc.binary_join_element_wise(day, number, flights["origin"], " ")


def two_digits(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lpad(numbers.cast(pa.string()), 2, "0")


if __name__ == "__main__":
    clean(*map(Path, sys.argv[1:]))
