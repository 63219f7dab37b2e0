"""Ingest: the published CSV becomes a Parquet table, untouched but for its format.

    python ingest.py flights.csv.zip raw.parquet [EVERY]     # EVERY=20 keeps one flight in twenty
"""

import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq


def ingest(archive: Path, raw: Path, every: int = 1) -> None:
    with ZipFile(archive) as files, files.open("flights.csv") as csv:
        flights = pyarrow.csv.read_csv(csv)
    pq.write_table(flights.take(np.arange(0, flights.num_rows, every)), raw)


if __name__ == "__main__":
    ingest(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
