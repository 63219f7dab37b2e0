"""What a stack consists of: ports, configuration and command lines, chosen before anything runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlotel_stack import processes, programs
from mlotel_stack.errors import StackError

SERVICES = ("jaeger", "collector", "alertmanager", "prometheus")  # each needs the addresses of those before it


@dataclass(frozen=True)
class Settings:
    """What one stack does differently from another.

    Args:
        scrape_interval: Prometheus' scrape and evaluation interval (a Prometheus duration).
        span_metrics_interval: how often the collector adds up span metrics; at least the scrape interval.
        overlays: names of collector overlays in collector-config/, without `.yaml`.
        collector_configs: more configuration files for the collector, merged last.
        collector_environ: variables for the collector, over those that the stack sets.
        rules: Prometheus rule files.
        alertmanager_config: instead of collector-config/alertmanager/alertmanager.yml.
        prometheus_arguments: more arguments for Prometheus.
        die_with_parent: kill the services when the thread that started them dies (Linux): for tests.
    """

    scrape_interval: str = "5s"
    span_metrics_interval: str = "5s"
    overlays: tuple[str, ...] = ("jaeger", "prometheus")
    collector_configs: tuple[Path, ...] = ()
    collector_environ: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Path, ...] = ()
    alertmanager_config: Path | None = None
    prometheus_arguments: tuple[str, ...] = ()
    die_with_parent: bool = False


@dataclass(frozen=True)
class Service:
    """How one service is started and how it says that it is ready."""

    command: list[str]
    environ: dict[str, str]
    ready: tuple[str, ...]  # URLs that answer 200


def plan(run_dir: Path, found: programs.Programs, settings: Settings) -> tuple[dict[str, str], dict[str, Service]]:
    """Choose ports, write the configuration that holds them, and return the endpoints and the services in order."""
    taken: set[int] = set()

    def address() -> str:
        return f"127.0.0.1:{processes.free_port(taken)}"

    jaeger_otlp, jaeger_health = address(), address()
    endpoints = {name: address() for name in ("otlp_grpc", "otlp_http", "jaeger_ui", "jaeger_query_grpc",
                 "prometheus", "alertmanager", "collector_metrics", "collector_self", "health")}  # fmt: skip
    config = programs.CONFIG
    for name in SERVICES:
        (run_dir / name).mkdir(exist_ok=True)

    jaeger = Service(
        [str(found.jaeger), "--config", str(config / "jaeger/all-in-one.yaml")],
        {
            "MLOTEL_JAEGER_OTLP_GRPC": jaeger_otlp,
            "MLOTEL_JAEGER_UI": endpoints["jaeger_ui"],
            "MLOTEL_JAEGER_QUERY_GRPC": endpoints["jaeger_query_grpc"],
            "MLOTEL_JAEGER_HEALTH": jaeger_health,
        },
        (f"http://{jaeger_health}/status", f"http://{endpoints['jaeger_ui']}/api/services"),
    )

    host, _, port = endpoints["collector_self"].partition(":")
    files = [config / "base.yaml", *(config / f"{name}.yaml" for name in settings.overlays)]
    collector = Service(
        [str(found.otelcol), *(f"--config={path}" for path in (*files, *settings.collector_configs))],
        {
            "MLOTEL_COLLECTOR_GRPC": endpoints["otlp_grpc"],
            "MLOTEL_COLLECTOR_HTTP": endpoints["otlp_http"],
            "MLOTEL_COLLECTOR_HEALTH": endpoints["health"],
            "MLOTEL_COLLECTOR_DIR": str(run_dir / "collector"),
            "MLOTEL_COLLECTOR_TELEMETRY_HOST": host,
            "MLOTEL_COLLECTOR_TELEMETRY_PORT": port,
            "MLOTEL_SPAN_METRICS_INTERVAL": settings.span_metrics_interval,
            "MLOTEL_JAEGER_ENDPOINT": jaeger_otlp,
            "MLOTEL_PROMETHEUS_ENDPOINT": endpoints["collector_metrics"],
            **settings.collector_environ,
        },
        (f"http://{endpoints['health']}/",),
    )

    alertmanager_config = settings.alertmanager_config or config / "alertmanager/alertmanager.yml"
    alertmanager = Service(
        [
            str(found.alertmanager),
            f"--config.file={alertmanager_config}",
            f"--storage.path={run_dir / 'alertmanager'}",
            f"--web.listen-address={endpoints['alertmanager']}",
            "--cluster.listen-address=",  # no gossip: it would listen on every interface
        ],
        {},
        (f"http://{endpoints['alertmanager']}/-/ready",),
    )

    _write_prometheus_config(run_dir / "prometheus", endpoints, settings)
    prometheus = Service(
        [
            str(found.prometheus),
            f"--config.file={run_dir / 'prometheus/prometheus.yml'}",
            f"--storage.tsdb.path={run_dir / 'prometheus/data'}",
            f"--web.listen-address={endpoints['prometheus']}",
            "--web.enable-lifecycle",
            "--enable-feature=exemplar-storage",
            *settings.prometheus_arguments,
        ],
        {},
        (f"http://{endpoints['prometheus']}/-/ready",),
    )

    for name in endpoints.keys() - {"otlp_grpc", "jaeger_query_grpc"}:
        path = {"collector_metrics": "/metrics", "collector_self": "/metrics"}.get(name, "")
        endpoints[name] = f"http://{endpoints[name]}{path}"
    return endpoints, dict(zip(SERVICES, (jaeger, collector, alertmanager, prometheus), strict=True))


def _write_prometheus_config(folder: Path, endpoints: Mapping[str, str], settings: Settings) -> None:
    text = (programs.CONFIG / "prometheus/prometheus.yml").read_text(encoding="utf-8")
    text, count = re.subn(r"(?m)^(\s+(?:scrape|evaluation)_interval:) .*$", rf"\1 {settings.scrape_interval}", text)
    if count != 2:
        raise StackError("prometheus.yml has no longer one scrape_interval and one evaluation_interval to set")
    (folder / "prometheus.yml").write_text(text, encoding="utf-8")
    targets = folder / "targets"
    targets.mkdir(exist_ok=True)
    addresses = {
        "collector.json": endpoints["collector_metrics"],
        "collector-self.json": endpoints["collector_self"],
        "alertmanager.json": endpoints["alertmanager"],
        "prometheus.json": endpoints["prometheus"],
    }
    for name, address in addresses.items():
        (targets / name).write_text(json.dumps([{"targets": [address]}]) + "\n", encoding="utf-8")
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    for path in settings.rules:
        shutil.copy(path, rules / path.with_suffix(".yml").name)
