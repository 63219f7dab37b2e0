"""Fits estimators with fixed seeds and prints the digest of each; run as a script, it is the other process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from mlotel.hashing import fingerprint

__all__ = ["MAKERS", "fitted"]


def columns() -> ColumnTransformer:
    return ColumnTransformer(
        [("n", StandardScaler(), [0, 1]), ("c", OneHotEncoder(), slice(4, 5))], remainder="passthrough"
    )


MAKERS: dict[str, Callable[[], Any]] = {
    "LinearRegression": LinearRegression,
    "LogisticRegression": LogisticRegression,
    "RandomForestClassifier": lambda: RandomForestClassifier(10, random_state=0),
    "RandomForestRegressor": lambda: RandomForestRegressor(10, random_state=np.random.RandomState(0)),
    "GradientBoostingRegressor": lambda: GradientBoostingRegressor(n_estimators=5, random_state=0),
    "HistGradientBoostingClassifier": lambda: HistGradientBoostingClassifier(max_iter=5, categorical_features=[4]),
    "HistGradientBoostingRegressor": lambda: HistGradientBoostingRegressor(max_iter=5),
    "Pipeline": lambda: make_pipeline(columns(), LogisticRegression()),
    "ColumnTransformer": columns,
    "StandardScaler": StandardScaler,
    "OneHotEncoder": lambda: OneHotEncoder(handle_unknown="ignore", dtype=np.float32),
    "KMeans": lambda: KMeans(3, n_init=2, random_state=0),
    "SVC": lambda: SVC(probability=False),
    "KNeighborsClassifier": lambda: KNeighborsClassifier(3, algorithm="kd_tree"),
    "DecisionTreeClassifier": lambda: DecisionTreeClassifier(random_state=0),
    "VotingClassifier": lambda: VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())]),
    "GridSearchCV": lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3),
    "MLPRegressor": lambda: MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0),
    "SGDClassifier": lambda: SGDClassifier(random_state=0),
    "FunctionTransformer": lambda: FunctionTransformer(np.log1p),
    "TfidfVectorizer": TfidfVectorizer,
}


def data(seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    x = random.standard_normal((150, 5))
    x[:, 4] = random.integers(0, 4, 150)
    return x, (x[:, 0] + 0.3 * random.standard_normal(150) > 0).astype(int)


def fitted(name: str, seed: int = 0) -> Any:
    import warnings

    x, y = data(seed)
    estimator = MAKERS[name]()
    if name == "TfidfVectorizer":
        return estimator.fit([f"word{int(v * 3)} word{seed}" for v in x[:, 0]])
    if name == "OneHotEncoder":
        x = np.array([f"v{int(v)}" for v in x[:, 4] + seed], object)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(x, y)


if __name__ == "__main__":
    json.dump({name: fingerprint(fitted(name)).digest for name in MAKERS}, sys.stdout)
