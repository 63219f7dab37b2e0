"""Where the stack's programs are: on PATH, else in the cache, else to be got."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONFIG = Path(__file__).resolve().parents[2] / "collector-config"
MANIFEST = CONFIG / "builder.yaml"

COLLECTOR_VERSION = "0.155.0"
JAEGER_VERSION = "1.76.0"  # the Go module's number; its releases are called 2.13.0
ALERTMANAGER_VERSION = "0.28.1"
GO_MINIMUM = (1, 24)

# What base.yaml and its overlays use. Older collectors know some of these by other names only.
COMPONENTS: Mapping[str, frozenset[str]] = {
    "receivers": frozenset({"otlp"}),
    "processors": frozenset({"memory_limiter", "batch", "filter", "transform"}),
    "connectors": frozenset({"span_metrics"}),
    "exporters": frozenset({"otlp_grpc", "file", "prometheus"}),
    "extensions": frozenset({"bearertokenauth", "health_check", "file_storage"}),
}
JAEGER_COMPONENTS: Mapping[str, frozenset[str]] = {
    "receivers": frozenset({"otlp"}),
    "exporters": frozenset({"jaeger_storage_exporter"}),
    "extensions": frozenset({"jaeger_storage", "jaeger_query", "healthcheckv2"}),
}
# Debian calls the same program prometheus-alertmanager.
NAMES: Mapping[str, tuple[str, ...]] = {
    "otelcol": ("otelcol", "otelcol-contrib"),
    "jaeger": ("jaeger",),
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
}


@dataclass(frozen=True)
class Programs:
    """The paths of the five programs that the stack runs."""

    otelcol: Path
    jaeger: Path
    prometheus: Path
    promtool: Path
    alertmanager: Path


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that programs are kept in: $MLOTEL_STACK_CACHE, else one in the user's cache."""
    if chosen := environ.get("MLOTEL_STACK_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "mlotel-stack"


def stamps() -> dict[str, str]:
    """Return, by name, what a program built into the cache must have been built from to be used."""
    digest = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()
    return {
        "otelcol": json.dumps({"version": COLLECTOR_VERSION, "manifest": digest}),
        "jaeger": json.dumps({"version": JAEGER_VERSION}),
        "alertmanager": json.dumps({"version": ALERTMANAGER_VERSION}),
    }


def find(cache: Path) -> dict[str, Path]:
    """Return the programs that can be used as they are, by name; those to be got are absent."""
    found: dict[str, Path] = {}
    wanted = stamps()
    needs = {"otelcol": COMPONENTS, "jaeger": JAEGER_COMPONENTS}
    for name, commands in NAMES.items():
        for command in commands:
            on_path = shutil.which(command)
            if on_path and (name not in needs or has_components(Path(on_path), needs[name])):
                found[name] = Path(on_path)
                break
        else:
            cached = cache / "bin" / name
            if os.access(cached, os.X_OK) and _stamped(cache, name, wanted.get(name)):
                found[name] = cached
    return found


def has_components(program: Path, wanted: Mapping[str, frozenset[str]]) -> bool:
    """Say whether a collector build (Jaeger 2 is one) lists the components wanted, by kind."""
    try:
        answer = subprocess.run([program, "components"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    have: dict[str, set[str]] = {}
    kind = ""
    for line in answer.stdout.splitlines():
        if section := re.match(r"(\w+):", line):
            kind = section[1]
        elif entry := re.match(r"\s+- name: (\S+)", line):
            have.setdefault(kind, set()).add(entry[1])
    return all(names <= have.get(kind, set()) for kind, names in wanted.items())


def lacking(found: Mapping[str, Path]) -> list[str]:
    """Return what stands in the way of getting the programs that were not found; nothing when they can be got."""
    problems: list[str] = []
    to_build = [name for name in ("otelcol", "jaeger", "alertmanager") if name not in found]
    if to_build:
        version = go_version()
        if version is None or version < GO_MINIMUM:
            has = "no go on PATH" if version is None else f"PATH has {version[0]}.{version[1]}"
            problems.append(
                f"Go >= {GO_MINIMUM[0]}.{GO_MINIMUM[1]} is needed to build {', '.join(to_build)} ({has}); "
                f"install Go, or put these programs on PATH"
            )
    to_fetch = [name for name in ("prometheus", "promtool") if name not in found]
    if to_fetch and not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        problems.append(f"{', '.join(to_fetch)} must be on PATH (there is no apt-get here to get them with)")
    elif to_fetch and os.geteuid() != 0 and not _downloadable():
        problems.append(
            f"{', '.join(to_fetch)} must be on PATH, or apt-get must know the package prometheus: run "
            f"`apt-get update` as root"
        )
    return problems


def go_version() -> tuple[int, int] | None:
    """Return the major and minor version of the Go on PATH, or None."""
    go = shutil.which("go")
    if go is None:
        return None
    # GOTOOLCHAIN=local: the version that is installed, not the one that some go.mod asks for.
    environ = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60, env=environ)
    except (OSError, subprocess.SubprocessError):
        return None
    numbers = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def _stamped(cache: Path, name: str, wanted: str | None) -> bool:
    if wanted is None:
        return True
    try:
        return (cache / "bin" / f"{name}.stamp").read_text(encoding="utf-8") == wanted
    except OSError:
        return False


def _downloadable() -> bool:
    command = ["apt-get", "download", "--print-uris", "prometheus"]
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
