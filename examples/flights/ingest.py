"""Ingest: the published CSV becomes a Parquet table, untouched but for its format.

    python ingest.py flights.csv.zip raw.parquet 1     # 20 in place of 1 keeps one flight in twenty

Nothing but the decorator is mlotel's: it records paths as inputs and outputs, and numbers as parameters.
"""

import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq

import mlotel


@mlotel.component("ingest", version="1", pipeline="flights", params=True)
def ingest(archive: Path, raw: Path, every: int) -> None:
    with ZipFile(archive) as files, files.open("flights.csv") as csv:
        flights = pyarrow.csv.read_csv(csv)
    pq.write_table(flights.take(np.arange(0, flights.num_rows, every)), raw)


if __name__ == "__main__":
    ingest(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
