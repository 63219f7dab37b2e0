"""`mlotel gc`: what it says, as which document, and how it exits."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from mlotel.store.files import FileStore

LAST_YEAR = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 400 * 86_400))
TODAY = time.strftime("%Y-%m-%d", time.gmtime())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with a segment of a long time ago, one of today, and a run in each."""
    segments = tmp_path / "kept" / "segments"
    segments.mkdir(parents=True)
    for number, day in enumerate((LAST_YEAR, TODAY)):
        span = {
            "traceId": f"{number + 1:032x}",
            "spanId": f"{number + 1:016x}",
            "name": "train",
            "startTimeUnixNano": str((number + 1) * 10**18),
            "endTimeUnixNano": str((number + 1) * 10**18 + 1),
            "attributes": [
                {"key": "mlotel.run.id", "value": {"stringValue": f"{number + 1:032x}"}},
                {"key": "mlotel.component.name", "value": {"stringValue": "train"}},
            ],
        }
        line = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}, separators=(",", ":"))
        (segments / f"{day}-00000000-1-00.jsonl").write_text(line + "\n", encoding="utf-8")
    return tmp_path / "kept"


def count(root: Path) -> int:
    with FileStore(root) as store:
        return len(store.runs())


def test_it_says_what_went(mlotel, root):
    """In words: runs, days, files and sizes."""
    outcome = mlotel("gc", "--store", root, "--keep", "90d")

    assert outcome.code == 0
    assert outcome.out.startswith(f"removed 1 run of 1 day ({LAST_YEAR} to {LAST_YEAR}): 1 file, ")
    assert count(root) == 1


def test_a_dry_run_removes_nothing(mlotel, root):
    """What would go is told in other words, and is still there."""
    outcome = mlotel("gc", "--store", root, "--keep", "90d", "--dry-run")

    assert outcome.out.startswith("would remove 1 run of 1 day")
    assert count(root) == 2


def test_the_document_is_as_its_schema_says(mlotel, root):
    """JSON holds what went, by the schema in the package."""
    outcome = mlotel("gc", "--store", root, "--keep", "90d", "--format", "json")

    schema = json.loads((files("mlotel") / "schemas" / "gc.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(outcome.json)
    assert outcome.json == {
        **outcome.json,
        "days": [LAST_YEAR],
        "runs": 1,
        "segments": 1,
        "predictions": 0,
        "dry_run": False,
    }


def test_a_size_that_cannot_be_reached_is_told(mlotel, root):
    """What may not be removed is larger than the limit: the rest goes, and the exit code is 1."""
    outcome = mlotel("gc", "--store", root, "--max-size", "10B")

    assert outcome.code == 1
    assert "today, yesterday and what still runs are not removed" in outcome.err
    assert count(root) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing says what may go"),
        (("--keep", "90"), "write 90d for days"),
        (("--keep", "0d"), "write 90d for 90 days"),
        (("--keep", "long"), "is no duration"),
        (("--keep", "99999999999999w"), "longer than there are days"),
        (("--max-size", "much"), "write it as 5GB"),
        (("--max-size", "-5GB"), "write it as 5GB"),
    ],
)
def test_bad_limits_are_refused(mlotel, root, arguments, said):
    """A limit that is none, or may be a mistake, removes nothing."""
    outcome = mlotel("gc", "--store", root, *arguments)

    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert count(root) == 2


def test_a_store_that_is_not_there_is_told(mlotel, tmp_path):
    """Without a store there is nothing to remove from, which is no success."""
    outcome = mlotel("gc", "--store", tmp_path / "nowhere", "--keep", "1d")

    assert outcome.code == 2
    assert "no store at" in outcome.err


@pytest.mark.parametrize(
    ("said", "bytes_"), [("5GB", 5 * 10**9), ("1.5GiB", 3 * 2**29), ("500 kb", 500_000), ("12", 12), ("0.25M", 250_000)]
)
def test_sizes_are_read(said, bytes_):
    """Decimal and binary units, with or without a fraction, in any case."""
    from mlotel.store.sizes import parse_size

    assert parse_size(said) == bytes_
