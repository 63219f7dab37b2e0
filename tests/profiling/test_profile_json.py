"""Profiles as JSON, for programs and for people."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator, ValidationError

from mlotel import profile
from mlotel.errors import ArtifactError
from mlotel.profiling import Profile

SCHEMA = json.loads((files("mlotel") / "schemas" / "profile.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def every_kind() -> pa.Table:
    random = np.random.default_rng(6)
    return pa.table(
        {
            "number": random.standard_normal(3_000),
            "huge": [1e300, -1e300, float("inf"), float("nan"), None, 5e-324] * 500,
            "integer": random.integers(-(2**62), 2**62, 3_000),
            "decimal": pa.array(random.integers(0, 99, 3_000)).cast(pa.decimal128(20, 0)).cast(pa.decimal128(9, 1)),
            "when": pa.array(random.integers(0, 2**50, 3_000)).cast(pa.timestamp("us", "UTC")),
            "text": [f"t{index % 70}" for index in range(3_000)],
            "true": random.random(3_000) < 0.3,
            "list": [[1, 2], None, []] * 1_000,
            "null": pa.nulls(3_000),
            "empty": pa.nulls(3_000, pa.float64()),
        }
    )


def exact(found: Profile) -> list[Any]:
    """The columns without what the library draws lots for when it merges."""
    return [{**column, "quantiles": None} for column in found.document()["columns"]]


@pytest.mark.parametrize("by", [None, "text", ["true", "text"]])
def test_what_is_read_is_what_was_written(every_kind: pa.Table, by: Any) -> None:
    """Groups and all; and it still merges."""
    found = profile(every_kind, by=by, frequent="all", most_groups=50)
    again = Profile.from_json(found.to_json())
    assert again.document() == found.document()
    assert exact(again.merge(found)) == exact(found.merge(found))
    assert Profile.from_json(found.to_json().encode()).rows == 3_000


def test_profiles_can_be_sent_to_other_processes(every_kind: pa.Table) -> None:
    """By pickle, which holds the JSON."""
    found = profile(every_kind)
    assert pickle.loads(pickle.dumps(found)).document() == found.document()


@pytest.mark.parametrize("by", [None, "true", ["text", "list"][:1]])
def test_documents_are_what_the_schema_describes(every_kind: pa.Table, by: Any) -> None:
    """And strict JSON: neither NaN nor infinity."""
    document = profile(every_kind, by=by, frequent="all", most_groups=3).document()
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(document, allow_nan=False)))
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate({**document, "more": 1})


def test_empty_tables_have_documents() -> None:
    """No rows, no columns, or neither."""
    for table in (pa.table({}), pa.table({"x": pa.nulls(0, pa.float64()), "s": pa.nulls(0, pa.string())})):
        found = profile(table)
        Draft202012Validator(SCHEMA).validate(found.document())
        assert Profile.from_json(found.to_json()).document() == found.document()


def test_a_profile_says_what_it_is(every_kind: pa.Table) -> None:
    """In a line, and as a table in which names are text."""
    assert repr(profile(every_kind)) == "<Profile of 3,000 rows × 10 columns>"
    assert repr(profile(every_kind, by="true")) == "<Profile of 3,000 rows × 10 columns, 2 groups by true>"
    html = profile(pa.table({"<b>": [1.5, 2.5]}))._repr_html_()
    assert "<td>&lt;b&gt;</td>" in html
    assert "<td>1.5</td><td>2</td><td>2.5</td>" in html


def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(profile(pa.table({"x": [1.0, 2.0], "s": ["a", "b"]}), frequent="all").to_json())
    return found


def test_another_version_is_refused() -> None:
    """With what to do about it."""
    with pytest.raises(
        ArtifactError, match="a profile of version 2, this mlotel reads version 1: make it anew, or update"
    ):
        Profile.from_json(json.dumps({**written(), "version": 2}))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), "other"),
        (("rows",), -1),
        (("rows",), 3),
        (("rows",), True),
        (("columns",), None),
        (("columns", 0, "kind"), "spell"),
        (("columns", 0, "name"), 1),
        (("columns", 1, "name"), "x"),
        (("columns", 0, "null"), 0.5),
        (("columns", 0, "smallest"), "1"),
        (("columns", 0, "smallest"), ["inf"]),
        (("columns", 0, "smallest"), 2**64),
        (("columns", 0, "zero"), 3),
        (("columns", 0, "type"), "int64"),
        (("columns", 0, "moments"), [1, 2]),
        (("columns", 0, "moments", 1), ["one"]),
        (("columns", 0, "quantiles"), "§"),
        (("columns", 0, "quantiles"), "AAAA"),
        (("columns", 0, "distinct"), "A" * 2_000_000),
        (("columns", 1, "frequent_left_out"), None),
        (("other",), {}),
    ],
)
def test_what_is_no_profile_is_refused(place: tuple[str | int, ...], value: Any) -> None:
    """Each fault ends in one error of mlotel's."""
    found = written()
    target: Any = found
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    with pytest.raises(ArtifactError, match="make it anew"):
        Profile.from_json(json.dumps(found))


def test_numbers_that_are_too_large_are_refused() -> None:
    """What JSON may say and a double does not hold is no number."""
    text = profile(pa.table({"x": [1.25]})).to_json()
    with pytest.raises(ArtifactError, match="no number"):
        Profile.from_json(text.replace('"smallest":1.25', '"smallest":1e999'))


@pytest.mark.parametrize("type", ["timestamp[weeks]", "decimal128(9, 999999999)", "", "time32[s], tz=x]"])
def test_types_that_are_not_known_do_no_harm(type: str) -> None:
    """Values are told as numbers."""
    found = written()
    found["columns"][0] |= {"type": type, "frequent": None}
    column = Profile.from_json(json.dumps(found))["x"]
    assert (column.min, column.mean, column.quantiles([1])) == (1.0, 1.5, [2.0])


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "NaN", '{"format": NaN}', "[" * 100_000, b"\xff\xfe"])
def test_text_that_is_no_profile_is_refused(text: str | bytes) -> None:
    """Not even JSON, or of something else."""
    with pytest.raises(ArtifactError, match=r"no profile as `Profile\.to_json` writes it"):
        Profile.from_json(text)


def test_without_the_library_the_extra_is_named() -> None:
    """Before anything is read."""
    program = (
        "import sys; sys.modules['datasketches'] = None\n"
        "import mlotel\n"
        "try: mlotel.profile('nowhere.parquet')\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "MissingExtraError datasketches is not installed: pip install 'mlotel[profile]'\n"
