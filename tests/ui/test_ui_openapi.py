"""The API is what its OpenAPI document says it is."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pipelines import Io
from referencing import Registry, Resource

OWN = "urn:mlotel"


@pytest.fixture
def document(empty):
    return empty.get("/api/openapi.json").json


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def validator(document, schema):
    """What validates against a schema of the document, wherever it refers to."""
    registry = Registry().with_resource(
        OWN, Resource.from_contents({**document, "$schema": "https://json-schema.org/draft/2020-12/schema"})
    )
    rebased = json.loads(json.dumps(schema).replace('"#/', f'"{OWN}#/'))
    return Draft202012Validator(rebased, registry=registry)


def test_the_document_is_openapi(document):
    """The specification's own schema accepts it, and every reference in it leads somewhere."""
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


def test_every_committed_schema_is_in_it(document):
    """What the command line prints as JSON is described once, for both."""
    committed = {each.name.removesuffix(".schema.json") for each in (files("mlotel") / "schemas").iterdir()}

    assert committed | {"problem"} == set(document["components"]["schemas"])


def test_every_operation_is_served(document, empty):
    """Each path answers by its method, and by no other."""
    for path, method, _ in operations(document):
        asked = path.replace("{run}", "ffff")
        assert empty.ask(f"/api{asked}", method.upper(), empty.bearer).status not in (401, 403, 405)
        assert empty.ask(f"/api{asked}", "PATCH", empty.bearer).status == 405


def test_refusals_are_described(document, empty):
    """A problem is as the document says, with and without candidates."""
    problem = validator(document, {"$ref": "#/components/schemas/problem"})
    for answer in (empty.ask("/api/runs"), empty.get("/api/runs?limit=x"), empty.get("/api/runs/ffff")):
        problem.validate(answer.json)
        assert str(answer.status) in document["paths"]["/runs/{run}"]["get"]["responses"]


def test_answers_are_described(document, book, served):
    """Real answers are valid against the schemas of their operations."""
    raw = book.run("ingest", [], [Io("raw", uri="file:///raw"), Io(None, name="unknown")], pipeline="p", version="1")
    book.run("train", [Io("raw", link=raw.outputs[0])], ["model"], params={"a": 1, "b": True}, metrics={"x": 1.0})
    book.run("train", state="failed", error={"type": "E", "message": "m"})
    client = served(book, jaeger_ui="http://localhost:16686")
    written = {
        "/notes": {"what": raw.run_id, "text": "a note", "author": "me"},
        "/flag": {"what": "name:model", "why": "wrong"},
        "/label": {"what": "name:raw", "label": "customer-17"},
        "/retract": {"label": "customer-17", "deadline": "1d"},
    }
    for path, members in written.items():
        described = document["paths"][path]["post"]
        validator(document, described["requestBody"]["content"]["application/json"]["schema"]).validate(members)
        answer = client.post(f"/api{path}", members)
        assert answer.status == 200, answer.body
        said = described["responses"]["200"]["content"]["application/json"]["schema"]
        validator(document, said).validate(answer.json)
    asked = {
        "/about": ["/about"],
        "/runs": ["/runs", "/runs?limit=1"],
        "/runs/{run}": [f"/runs/{raw.run_id}"],
        "/span": [f"/span?trace_id={raw.trace_id}&span_id={raw.outputs[0].span_id}"],
        "/components": ["/components"],
        "/history": ["/history?component=train"],
        "/lineage": ["/lineage?what=model", "/lineage?what=raw&direction=both"],
        "/explain": [f"/explain?run={raw.run_id}"],
        "/diff": [f"/diff?before={book.made[1].run_id}&after={book.made[2].run_id}"],
        "/review": ["/review", "/review?limit=1"],
        "/labels": ["/labels"],
        "/labels/of": ["/labels/of?what=model", f"/labels/of?what={raw.run_id}"],
        "/labels/touched": ["/labels/touched?label=customer-17"],
        "/notes": ["/notes", f"/notes?what={raw.run_id}"],
        "/openapi.json": ["/openapi.json"],
    }

    reads = {path for path, method, _ in operations(document) if method == "get"}
    assert reads == set(asked)
    for path, requests in asked.items():
        answered = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        for request in requests:
            answer = client.get(f"/api{request}")
            assert answer.status == 200, answer.body
            validator(document, answered["schema"]).validate(answer.json)


def test_parameters_are_described_as_they_are_taken(document, empty):
    """What the document calls required is refused without, and a default is what the document says."""
    for path, method, operation in operations(document):
        in_query = [each for each in operation.get("parameters", ()) if each["in"] == "query"]
        assert all(each["description"].endswith(".") for each in in_query)
        if method == "post":
            body = operation["requestBody"]["content"]["application/json"]["schema"]
            assert body["required"]
            assert empty.post(f"/api{path}", {}).status == 400
        if method == "get" and any(each["required"] for each in in_query):
            assert empty.get(f"/api{path}").status == 400
    limit = next(each for each in document["paths"]["/runs"]["get"]["parameters"] if each["name"] == "limit")
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
