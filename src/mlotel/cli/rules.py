"""`mlotel rules`: Prometheus rules from references."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mlotel._version import __version__
from mlotel.drift import Reference
from mlotel.errors import ConfigurationError
from mlotel.rules import Options, generate, to_yaml

__all__ = ["command"]

_DEFAULTS = Options()


def command(
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            "--reference",
            "-r",
            metavar="FILE",
            help="A reference of a served model, as Reference.save wrote it; repeatable.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to, if not to the standard output.")
    ] = None,
    window: Annotated[str, typer.Option(help="The rows that are judged together: those of this time.")] = (
        _DEFAULTS.window
    ),
    hold: Annotated[str, typer.Option(help="How long something has to be so before it alerts.")] = _DEFAULTS.hold,
    delta: Annotated[float, typer.Option(help="The PSI that is tolerated.")] = _DEFAULTS.delta,
    alpha: Annotated[float, typer.Option(help="The level of all tests of a model in a window together.")] = (
        _DEFAULTS.alpha
    ),
    prediction: Annotated[str, typer.Option(metavar="NAME", help="What predictions are called in references.")] = (
        _DEFAULTS.prediction
    ),
    expect: Annotated[
        list[str] | None,
        typer.Option(metavar="COMPONENT=TIME", help="A component that has to succeed at least so often; repeatable."),
    ] = None,
    objective: Annotated[float, typer.Option(help="The share of runs and requests that must end well and in time.")] = (
        _DEFAULTS.objective
    ),
    run_seconds: Annotated[float, typer.Option(help="How long a run may take.")] = _DEFAULTS.run_seconds,
    request_seconds: Annotated[float, typer.Option(help="How long a request may take.")] = _DEFAULTS.request_seconds,
    runs: Annotated[
        str, typer.Option(metavar="spans|process", help="Count runs by the collector's spans, or by each process.")
    ] = _DEFAULTS.runs,
    jobs: Annotated[
        list[str] | None, typer.Option("--job", metavar="JOB", help="A scrape job that must be up.")
    ] = None,
    wasserstein: Annotated[
        bool, typer.Option("--wasserstein/--no-wasserstein", help="Compute Wasserstein's distance too: many lines.")
    ] = _DEFAULTS.wasserstein,
    runbooks: Annotated[str, typer.Option(metavar="URL", help="Where docs/alerts.md is read.")] = _DEFAULTS.runbooks,
    dashboards: Annotated[str, typer.Option(metavar="URL", help="Where Grafana is.")] = _DEFAULTS.dashboards,
) -> None:
    """Write recording and alert rules for Prometheus: drift of served models, runs, and the telemetry itself.

    Example: mlotel rules -r reference.json --expect train=26h -o rules.yml
    """
    chosen: dict[str, Any] = {
        "window": window, "hold": hold, "delta": delta, "alpha": alpha, "prediction": prediction,
        "expect": _expected(expect or ()), "objective": objective, "run_seconds": run_seconds,
        "request_seconds": request_seconds, "runs": runs, "wasserstein": wasserstein, "runbooks": runbooks,
        "dashboards": dashboards,
    }  # fmt: skip
    if jobs:
        chosen["jobs"] = tuple(jobs)
    options = Options(**chosen)
    text = to_yaml(
        generate([Reference.load(each) for each in reference or ()], options),
        head=f"Written by mlotel {__version__}: change what it is told, not this file.",
    )
    if output is None:
        sys.stdout.write(text)
        return
    draft = output.with_name(f"{output.name}.{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(output)


def _expected(said: Sequence[str]) -> dict[str, str]:
    expected = {}
    for each in said:
        component, separator, time = each.rpartition("=")
        if not separator or not component:
            raise ConfigurationError(f"--expect {each!r}: write it as COMPONENT=TIME, train=26h")
        expected[component] = time
    return expected
