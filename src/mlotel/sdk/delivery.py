"""Sending finished spans to the collector that is configured, once, with an answer: for commands, not for pipelines."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from mlotel.errors import ConfigurationError, DeliveryError
from mlotel.sdk._settings import Settings
from mlotel.sdk._transport import make_transport

__all__ = ["deliver"]

_BATCH = 512


def deliver(spans: Sequence[ReadableSpan], settings: Settings | None = None) -> str:
    """Send spans to the collector that is configured, and return its address.

    Args:
        spans: what to send.
        settings: where to; as the ``OTEL_*`` variables say unless given.

    Raises:
        ConfigurationError: no collector is configured.
        DeliveryError: it did not take the spans.
    """
    settings = settings or Settings()
    if settings.disabled or not settings.exports("traces"):
        why = "OTEL_SDK_DISABLED is set" if settings.disabled else "no collector is configured"
        raise ConfigurationError(f"{why}: set OTEL_EXPORTER_OTLP_ENDPOINT, as in http://localhost:4318")
    transport = make_transport(settings, "traces")
    try:
        for first in range(0, len(spans), _BATCH):
            answer = transport.send(encode_spans(spans[first : first + _BATCH]).SerializePartialToString())
            if answer.outcome != "taken" or answer.rejected:
                raise DeliveryError(
                    f"{transport.endpoint} did not take the spans ({answer.detail}): see that a collector listens there"
                )
    finally:
        transport.close()
    return transport.endpoint
