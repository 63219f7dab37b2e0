"""Digests of scikit-learn estimators: parameters and fitted values, in any process."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from fitted_estimators import MAKERS, data, fitted
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlotel.hashing import Fingerprinter, fingerprint
from mlotel.model import Fingerprint


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, str]:
    """The digests that another process, with another hash seed, finds for the same models."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", Path(__file__).with_name("fitted_estimators.py")],
        env={**os.environ, "PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_fit_has_the_same_digest_in_another_process(name: str, elsewhere: dict[str, str]) -> None:
    """A model fitted again on the same data, here or in another process, has the same digest."""
    found = fingerprint(fitted(name))
    assert found == Fingerprint(digest=elsewhere[name], scope="logical", type="model")
    assert f"{found.digest}".startswith("blake3:")


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "FunctionTransformer"])
def test_other_data_and_no_fit_have_other_digests(name: str) -> None:
    """Fitted on other data, or not fitted at all, a model has another digest."""
    digests = {fingerprint(model).digest for model in (fitted(name), fitted(name, seed=1), MAKERS[name]())}
    assert len(digests - {None}) == 3


@pytest.mark.parametrize("name", MAKERS)
def test_a_copy_has_the_digest_of_its_original(name: str) -> None:
    """Pickling and reading back keeps the digest; predicting does not change it."""
    model = fitted(name)
    before = fingerprint(model)
    assert fingerprint(pickle.loads(pickle.dumps(model))) == before
    if hasattr(model, "predict"):
        model.predict(data()[0])
        assert fingerprint(model) == before


def test_parameters_and_class_count() -> None:
    """Each parameter and the class itself make a difference, fitted values being equal."""
    models = [
        LinearRegression(),
        LinearRegression(fit_intercept=False),
        Ridge(),
        Ridge(alpha=2.0),
        LogisticRegression(),
    ]
    for model in models:
        model.coef_ = np.zeros(3)
    assert len({fingerprint(model).digest for model in models}) == len(models)


def test_one_changed_number_in_a_forest_changes_its_digest() -> None:
    """The trees inside count down to each threshold."""
    model = fitted("RandomForestClassifier")
    before = fingerprint(model).digest
    model.estimators_[3].tree_.threshold[0] += 1e-6
    assert fingerprint(model).digest != before


def test_one_changed_leaf_of_histogram_boosting_changes_its_digest() -> None:
    """The predictors of histogram boosting count, though they hang on a private attribute."""
    model = fitted("HistGradientBoostingClassifier")
    before = fingerprint(model).digest
    model._predictors[2][0].nodes["value"][-1] += 1e-9
    assert fingerprint(model).digest != before


def test_neighbours_count_by_their_training_data() -> None:
    """A nearest-neighbour model is its training rows and labels, dense or sparse."""
    x, y = data()
    dense, sparse = (KNeighborsClassifier().fit(form(x), y) for form in (np.asarray, scipy.sparse.csr_matrix))
    assert fingerprint(dense).digest != fingerprint(sparse).digest
    relabelled = KNeighborsClassifier().fit(x, 1 - y)
    assert len({fingerprint(model).digest for model in (dense, sparse, relabelled)}) == 3
    assert fingerprint(KNeighborsClassifier().fit(scipy.sparse.csc_matrix(x).tocsr(), y)) == fingerprint(sparse)


def test_feature_names_of_a_pandas_frame_count() -> None:
    """Fitted on named columns a model differs from one fitted on an array, and renaming one is seen."""
    x, y = data()
    frames = [pd.DataFrame(x, columns=list(names)) for names in ("abcde", "abcdf")]
    models = [LinearRegression().fit(source, y) for source in (x, *frames)]
    assert len({fingerprint(model).digest for model in models}) == 3


def test_numpy_scalars_count_as_python_ones() -> None:
    """A parameter is its value: `np.float64(0.5)` and 0.5 are one, 1 and 1.0 and True are three."""
    assert fingerprint(Ridge(alpha=np.float64(0.5))) == fingerprint(Ridge(alpha=0.5))
    assert len({fingerprint(Ridge(alpha=value)).digest for value in (1, 1.0, True)}) == 3


def test_clones_of_generators_count_by_their_state() -> None:
    """Random generators as parameters count by the state they are in."""
    one, other = (RandomForestClassifier(random_state=np.random.RandomState(seed)) for seed in (1, 2))
    assert fingerprint(one) == fingerprint(clone(one)) != fingerprint(other)


class Custom(BaseEstimator):
    """An estimator of a user's own."""

    def __init__(self, part: Any = None) -> None:
        self.part = part


def test_a_users_own_estimator_has_a_digest() -> None:
    """Subclasses count by their name, parameters and attributes, whatever containers they lie in."""
    values: list[Any] = [
        {"a": {1, 2}, "b": (1, [2.5, None])},
        {"a": {1, 2}, "b": (1, (2.5, None))},
        pd.DataFrame({"x": [1]}),
        slice(0, 2),
        range(3),
        np.datetime64("2026-01-01"),
        np.array(["a", None], object),
        np.dtype("f4"),
        StandardScaler(),
        1 + 2j,
        b"bytes",
        "text",
    ]
    digests = [fingerprint(Custom(value)).digest for value in values]
    assert None not in digests
    assert len(set(digests)) == len(values)
    assert fingerprint(Custom({"b": 1, "a": 2})) == fingerprint(Custom({"a": 2, "b": 1}))


class Opaque:
    """Something without a stable identity, whose repr must never be seen."""

    def __repr__(self) -> str:
        raise AssertionError("repr must not be called")


def own_function(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("model", "where"),
    [
        (Custom(Opaque()), "part is a test_estimator_digests.Opaque, which has no stable identity"),
        (Custom([1, {"k": Opaque()}]), "part[1]['k'] is a test_estimator_digests.Opaque, which has no stable identity"),
        (FunctionTransformer(own_function), "func is the function own_function, whose code has no stable identity"),
        (FunctionTransformer(lambda x: x), "func is the function <lambda>, whose code has no stable identity"),
        (
            ColumnTransformer([("t", FunctionTransformer(own_function), [0])]),
            "transformers[0][1].func is the function own_function, whose code has no stable identity",
        ),
        (Custom(Opaque), "part is the class Opaque, whose code has no stable identity"),
        (
            Custom(np.zeros(1, np.longdouble)),
            f"part: {np.dtype(np.longdouble).name} has padding that differs between machines",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_no_identity_is_named(model: Any, where: str) -> None:
    """A part without a stable identity leaves the model without a digest; the note names the attribute."""
    assert fingerprint(model) == Fingerprint(scope="logical", type="model", note=f"no digest: {where}")


def test_a_model_that_contains_itself_gets_a_note() -> None:
    """Cycles are found instead of followed for ever, and so is a very deep nest."""
    model = Custom()
    model.part = [model]
    assert fingerprint(model).note == "no digest: part[0] contains itself"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert fingerprint(Custom(deep)).note == "no digest: the model is nested too deeply"


def test_registered_types_are_used_inside_models() -> None:
    """A model holding an object of a registered type counts that object by its function."""
    hashing = Fingerprinter()
    assert hashing.fingerprint(Custom(Opaque())).digest is None
    content = b"one"
    hashing.register(Opaque, lambda _: content)
    first = hashing.fingerprint(Custom(Opaque())).digest
    content = b"two"
    second = hashing.fingerprint(Custom(Opaque())).digest
    assert None is not first != second is not None
