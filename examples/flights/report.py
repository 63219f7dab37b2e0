"""What the flights demo shows at its end, all of it read back from what the runs recorded."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from alerts import EXPECTED, alerts, judged, reasons
from rich.console import Console
from rich.table import Table

ALARM = 3  # the exit code of `mlotel drift` where something alarms


def report(console: Console, work: Path, environment: dict[str, str], stack: Any) -> None:
    """Print the runs, December's lineage, statistics and drift by month, links to Jaeger and what to type next."""
    december = os.path.relpath(work / "predictions" / "2013-12.parquet")
    title(console, "The runs", "mlotel runs")
    mlotel("runs", environment=environment)
    title(console, "What December's predictions were made from", f"mlotel lineage {december}")
    mlotel("lineage", december, environment=environment)

    runs = json.loads(mlotel("runs", "--limit", "100", "--format", "json", environment=environment, show=False))
    title(console, "Predicted arrival delays in minutes, by month", "mlotel runs --format json")
    console.print(statistics(runs))
    console.print("* the model was trained on this month", style="dim")
    console.print("error: the mean absolute error; naive: that of “it arrives as late as it left”", style="dim")
    picture = os.path.relpath(work / "drift.html")
    compared = (os.path.relpath(work / "reference.json"), os.path.relpath(work / "features" / "2013-12.parquet"))
    title(console, "What differs from spring, by month", f"mlotel drift {' '.join(compared)}")
    console.print(drift(runs))
    html = mlotel("drift", *compared, "--format", "html", environment=environment, show=False, may=(0, ALARM))
    (work / "drift.html").write_text(html, encoding="utf-8")
    console.print(f"[dim]December beside spring, feature by feature, as a picture: {picture}[/dim]", soft_wrap=True)
    if stack is not None:
        links(console, runs, stack.endpoints["jaeger_ui"])
        firing(console, work, environment, stack, runs)
    title(console, "What to type next")
    for line in next_commands(work, runs):
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)


def links(console: Console, runs: list[dict[str, Any]], jaeger: str) -> None:
    """Print a link into Jaeger for each run."""
    title(console, "The same runs in Jaeger")
    for run in reversed(runs):
        name = f"{run['component']} {run['tags'].get('month', '')}"
        console.print(f"{name:<16}  {jaeger}/trace/{run['trace_id']}", soft_wrap=True, highlight=False)
    console.print(f"[dim]A Jaeger that was built without its web pages answers at {jaeger}/api/traces/ID[/dim]")


def firing(console: Console, work: Path, environment: dict[str, str], stack: Any, runs: list[dict[str, Any]]) -> None:
    """Print which alerts fire on what the runs told, and why the others are silent."""
    rules = work / "flights-rules.yml"
    expected = [part for name in EXPECTED for part in ("--expect", f"{name}=26h")]
    mlotel("rules", *expected, "--hold", "0s", "--output", str(rules), environment=environment)
    prometheus = stack.endpoints["prometheus"]
    ended = max(datetime.fromisoformat(run["end"]).timestamp() for run in runs)
    title(console, "Alerts on December's run", f"mlotel rules --output {os.path.relpath(rules)}")
    console.print(alerts(judged(prometheus, stack.load_rules, rules, ended)))
    console.print(f"[dim]silent, since {', '.join(reasons(prometheus))}[/dim]", soft_wrap=True)


def statistics(runs: list[dict[str, Any]]) -> Table:
    """Each month's predictions in minutes: what they look like, and how far they were off."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("month", "count", "missing", "mean", "std", "skewness", "kurtosis", "error", "naive"):
        table.add_column(column.upper(), justify="left" if column == "month" else "right", no_wrap=True)
    (train,) = (run for run in runs if run["component"] == "train")
    (evaluate,) = (run for run in runs if run["component"] == "evaluate")
    trained_on = {each["digest"] for each in train["inputs"] if each["type"] == "features"}
    for run in sorted((run for run in runs if run["component"] == "predict"), key=lambda run: run["tags"]["month"]):
        month, found = run["tags"]["month"], run["predictions"]
        seen = trained_on & {each["digest"] for each in run["inputs"]}
        shape = [f"{found[key]:.2f}" for key in ("mean", "std", "skew", "kurtosis")]
        errors = [f"{evaluate['metrics'][f'{name}.{month}']:.2f}" for name in ("error", "naive")]
        table.add_row(month + (" *" if seen else ""), f"{found['count']:,}", str(found["missing"]), *shape, *errors)
    return table


def drift(runs: list[dict[str, Any]]) -> Table:
    """Which features of each month differ so much from the reference that it matters, as the runs recorded it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("month", "alarm", "features"):
        table.add_column(column.upper(), no_wrap=True)
    for run in sorted((run for run in runs if run["component"] == "predict"), key=lambda run: run["tags"]["month"]):
        (found,) = (each["drift"] for each in run["inputs"] if each["drift"] is not None)
        alarm = "[yellow]yes[/yellow]" if found["alarm"] else "no"
        table.add_row(run["tags"]["month"], alarm, ", ".join(found["features"]))
    return table


def next_commands(work: Path, runs: list[dict[str, Any]]) -> list[str]:
    """Command lines that work when they are typed in this shell, one after the other."""
    beside = Path(sys.executable).with_name("mlotel")
    away = beside.exists() and shutil.which("mlotel") != str(beside)
    program = shlex.quote(os.path.relpath(beside)) if away else "mlotel"
    (train,) = (run for run in runs if run["component"] == "train")
    model = next(each["digest"] for each in train["outputs"])
    return [
        f"export MLOTEL_STORE={shlex.quote(os.path.relpath(work / '.mlotel'))}",
        f"{program} history predict",
        f"{program} show {train['run_id'][:8]}",
        f"{program} lineage {model.partition(':')[2][:12]}",
        f"{program} lineage --format json {shlex.quote(os.path.relpath(work / 'scores.parquet'))}",
    ]


def mlotel(*arguments: str, environment: dict[str, str], show: bool = True, may: tuple[int, ...] = (0,)) -> str:
    """Run the command line, which `may` exit with these codes, and return what it printed if that is not for show."""
    command = [sys.executable, "-c", "from mlotel.cli import main; main()", *arguments]
    done = subprocess.run(command, env=environment, stdout=None if show else subprocess.PIPE, text=True)
    if done.returncode not in may:
        sys.exit(f"mlotel {' '.join(arguments)} failed")
    return done.stdout or ""


def title(console: Console, text: str, command: str = "") -> None:
    """Print a headline, with the command that shows the same."""
    console.print(f"\n[bold]{text}[/bold]" + (f"  [dim]{command}[/dim]" if command else ""), soft_wrap=True)
    console.file.flush()  # the commands that come next write to the same place
