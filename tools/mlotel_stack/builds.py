"""Getting the programs: collector, Jaeger and Alertmanager built from pinned sources, Prometheus unpacked.

Nothing is installed and no service is started: the results are files in the cache's `bin/`, put there by renaming.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlotel_stack import programs
from mlotel_stack.errors import StackError

Say = Callable[[str], None]

_BUILDER = f"go.opentelemetry.io/collector/cmd/builder@v{programs.COLLECTOR_VERSION}"
_JAEGER = "github.com/jaegertracing/jaeger"
_ALERTMANAGER = f"github.com/prometheus/alertmanager/cmd/alertmanager@v{programs.ALERTMANAGER_VERSION}"
_SAY_EVERY = 30.0  # seconds between two lines of a step that takes long


def ensure(cache: Path, say: Say = print) -> programs.Programs:
    """Return the stack's programs, getting into `cache` those that are neither on PATH nor there.

    Args:
        cache: folder for programs and sources; made when absent. One process at a time works in it.
        say: takes each line of progress.

    Raises:
        StackError: something needed is lacking, or a step failed (the message names its log).
    """
    found = programs.find(cache)
    if len(found) < len(programs.NAMES):
        (cache / "bin").mkdir(parents=True, exist_ok=True)
        with _locked(cache, say):
            found = programs.find(cache)  # somebody else may have built meanwhile
            if problems := programs.lacking(found):
                raise StackError("; ".join(problems))
            if "otelcol" not in found:
                _collector(cache, say)
            if "jaeger" not in found:
                _jaeger(cache, say)
            if "alertmanager" not in found:
                _alertmanager(cache, say)
            if "prometheus" not in found or "promtool" not in found:
                _prometheus(cache, say)
        found = programs.find(cache)
    missing = [name for name in programs.NAMES if name not in found]
    if missing:
        raise StackError(f"built, but not usable: {', '.join(missing)}; remove {cache} and build again")
    return programs.Programs(**found)


def _collector(cache: Path, say: Say) -> None:
    say(f"collector {programs.COLLECTOR_VERSION}: building (3 to 6 minutes the first time)")
    source, log = _fresh(cache / "src" / "otelcol"), cache / "otelcol-build.log"
    _run(["go", "install", _BUILDER], source, log, say, GOBIN=str(source))
    shutil.copy(programs.MANIFEST, source / "builder.yaml")
    generate = ["./builder", "--config", "builder.yaml", "--skip-strict-versioning", "--skip-compilation"]
    # The builder's last step, `go mod tidy`, wants the test dependencies of all components and fails on one that
    # cannot be had. By then go.mod and the sources stand, and the build needs no more.
    _run(generate, source, log, say, may_fail=True)
    build = source / "build"
    if not all((build / name).is_file() for name in ("go.mod", "main.go", "components.go")):
        raise StackError(f"the collector builder wrote no sources; see {log}")
    _go_build(build, ".", source / "otelcol", log, say)
    _check_core_versions(build / "go.mod")
    if not programs.has_components(source / "otelcol", programs.COMPONENTS):
        raise StackError(f"the collector that was built lacks components that the stack uses; see {log}")
    _place(cache, "otelcol", source / "otelcol")


def _jaeger(cache: Path, say: Say) -> None:
    say(f"Jaeger {programs.JAEGER_VERSION}: building (4 to 8 minutes the first time)")
    source, log = _fresh(cache / "src" / "jaeger"), cache / "jaeger-build.log"
    module = f"{_JAEGER}@v{programs.JAEGER_VERSION}"
    answer = subprocess.run(["go", "mod", "download", "-json", module], cwd=source, capture_output=True, text=True)
    if answer.returncode:
        raise StackError(f"could not download {module}: {answer.stdout.strip() or answer.stderr.strip()}")
    origin = Path(json.loads(answer.stdout)["Dir"])
    # Its go.mod has a replace directive, which `go install` refuses of another's module: build from a module of
    # our own with the same requirements.
    requirements = (origin / "go.mod").read_text(encoding="utf-8")
    own = re.sub(r"(?m)^module .*$", "module mlotel.local/jaeger", requirements, count=1)
    (source / "go.mod").write_text(own, encoding="utf-8")
    (source / "go.sum").write_bytes((origin / "go.sum").read_bytes())
    _run(["go", "mod", "edit", "-require", module], source, log, say)
    _go_build(source, f"{_JAEGER}/cmd/jaeger", source / "jaeger", log, say)
    _place(cache, "jaeger", source / "jaeger")


def _alertmanager(cache: Path, say: Say) -> None:
    # Not Debian's: that one reads its templates from /usr/share and cannot run without being installed.
    say(f"Alertmanager {programs.ALERTMANAGER_VERSION}: building (about a minute the first time)")
    source, log = _fresh(cache / "src" / "alertmanager"), cache / "alertmanager-build.log"
    _run(["go", "install", "-trimpath", "-ldflags", "-s -w", _ALERTMANAGER], source, log, say, GOBIN=str(source))
    _place(cache, "alertmanager", source / "alertmanager")


def _prometheus(cache: Path, say: Say) -> None:
    say("Prometheus: unpacking Debian's package into the cache (it is not installed)")
    log = cache / "prometheus-download.log"
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        folder = Path(scratch)
        # Without this option apt, as root, warns that its own user may not write here.
        download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "prometheus"]
        if _run(download, folder, log, say, may_fail=True):
            say("  the package lists are missing or old: apt-get update")
            _run(["apt-get", "update"], folder, log, say)
            _run(download, folder, log, say)
        for package in folder.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(package), "unpacked"], folder, log, say)
        for name in ("prometheus", "promtool"):
            os.replace(folder / "unpacked/usr/bin" / name, cache / "bin" / name)


def _go_build(folder: Path, package: str, target: Path, log: Path, say: Say) -> None:
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(target), package]
    _run(command, folder, log, say, GOFLAGS="-mod=mod")


def _place(cache: Path, name: str, built: Path) -> None:
    # The stamp last: a program without its stamp is not used.
    stamp = cache / "bin" / f"{name}.stamp"
    stamp.unlink(missing_ok=True)
    os.replace(built, cache / "bin" / name)
    stamp.write_text(programs.stamps()[name], encoding="utf-8")


def _check_core_versions(go_mod: Path) -> None:
    # Newer core modules slip in through a component's requirements and do not fit the rest.
    text = go_mod.read_text(encoding="utf-8")
    core = re.findall(r"(go\.opentelemetry\.io/collector\S*) v(0\.\d+\.\d+)\b", text)
    strangers = sorted({f"{module} {version}" for module, version in core if version != programs.COLLECTOR_VERSION})
    if strangers:
        raise StackError(f"collector modules of another version than {programs.COLLECTOR_VERSION}: {strangers}")


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _run(command: list[str], folder: Path, log: Path, say: Say, may_fail: bool = False, **environ: str) -> int:
    begun = time.monotonic()
    with log.open("ab") as out:
        out.write(f"\n$ {' '.join(command)}\n".encode())
        out.flush()
        try:
            process = subprocess.Popen(
                command, cwd=folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env={**os.environ, **environ}
            )
        except OSError as error:
            raise StackError(f"cannot run {command[0]}: {error}") from error
        while True:
            try:
                status = process.wait(_SAY_EVERY)
                break
            except subprocess.TimeoutExpired:
                say(f"  still at `{' '.join(command[:2])}`, {time.monotonic() - begun:.0f} s")
            except BaseException:
                process.terminate()
                process.wait()
                raise
    if status and not may_fail:
        raise StackError(f"`{' '.join(command)}` failed ({status}); see {log}")
    return status


@contextmanager
def _locked(cache: Path, say: Say) -> Iterator[None]:
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is at work in the cache: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
