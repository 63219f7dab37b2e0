"""`tools/stack.py` as people and make call it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backends import Jaeger, get

from mlotel_stack import Programs, Settings, Stack, StackError, cache_dir, processes, programs

pytestmark = pytest.mark.stack
TOOL = Path(__file__).resolve().parents[2] / "tools" / "stack.py"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def call(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environ})


def fake_program(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "run"
    yield folder
    call("down", "--run-dir", folder)


def test_check_says_in_one_line_what_is_lacking(tmp_path: Path) -> None:
    """Without Go, Prometheus and apt-get, `check` exits with 1 and one line on stderr that names them."""
    result = call("check", PATH=str(tmp_path), MLOTEL_STACK_CACHE=str(tmp_path / "cache"))

    assert (result.returncode, result.stdout) == (1, "")
    line, rest = result.stderr.split("\n", 1)
    assert rest == ""
    assert "Go >= 1.24 is needed to build otelcol, jaeger, alertmanager (no go on PATH)" in line
    assert "prometheus, promtool must be on PATH" in line


def test_check_tells_a_go_that_is_too_old(tmp_path: Path) -> None:
    """A Go older than 1.24 is named with its version."""
    fake_program(tmp_path / "bin", "go", "go1.19.8")
    path = f"{tmp_path / 'bin'}:/bin:/usr/bin"
    result = call("check", PATH=path, MLOTEL_STACK_CACHE=str(tmp_path / "cache"))

    assert result.returncode == 1
    assert "(PATH has 1.19)" in result.stderr


def test_check_is_content_with_what_is_cached(programs: Programs) -> None:
    """Once everything is built, `check` exits with 0 and needs nothing on PATH."""
    result = call("check", MLOTEL_STACK_CACHE=str(cache_dir()))

    assert (result.returncode, result.stderr) == (0, "")


def test_a_program_on_path_is_used_if_it_can_do_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector on PATH is used when it lists the components of the configuration, else it is passed over."""
    listing = "\n".join(
        f"{kind}:\n" + "\n".join(f"    - name: {name}" for name in sorted(names))
        for kind, names in programs.COMPONENTS.items()
    )
    good = fake_program(tmp_path / "good", "otelcol-contrib", listing)
    poor = fake_program(tmp_path / "poor", "otelcol", "receivers:\n    - name: otlp")
    monkeypatch.setenv("PATH", f"{poor.parent}:{good.parent}:/bin:/usr/bin")

    assert programs.find(tmp_path / "cache")["otelcol"] == good
    good.unlink()
    assert "otelcol" not in programs.find(tmp_path / "cache")


def test_debians_name_of_alertmanager_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`prometheus-alertmanager` on PATH is Alertmanager."""
    program = fake_program(tmp_path / "bin", "prometheus-alertmanager", "")
    monkeypatch.setenv("PATH", str(program.parent))

    assert programs.find(tmp_path / "cache") == {"alertmanager": program}


def test_a_changed_manifest_calls_for_a_new_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached collector counts only if it was built from the manifest as it is now."""
    monkeypatch.setenv("PATH", "/nowhere")
    (tmp_path / "bin").mkdir()
    fake_program(tmp_path / "bin", "otelcol", "")
    (tmp_path / "bin/otelcol.stamp").write_text(programs.stamps()["otelcol"])
    assert "otelcol" in programs.find(tmp_path)

    changed = tmp_path / "builder.yaml"
    changed.write_text(programs.MANIFEST.read_text() + "# changed\n")
    monkeypatch.setattr(programs, "MANIFEST", changed)
    assert "otelcol" not in programs.find(tmp_path)


def test_up_status_and_down(run_dir: Path, programs: Programs) -> None:
    """`up` prints addresses that answer and the line to type; a second `up` finds it running; `down` ends it all."""
    up = call("up", "--run-dir", run_dir)
    assert up.returncode == 0, up.stderr
    state = json.loads((run_dir / "stack.json").read_text())
    assert set(state["endpoints"]) >= {
        "otlp_grpc", "otlp_http", "jaeger_ui", "jaeger_query_grpc", "prometheus", "alertmanager", "collector_metrics",
        "health",
    }  # fmt: skip
    for address in state["endpoints"].values():
        assert address in up.stdout
        assert re.match(r"(http://)?127\.0\.0\.1:\d+", address)
    assert f"export OTEL_EXPORTER_OTLP_ENDPOINT={state['endpoints']['otlp_http']}" in up.stdout
    assert Jaeger(state["endpoints"]["jaeger_ui"]).spans("nobody") == []

    assert "running already" in call("up", "--run-dir", run_dir).stdout
    assert json.loads((run_dir / "stack.json").read_text()) == state
    assert call("status", "--run-dir", run_dir).returncode == 0

    assert call("down", "--run-dir", run_dir).returncode == 0
    assert [pid["pid"] for pid in state["started"].values() if processes.identity(pid["pid"]) == pid["identity"]] == []
    assert list(run_dir.iterdir()) == []
    status = call("status", "--run-dir", run_dir)
    assert (status.returncode, status.stderr.count("\n")) == (1, 1)


def test_up_replaces_a_stack_that_broke(run_dir: Path, programs: Programs) -> None:
    """When a service has died, `status` names it and exits with 1, and `up` starts a whole stack again."""
    call("up", "--run-dir", run_dir)
    broken = Stack.attach(run_dir)
    os.kill(broken.pids()["alertmanager"], 9)

    status = call("status", "--run-dir", run_dir)
    while status.returncode == 0:  # until the kernel has done it
        status = call("status", "--run-dir", run_dir)
    assert "not running: alertmanager" in status.stderr

    assert call("up", "--run-dir", run_dir).returncode == 0
    assert all(Stack.attach(run_dir).alive().values())


def test_down_leaves_other_processes_alone(run_dir: Path) -> None:
    """A pid that now belongs to another process than the one started is not signalled."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        run_dir.mkdir()
        state = {
            "endpoints": {},
            "services": {},
            "started": {"collector": {"pid": stranger.pid, "identity": "an earlier boot/1"}},
        }
        (run_dir / "stack.json").write_text(json.dumps(state))

        assert call("down", "--run-dir", run_dir).returncode == 0
        assert stranger.poll() is None
        stranger.kill()


def test_a_folder_with_other_files_is_not_taken(tmp_path: Path, programs: Programs) -> None:
    """A stack, which removes its folder's content when it ends, does not start among files of somebody else."""
    (tmp_path / "log").mkdir()

    with pytest.raises(StackError, match="choose an empty folder"):
        Stack.start(tmp_path)


def test_a_service_that_cannot_start_is_reported_with_its_reason(tmp_path: Path, programs: Programs) -> None:
    """A collector configuration that is wrong ends the start with its last error, and nothing stays running."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("processors: {nonsense: {}}\n")

    with pytest.raises(StackError, match=r"collector ended while starting.*nonsense"):
        Stack.start(tmp_path / "run", Settings(collector_configs=(wrong,)))
    assert not (tmp_path / "run/stack.json").exists()


def test_prometheus_scrapes_the_collector_and_itself(stack: Stack) -> None:
    """Both targets of the collector are up and so is its own, and it knows the Alertmanager."""
    url = stack.endpoints["prometheus"]
    health = {}
    while set(health.values()) != {"up"}:  # a target is unknown until its first scrape
        targets = get(f"{url}/api/v1/targets")["data"]["activeTargets"]
        health = {target["labels"]["job"]: target["health"] for target in targets}
    assert set(health) == {"mlotel", "otelcol", "prometheus"}
    managers = get(f"{url}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    assert [manager["url"] for manager in managers] == [f"{stack.endpoints['alertmanager']}/api/v2/alerts"]


def test_a_port_that_somebody_has_for_a_moment_is_waited_for(tmp_path: Path, programs: Programs) -> None:
    """A service is started again on the ports that it had; others may have one of them meanwhile."""
    with Stack.start(tmp_path, Settings(die_with_parent=True)) as stack:
        stack.end("jaeger")
        port = int(stack.endpoints["jaeger_ui"].rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)) as holder:
            letting_go = threading.Timer(2.0, holder.close)
            letting_go.start()
            stack.begin("jaeger")
            letting_go.join()

        assert stack.alive()["jaeger"]
        stack.end("jaeger")
        with (
            socket.create_server(("127.0.0.1", port)),
            pytest.raises(StackError, match="address already in use"),
        ):
            stack.begin("jaeger")
