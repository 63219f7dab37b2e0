"""Metrics offered to Prometheus by the process itself, without a collector, under the same names as behind one.

Several processes of one server share a folder: each writes what it has counted there once a second and when it ends,
and one of them offers the sums. Counts of processes that ended stay in the sums, so that counters never fall.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics import export
from prometheus_client import CollectorRegistry
from prometheus_client import start_http_server as _start
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from mlotel import provenance, sdk, serving
from mlotel._runtime import guard
from mlotel.errors import ConfigurationError
from mlotel.exposition import label_name, metric_name
from mlotel.semconv.metrics import Metric
from mlotel.store.journal import private
from mlotel.store.liveness import is_alive

__all__ = ["Server", "share", "start_http_server"]

SECONDS = 1.0
"""How often a process writes what it has counted."""

_ENDED = "ended.json"
_LARGEST = 64 * 2**20  # bytes, far more than a process has metrics
_ADD, _MOST = "add", "most"
"""How the values of processes become one: counts add up, of other values the greatest stands."""

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class _Series:
    """The samples of one metric: values by their names and labels."""

    kind: str
    help: str
    merge: str
    samples: dict[Key, float]


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is running: its port, and how to end it."""

    port: int
    _server: Any
    _thread: threading.Thread

    def close(self) -> None:
        """Stop offering metrics."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def start_http_server(port: int, addr: str = "127.0.0.1", *, folder: str | os.PathLike[str] | None = None) -> Server:
    """Offer the metrics of this process to Prometheus, at ``http://addr:port/metrics``.

    Args:
        port: where to listen; 0 for any free one.
        addr: the address, by default that of this machine alone. The metrics need no authentication, and name features
            and classes.
        folder: where several processes share what they counted: this one, those forked from it, and all that called
            `share`. It must be empty when the first of them starts, and on this machine.

    Raises:
        ConfigurationError: metrics go elsewhere already, or the port is taken.
    """
    exposure = _exposed(None if folder is None else Path(folder))
    registry = CollectorRegistry()
    registry.register(exposure)
    try:
        server, thread = _start(port, addr, registry)
    except OSError as error:
        raise ConfigurationError(
            f"{addr}:{port} cannot be listened on ({error.strerror}): name another port"
        ) from error
    return Server(server.server_port, server, thread)


def share(folder: str | os.PathLike[str]) -> None:
    """Let the process that offers the metrics of `folder` offer those of this process too.

    Raises:
        ConfigurationError: metrics go elsewhere already, or the folder cannot be written.
    """
    _exposed(Path(folder))


class _Exposure(Collector):
    """The metrics of this process, or of all that share its folder."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._begin()
        serving.bind()  # a model that is monitored already is offered before its next row
        if folder is None:
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be written ({error.strerror}): name another folder") from error
        atexit.register(self._write_guarded)
        self._keep_writing()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._reader = export.InMemoryMetricReader()
        sdk.read_metrics(self._reader)
        sdk.runtime()  # so that what is there is exported from now on

    def forked(self) -> None:
        """In a child: metrics begin at 0, under the child's own name."""
        try:
            self._begin()
            if self.folder is not None:
                self._keep_writing()
        except Exception as error:
            guard("metrics of a forked process are not offered", error)

    def collect(self) -> Iterable[Family]:
        """Yield each metric: what prometheus-client asks for at each scrape."""
        for name, series in sorted(self._all().items()):
            family = Family(name.removesuffix("_total"), series.help, series.kind)
            for (sample, labels), value in series.samples.items():
                family.add_sample(sample, dict(labels), value)
            yield family

    def describe(self) -> Iterable[Family]:
        """Return no names: nothing is read before it is scraped."""
        return ()

    def _all(self) -> dict[str, _Series]:
        if self.folder is None:
            return self._own()
        self._write_guarded()
        with _locked(self.folder):
            return _together(self.folder)

    def _own(self) -> dict[str, _Series]:
        with self._lock:
            data = self._reader.get_metrics_data()
        found: dict[str, _Series] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    _add(found, metric)
        return found

    def _write(self) -> None:
        if self.folder is None:
            return
        me = provenance.identity()
        path = self.folder / f"{me.pid}-{me.start_ticks or 0}.json"
        document = {name: _document(series) for name, series in self._own().items()}
        _replace(path, document)

    def _write_guarded(self) -> None:
        try:
            self._write()
        except Exception as error:
            guard("metrics of this process are not shared", error)

    def _keep_writing(self) -> None:
        def write() -> None:
            while True:
                time.sleep(SECONDS)
                self._write_guarded()

        threading.Thread(target=write, name="mlotel-scrape", daemon=True).start()


_exposure: _Exposure | None = None


def _exposed(folder: Path | None) -> _Exposure:
    global _exposure
    if _exposure is None or _exposure.folder != folder:
        if _exposure is None and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: _exposure.forked() if _exposure is not None else None)
        _exposure = _Exposure(folder)
    return _exposure


# -- one process's metrics


def _add(found: dict[str, _Series], metric: Any) -> None:
    """Add what an SDK collected of a metric; several meters may have one of the same name."""
    data = metric.data
    if isinstance(data, export.Histogram):
        kind, merge = "histogram", _ADD
    elif isinstance(data, export.Sum):
        kind, merge = ("counter" if data.is_monotonic else "gauge"), _ADD
    elif isinstance(data, export.Gauge):
        kind, merge = "gauge", _MOST
    else:
        return
    instrument: Any = "updowncounter" if kind == "gauge" and merge == _ADD else kind
    name = metric_name(Metric(metric.name, metric.unit or "", "", instrument))
    series = found.setdefault(name, _Series(kind, metric.description or "", merge, {}))
    for point in data.data_points:
        labels = tuple(sorted((label_name(key), f"{value}") for key, value in (point.attributes or {}).items()))
        if kind != "histogram":
            series.samples[name, labels] = point.value
            continue
        below = 0
        for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
            below += count
            series.samples[f"{name}_bucket", (*labels, ("le", _bound(bound)))] = below
        series.samples[f"{name}_count", labels] = point.count
        series.samples[f"{name}_sum", labels] = point.sum


def _bound(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call] # prometheus-client does not say
    return text


# -- several processes' metrics


def _together(folder: Path) -> dict[str, _Series]:
    """Return the sums over all processes, and put those of processes that ended into one file."""
    ended_path = folder / _ENDED
    ended = _read(ended_path) if ended_path.exists() else {"files": [], "metrics": {}}
    total = {name: _series(document) for name, document in ended["metrics"].items()}
    living: list[dict[str, _Series]] = []
    gone: list[Path] = []
    for path in sorted(folder.glob("*-*.json")):
        if path.name in ended["files"]:
            path.unlink(missing_ok=True)
            continue
        try:
            found = {name: _series(each) for name, each in _read(path).items()}
            pid, ticks = map(int, path.stem.split("-"))
        except (OSError, ValueError, TypeError, AttributeError):  # none of ours, or gone meanwhile
            continue
        if is_alive(pid, start_ticks=ticks or None):
            living.append(found)
        else:
            gone.append(path)
            # What is no count ends with its process
            lasting = {name: each for name, each in found.items() if each.kind in ("counter", "histogram")}
            _merge(total, lasting)
    if gone:
        documents = {name: _document(series) for name, series in total.items()}
        _replace(ended_path, {"files": [path.name for path in gone], "metrics": documents})
        for path in gone:
            path.unlink(missing_ok=True)
    for found in living:
        _merge(total, found)
    return total


def _merge(total: dict[str, _Series], found: dict[str, _Series]) -> None:
    for name, series in found.items():
        mine = total.setdefault(name, _Series(series.kind, series.help, series.merge, {})).samples
        for key, value in series.samples.items():
            if key not in mine:
                mine[key] = value
            else:
                mine[key] = mine[key] + value if series.merge == _ADD else max(mine[key], value)


def _document(series: _Series) -> list[Any]:
    return [series.kind, series.help, series.merge, [[*key, value] for key, value in series.samples.items()]]


def _series(document: list[Any]) -> _Series:
    kind, help_, merge, samples = document
    return _Series(kind, help_, merge, {(name, tuple(map(tuple, labels))): value for name, labels, value in samples})


def _read(path: Path) -> Any:
    """Return what a file holds. Raises OSError, and ValueError for what none of ours holds."""
    with open(path, "rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"{path} is larger than the metrics of any process")
    return json.loads(content)


def _replace(path: Path, document: object) -> None:
    draft = path.with_name(f".{path.name}.{threading.get_ident()}")
    with open(draft, "w", encoding="utf-8", opener=private) as file:
        json.dump(document, file)
    draft.replace(path)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # only POSIX has it; elsewhere one process alone should offer a folder
        yield
        return
    with open(folder / ".lock", "w", encoding="utf-8", opener=private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
