"""Every benchmark, one after the other: `make bench`.

Times are of this machine, at this moment. Ratios are of variants that took turns in one process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    "bench_run.py",
    "bench_digest.py",
    "bench_store.py",
    "bench_queries.py",
    "bench_predictions.py",
    "bench_drift_speed.py",
)


def main() -> int:
    """Run each script in a process of its own; return the number of those that failed."""
    failed = 0
    for script in SCRIPTS:
        print(f"\n{script}", flush=True)
        failed += subprocess.run([sys.executable, Path(__file__).with_name(script)], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
