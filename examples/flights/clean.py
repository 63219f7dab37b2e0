"""Clean: cancelled flights go, each flight gets a key, and what is known only after landing is kept apart.

    python clean.py raw.parquet flights.parquet arrivals.parquet
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def clean(raw: Path, flights: Path, arrivals: Path) -> None:
    table = pq.read_table(raw)
    departed = table.filter(pc.is_valid(table["dep_time"]))
    day = pc.binary_join_element_wise(*(two_digits(departed[part]) for part in ("year", "month", "day")), "-")
    number = pc.binary_join_element_wise(departed["carrier"], departed["flight"].cast(pa.string()), "")
    departed = departed.append_column("key", pc.binary_join_element_wise(day, number, departed["origin"], " "))

    known_at_departure = ["key", "year", "month", "day", "carrier", "origin", "dest", "distance",
                          "sched_dep_time", "sched_arr_time", "dep_delay"]  # fmt: skip
    pq.write_table(departed.select(known_at_departure), flights)
    pq.write_table(departed.select(["key", "arr_delay"]).drop_null(), arrivals)  # diverted flights have no delay


def two_digits(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lpad(numbers.cast(pa.string()), 2, "0")


if __name__ == "__main__":
    clean(*map(Path, sys.argv[1:]))
