"""Which component run is the current one: it stands in the OpenTelemetry context, which threads and tasks have each."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from opentelemetry import context as context_api
from opentelemetry.context import Context

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["current_run", "run_in", "with_run"]

_RUN = context_api.create_key("mlotel-run")


def current_run() -> ActiveRun | None:
    """Return the innermost component run of this context (thread or task), or None outside of any."""
    return cast("ActiveRun | None", context_api.get_value(_RUN))


def run_in(context: Context) -> ActiveRun | None:
    """Return the innermost component run of a context, or None where it holds none."""
    return cast("ActiveRun | None", context.get(_RUN))


def with_run(run: ActiveRun, context: Context) -> Context:
    """Return a context like `context` in which `run` is the current one."""
    return context_api.set_value(_RUN, run, context)
