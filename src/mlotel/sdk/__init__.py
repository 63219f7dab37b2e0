"""The edge where mlotel meets the OpenTelemetry SDK: which providers, exporters and store a process's runs go to."""

from __future__ import annotations

from mlotel.sdk._recorder import Recorder
from mlotel.sdk._runtime import (
    configure,
    default_store,
    flush,
    journal,
    read_metrics,
    recorder,
    retractions_changed,
    runtime,
    shutdown,
)
from mlotel.sdk._sinks import JournalEvents
from mlotel.sdk._tracer import JournalTracer, Lines

__all__ = [
    "JournalEvents",
    "JournalTracer",
    "Lines",
    "Recorder",
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
