"""Sending finished spans to the collector that is configured, once, with an answer: for commands, not for pipelines."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from mlotel import uris
from mlotel.errors import ConfigurationError, DeliveryError, MlotelError
from mlotel.sdk._exporters import make_exporter
from mlotel.sdk._settings import Settings

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
    endpoint = uris.clean(settings.endpoint_of("traces") or settings.found_endpoint("traces"))
    exporter = make_exporter(settings, "traces")
    try:
        with _reasons() as reasons:
            for first in range(0, len(spans), _BATCH):
                if exporter.export(spans[first : first + _BATCH]) is not SpanExportResult.SUCCESS:
                    raise _refused(endpoint, reasons[-1] if reasons else "")
    except MlotelError:
        raise
    except Exception as error:  # some versions of the exporters raise what others log
        raise _refused(endpoint, str(error)) from error
    finally:
        exporter.shutdown()
    return endpoint


def _refused(endpoint: str, reason: str) -> DeliveryError:
    why = f" ({uris.hide_credentials(reason)})" if reason else ""
    return DeliveryError(f"{endpoint} did not take the spans{why}: see that a collector listens there")


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(" ".join(record.getMessage().split()).rstrip("."))


@contextmanager
def _reasons() -> Iterator[list[str]]:
    """Collect what the exporter logs, instead of letting it be printed: it is told in the error."""
    logger = logging.getLogger("opentelemetry.exporter")
    heard, propagated = _Heard(), logger.propagate
    logger.addHandler(heard)
    logger.propagate = False
    try:
        yield heard.said
    finally:
        logger.removeHandler(heard)
        logger.propagate = propagated
