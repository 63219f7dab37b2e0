"""`mlotel lineage --format openlineage`: events that OpenLineage's own classes, made from its schemas, take."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import networkx
import pytest
from pipelines import Book, Io, digest

from mlotel.cli.openlineage import openlineage
from mlotel.lineage import around, upstream
from mlotel.model import Edge, Lineage
from mlotel.store.files import FileStore

if TYPE_CHECKING:
    from conftest import Mlotel

HOSTILE = "x\x1b[31m\n</script>\x7f\x9b2J\u202e; DROP TABLE é"
# RFC 3986, appendix A: a scheme, then only what a URI may hold
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")


@pytest.fixture
def everything(book: Book) -> Book:
    """Runs in every state, with whatever a facet may tell."""
    source = Io("feed", uri="s3://bucket/in/feed a.parquet", size=100)
    git = {"commit": "a" * 40, "branch": "main", "dirty": False, "repository": "https://example.org/x.git"}
    first = book.run(
        "ingest",
        [source],
        [Io("raw", uri="file:///data/raw%20data.parquet")],
        pipeline="delays",
        params={"rows": 10, "fast": True, "ratio": 0.5},
        tags={"team": "blue"},
        git=git,
        attributes={"mlotel.component.owner": "ml-team"},
    )
    raw = Io("raw", name="copy", link=first.outputs[0], uri="file:///data/copy.parquet", rows=5)
    outer = book.run("outer", [raw], ["data"])
    book.run(
        "inner",
        [Io("data", link=outer.outputs[0]), Io(None, name="secret", note="no digest")],
        [Io("model", type="model", rows=None, size=10, uri="gs://models/m.bin")],
        parent=outer,
        state="failed",
        error={"type": "ValueError", "message": HOSTILE},
    )
    book.run("stopped", ["data"], state="cancelled", error={"type": "KeyboardInterrupt", "message": ""})
    book.run("gone", ["data"], state="lost")
    book.run("working", ["data"], ["partial"], state="running")
    book.run("waiting", state="running")
    return book


def lineage_of(book: Book) -> Lineage:
    """All of the book's runs and what they read and wrote, as one graph; `outer` was told to depend on `ingest`."""
    artifacts = {each.digest or each.span_id: each for run in book.made for each in (*run.inputs, *run.outputs)}
    edges = [Edge(book.made[0].run_id, book.made[1].run_id, "depends_on")]
    for run in book.made:
        edges += [Edge(each.digest or each.span_id, run.run_id, "read") for each in run.inputs]
        edges += [Edge(run.run_id, each.digest or each.span_id, "write") for each in run.outputs]
        artifacts |= {each.digest or each.span_id: each for each in run.outputs}
    return Lineage(digest("data"), tuple(book.made), tuple(artifacts.values()), tuple(edges))


def built(kind: Any, value: Any) -> Any:
    """`value` as an instance of a class of openlineage-python, whose validators run; nothing unknown may be in it."""
    import attr

    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return built(next(each for each in get_args(kind) if each is not type(None)), value)
    if origin is list:
        assert isinstance(value, list)
        return [built(get_args(kind)[0], each) for each in value]
    if origin is dict:
        return {key: built(facet_class(key), each) for key, each in value.items()}
    if attr.has(kind):
        hints = get_type_hints(kind)
        content = dict(value)
        for key in ("schemaURL", "_schemaURL"):
            if key in {field.name for field in attr.fields(kind)}:
                assert content.pop(key) == kind._get_schema()
        return kind(**{key.removeprefix("_"): built(hints[key], each) for key, each in content.items()})
    if issubclass(kind, Enum):
        return kind(value)
    assert type(value) is kind
    return value


def facet_class(key: str) -> Any:
    from openlineage.client import facet_v2 as facets

    # The keys are those of the specification: https://openlineage.io/docs/spec/facets
    return {
        "dataSource": facets.datasource_dataset.DatasourceDatasetFacet,
        "datasetType": facets.dataset_type_dataset.DatasetTypeDatasetFacet,
        "errorMessage": facets.error_message_run.ErrorMessageRunFacet,
        "executionParameters": facets.execution_parameters_run.ExecutionParametersRunFacet,
        "inputStatistics": facets.input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
        "jobDependencies": facets.job_dependencies_run.JobDependenciesRunFacet,
        "jobType": facets.job_type_job.JobTypeJobFacet,
        "outputStatistics": facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
        "ownership": facets.ownership_job.OwnershipJobFacet,
        "parent": facets.parent_run.ParentRunFacet,
        "sourceCodeLocation": facets.source_code_location_job.SourceCodeLocationJobFacet,
        "symlinks": facets.symlinks_dataset.SymlinksDatasetFacet,
        "tags": facets.tags_run.TagsRunFacet,
        "version": facets.dataset_version_dataset.DatasetVersionDatasetFacet,
    }[key]


def uris(value: Any) -> list[str]:
    """All texts below `value` that the schemas want to be URIs."""
    if isinstance(value, list):
        return [each for item in value for each in uris(item)]
    if isinstance(value, dict):
        named = [
            value[key] for key in ("producer", "schemaURL", "_producer", "_schemaURL", "url", "uri") if key in value
        ]
        return named + [each for item in value.values() for each in uris(item)]
    return []


@pytest.mark.tools
def test_every_event_is_what_openlineages_classes_take(everything: Book) -> None:
    """Each event builds the classes made from the published schemas, which check it, and they write the same again."""
    from openlineage.client.event_v2 import RunEvent
    from openlineage.client.serde import Serde

    events = openlineage(lineage_of(everything))
    for event in events:
        again = Serde.to_dict(built(RunEvent, event))
        assert without_nothing(again) == without_nothing(event)
    facets = {key for event in events for key in all_facets(event)}
    assert facets == {
        "dataSource", "datasetType", "errorMessage", "executionParameters", "inputStatistics", "jobDependencies",
        "jobType", "outputStatistics", "ownership", "parent", "sourceCodeLocation", "symlinks", "tags", "version",
    }  # fmt: skip


def all_facets(value: Any) -> list[str]:
    if isinstance(value, list):
        return [key for each in value for key in all_facets(each)]
    if not isinstance(value, dict):
        return []
    own = [key for name in ("facets", "inputFacets", "outputFacets") for key in value.get(name, ())]
    return own + [key for each in value.values() for key in all_facets(each)]


def without_nothing(value: Any) -> Any:
    """A document without empty members, which the classes add or leave out as they like."""
    if isinstance(value, dict):
        parts = {key: without_nothing(each) for key, each in value.items()}
        return {key: each for key, each in parts.items() if each not in (None, {}, [])}
    return [without_nothing(each) for each in value] if isinstance(value, list) else value


def test_what_has_to_be_a_uri_is_one(book: Book) -> None:
    """Whatever addresses the data holds, producers, schemas, places and repositories are URIs."""
    hostile = ["no uri", "s3://b/a b\x00é", "file:///ü", "javascript:alert(1)", "://", "http://[", "data:", "C:\\x"]
    for uri in hostile:
        book.run("r", [Io(uri, uri=uri)], git={"repository": uri, "commit": "c"})
    found = set(uris(openlineage(lineage_of(book))))
    assert {"s3://b/a%20b%00%C3%A9", "file:///%C3%BC", "javascript:alert(1)"} < found
    assert [each for each in found if not URI.fullmatch(each)] == []


def test_each_run_starts_and_ends_as_openlineage_says(everything: Book) -> None:
    """START, then COMPLETE, FAIL or ABORT by the run's state; what still runs has no end; times are the run's."""
    events = openlineage(lineage_of(everything))
    kinds: dict[str, list[str]] = {}
    for event in events:
        kinds.setdefault(event["job"]["name"], []).append(event["eventType"])
    assert kinds == {
        "delays.ingest": ["START", "COMPLETE"],
        "outer": ["START", "COMPLETE"],
        "inner": ["START", "FAIL"],
        "stopped": ["START", "ABORT"],
        "gone": ["START", "ABORT"],
        "working": ["START", "RUNNING"],
        "waiting": ["START"],
    }
    assert [event["eventTime"] for event in events] == sorted(event["eventTime"] for event in events)
    assert {UUID(event["run"]["runId"]).hex for event in events} == {run.run_id for run in everything.made}


def test_datasets_are_joined_as_the_lineage_is(everything: Book) -> None:
    """Runs and datasets hang together as runs and artifacts do: the graphs are isomorphic, by networkx."""
    lineage = lineage_of(everything)
    told, known = networkx.DiGraph(), networkx.DiGraph()
    for event in openlineage(lineage):
        run = event["run"]["runId"]
        told.add_edges_from(((each["namespace"], each["name"]), run) for each in event["inputs"])
        told.add_edges_from((run, (each["namespace"], each["name"])) for each in event["outputs"])
    known.add_edges_from((edge.source, edge.target) for edge in lineage.edges if edge.kind in ("read", "write"))
    assert networkx.is_isomorphic(told, known)


def test_a_name_alone_joins_nothing(book: Book) -> None:
    """What two jobs call `data` is two datasets, as long as it lies in no place; the same content is one."""
    book.run("a", [], [Io("one", name="data")])
    book.run("b", [], [Io("two", name="data")])
    book.run("c", [Io("three", name="data"), Io("one", name="other name")])
    events = openlineage(lineage_of(book))
    names = {(event["job"]["name"], each["name"]) for event in events for each in (*event["inputs"], *event["outputs"])}
    assert names == {
        ("a", "a/data"), ("b", "b/data"), ("c", f"data@{digest('three')}"), ("c", "a/data")
    }  # fmt: skip


@pytest.mark.tools
def test_places_are_named_by_openlineages_rules(book: Book) -> None:
    """The namespace and the name of a dataset are those that OpenLineage's naming helpers make."""
    from openlineage.client.naming import dataset as naming

    places = {
        "file:///data/a%20b.parquet": naming.LocalFileSystem("/data/a b.parquet"),
        "file://host/share/x": naming.RemoteFileSystem("host", "/share/x"),
        "s3://bucket/in/x.parquet": naming.S3("bucket", "in/x.parquet"),
        "s3a://bucket/in/x.parquet": naming.S3("bucket", "in/x.parquet"),
        "gs://bucket/x": naming.GCS("bucket", "x"),
        "hdfs://name:8020/data/x": naming.HDFS("name", "8020", "/data/x"),
        "kafka://host:9092/topic": naming.Kafka("host", "9092", "topic"),
        "postgres://host:5432/db.public.t": naming.Postgres("host", "5432", "db", "public", "t"),
        "abfss://box@account.dfs.core.windows.net/x/y": naming.ABFSS("box", "account", "x/y"),
    }
    for uri in places:
        book.run("r", [Io(uri, uri=uri)])
    told = {
        each["facets"]["dataSource"]["uri"]: (each["namespace"], each["name"])
        for event in openlineage(lineage_of(book))
        for each in event["inputs"]
    }
    assert told == {uri: (name.get_namespace(), name.get_name()) for uri, name in places.items()}


def test_the_digest_is_the_version_and_another_place_is_told(everything: Book) -> None:
    """A copy that was read is the dataset that was written, at its version, with the place it was read from beside."""
    events = {event["job"]["name"]: event for event in openlineage(lineage_of(everything))}
    wrote, read = events["delays.ingest"]["outputs"][0], events["outer"]["inputs"][0]
    assert (
        (wrote["namespace"], wrote["name"]) == (read["namespace"], read["name"]) == ("file", "/data/raw data.parquet")
    )
    assert wrote["facets"]["version"]["datasetVersion"] == digest("raw")
    assert "symlinks" not in wrote["facets"]
    (other,) = read["facets"]["symlinks"]["identifiers"]
    assert (other["namespace"], other["name"]) == ("file", "/data/copy.parquet")
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 5
    assert wrote["outputFacets"]["outputStatistics"]["rowCount"] == 10


def test_errors_parents_parameters_code_and_dependencies_are_told(everything: Book) -> None:
    """The facets hold what the run told: of a START none that only its end can know."""
    events = openlineage(lineage_of(everything))
    start = {event["job"]["name"]: event for event in events if event["eventType"] == "START"}
    last = {event["job"]["name"]: event for event in events}
    runs = {run.component: str(UUID(run.run_id)) for run in everything.made}

    assert "errorMessage" not in start["inner"]["run"]["facets"]
    assert last["inner"]["run"]["facets"]["errorMessage"]["message"] == f"ValueError: {HOSTILE}"
    assert last["stopped"]["run"]["facets"]["errorMessage"]["message"] == "KeyboardInterrupt"
    parent = start["inner"]["run"]["facets"]["parent"]
    assert (parent["run"]["runId"], parent["job"]["name"]) == (runs["outer"], "outer")
    parameters = start["delays.ingest"]["run"]["facets"]["executionParameters"]["parameters"]
    assert parameters == [
        {"key": "rows", "value": "10"}, {"key": "fast", "value": "true"}, {"key": "ratio", "value": "0.5"}
    ]  # fmt: skip
    code = start["delays.ingest"]["job"]["facets"]["sourceCodeLocation"]
    assert (code["url"], code["version"], code["branch"]) == ("https://example.org/x.git", "a" * 40, "main")
    (needed,) = start["outer"]["run"]["facets"]["jobDependencies"]["upstream"]
    assert needed["run"]["runId"] == runs["ingest"]


def test_the_command_prints_one_event_a_line(everything: Book, store: Callable[[], Path], mlotel: Mlotel) -> None:
    """The lines are those of the lineage that is asked for, each a JSON document without raw control characters."""
    path = store()
    outcome = mlotel("lineage", "name:model", "--store", path, "--format", "openlineage")

    lines = outcome.out.splitlines()
    with FileStore(path) as opened:
        (model,) = opened.find_artifacts(name="model")
        expected = openlineage(upstream(opened, model))
    assert outcome.code == 0
    assert [json.loads(line) for line in lines] == expected
    assert len(lines) == 6
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", outcome.out)


def test_around_tells_what_was_touched_as_well(everything: Book, store: Callable[[], Path]) -> None:
    """The events of both ways are one list without doubles."""
    with FileStore(store()) as opened:
        events = openlineage(around(opened, opened.find_artifacts(name="data", direction="output")[0]))
    seen = [(event["run"]["runId"], event["eventType"]) for event in events]
    assert len(seen) == len(set(seen))
    assert {event["job"]["name"] for event in events} >= {"delays.ingest", "outer", "inner", "stopped", "gone"}
