"""What importing mlotel costs, beside importing the OpenTelemetry SDK alone.

Each variant is a process of its own; variants take turns, so that only their ratios are compared. CPU times, without
what an interpreter takes that imports nothing.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 15
RUN = "with mlotel.component('a') as run:\n    run.log_input(b'x', 'x')"
VARIANTS = {
    "nothing": "",
    "sdk": "import opentelemetry.sdk.trace",
    "sdk and exporter": "import opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "import": "import mlotel",
    "component": "import mlotel\nmlotel.component",
    "first run": f"import mlotel\n{RUN}",
    "first table": f"import mlotel, pyarrow\n{RUN}\n    run.log_input(pyarrow.table({{'x': [1]}}), 'table')",
    "arrow": "import pyarrow\npyarrow.table({'x': [1]})",
}


def cpu_seconds(program: str, folder: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MLOTEL_"))}
    # compiled once, as an installed package is, and whatever this process was told
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.update(MLOTEL_STORE=folder, PYTHONPYCACHEPREFIX=f"{folder}/pycache")
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> list[tuple[str, str, str]]:
    """Measure, and return the rows (what, reached, goal)."""
    measured: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(ROUNDS + 1):
            for name, program in VARIANTS.items():
                seconds = cpu_seconds(program, folder)
                if round_:  # the first one compiles
                    measured[name].append(seconds)
    bare = statistics.median(measured.pop("nothing"))
    taken = {name: statistics.median(values) - bare for name, values in measured.items()}

    taken["arrow and sdk"] = taken["arrow"] + taken["sdk"]

    def ratio(name: str, beside: str) -> str:
        return f"{taken[name] / taken[beside]:.2f} ×"

    return [
        ("importing opentelemetry.sdk.trace alone", f"{1e3 * taken['sdk']:.0f} ms", ""),
        ("import mlotel, beside it", ratio("import", "sdk"), "≤ 1.3 ×"),
        ("… and mlotel.component", ratio("component", "sdk"), "≤ 1.3 ×"),
        ("… and a first run on the embedded store", ratio("first run", "sdk"), ""),
        ("… and a first table, beside pyarrow's and the SDK", ratio("first table", "arrow and sdk"), ""),
        ("the SDK with its OTLP exporter, beside the SDK", ratio("sdk and exporter", "sdk"), ""),
    ]


if __name__ == "__main__":
    for row in main():
        print("{:50} {:>20} {:>15}".format(*row))
