"""What an ended run leaves behind in the process."""

from __future__ import annotations

import gc
import weakref

import mlotel
from mlotel.testing import CapturedRuns


def test_an_ended_run_needs_no_cycle_collector(mlotel_runs: CapturedRuns) -> None:
    """Whoever switches the cycle collector off, as servers and training loops do, loses no memory to runs."""
    component = mlotel.component("score")
    with component as run:
        run.log_input(b"content", name="content")
    gc.collect()
    gc.disable()
    try:
        with component as run:
            run.log_input(b"content", name="content")
            run.log_output(b"result", name="result", derived_from="content")
        gone = weakref.ref(run)
        del run
        assert gone() is None
    finally:
        gc.enable()
