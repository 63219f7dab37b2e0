"""Which runtime a run gets: the application's providers, mlotel's own towards a collector, or the embedded store."""

from __future__ import annotations

import atexit
import functools
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace
from opentelemetry import trace

from mlotel._forks import Lock, no_fork_meanwhile
from mlotel._runtime import Runtime, guard, nothing
from mlotel._version import __version__
from mlotel.errors import ConfigurationError, StoreError
from mlotel.sdk._building import application_providers, build, global_providers, make_instruments, with_process
from mlotel.sdk._losses import Losses
from mlotel.sdk._recorder import Recorder
from mlotel.sdk._settings import Settings
from mlotel.sdk._tracer import Lines
from mlotel.semconv import SCOPE_NAME
from mlotel.store.encoding import LineEncoder
from mlotel.store.journal import Journal

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader

    from mlotel.sdk._providers import Collector

__all__ = [
    "configure",
    "default_store",
    "flush",
    "journal",
    "read_metrics",
    "recorder",
    "retractions_changed",
    "runtime",
    "shutdown",
]

EXIT_SECONDS = 2.0

_lock = Lock()
_settings = Settings()
_state: _State | None = None
_retired: list[Collector] = []
_losses: list[Losses] = []
"""What counts the losses of the runtimes that were in use, to be said at exit."""
_reader: MetricReader | None = None
"""What reads this process's metrics where no collector is sent them."""
_scraped: Any = None
"""The provider that it reads: a reader takes one in its life, and runtimes come and go."""
_journal: Journal | None = None
"""Where what is said of runs after the fact was last written to."""


@dataclass(slots=True)
class _State:
    """The runtime in use, and what it was made for: it is made anew when any of that changes."""

    runtime: Runtime
    pid: int
    seen: tuple[object, object, object]
    collector: Collector | None = None
    losses: Losses = field(default_factory=Losses)
    look_again: float = 0.0


def runtime() -> Runtime:
    """Return the runtime for a run that starts now.

    An application may set its providers after mlotel was first used: they are taken from then on.
    """
    state = _state
    if state is not None and state.pid == os.getpid() and state.seen[0] is trace.get_tracer_provider():
        now = time.monotonic()
        if now < state.look_again:
            return state.runtime
        # loggers and meters are set together with tracers as a rule: once a second is often enough
        state.look_again = now + 1.0
        if state.seen == global_providers():
            return state.runtime
    with no_fork_meanwhile(), _lock:
        return _renew().runtime


def configure(
    *,
    store: str | os.PathLike[str] | Literal[False] | None = None,
    endpoint: str | None = None,
    protocol: Literal["grpc", "http/protobuf"] | None = None,
    headers: Mapping[str, str] | None = None,
    service_name: str | None = None,
    resource_attributes: Mapping[str, Any] | None = None,
    digest: Literal["blake3", "sha256"] | None = None,
    record_key_secret: str | bytes | Literal[False] | None = None,
    redact: Callable[[str, Any], Any] | Literal[False] | None = None,
    exception_text: bool | None = None,
) -> None:
    """Say where runs go, where the standard ``OTEL_*`` variables and ``MLOTEL_STORE`` do not say it.

    What is given here wins over the environment; what is left out stays as it was. Providers that the application set
    are used in any case.

    Args:
        store: The folder of the embedded store, made if need be; False for none.
        endpoint: The collector's base URL, such as ``http://localhost:4318`` (for gRPC ``http://localhost:4317``).
        protocol: ``http/protobuf`` (the default) or ``grpc``.
        headers: Headers of each request to the collector; never written to disk.
        service_name: The resource attribute ``service.name``.
        resource_attributes: More resource attributes: few values each.
        digest: The algorithm of artifacts' digests, ``blake3`` (the default) or ``sha256``.
        record_key_secret: What the keys of predictions are hashed with, so that the keys themselves are nowhere on
            disk; by default that of ``MLOTEL_RECORD_KEY_SECRET``, or else one that the store makes for itself. False
            keeps them in clear.
        redact: A function that takes an attribute's name and value, and returns what leaves the process in its place:
            in spans, log records, the store and labels of metrics (docs/privacy.md). False for none.
        exception_text: Whether messages and stack traces of exceptions leave the process; by default they do, unless
            ``MLOTEL_EXCEPTION_TEXT`` says ``false``.

    Raises:
        ConfigurationError: a value cannot be used; the message says what to write.
        StoreError: the store cannot be written.
    """
    global _settings
    with _lock:
        changes: dict[str, Any] = {
            "store": store if store is None or store is False else _writable(store),
            "endpoint": endpoint,
            "protocol": protocol,
            "headers": headers,
            "service_name": service_name,
            "resource_attributes": resource_attributes,
            "digest": digest,
            "record_key_secret": record_key_secret,
            "redact": redact,
            "exception_text": exception_text,
        }
        _settings = _settings.updated(changes)
        _retire()


def flush() -> bool:
    """Send what waits to be sent; return whether it arrived. What is in the embedded store is there already."""
    with _lock:
        collectors = [*_retired, *([] if _state is None or _state.collector is None else [_state.collector])]
    arrived = [collector.flush() for collector in collectors]
    return all(arrived)


def shutdown(timeout: float = EXIT_SECONDS) -> bool:
    """Send what waits for `timeout` seconds at most and let go of everything; a later run starts anew.

    Returns whether all of it was sent. It is called at exit by itself; functions that are frozen between calls
    (serverless) call `flush` instead.
    """
    with _lock:
        _retire()
        collectors, losses = list(_retired), list(_losses)
        _retired.clear()
        _losses.clear()
    until = time.monotonic() + timeout
    done = [collector.close(until) for collector in collectors]
    for each in losses:
        each.say()
    return all(done)


def read_metrics(reader: MetricReader | None) -> None:
    """Let `reader` read the metrics of this process from now on, in place of the one before; None ends that.

    Raises:
        ConfigurationError: telemetry is switched off, or metrics go elsewhere already.
    """
    global _reader, _scraped
    with _lock:
        if reader is not None:
            if _settings.disabled:
                raise ConfigurationError("OTEL_SDK_DISABLED switches telemetry off: unset it to have metrics scraped")
            if application_providers()[2] is not None:
                raise ConfigurationError(
                    "the application has a meter provider of its own: give that one a reader for Prometheus"
                )
            if _settings.exports("metrics"):
                raise ConfigurationError(
                    "metrics go to a collector already, which offers them for scraping: set "
                    "OTEL_METRICS_EXPORTER=none to have this process scraped instead"
                )
        _reader, _scraped = reader, None
        _retire()


def default_store() -> Path | None:
    """Return the folder of the embedded store, whether it is there or not; None where it is switched off."""
    return _settings.store_root


def journal(root: Path) -> Journal:
    """Return what writes to the store at `root`: the same one as last time, so that records share a segment."""
    global _journal
    with _lock:
        if _journal is None or _journal.root != Path(os.path.abspath(root)):
            _journal = Journal(root)
        return _journal


def recorder(lines: Lines | None) -> Recorder:
    """Return what writes a record of something that was said after the fact.

    Args:
        lines: the store, None for none. The logger of the application or of a collector takes it in any case.
    """
    resource = _settings.resource()
    logs = None
    sent = _settings.otlp or application_providers()[1] is not None
    if sent and not _settings.disabled:  # else there is no need for a runtime
        logs = runtime().logs
    return Recorder(lines, LineEncoder(resource, SCOPE_NAME, __version__), logs, _settings.redaction)


def retractions_changed() -> None:
    """Let the runs of this process see at once that this process retracted a label, or gave one."""
    with _lock:
        if _state is not None:
            _state.runtime.retractions.look_again()


def _retire() -> None:
    """Let go of the runtime in use, with the lock held.

    Runs may be open that hold on to it, and what they still write must arrive: its collector is closed at exit, and its
    journal when the last run has let go of it.
    """
    global _state
    if _state is not None:
        _losses.append(_state.losses)
        if _state.collector is not None:
            _retired.append(_state.collector)
    _state = None


@functools.cache
def _register_exit() -> None:
    atexit.register(shutdown)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _register_process_end()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _register_process_end(*_: object) -> None:
    """Let go of everything at the end of a process of `multiprocessing`, which never comes to `atexit`."""
    from multiprocessing.util import Finalize

    Finalize(None, shutdown, exitpriority=0)


def _after_fork() -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # not at once: a child of multiprocessing forgets what its parent wanted done first
        util.register_after_fork(shutdown, _register_process_end)


def _renew() -> _State:
    global _state
    state = _state
    seen = global_providers()
    if state is not None and state.seen == seen:
        if state.pid == os.getpid():
            return state
        # a forked child keeps its parent's providers (the SDK mends them), counts by itself and has its own attributes
        state.pid = os.getpid()
        state.runtime = with_process(state.runtime)
        application = application_providers()[2]
        meters = application or (_scraped if state.collector is None else state.collector.meter_provider)
        if meters is not None:
            state.losses.count_with(meters.get_meter(SCOPE_NAME, __version__), sends=state.collector is not None)
            if application is None:
                state.runtime = replace(state.runtime, instruments=make_instruments(meters, _settings.redaction))
        return state
    _retire()
    try:
        made, collector, losses = build(_settings, _scraped_provider())
        _state = _State(made, os.getpid(), seen, collector, losses)
    except Exception as error:
        guard("telemetry could not be set up, runs are not recorded", error)
        _state = _State(nothing(), os.getpid(), seen)
    _register_exit()
    return _state


def _scraped_provider() -> Any:
    """Return the provider that is scraped, where metrics are read so and go nowhere else."""
    global _scraped
    if _reader is None or _settings.disabled or application_providers()[2] is not None or _settings.exports("metrics"):
        return None
    if _scraped is None:
        from mlotel.sdk._providers import scraped_provider

        _scraped = scraped_provider(_settings, _reader)
    return _scraped


def _writable(store: object) -> Path:
    """Return the folder of a store if one can be written there. Raises ConfigurationError and StoreError."""
    if not isinstance(store, (str, os.PathLike)) or not os.fspath(store):
        raise ConfigurationError(f"store must be a folder's path, or False for none, not {store!r}")
    root = Path(os.path.abspath(Path(os.fsdecode(store)).expanduser()))
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = root / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StoreError(f"the store {root} cannot be written ({error.strerror}): name another folder") from error
    return root
