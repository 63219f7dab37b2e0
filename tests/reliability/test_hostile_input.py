"""Whatever stands in carriers, variables, addresses, names, questions and saved states: an answer, or our own error."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_texts import anything, changed, places, storable, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlotel
from mlotel import carriers, uris
from mlotel.carriers import arrow, environment, headers, sidecar
from mlotel.drift import Monitor, Reference, compare
from mlotel.errors import InvalidReferenceError, MlotelError, QueryError
from mlotel.model import ArtifactContext, Run
from mlotel.rules import generate, to_yaml
from mlotel.sdk._settings import Settings
from mlotel.store.conditions import Condition
from mlotel.store.files import FileStore
from mlotel.store.headers import query_headers
from mlotel.testing import capture

EXAMPLES = 500 if os.environ.get("MLOTEL_SOAK") else 60
fuzzed = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
DIGEST = f"blake3:{'c' * 64}"
hexadecimal = st.text("0123456789abcdefABCDEF-:", max_size=80)
tampered = st.sampled_from([TRACEPARENT, DIGEST]).flatmap(
    lambda good: st.tuples(st.integers(0, len(good)), text | hexadecimal).map(
        lambda change: good[: change[0]] + change[1] + good[change[0] + 1 :]
    )
)
field = text | hexadecimal | tampered | st.sampled_from([TRACEPARENT, DIGEST])


def is_sound(context: ArtifactContext | None) -> bool:
    """Whether what was read of a carrier is nothing, or a W3C trace context and a digest of known form."""
    if context is None:
        return True
    found = carriers.parse_traceparent(context.traceparent)
    digest = context.digest
    return (
        found is not None
        and found.is_valid
        and context.traceparent.isprintable()
        and (digest is None or (digest.partition(":")[0] in ("blake3", "sha256") and len(digest) == 71))
    )


# -- carriers


@given(traceparent=field, digest=field, raw=st.binary(max_size=100))
@fuzzed
def test_schema_metadata(traceparent: str, digest: str, raw: bytes, tmp_path: Path) -> None:
    """Of Parquet and Feather files whose metadata is anything, the rows are digested and no context is made up."""
    encoded = [each.encode("utf-8", "surrogatepass") for each in (traceparent, digest)]
    for ours in (encoded, [raw, encoded[1]], [encoded[0], raw]):
        metadata = {b"mlotel.traceparent": ours[0], b"mlotel.digest": ours[1], b"mlotel." + raw: b"x"}
        assert is_sound(arrow.from_metadata(metadata))
    table = pa.table({"x": [1, 2]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    with capture() as runs, mlotel.component("read") as run:
        run.log_input(tmp_path / "a.parquet")
        run.log_input(table, name="memory")
    assert [each.digest is not None for each in runs.runs[0].inputs] == [True, True]
    # written on by us, it holds our own context and nothing of theirs
    with capture(), mlotel.component("write") as run:
        mlotel.io.write_table(table, tmp_path / "b.parquet")
    kept = pq.read_schema(tmp_path / "b.parquet").metadata or {}
    assert {key for key in kept if key.startswith(b"mlotel.")} <= {b"mlotel.traceparent", b"mlotel.digest"}
    assert is_sound(arrow.from_metadata(kept))


@given(content=st.binary(max_size=200) | anything.map(lambda each: json.dumps(each).encode()) | st.tuples(field, field))
@fuzzed
def test_sidecars(content: bytes | tuple[str, str], tmp_path: Path) -> None:
    """Bytes of any kind, JSON of any shape, fields of any text."""
    if isinstance(content, tuple):
        content = json.dumps({"traceparent": content[0], "digest": content[1]}).encode()
    path = tmp_path / "file"
    path.write_bytes(b"x")
    (tmp_path / f"file{sidecar.SUFFIX}").write_bytes(content)
    assert is_sound(sidecar.read(f"{path}"))


@given(st.dictionaries(text | st.sampled_from(["traceparent", "MLOTEL-Digest"]), field | st.binary() | st.none()))
@fuzzed
def test_headers_of_messages(found: dict[str, Any]) -> None:
    """As a mapping, as pairs, as pairs of bytes."""
    encoded = [(name.encode("utf-8", "replace"), value) for name, value in found.items()]
    for carrier in (found, list(found.items()), encoded):
        assert is_sound(headers.read(carrier))
        assert is_sound(mlotel.extract(carrier))


@given(field | anything.map(json.dumps) | st.dictionaries(field, field).map(json.dumps), field, text)
@fuzzed
def test_variables(artifacts: str, traceparent: str, said: str) -> None:
    """Those that are ours, and those of OpenTelemetry that we read ourselves."""
    found = environment.artifacts({environment.ARTIFACTS: artifacts})
    assert all(is_sound(each) for each in found.values())
    variables = {
        "TRACEPARENT": traceparent,
        "OTEL_RESOURCE_ATTRIBUTES": said,
        "OTEL_SERVICE_NAME": said,
        "MLOTEL_REPLICA": said,
        "MLOTEL_EXCEPTION_TEXT": said,
    }
    assert Settings(environment=variables).resource()["service.name"]
    with contextlib.suppress(MlotelError):
        query_headers({"MLOTEL_QUERY_HEADERS": said})


@pytest.mark.parametrize("depth", [10_000, 1_000_000])
def test_deep_json(depth: int, tmp_path: Path) -> None:
    """Brackets without end exhaust no stack."""
    deep = "[" * depth
    path = tmp_path / "file"
    (tmp_path / f"file{sidecar.SUFFIX}").write_text(deep[:4000])
    assert sidecar.read(f"{path}") is None
    assert environment.artifacts({environment.ARTIFACTS: deep}) == {}
    for read in (Reference.from_json, mlotel.profiling.Profile.from_json):
        with pytest.raises(MlotelError):
            read(deep + "]" * depth)
    lines = tmp_path / "lines.jsonl"
    lines.write_text(f'{deep}{"]" * depth}\n{{"resourceSpans":{deep}{"]" * depth}}}\n')
    with FileStore(lines) as store:
        assert not store.runs()
        assert store.status().skipped == 2


# -- addresses and names


@given(st.sampled_from(["s3", "https", "postgresql", "jdbc:mysql", "ftp", "x+y"]), text, text, text)
@fuzzed
def test_credentials_in_addresses_of_any_shape(scheme: str, user: str, path: str, query: str) -> None:
    """The password is gone whatever stands around it, and what is left is one printable line."""
    secret = "hunter2hunter2"
    user = re.sub("[/?#]", "", user)  # these would end the part of an address that has a user
    for uri in (
        f"{scheme}://{user}:{secret}@host/{path}",
        f"{scheme}://host/a?password={secret}&{query}",
        f"{scheme}://host/a?{query}&X-Amz-Signature={secret}",
        f"{scheme}://host/{path.replace('#', '').replace('?', '')}#{secret}",
    ):
        cleaned = uris.clean(uri)
        assert secret not in cleaned
        assert len(cleaned) <= 2048
        assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in cleaned)


@given(component=storable, name=storable, model=storable, key=storable)
@settings(max_examples=max(EXAMPLES // 3, 1), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_names_lead_nowhere(
    component: str, name: str, model: str, key: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Components, artifacts, models and keys of any name are refused or kept as they are; no file is made elsewhere."""
    folder = tmp_path_factory.mktemp("names")
    store = folder / "a" / "b" / "store"
    mlotel.configure(store=store)
    try:
        made = mlotel.component(component)
    except MlotelError:
        made = mlotel.component("refused")
        component = "refused"
    with made as run:
        run.log_input(b"x", name=name)
        run.log_output(b"y", uri=name)
        run.set_tag(name, model)
        run.log_params({name: model})
        run.log_predictions([1.0] * 1500, keys=[key or "k", *range(1499)], model=model or "m", version=model)
    mlotel.shutdown()
    outside = [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(store)]
    assert outside == []
    with FileStore(store) as opened:
        (found,) = opened.runs()
        assert found.component == component
        rows = opened.predictions(key or "k")
        assert {each.model for each in rows} <= {(model or "m")[:255]}
        assert rows


# -- questions


@given(text, text, text)
@fuzzed
def test_conditions(key: str, op: str, value: str) -> None:
    """What is no condition is a QueryError; what is one, any run meets or does not."""
    run = Run(
        run_id="a" * 32, trace_id="b" * 32, span_id="c" * 16, component=key, state="ok", start_ns=1, params={"p": value}
    )
    words = [f"{key}{op}{value}", f"param.p{op}{value}", f"param.p ~ {value}", f"time>{value}", f"duration<{value}"]
    for make in (
        *(lambda word=word: Condition.parse_word(word) for word in words),
        lambda: Condition.parse(key, op, value),
        lambda: Condition.parse(f"attribute.{key}", "~", value),
        lambda: Condition.parse("component", "=", value),
    ):
        try:
            condition = make()
        except QueryError:
            continue
        assert condition.matches(run) in (True, False)
        assert f"{condition}"


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|aa)+$", "(x+x+)+y", "((a{1,99}){1,99}){1,99}", "(" * 5000, "a" * 10**6]
)
def test_patterns_without_end_end(pattern: str) -> None:
    """RE2 answers in the time that the text is long, and refuses what needs too much memory."""
    run = Run(run_id="a" * 32, trace_id="b" * 32, span_id="c" * 16, component="a" * 50_000, state="ok", start_ns=1)
    try:
        condition = Condition("component", "~", pattern)
    except QueryError:
        return
    assert condition.matches(run) in (True, False)


# -- saved states


@pytest.fixture(scope="module")
def reference() -> Reference:
    table = pa.table({"x": [float(n % 97) for n in range(2_000)], "c": ["a", "b", "b", None] * 500})
    return Reference.fit(table, model="m", version="1")


@given(data=st.data())
@settings(max_examples=5 * EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_references(data: st.DataObject, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """With any value in any place, and a digest to match, a reference is refused or can be used."""
    monkeypatch.setattr("mlotel.drift._reference.content_digest", lambda *_: DIGEST)
    document = json.loads(json.dumps(reference.document()))
    place = data.draw(st.sampled_from(places(document)))
    document = changed(document, place, data.draw(anything))
    if isinstance(document, dict):
        document["digest"] = DIGEST
    try:
        found = Reference.from_document(document)
    except InvalidReferenceError:
        return
    for use in (
        lambda: compare(found, pa.table({"x": [1.0] * 600, "c": ["a"] * 600})),
        lambda: to_yaml(generate([found])),
        lambda: mlotel.drift.Monitor(found).observe(pa.table({"x": [1.0] * 600, "c": ["a"] * 600}), at_ns=1),
        lambda: found.document(),
    ):
        try:
            use()
        except MlotelError:
            continue


def test_references_with_halves_of_surrogate_pairs(reference: Reference) -> None:
    """What no file can hold is refused, and no error of the encoder comes out."""
    document = {**reference.document(), "model": {"name": "\ud800", "version": "1"}}
    with pytest.raises(InvalidReferenceError, match="surrogate"):
        Reference.from_document(document)


@given(data=st.data())
@settings(max_examples=5 * EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_states_of_monitors(data: st.DataObject, reference: Reference) -> None:
    """With any value in any place a state is refused, or the monitor goes on from it."""
    monitor = Monitor(reference)
    for number in range(3):
        monitor.observe(pa.table({"x": [500.0] * 600, "c": ["b"] * 600}), at_ns=number)
    monitor.observe(pa.table({"x": [1.0] * 20, "c": ["new"] * 20}), at_ns=number)  # too few: they wait for more
    state = json.loads(json.dumps(monitor.state()))
    state = changed(state, data.draw(st.sampled_from(places(state))), data.draw(anything))
    fresh = Monitor(reference)
    try:
        fresh.restore(state)
    except InvalidReferenceError:
        return
    with contextlib.suppress(MlotelError):
        fresh.observe(pa.table({"x": [1.0] * 600, "c": ["a"] * 600}), at_ns=10)
    assert isinstance(fresh.state(), Mapping)


PROFILES = """
    import base64, json, random, sys
    import pyarrow as pa
    import mlotel
    from mlotel.errors import MlotelError
    from mlotel.profiling import Profile

    table = pa.table({"x": [float(n % 97) for n in range(5000)], "t": [f"text {n % 50}" for n in range(5000)]})
    good = json.loads(mlotel.profile(table, frequent="all").to_json())
    rng = random.Random(int(sys.argv[1]))
    read = 0
    for _ in range(int(sys.argv[2])):
        document = json.loads(json.dumps(good))
        column = rng.choice(document["columns"])
        name = rng.choice([name for name in ("quantiles", "distinct", "frequent") if column[name]])
        sketch = bytearray(base64.b64decode(column[name]))
        for _ in range(rng.choice([1, 1, 2, 8, 64])):
            at = rng.choice([rng.randrange(len(sketch)), rng.randrange(min(32, len(sketch)))])
            sketch[at] = rng.choice([0, 1, 255, rng.randrange(256)])
        if rng.random() < 0.2:
            sketch = sketch[: rng.randrange(len(sketch))]
        column[name] = base64.b64encode(sketch).decode()
        try:
            found = Profile.from_json(json.dumps(document))
            read += 1
            for each in found.columns:
                each.quantiles((0.1, 0.5)), each.distinct, each.frequent(5)
            found.merge(found).to_json()
        except MlotelError:
            pass
    print("done", read)
    """


@pytest.mark.parametrize("seed", range(40 if os.environ.get("MLOTEL_SOAK") else 3))
def test_sketches_of_profiles(seed: int, tmp_path: Path) -> None:
    """Bytes of sketches, which another library reads, are refused or used; nothing kills the process."""
    import textwrap

    program = tmp_path / "profiles.py"
    program.write_text(textwrap.dedent(PROFILES))
    done = subprocess.run([sys.executable, program, f"{seed}", "300"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("done")
