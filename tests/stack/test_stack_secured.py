"""The collector behind TLS, client certificates and bearer tokens, with certificates made on the spot by openssl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from backends import Jaeger, eventually

from mlotel_stack import Programs, Stack
from mlotel_stack.programs import CONFIG

pytestmark = pytest.mark.stack

TOKEN = "d3f2a1-not-a-real-one"
PROTOCOLS = ("http/protobuf", "grpc")
PROGRAM = """
import logging, mlotel
logging.basicConfig(format="%(message)s", level=logging.WARNING)
with mlotel.component("score") as run:
    run.log_output(b"x", name="result")
"""


@dataclass(frozen=True)
class Certificates:
    """An authority, what it signed for a server at 127.0.0.1 and for a client, and another authority's client."""

    folder: Path

    def __call__(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for authority in ("ca", "other-ca"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.crt")  # fmt: skip
    for name, authority in (("server", "ca"), ("client", "ca"), ("stranger", "other-ca")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key",
                "-CAcreateserial", "-copy_extensions", "copy", "-days", "2", "-out", f"{name}.crt")  # fmt: skip
    (folder / "token").write_text(f"an-older-one\n{TOKEN}\n")
    return Certificates(folder)


def secured(own_stack: Callable[..., Stack], certificates: Certificates, *overlays: str) -> Stack:
    return own_stack(
        overlays=("jaeger", *overlays),
        collector_environ={
            "MLOTEL_COLLECTOR_CERTIFICATE": certificates("server.crt"),
            "MLOTEL_COLLECTOR_KEY": certificates("server.key"),
            "MLOTEL_COLLECTOR_CLIENT_CA": certificates("ca.crt"),
            "MLOTEL_COLLECTOR_TOKEN_FILE": certificates("token"),
        },
    )


def run(folder: Path, stack: Stack, protocol: str, *arguments: str, **said: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    endpoint = stack.env(protocol)["OTEL_EXPORTER_OTLP_ENDPOINT"].replace("http:", "https:")
    environment = {**kept, **stack.env(protocol), "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **said}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert "Traceback" not in done.stderr
    return done


def keep_out_then_let_in(
    stack: Stack, tmp_path: Path, protocol: str, *, wrong: dict[str, str], right: dict[str, str], says: str
) -> None:
    """What is sent with `wrong` variables stays here, with one sentence a signal; with the `right` ones it arrives."""
    jaeger = Jaeger(stack.endpoints["jaeger_ui"])
    service = f"secured-{uuid.uuid4().hex[:8]}"
    folder = tmp_path / service
    refused = run(folder, stack, protocol, "-c", PROGRAM, OTEL_SERVICE_NAME=service, **wrong)
    assert refused.returncode == 0
    ours = [line for line in refused.stderr.splitlines() if line.startswith("mlotel: ")]  # gRPC has words of its own
    assert 1 <= len(ours) <= 3, refused.stderr
    assert says in refused.stderr
    assert jaeger.spans(service) == []
    replay = ["-m", "mlotel", "replay", "--format", "json"]
    again: dict[str, Any] = json.loads(run(folder, stack, protocol, *replay, **wrong).stdout)
    assert (again["sent"], again["kept"]) == (0, 4)
    done: dict[str, Any] = json.loads(run(folder, stack, protocol, *replay, **right).stdout)
    assert (done["sent"], done["error"]) == (4, None)
    assert {span.name for span in eventually(lambda: jaeger.spans(service))} == {"score", "write result"}

    live = f"{service}-live"
    assert run(folder, stack, protocol, "-c", PROGRAM, OTEL_SERVICE_NAME=live, **right).stderr == ""
    assert len(eventually(lambda: jaeger.spans(live))) == 2


def test_tls(own_stack: Callable[..., Stack], certificates: Certificates, tmp_path: Path) -> None:
    """Who does not know the authority sends nothing; OTEL_EXPORTER_OTLP_CERTIFICATE names it."""
    stack = secured(own_stack, certificates, "tls")
    for protocol in PROTOCOLS:
        keep_out_then_let_in(
            stack, tmp_path, protocol,
            wrong={"OTEL_EXPORTER_OTLP_CERTIFICATE": certificates("other-ca.crt")},
            right={"OTEL_EXPORTER_OTLP_CERTIFICATE": certificates("ca.crt")},
            says="could not be sent",
        )  # fmt: skip


def test_client_certificates(own_stack: Callable[..., Stack], certificates: Certificates, tmp_path: Path) -> None:
    """mTLS: a client without a certificate, or with one that another authority signed, is not let in."""
    stack = secured(own_stack, certificates, "tls", "mtls")

    def client(name: str) -> dict[str, str]:
        return {
            "OTEL_EXPORTER_OTLP_CERTIFICATE": certificates("ca.crt"),
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": certificates(f"{name}.crt"),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": certificates(f"{name}.key"),
        }

    without = {"OTEL_EXPORTER_OTLP_CERTIFICATE": certificates("ca.crt")}
    for protocol, wrong in zip(PROTOCOLS, (without, client("stranger")), strict=True):
        keep_out_then_let_in(stack, tmp_path, protocol, wrong=wrong, right=client("client"), says="could not be sent")


def test_bearer_tokens(own_stack: Callable[..., Stack], certificates: Certificates, tmp_path: Path) -> None:
    """A wrong token is told as what it is, and is in no file of the spool; nor is the right one."""
    stack = secured(own_stack, certificates, "tls", "bearer")

    def token(said: str) -> dict[str, str]:
        return {
            "OTEL_EXPORTER_OTLP_CERTIFICATE": certificates("ca.crt"),
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{said}",
        }

    for protocol, says in zip(PROTOCOLS, ("HTTP 401", "UNAUTHENTICATED"), strict=True):
        keep_out_then_let_in(
            stack, tmp_path, protocol, wrong=token("a-wrong-one"), right=token(TOKEN), says=says
        )  # fmt: skip
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("secured-*/**/*") if path.is_file())
    assert b"a-wrong-one" not in written
    assert TOKEN.encode() not in written


@pytest.mark.parametrize("overlays", [("tls",), ("tls", "mtls"), ("tls", "bearer"), ("tls", "mtls", "bearer")])
def test_the_collector_accepts_what_secures_it(
    programs: Programs, certificates: Certificates, overlays: tuple[str, ...]
) -> None:
    """`otelcol validate` passes for the base with a backend and what secures it."""
    files = ("base", "jaeger", "prometheus", *overlays)
    done = subprocess.run(
        [programs.otelcol, "validate", *(f"--config={name}.yaml" for name in files)],
        cwd=CONFIG, capture_output=True, text=True, check=False,
        env={**os.environ, "MLOTEL_COLLECTOR_TOKEN_FILE": certificates("token")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_secures_the_receiver_changes_nothing_else() -> None:
    """The overlays add to the receiver of the base; its list of extensions loses none."""
    base = yaml.safe_load((CONFIG / "base.yaml").read_text(encoding="utf-8"))
    for name in ("tls", "mtls", "bearer"):
        overlay = yaml.safe_load((CONFIG / f"{name}.yaml").read_text(encoding="utf-8"))
        assert set(overlay) <= {"receivers", "extensions", "service"}
        assert set(overlay["receivers"]) == {"otlp"}
        protocols = overlay["receivers"]["otlp"]["protocols"]
        assert set(protocols) == {"grpc", "http"}
        assert protocols["grpc"] == protocols["http"]
        extensions = overlay.get("service", {}).get("extensions", base["service"]["extensions"])
        assert set(base["service"]["extensions"]) <= set(extensions)
