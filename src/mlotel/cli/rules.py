"""`mlotel rules`: Prometheus rules from references."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mlotel._version import __version__
from mlotel.drift import Reference
from mlotel.errors import ConfigurationError
from mlotel.rules import Options, generate, to_yaml

__all__ = ["command"]

_DEFAULTS = Options()


@click.command()
@click.option(
    "--reference",
    "-r",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A reference of a served model, as Reference.save wrote it; repeatable.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Where to, if not to the standard output."
)
@click.option("--window", default=_DEFAULTS.window, help="The rows that are judged together: those of this time.")
@click.option("--hold", default=_DEFAULTS.hold, help="How long something has to be so before it alerts.")
@click.option("--delta", type=float, default=_DEFAULTS.delta, help="The PSI that is tolerated.")
@click.option(
    "--alpha", type=float, default=_DEFAULTS.alpha, help="The level of all tests of a model in a window together."
)
@click.option(
    "--prediction", default=_DEFAULTS.prediction, metavar="NAME", help="What predictions are called in references."
)
@click.option(
    "--expect",
    multiple=True,
    metavar="COMPONENT=TIME",
    help="A component that has to succeed at least so often; repeatable.",
)
@click.option(
    "--objective",
    type=float,
    default=_DEFAULTS.objective,
    help="The share of runs and requests that must end well and in time.",
)
@click.option("--run-seconds", type=float, default=_DEFAULTS.run_seconds, help="How long a run may take.")
@click.option("--request-seconds", type=float, default=_DEFAULTS.request_seconds, help="How long a request may take.")
@click.option(
    "--runs",
    default=_DEFAULTS.runs,
    metavar="spans|process",
    help="Count runs by the collector's spans, or by each process.",
)
@click.option("--job", "jobs", multiple=True, metavar="JOB", help="A scrape job that must be up.")
@click.option(
    "--wasserstein/--no-wasserstein",
    default=_DEFAULTS.wasserstein,
    help="Compute Wasserstein's distance too: many lines.",
)
@click.option("--runbooks", default=_DEFAULTS.runbooks, metavar="URL", help="Where docs/alerts.md is read.")
@click.option("--dashboards", default=_DEFAULTS.dashboards, metavar="URL", help="Where Grafana is.")
def command(
    reference: Sequence[Path],
    output: Path | None,
    window: str,
    hold: str,
    delta: float,
    alpha: float,
    prediction: str,
    expect: Sequence[str],
    objective: float,
    run_seconds: float,
    request_seconds: float,
    runs: str,
    jobs: Sequence[str],
    wasserstein: bool,
    runbooks: str,
    dashboards: str,
) -> None:
    """Write recording and alert rules for Prometheus: drift of served models, runs, and the telemetry itself.

    Example: mlotel rules -r reference.json --expect train=26h -o rules.yml
    """
    chosen: dict[str, Any] = {
        "window": window, "hold": hold, "delta": delta, "alpha": alpha, "prediction": prediction,
        "expect": _expected(expect), "objective": objective, "run_seconds": run_seconds,
        "request_seconds": request_seconds, "runs": runs, "wasserstein": wasserstein, "runbooks": runbooks,
        "dashboards": dashboards,
    }  # fmt: skip
    if jobs:
        chosen["jobs"] = tuple(jobs)
    options = Options(**chosen)
    text = to_yaml(
        generate([Reference.load(each) for each in reference], options),
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
