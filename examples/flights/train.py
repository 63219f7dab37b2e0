"""Train: gradient-boosted trees learn from the first months how many minutes a flight loses on its way.

    python train.py features arrivals.parquet model.joblib reference.json 6

The model is a file like any other: log_output records what it is and its digest, by which its readers are linked. So is
the reference, what the features looked like in spring, with which later months are compared.
"""

import sys
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
from sklearn.ensemble import HistGradientBoostingRegressor

import mlotel
from mlotel.drift import Reference
from mlotel.io import read_table

CATEGORIES = ("carrier", "origin", "dest", "weekday")
SPRING, DAYS = slice(2, 5), 92  # March to May
SETTINGS = {"loss": "absolute_error", "max_iter": 150, "learning_rate": 0.1, "random_state": 0}


def train(features: Path, arrivals: Path, model: Path, reference: Path, months: int) -> None:
    with mlotel.component("train", version="1", pipeline="flights", params=SETTINGS) as run:
        run.log_params({"months": months})
        files = sorted(features.glob("*.parquet"))[:months]
        tables = [read_table(file, f"features/{file.stem}", type="features") for file in files]
        known = pa.concat_tables(tables)
        rows = known.join(read_table(arrivals, "arrivals", type="labels"), "key", join_type="inner").sort_by("key")

        lost = rows["arr_delay"].to_numpy() - rows["dep_delay"].to_numpy()  # on the way; below 0 where it caught up
        columns = [name for name in known.column_names if name != "key"]
        estimator = HistGradientBoostingRegressor(
            categorical_features=[name in CATEGORIES for name in columns], **SETTINGS
        )
        estimator.fit(np.column_stack([rows[name] for name in columns]), lost)
        run.log_metrics({"flights": rows.num_rows})

        joblib.dump(estimator, model)
        run.log_output(model, "model", type="model")

        spring = pa.concat_tables(tables[SPRING]).select(columns)
        kinds, day = dict.fromkeys(CATEGORIES, "categorical"), spring.num_rows // DAYS
        # Days differ as it is: a month that differs from spring no more than they do is no news
        fitted = Reference.fit(spring, kinds=kinds, categories=120, window=day, model="arrival-delay", version="1")
        fitted.save(reference)
        run.log_output(reference, "reference", type="reference")


if __name__ == "__main__":
    train(*map(Path, sys.argv[1:5]), months=int(sys.argv[5]))
