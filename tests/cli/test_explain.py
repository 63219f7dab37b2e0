"""`mlotel explain`: what, when, where and how of a run, and what nobody recorded."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator
from pipelines import Io
from referencing import Registry, Resource

WHERE = {
    "service.version": "1.4",
    "deployment.environment.name": "production",
    "cloud.provider": "gcp",
    "cloud.region": "europe-west3",
    "cloud.availability_zone": "europe-west3-a",
    "host.name": "worker-3",
    "os.type": "linux",
    "host.arch": "arm64",
    "container.image.name": "registry.example.com/delays",
    "k8s.cluster.name": "blue",
    "k8s.pod.name": "train-7",
    "process.pid": 4711,
    "process.runtime.name": "cpython",
    "process.runtime.version": "3.12.1",
    "mlotel.run.memory.peak": 268_435_456,
}
HOW = {
    "mlotel.code.digest": "blake3:c0de",
    "mlotel.environment.digest": "blake3:9ac4",
    "mlotel.orchestrator.name": "airflow",
    "cicd.pipeline.run.id": "scheduled__2013-12-01",
    "cicd.pipeline.task.name": "train",
    "cicd.pipeline.task.run.id": "12097",
}


def validate(name, document):
    schemas = {
        each.name: Resource.from_contents(json.loads(each.read_text(encoding="utf-8")))
        for each in (files("mlotel") / "schemas").iterdir()
        if each.name.endswith(".schema.json")
    }
    schema = schemas[f"{name}.schema.json"].contents
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, registry=Registry().with_resources(schemas.items())).validate(document)


@pytest.fixture
def delays(book, store):
    book.run("featurize", writes=["features"])
    book.run("train", ["features"], state="failed", params={"depth": 3}, error={"type": "MemoryError", "message": "no"})
    train = book.run(
        "train",
        ["features"],
        [Io("model", type="model", rows=None, size=27)],
        pipeline=None,
        version="2.1",
        params={"depth": 3},
        metrics={"rmse": 12.5},
        tags={"stage": "trial"},
        git={"commit": "9d5940" + "0" * 34, "branch": "main", "dirty": True, "repository": "https://example.org/x.git"},
        attributes={
            "mlotel.component.description": "Trains.",
            "mlotel.component.owner": "delays-team",
            "mlotel.component.tags": ["nightly", "pii"],
            "mlotel.run.cpu.time": 0.5,
            "mlotel.run.queue.time": 12.5,
            "mlotel.prediction.count": 3,
            "mlotel.prediction.mean": 0.5,
            **WHERE,
            **HOW,
        },
    )
    book.run("inner", parent=train)
    book.run("bare")
    return store()


def of(book, component):
    return next(run.run_id for run in reversed(book.made) if run.component == component)


def test_all_that_was_recorded_is_told(mlotel, delays, book):
    """What, when, where and how, each with what belongs to it."""
    answer = mlotel("explain", of(book, "train"), "--store", delays)

    failed = book.made[1].run_id
    inner = of(book, "inner")
    assert answer.code == 0
    assert answer.out.splitlines()[:11] == [
        "What",
        "  component    train",
        "  version      2.1",
        "  description  Trains.",
        "  owner        delays-team",
        "  labels       nightly, pii",
        "  pipeline     not recorded",
        "  experiment   not recorded",
        "  state        ✓ ok",
        f"  run id       {of(book, 'train')}",
        "Inputs",
    ]
    for line in (
        "  features  dataset  10 rows  blake3:5b8a8b56dada",
        f"  features  featurize  {book.made[0].run_id[:8]}  2023-11-14 22:13:22Z",
        "  model  model  27 B    blake3:9372c470eead",
        "  rmse  12.5",
        "  stage  trial",
        "  waited    12.5 s",
        "  CPU time  500 ms",
        "  attempt   2 (earlier runs failed with the same inputs and parameters)",
        "  parent    none: it began its trace",
        f"  train  {failed[:8]}  ✗ failed  2023-11-14 22:13:24Z  2 s",
        f"  inner  {inner[:8]}  ✓ ok  2023-11-14 22:13:31Z  1 s",
        "  service      tests 1.4",
        "  environment  production",
        "  region       europe-west3",
        "  zone         europe-west3-a",
        "  cloud        provider gcp",
        "  host         worker-3",
        "  system       linux arm64",
        "  container    image registry.example.com/delays",
        "  Kubernetes   cluster blue, pod train-7",
        "  process      4711",
        "  runtime      cpython 3.12.1",
        "  peak memory  268 MB",
        f"  commit        9d5940{'0' * 34} (uncommitted changes)",
        "  branch        main",
        "  repository    https://example.org/x.git",
        "  packages      blake3:9ac4",
        "  trigger       orchestrator airflow",
        "  pipeline run  scheduled__2013-12-01",
        "  task          train 12097",
        "  depth  3",
    ):
        assert line in answer.out.splitlines()


def test_what_nobody_recorded_is_said(mlotel, delays, book):
    """A question that the run does not answer is not left out."""
    lines = mlotel("explain", of(book, "bare"), "--store", delays).out.splitlines()

    unknown = {line.split("  not recorded")[0].strip() for line in lines if line.endswith("  not recorded")}
    assert unknown == {
        *("version", "description", "owner", "labels", "pipeline", "experiment"),
        *("Inputs", "Outputs", "Predictions", "Metrics", "waited", "CPU time", "attempt"),
        *("replica", "environment", "region", "zone", "cloud", "host", "system", "container", "Kubernetes"),
        *("process", "runtime", "peak memory", "commit", "branch", "repository", "code", "function", "packages"),
        *("trigger", "pipeline run", "task", "Parameters"),
    }


def test_the_document_has_every_answer(mlotel, delays, book):
    """All fields are there, by the schema; those that nobody recorded are null."""
    told = mlotel("explain", of(book, "train"), "--store", delays, "--format", "json").json
    bare = mlotel("explain", of(book, "bare"), "--store", delays, "--format", "json").json

    for document in (told, bare):
        validate("explain", document)
    assert {key: told["where"][key] for key in ("service", "region", "zone", "pod", "process", "runtime_version")} == {
        "service": "tests",
        "region": "europe-west3",
        "zone": "europe-west3-a",
        "pod": "train-7",
        "process": 4711,
        "runtime_version": "3.12.1",
    }
    assert told["how"]["trigger"] == {
        "orchestrator": "airflow",
        "pipeline_run": "scheduled__2013-12-01",
        "task": "train",
        "task_run": "12097",
        "command": None,
    }
    assert (told["when"]["attempt"], told["when"]["queue_s"], told["what"]["component_tags"]) == (
        2,
        12.5,
        ["nightly", "pii"],
    )
    assert told["what"]["sources"] == [
        {
            "artifact": "features",
            "run_id": book.made[0].run_id,
            "component": "featurize",
            "written": "2023-11-14T22:13:22.000000Z",
            "resolved_by": "digest",
        }
    ]
    assert [each["run_id"] for each in told["when"]["children"]] == [of(book, "inner")]
    assert [each["run_id"] for each in told["when"]["earlier_attempts"]] == [book.made[1].run_id]
    assert {key for key, value in bare["where"].items() if value is not None} == {"service"}
    assert {value for key, value in bare["how"].items() if key not in ("params", "trigger")} == {None}


def test_a_run_within_another_names_it(mlotel, delays, book):
    """The parent is told in full, and is what started the run."""
    out = mlotel("explain", of(book, "inner"), "--store", delays).out

    train = of(book, "train")
    assert f"  parent    train  {train[:8]}  ✓ ok" in out
    assert f"  trigger       run {train[:8]} of train" in out


def test_a_parent_that_is_no_run_is_told_as_a_span(mlotel, book, store):
    """As when a request's span stands above the run."""
    book.run("score", attributes={"mlotel.parent.span.id": "00f067aa0ba902b7"})

    out = mlotel("explain", of(book, "score"), "--store", store()).out
    assert "  parent    span 00f067aa0ba902b7, which is no run of this store" in out


def test_a_run_that_still_runs(mlotel, tmp_path):
    """It has no end yet, and is no attempt that failed."""
    from mlotel import component, configure, shutdown

    configure(store=tmp_path / "store")
    with component("slow") as run:
        answer = mlotel("explain", run.run_id, "--store", tmp_path / "store")
    shutdown()

    assert "  ended     not yet" in answer.out.splitlines()


def test_resource_attributes_of_the_environment_arrive(mlotel, script, tmp_path):
    """What `OTEL_RESOURCE_ATTRIBUTES` says of region, pod and environment is told as where it ran."""
    script(
        "import mlotel\nwith mlotel.component('c'): pass",
        OTEL_RESOURCE_ATTRIBUTES="cloud.region=eu%2Dwest,k8s.pod.name=p-1,deployment.environment.name=prod,host.name=box",
        OTEL_SERVICE_NAME="delays",
    )
    ((run),) = mlotel("runs", "--store", tmp_path / "store", "--format", "json").json
    where = mlotel("explain", run["run_id"], "--store", tmp_path / "store", "--format", "json").json["where"]

    assert [where[key] for key in ("service", "region", "pod", "environment", "host")] == [
        "delays",
        "eu-west",
        "p-1",
        "prod",
        "box",
    ]


def test_hostile_values_stay_text(mlotel, book, store):
    """No terminal sequence of the data reaches the terminal, and values of odd types are no fault."""
    evil = "\x1b[31mred\x07\u202e"
    names = [*WHERE, *HOW, "mlotel.component.owner", "vcs.ref.head.revision", "vcs.ref.head.name", "code.function.name"]
    book.run(
        evil,
        [Io("x", name=evil, uri=evil, note=evil)],
        params={evil: evil},
        metrics={evil: 1.0},
        attributes={**dict.fromkeys(names, evil), "mlotel.run.queue.time": "soon", "mlotel.vcs.dirty": evil},
    )
    book.run(
        "odd", attributes={**{key: [1, 2] for key in names}, "mlotel.component.tags": 5, "mlotel.run.cpu.time": "1"}
    )
    path = store()
    for run in book.made:
        answer = mlotel("explain", run.run_id, "--store", path)
        assert answer.code == 0
        assert not set(answer.out) & set("\x1b\x07\u202e")
        validate("explain", mlotel("explain", run.run_id, "--store", path, "--format", "json").json)


def test_a_run_that_is_not_there(mlotel, delays):
    """Exit code 1 and one line on standard error."""
    answer = mlotel("explain", "0123abcd", "--store", delays)

    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("mlotel: no run '0123abcd'")
