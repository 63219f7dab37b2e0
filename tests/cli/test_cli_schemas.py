"""The JSON Schemas describe what `--format json` prints, and nothing else."""

from __future__ import annotations

import json
from copy import deepcopy
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator, ValidationError
from pipelines import Io
from referencing import Registry, Resource

SCHEMAS = ("run", "runs", "history", "lineage", "find", "components", "tags", "replay", "version")
SCHEMAS += ("annotations", "review", "labels", "touched", "drift", "reference", "profile")


def load(name):
    return json.loads((files("mlotel") / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))


def validator(name):
    resources = [(f"{each}.schema.json", Resource.from_contents(load(each))) for each in SCHEMAS]
    return Draft202012Validator(load(name), registry=Registry().with_resources(resources))


@pytest.fixture
def every_kind(book, store):
    """Runs in every state, with and without each thing that may be there."""
    git = {"commit": "a" * 40, "branch": "main", "dirty": False, "repository": "https://example.org/x.git"}
    book.run("bare")
    book.run("running", ["raw"], state="lost")
    written = book.run(
        "full",
        [
            Io("raw", uri="file:///raw", rows=None, size=0),
            Io(None, name="unknown", note="no stable digest", type=None, scope=None),
        ],
        [Io("folder", scope="tree"), Io("file", scope="bytes", size=10, rows=None)],
        pipeline="p",
        version="1",
        params={"text": "a", "flag": True, "whole": 1, "real": 0.5},
        metrics={"a": 1.0, "whole": 2.0},
        tags={"a": "b"},
        git=git,
        attributes={
            "mlotel.component.tags": ["nightly"],
            "mlotel.prediction.count": 10,
            "mlotel.prediction.missing": 1,
            **{f"mlotel.prediction.{key}": 0.5 for key in ("mean", "std", "min", "max", "skew", "kurtosis")},
            "mlotel.prediction.class.names": ["a"],
            "mlotel.prediction.class.counts": [10],
        },
    )
    book.run(
        "failed", [Io("folder", link=written.outputs[0])], ["end"], state="failed", error={"type": "E", "message": "m"}
    )
    book.run("cancelled", state="cancelled", error={"type": "KeyboardInterrupt", "message": ""})
    book.run("unreported", state="failed")
    return store()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_schema(name):
    """Draft 2020-12's own schema accepts it."""
    assert load(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(load(name))


def test_what_is_printed_is_what_the_schemas_describe(mlotel, every_kind, book):
    """Real outputs of each command over runs of every kind."""
    runs = mlotel("runs", "--store", every_kind, "--format", "json").json
    assert {run["state"] for run in runs} == {"ok", "failed", "cancelled", "lost"}
    validator("runs").validate(runs)
    for made in book.made:
        validator("run").validate(mlotel("show", made.run_id, "--store", every_kind, "--format", "json").json)
        validator("history").validate(mlotel("history", made.component, "--store", every_kind, "--format", "json").json)
        for way in ([], ["--forward"], ["--both"]):
            found = mlotel("lineage", made.run_id, *way, "--store", every_kind, "--format", "json").json
            validator("lineage").validate(found)
    found = mlotel("lineage", "end", "--store", every_kind, "--format", "json").json
    assert {len(found["runs"]), len(found["artifacts"])} == {2, 4}
    validator("lineage").validate(found)


def test_what_is_found_and_counted_is_what_the_schemas_describe(mlotel, every_kind):
    """Runs that meet a condition, the components, and tags of both kinds."""
    found = mlotel("find", "--where", "state", "!=", "running", "--store", every_kind, "--format", "json")
    assert len(found.json) == 6
    validator("find").validate(found.json)
    counted = mlotel("components", "--store", every_kind, "--format", "json").json
    assert {each["last_run"]["state"] for each in counted} == {"ok", "failed", "cancelled", "lost"}
    validator("components").validate(counted)
    tags = mlotel("tags", "--store", every_kind, "--format", "json").json
    assert (len(tags["run_tags"]), len(tags["component_tags"])) == (1, 1)
    validator("tags").validate(tags)


def test_versions_are_what_the_schema_describes(mlotel):
    """By the names of packages."""
    validator("version").validate(mlotel("version", "--format", "json").json)


def test_what_a_real_run_leaves_is_what_the_schemas_describe(mlotel, tmp_path):
    """The same for runs that mlotel itself recorded: one that is over, one that runs while it is asked."""
    from mlotel import component, shutdown

    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n")
    with component("outer", params={"x": 1}) as outer:
        outer.log_input(path)
        with component("inner") as inner:
            inner.log_output(b"result", "result", type="report")
        answer = mlotel("runs", "--format", "json")
    shutdown()

    assert {run["component"]: run["state"] for run in answer.json} == {"outer": "running", "inner": "ok"}
    validator("runs").validate(answer.json)
    validator("lineage").validate(mlotel("lineage", "result", "--format", "json").json)


def test_an_empty_list_of_runs_is_valid(mlotel):
    """A store without runs answers with a list too."""
    validator("runs").validate(mlotel("runs", "--format", "json").json)
    validator("components").validate(mlotel("components", "--format", "json").json)
    validator("tags").validate(mlotel("tags", "--format", "json").json)


def objects(schema):
    """Every object in a schema that lists its properties."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


@pytest.mark.parametrize("name", SCHEMAS)
def test_objects_with_named_fields_allow_no_others(name):
    """A field that the schema does not know is drift, and is caught."""
    assert all(found["additionalProperties"] is False for found in objects(load(name)))


def test_a_field_more_or_less_is_no_valid_run(mlotel, every_kind):
    """The schema neither tolerates what it does not describe nor forgoes what it does."""
    (run,) = mlotel("runs", "-c", "full", "--store", every_kind, "--format", "json").json
    validator("run").validate(run)

    for path in ((), ("git",), ("inputs", 0), ("predictions",)):
        changed = deepcopy(run)
        target = changed
        for step in path:
            target = target[step]
        target["new"] = None
        with pytest.raises(ValidationError):
            validator("run").validate(changed)
    for field in run:
        with pytest.raises(ValidationError):
            validator("run").validate({key: value for key, value in run.items() if key != field})
