"""Predict: the arrival delay of each flight of one month.

    python predict.py model.joblib features/2013-12.parquet predictions/2013-12.parquet
"""

import sys
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def predict(model: Path, features: Path, predictions: Path) -> None:
    estimator = joblib.load(model)
    rows = pq.read_table(features)
    delays = estimator.predict(np.column_stack([rows[name] for name in rows.column_names if name != "key"]))
    predictions.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"key": rows["key"], "predicted_delay": delays}), predictions)


if __name__ == "__main__":
    predict(*map(Path, sys.argv[1:]))
