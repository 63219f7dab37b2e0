"""Train: gradient-boosted trees learn the arrival delay in minutes from some months of features.

    python train.py model.joblib arrivals.parquet features/2013-01.parquet features/2013-02.parquet ...
"""

import sys
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import HistGradientBoostingRegressor

CATEGORIES = ("carrier", "origin", "dest", "weekday")


def train(model: Path, arrivals: Path, months: list[Path]) -> None:
    features = pa.concat_tables([pq.read_table(month) for month in months])
    rows = features.join(pq.read_table(arrivals), "key", join_type="inner").sort_by("key")
    labels = rows["arr_delay"].to_numpy()
    columns = [name for name in features.column_names if name != "key"]

    estimator = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=150, categorical_features=[name in CATEGORIES for name in columns], random_state=0
    )
    estimator.fit(np.column_stack([rows[name] for name in columns]), labels)
    joblib.dump(estimator, model)


if __name__ == "__main__":
    target, labels, *features = map(Path, sys.argv[1:])
    train(target, labels, features)
