"""What the user asked for: arguments of `mlotel.configure` before the standard `OTEL_*` variables."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from mlotel._runtime import logger
from mlotel.errors import ConfigurationError
from mlotel.semconv import attributes as A
from mlotel.store.location import STORE_VARIABLE, find_store
from mlotel.store.predictions.keys import secret_of

__all__ = ["SIGNALS", "Settings", "Signal"]

Signal = Literal["traces", "logs", "metrics"]
SIGNALS: tuple[Signal, ...] = ("traces", "logs", "metrics")
SPOOL_VARIABLE = "MLOTEL_SPOOL_MAX_BYTES"

_SPOOL_BYTES = 2**30

_PROTOCOLS = ("grpc", "http/protobuf")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process. None means: as the environment says."""

    store: Path | Literal[False] | None = None
    endpoint: str | None = None
    protocol: str | None = None
    headers: Mapping[str, str] | None = None
    service_name: str | None = None
    resource_attributes: Mapping[str, Any] = field(default_factory=dict)
    digest: str = "blake3"
    record_key_secret: str | bytes | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def updated(self, changes: Mapping[str, Any]) -> Settings:
        """Return these settings with `changes` that are not None. Raises ConfigurationError."""
        for key, value in changes.items():
            if value is not None:
                _check_type(key, value)
        changed = replace(self, **{key: value for key, value in changes.items() if value is not None})
        if changed.protocol is not None and changed.protocol not in _PROTOCOLS:
            raise ConfigurationError(f"protocol must be one of {', '.join(_PROTOCOLS)}, not {changed.protocol!r}")
        if changed.endpoint is not None:
            _check_endpoint(changed.endpoint)
        if changed.digest not in ("blake3", "sha256"):
            raise ConfigurationError(f"digest must be blake3 or sha256, not {changed.digest!r}")
        return changed

    @property
    def disabled(self) -> bool:
        """Whether `OTEL_SDK_DISABLED` switches telemetry off."""
        return self.environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"

    @property
    def store_root(self) -> Path | None:
        """Where the embedded store is, or would be; None where it is switched off."""
        if self.store is False:
            return None
        return self.store or find_store(env=self.environment)

    @property
    def store_wanted(self) -> bool:
        """Whether the user asked for the embedded store beside a collector."""
        if self.store is not None:
            return self.store is not False
        return bool(self.environment.get(STORE_VARIABLE, "").strip()) and self.store_root is not None

    @property
    def record_secret(self) -> bytes | None:
        """What keys of records are hashed with; None where they are kept in clear."""
        said = self.record_key_secret
        return (said.encode("utf-8", "surrogateescape") if isinstance(said, str) else said) or secret_of(
            self.environment
        )

    @property
    def otlp(self) -> bool:
        """Whether a collector is configured."""
        return any(self.exports(signal) for signal in SIGNALS)

    @property
    def spool_bytes(self) -> int:
        """How large the spool may become."""
        said = self.environment.get(SPOOL_VARIABLE, "").strip()
        if said and not said.isdigit():
            logger.warning("mlotel: %s=%s is no number of bytes: %d is used", SPOOL_VARIABLE, said, _SPOOL_BYTES)
        return int(said) if said.isdigit() else _SPOOL_BYTES

    def resource(self) -> dict[str, Any]:
        """Return the attributes of this process's resource: few values each, since a collector may make labels of them.

        `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` win over what is found, arguments of `configure` over both.
        """
        attributes: dict[str, Any] = {
            A.SERVICE_NAME: "unknown_service",  # the name that the specification gives to a service without one
            A.PROCESS_RUNTIME_NAME: platform.python_implementation().lower(),
            A.PROCESS_RUNTIME_VERSION: platform.python_version(),
            A.HOST_NAME: platform.node(),
            A.HOST_ARCH: platform.machine(),
            A.OS_TYPE: platform.system().lower(),
        }
        for pair in self.environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
            key, separator, value = pair.partition("=")
            if separator and key.strip():
                attributes[key.strip()] = unquote(value.strip())
        attributes.update(self.resource_attributes)
        name = self.service_name or self.environment.get("OTEL_SERVICE_NAME", "").strip()
        if name:
            attributes[A.SERVICE_NAME] = name
        return attributes

    def exports(self, signal: Signal) -> bool:
        """Whether `signal` is sent to a collector."""
        exporter = self.environment.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower()
        if exporter == "none":
            return False
        if exporter not in ("", "otlp"):
            logger.warning("mlotel: OTEL_%s_EXPORTER=%s is not known here: otlp is used", signal.upper(), exporter)
        named = self.endpoint or self.variable(signal, "ENDPOINT")
        return named is not None or exporter == "otlp"

    def protocol_of(self, signal: Signal) -> str:
        """Return the protocol for `signal`: ``http/protobuf`` unless another is asked for."""
        asked = self.protocol or self.variable(signal, "PROTOCOL") or "http/protobuf"
        if asked not in _PROTOCOLS:
            logger.warning("mlotel: OTLP protocol %s is not known here: http/protobuf is used", asked)
            return "http/protobuf"
        return asked

    def endpoint_of(self, signal: Signal) -> str | None:
        """Return the endpoint to give the exporter of `signal`; None where it finds it in the environment itself."""
        if self.endpoint is None:
            return None
        if self.protocol_of(signal) == "grpc":
            return self.endpoint
        return f"{self.endpoint.rstrip('/')}/v1/{signal}"

    def found_endpoint(self, signal: Signal) -> str:
        """Return the endpoint that the exporter of `signal` finds in the environment."""
        grpc = self.protocol_of(signal) == "grpc"
        own = self.environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
        if own:
            return own
        base = self.environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        if grpc:
            return base or "http://localhost:4317"
        return f"{(base or 'http://localhost:4318').rstrip('/')}/v1/{signal}"

    def variable(self, signal: Signal, name: str) -> str | None:
        """Return what the exporters' variable of that name says, that of the signal first; None where there is none."""
        for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
            value = self.environment.get(variable, "").strip()
            if value:
                return value
        return None


def _check_type(key: str, value: object) -> None:
    if key in ("endpoint", "protocol", "service_name", "digest"):
        if not isinstance(value, str):
            raise ConfigurationError(f"{key} must be text, not {type(value).__name__}")
    elif key == "record_key_secret":
        if not isinstance(value, str | bytes) or not value:
            raise ConfigurationError("record_key_secret must be text or bytes, and not empty")
    elif key in ("headers", "resource_attributes"):
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise ConfigurationError(f"{key} must be a mapping of names to values, not {type(value).__name__}")
        if key == "headers" and not all(isinstance(text, str) for text in value.values()):
            raise ConfigurationError("headers must have text as values: write str(...) around numbers")


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        # it is not shown: it may hold a password
        raise ConfigurationError("endpoint is no URL: write it as http://host:4318")
