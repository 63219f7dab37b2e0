"""Sends what is in the spool to a collector, at least once."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.util.re import parse_env_headers

from mlotel._log import logger
from mlotel.errors import ConfigurationError
from mlotel.sdk._runtime import SPOOL
from mlotel.sdk._settings import Settings, Signal
from mlotel.store.journal import SEGMENTS, host_key
from mlotel.store.liveness import is_alive
from mlotel.store.segments import segment_writer

__all__ = ["SPOOL", "Replayed", "replay"]

_BATCH = 200  # lines in a request: some 300 KB
_SIGNALS: dict[bytes, Signal] = {b'{"resourceSpans":[': "traces", b'{"resourceLogs":[': "logs"}
_END = b"]}"


@dataclass(slots=True)
class Replayed:
    """What became of the lines of a spool. `error` says why the rest was kept."""

    sent: int = 0
    rejected: int = 0
    kept: int = 0
    error: str | None = None


def replay(root: Path, endpoint: str | None = None, *, settings: Settings | None = None) -> Replayed:
    """Send the lines that could not be sent before, and remove those that arrived.

    A line is removed after the collector took it, so that an interruption sends it again rather than never; the
    collector's answer to a malformed one (400) removes it too, counted as rejected.

    Args:
        root: The folder of the store whose spool is sent.
        endpoint: The collector's base URL for OTLP/HTTP; by default that of the ``OTEL_*`` variables.
        settings: Those of the process, by default.

    Raises:
        ConfigurationError: there is no endpoint, or only one for gRPC.
    """
    settings = (settings or Settings()).updated({"endpoint": endpoint})
    if endpoint is None and not settings.otlp:
        raise ConfigurationError("no collector is configured: give --endpoint http://host:4318")
    if endpoint is None and settings.protocol_of("traces") == "grpc":
        raise ConfigurationError("lines are sent by OTLP/HTTP: give --endpoint http://host:4318")
    headers = {**parse_env_headers(settings.environment.get("OTEL_EXPORTER_OTLP_HEADERS", ""), liberal=True)}
    headers.update(settings.headers or {})
    done = Replayed()
    folder = root / SPOOL / SEGMENTS
    for segment in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        _send_segment(segment, settings, headers, done)
    return done


def _send_segment(segment: Path, settings: Settings, headers: Mapping[str, str], done: Replayed) -> None:
    progress = segment.with_suffix(".sent")
    start = _read_offset(progress)
    with open(segment, "rb") as file:
        file.seek(start)
        lines = file.read().splitlines(keepends=True)
    offset = start
    for prefix, batch in _batches([line for line in lines if line.endswith(b"\n")]):
        size = sum(map(len, batch))
        if done.error is None:
            _send(prefix, batch, settings, headers, done)
        if done.error is not None:
            done.kept += len(batch)
            continue
        offset += size
        progress.write_text(str(offset), encoding="ascii")
    if done.error is None and not _is_written(segment):
        segment.unlink()
        progress.unlink(missing_ok=True)


def _batches(lines: list[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield runs of lines of one signal, with what they begin with (nothing: lines of no known form)."""
    batch: list[bytes] = []
    prefix = b""
    for line in lines:
        found = next((known for known in _SIGNALS if line.startswith(known)), b"")
        if batch and (found != prefix or len(batch) >= _BATCH):
            yield prefix, batch
            batch = []
        prefix = found
        batch.append(line)
    if batch:
        yield prefix, batch


def _send(prefix: bytes, batch: list[bytes], settings: Settings, headers: Mapping[str, str], done: Replayed) -> None:
    if not prefix:  # blank, or torn when the disk was full
        done.rejected += sum(bool(line.strip()) for line in batch)
        return
    signal = _SIGNALS[prefix]
    # each line is a whole request; the lists of several are put into one
    bodies = [line.rstrip()[len(prefix) : -len(_END)] for line in batch if line.rstrip().endswith(_END)]
    url = settings.endpoint_of(signal) or settings.found_endpoint(signal)
    request = urllib.request.Request(
        url, prefix + b",".join(bodies) + _END, {"Content-Type": "application/json", **headers}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30):
            done.sent += len(bodies)
            done.rejected += len(batch) - len(bodies)
    except urllib.error.HTTPError as error:
        if error.code == 400 and len(batch) > 1:  # one bad line must not keep the others
            for line in batch:
                _send(prefix, [line], settings, headers, done)
        elif error.code in (400, 404, 405, 501):
            logger.warning("mlotel: %s refused %d lines of %s: %s", url, len(batch), signal, error)
            done.rejected += len(batch)
        else:
            done.error = f"{url}: {error}"
    except OSError as error:
        done.error = f"{url}: {getattr(error, 'reason', error)}"


def _read_offset(progress: Path) -> int:
    try:
        return int(progress.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _is_written(segment: Path) -> bool:
    """Return whether the process that began a segment may still append to it."""
    writer = segment_writer(segment.name)
    if writer is None:
        return False
    return writer[1] != host_key() or writer[2] == os.getpid() or is_alive(writer[2])
