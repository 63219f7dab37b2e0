"""The edge where mlotel meets the OpenTelemetry SDK: which providers, exporters and store a process's runs go to."""

from __future__ import annotations

from mlotel.sdk._runtime import configure, flush, runtime, shutdown

__all__ = ["configure", "flush", "runtime", "shutdown"]
