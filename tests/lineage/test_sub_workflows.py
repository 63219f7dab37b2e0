"""A run that starts another pipeline: over HTTP, in a child process, and folded in the tree."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlotel
from mlotel.lineage import sub_workflows
from mlotel.store.files import FileStore
from mlotel.testing import CapturedRuns

Script = Callable[..., "subprocess.CompletedProcess[str]"]

OVER_HTTP = """
    import threading, urllib.request
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    import mlotel

    class Service(BaseHTTPRequestHandler):
        def do_GET(self):
            parent = mlotel.extract(self.headers)
            with mlotel.component("answer", pipeline="scoring", parent=parent), mlotel.component("look up"):
                pass
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with mlotel.component("decide", pipeline="daily") as run:
            headers = {}
            mlotel.inject(headers)
            request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/", headers=headers)
            urllib.request.urlopen(request).close()
            run.log_output(b"decided", "decision")
        server.shutdown()
        thread.join()
"""

NIGHTLY = """
    import mlotel
    with mlotel.component("load", pipeline="nightly"):
        pass
    try:
        with mlotel.component("check", pipeline="nightly"):
            raise ValueError("bad")
    except ValueError:
        pass
"""


def cli(*arguments: str, store: Path) -> str:
    command = [sys.executable, "-m", "mlotel", *arguments, "--store", str(store)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_pipeline_that_is_called_over_http_is_folded(script: Script, tmp_path: Path) -> None:
    """The service's runs are within the run that called it; the tree tells them in one line, JSON counts them."""
    script(OVER_HTTP)
    store = tmp_path / "store"

    with FileStore(store) as opened:
        (decide,) = opened.runs(component="decide")
        (answer,) = opened.runs(component="answer")
        ((folded,),) = sub_workflows(opened, opened.runs()).values()
    assert (folded.caller, folded.pipeline, folded.first) == (decide.run_id, "scoring", answer.run_id)
    assert (folded.runs, folded.states, folded.more) == (2, {"ok": 2}, False)
    tree = cli("lineage", "name:decision", store=store)
    assert "▸ started pipeline scoring  2 runs (2 ok)" in tree
    assert "look up" not in tree
    document = json.loads(cli("lineage", "name:decision", "--format", "json", store=store))
    assert [each["first_run_id"] for each in document["workflows"]] == [answer.run_id]
    assert [each["component"] for each in document["runs"]] == ["decide"]


def test_a_pipeline_that_is_started_as_a_command_is_folded(script: Script, tmp_path: Path) -> None:
    """What `mlotel exec` runs may be a pipeline of its own; a failed run in it is told."""
    (tmp_path / "nightly.py").write_text("if True:" + NIGHTLY)
    script(
        """
        import subprocess, sys
        step = [sys.executable, "-m", "mlotel", "exec", "--component", "step", "--pipeline", "daily", "--"]
        subprocess.run([*step, sys.executable, "nightly.py"], check=True)
        """
    )

    with FileStore(tmp_path / "store") as opened:
        (step,) = opened.runs(component="step")
        found = sub_workflows(opened, [step])
    assert [(each.pipeline, each.states) for each in found[step.run_id]] == [("nightly", {"ok": 1, "failed": 1})]


def test_steps_of_the_same_pipeline_are_not_folded(mlotel_runs: CapturedRuns) -> None:
    """A run within a run of the same pipeline is a step, not a workflow."""
    with mlotel.component("outer", pipeline="daily"), mlotel.component("inner", pipeline="daily"):
        pass

    assert sub_workflows(mlotel_runs.store, mlotel_runs.runs) == {}
