"""Who asks for something that is not there is told what there is like it."""

from __future__ import annotations

import re

import pytest
from pipelines import Io

from mlotel.errors import RunNotFoundError
from mlotel.lineage import resolve, resolve_run


@pytest.fixture
def delays(book, opened):
    book.run("clean", [Io("raw", uri="s3://bucket/flights/raw.csv")], ["features"], run_id="3f9a12c4" + "0" * 24)
    book.run("train", ["features"], [Io("model", type="model")], run_id="77aa12c4" + "1" * 24)
    return opened(book)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("modle", "did you mean 'model'?"),
        ("name:feature", "did you mean 'features'?"),
        ("model:modell:2", "did you mean 'model'?"),
        ("trian", "did you mean 'train'?"),
        ("train", "it is a component, and `mlotel history train` lists its runs"),
        ("s3://bucket/flights/row.csv", "did you mean 's3://bucket/flights/raw.csv'?"),
        ("path:s3://bucket/flights/raw.txt", "did you mean 's3://bucket/flights/raw.csv'?"),
        ("3f9a12c5", "did you mean '3f9a12c4'?"),
        ("3F9A12C5", "did you mean '3f9a12c4'?"),
        ("run:3f9a12d4" + "0" * 24, "did you mean '3f9a12c4" + "0" * 24),
        ("something else", "`mlotel runs` lists what there is"),
        ("", "`mlotel runs` lists what there is"),
        ("\ud800\0", "`mlotel runs` lists what there is"),
        ("x" * 100_000, "`mlotel runs` lists what there is"),
    ],
)
def test_a_reference_that_nothing_answers_to(delays, what, told):
    """Names of artifacts and components, places, ids; else where to look."""
    with pytest.raises(RunNotFoundError, match=re.escape(told)):
        resolve(delays, what)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("3f9a12c5", "did you mean '3f9a12c4'?"),
        ("77bb12c4" + "1" * 24, "did you mean '77aa12c4" + "1" * 24),
        ("ffff", "an id needs 4 digits or more"),
        ("ffffffff", "an id needs 4 digits or more"),
        ("train", "it is a component, and `mlotel history train` lists its runs"),
        ("run:train", "it is a component"),
        ("tran", "an id needs 4 digits or more"),
    ],
)
def test_a_run_that_is_not_there(delays, what, told):
    """The nearest ids, as long as what was typed; a component's name has no run, but a history."""
    with pytest.raises(RunNotFoundError, match=re.escape(told)):
        resolve_run(delays, what)


def test_in_an_empty_store_nothing_is_near(book, opened):
    """The error is the same as for what is like nothing."""
    with pytest.raises(RunNotFoundError, match="`mlotel runs` lists what there is"):
        resolve(opened(book), "model")
