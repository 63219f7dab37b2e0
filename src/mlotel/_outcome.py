"""What the end of a run says: its state, and the exception that ended it."""

from __future__ import annotations

import traceback
from typing import Any

from mlotel._runtime import describe, message
from mlotel.semconv import attributes as A

__all__ = ["exception_attributes", "outcome", "status_text"]


def outcome(error: BaseException | type[BaseException] | str | None) -> tuple[str, str | None]:
    """Return the state a run ends in, and the error's type where it is one.

    SystemExit is success or failure by its code. A generator that is closed early did what it was asked. What else
    is no Exception (KeyboardInterrupt, CancelledError, trio's Cancelled) asks the run to stop: cancelled, no failure.
    """
    if error is None or isinstance(error, GeneratorExit):
        return "ok", None
    if isinstance(error, str):
        return "failed", "_OTHER"  # what OpenTelemetry calls an error without a type
    if isinstance(error, type) and issubclass(error, BaseException):  # end(error=ValueError): the class will do
        return "failed", error.__qualname__
    if isinstance(error, SystemExit):
        return ("ok", None) if error.code in (None, 0) else ("failed", "SystemExit")
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ("failed" if isinstance(error, Exception) else "cancelled"), name


def status_text(error: BaseException | str | None) -> str:
    """Return the description of a failed run's span status."""
    return (describe(error) if isinstance(error, BaseException) else str(error))[:1000]


def exception_attributes(error: BaseException, error_type: str) -> dict[str, Any]:
    """Return the attributes of the log record of an exception: long texts are cut, of a traceback its end is kept."""
    lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-50)
    return {
        A.EXCEPTION_TYPE: error_type,
        A.EXCEPTION_MESSAGE: message(error)[:4000],
        A.EXCEPTION_STACKTRACE: "".join(lines)[-16_000:],
    }
