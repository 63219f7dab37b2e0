"""A data point in serving: from its key to the run that trained the model, through the real collector and Jaeger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from backends import Jaeger, eventually
from blake3 import blake3

from mlotel_stack import Stack

pytestmark = pytest.mark.stack

TRAIN = """
import pathlib
import mlotel
with mlotel.component("train", version="2.1") as run:
    run.log_input(b"flights", name="flights")
    pathlib.Path("delay.bin").write_bytes(b"weights")
    run.log_output(pathlib.Path("delay.bin"), name="delay", type="model", sidecar=True)
"""
SERVE = """
import pathlib, sys
import mlotel
key = sys.argv[1]
with mlotel.component("serve") as run:
    run.log_predictions([12.5], keys=[key], model=pathlib.Path("delay.bin"), version="2.1", variant="b")
with mlotel.component("serve several") as run:
    run.log_predictions(["late", "on-time"], keys=[key + "-a", key + "-b"], model=pathlib.Path("delay.bin"))
"""


def python(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**inherited, **environment},
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("secret", ["", "a secret of some length", "the store's own"])
def test_a_request_is_found_by_its_key_in_jaeger(stack: Stack, jaeger: Jaeger, tmp_path: Path, secret: str) -> None:
    """The key of a request leads, in Jaeger alone, to its run, the model, and the run that trained it.

    With the secret of a store, for whoever has that store.
    """
    own = secret == "the store's own"
    service, key = f"delays-{uuid.uuid4().hex[:8]}", f"customer-{uuid.uuid4().hex}"
    environment = {
        **stack.env(),
        "OTEL_SERVICE_NAME": service,
        "MLOTEL_STORE": str(tmp_path / "store") if own else "none",
        "MLOTEL_RECORD_KEY_SECRET": "" if own else secret,
    }
    for arguments in (("-c", TRAIN), ("-c", SERVE, key)):
        done = python(tmp_path, environment, *arguments)
        assert done.returncode == 0, done.stderr

    if own:
        secret = (tmp_path / "store" / "record.key").read_text()
    if secret:
        derived = blake3(secret.encode(), derive_key_context="mlotel 2026-11-21 hashes of record keys v1").digest()
        hashed = blake3(key.encode(), key=derived).hexdigest(length=8)
    else:
        hashed = blake3(b"mlotel.record.key.v1\0" + key.encode()).hexdigest(length=8)
    span = jaeger.span(service, {"mlotel.record.key.hash": hashed})
    assert span.name == "serve"
    eventually(lambda: len([each for each in jaeger.spans(service) if each.name in ("serve several", "predict")]) == 3)
    assert key not in json.dumps([dict(each.tags) for each in jaeger.spans(service)])

    def ask(what: str) -> Any:
        place = f"http://{stack.endpoints['jaeger_query_grpc']}"
        done = python(tmp_path, environment, "-m", "mlotel", "lineage", what, "--jaeger", place, "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    found = ask(f"record:{key}")
    assert {name: found["record"][name] for name in ("value", "variant", "key_hash", "predictions")} == {
        "value": 12.5,
        "variant": "b",
        "key_hash": hashed,
        "predictions": 1,
    }
    assert found["record"]["model"]["version"] == "2.1"
    assert [run["component"] for run in found["runs"]] == ["train", "serve"]
    assert {each["name"] for each in found["artifacts"]} == {"flights", "delay"}
    several = [ask(f"record:{key}-{end}") for end in "ab"]
    assert [each["record"]["value"] for each in several] == ["late", "on-time"]
    assert [[run["component"] for run in each["runs"]] for each in several] == [["train", "serve several"]] * 2
    assert own or list(tmp_path.rglob("predictions")) == []
