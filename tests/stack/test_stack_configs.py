"""The committed configuration, judged by the programs that read it."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlotel.semconv import attributes as A
from mlotel_stack import Programs
from mlotel_stack.programs import ALERTMANAGER_VERSION, COLLECTOR_VERSION

pytestmark = pytest.mark.stack
CONFIG = Path(__file__).resolve().parents[2] / "collector-config"
OVERLAYS = ("jaeger", "tempo", "prometheus")
CHOICES = [choice for count in range(len(OVERLAYS) + 1) for choice in itertools.combinations(OVERLAYS, count)]


def load(name: str) -> Any:
    return yaml.safe_load((CONFIG / name).read_text(encoding="utf-8"))


def run(*command: object) -> str:
    answer = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=CONFIG)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.mark.parametrize("overlays", CHOICES, ids=lambda names: "+".join(("base", *names)))
def test_the_collector_accepts_the_base_with_any_overlays(programs: Programs, overlays: tuple[str, ...]) -> None:
    """`otelcol validate` passes for the base alone and with every combination of overlays."""
    run(programs.otelcol, "validate", *(f"--config={name}.yaml" for name in ("base", *overlays)))


@pytest.mark.parametrize("more", [(), ("prometheus",), ("tempo", "prometheus")], ids="+".join)
def test_the_collector_accepts_tail_sampling_after_jaeger(programs: Programs, more: tuple[str, ...]) -> None:
    """With any others; it changes one list of jaeger.yaml and nothing of the base."""
    names = ("base", "jaeger", "tail-sampling", *more)
    run(programs.otelcol, "validate", *(f"--config={name}.yaml" for name in names))
    assert load("tail-sampling.yaml")["service"] == {
        "pipelines": {"traces/jaeger": {"processors": ["memory_limiter", "tail_sampling/lineage"]}}
    }
    assert load("jaeger.yaml")["service"]["pipelines"]["traces/jaeger"]["processors"] == ["memory_limiter"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_leaves_the_lists_of_the_base_alone(name: str) -> None:
    """Merging replaces lists, so an overlay redefines nothing of the base; Prometheus' moves metrics, as it says."""
    base, overlay = load("base.yaml"), load(f"{name}.yaml")
    redefined = {
        f"{kind}.{component}"
        for kind in ("receivers", "processors", "connectors", "exporters", "extensions")
        for component in overlay.get(kind, {})
        if component in base.get(kind, {})
    } | {pipeline for pipeline in overlay["service"]["pipelines"] if pipeline in base["service"]["pipelines"]}

    assert redefined == ({"metrics", "metrics/runs"} if name == "prometheus" else set())
    assert set(overlay["service"]) == {"pipelines"}


def test_span_metrics_use_names_that_mlotel_emits() -> None:
    """Every attribute that the collector's span metrics read is one of the semantic conventions."""
    emitted = {value for key, value in vars(A).items() if key.isupper() and isinstance(value, str)}
    base = load("base.yaml")
    used = {dimension["name"] for dimension in base["connectors"]["span_metrics"]["dimensions"]}
    used |= set(re.findall(r'attributes\["([^"]+)"\]', base["processors"]["filter/runs"]["traces"]["span"][0]))

    assert used <= emitted | {"error.type"}


def test_everything_listens_on_loopback_unless_told_otherwise() -> None:
    """Every default address in the collector's and Jaeger's configuration is a loopback address."""
    files = ("base.yaml", "jaeger.yaml", "tempo.yaml", "prometheus.yaml", "jaeger/all-in-one.yaml")
    for name in files:
        text = (CONFIG / name).read_text(encoding="utf-8")
        addresses = re.findall(r"(?:endpoint|host): (\S+)", text)
        assert addresses
        for address in addresses:
            assert re.fullmatch(r"\$\{env:MLOTEL_[A-Z_]+:-127\.0\.0\.1(:\d+)?\}", address), (name, address)


def test_jaeger_accepts_its_configuration(programs: Programs) -> None:
    """`jaeger validate` passes for the configuration that the stack and docker-compose start."""
    run(programs.jaeger, "validate", "--config=jaeger/all-in-one.yaml")


def test_promtool_accepts_the_scrape_configuration(programs: Programs) -> None:
    """`promtool check config` passes, target files included."""
    run(programs.promtool, "check", "config", "prometheus/prometheus.yml")


def test_every_setting_is_documented_and_no_other() -> None:
    """docs/collector.md names exactly the environment variables that the configuration reads."""
    files = [*CONFIG.glob("*.yaml"), *CONFIG.glob("*/*.yaml")]
    read = {name for path in files for name in re.findall(r"\$\{env:(MLOTEL_\w+):-", path.read_text(encoding="utf-8"))}
    documented = re.findall(r"`(MLOTEL_\w+)`", (CONFIG.parent / "docs/collector.md").read_text(encoding="utf-8"))

    assert read == set(documented)
    composed = load("docker-compose.yaml")["services"].values()
    assert {name for service in composed for name in service.get("environment", {})} <= read


def test_docker_compose_is_made_of_these_files() -> None:
    """docker-compose mounts files that exist, publishes ports on loopback alone and starts the pinned versions."""
    services = load("docker-compose.yaml")["services"]
    for name, service in services.items():
        sources = [volume.split(":")[0] for volume in service.get("volumes", [])]
        assert all((CONFIG / source).exists() for source in sources if source.startswith(".")), name
        named = {source for source in sources if not source.startswith(".")}
        assert named <= set(load("docker-compose.yaml")["volumes"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    mounted = {volume.split(":")[1] for volume in services["collector"]["volumes"]}
    assert {argument.removeprefix("--config=") for argument in services["collector"]["command"]} <= mounted
    assert services["collector"]["image"].endswith(f":{COLLECTOR_VERSION}")
    assert services["alertmanager"]["image"].endswith(f":v{ALERTMANAGER_VERSION}")


def test_the_collector_has_the_components_of_the_manifest(programs: Programs) -> None:
    """The collector that the tests run is able to do what the builder's manifest lists, tail sampling included."""
    listed = run(programs.otelcol, "components")
    for kind in ("receivers", "processors", "exporters", "connectors", "extensions"):
        for entry in load("builder.yaml")[kind]:
            module = entry["gomod"].split()[0]
            assert f"module: {module} " in listed


def test_the_manifest_stands_at_one_version() -> None:
    """Core and contrib modules are of one release, in which the configuration providers are numbered 1.61.0."""
    manifest = load("builder.yaml")
    entries = [entry["gomod"] for kind, value in manifest.items() if kind != "dist" for entry in value]

    assert {entry.split()[1] for entry in entries if "/confmap/" not in entry} == {"v0.155.0"}
    assert {entry.split()[1] for entry in entries if "/confmap/" in entry} == {"v1.61.0"}
