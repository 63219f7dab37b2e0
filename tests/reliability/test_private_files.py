"""Who can read what mlotel writes, and who can reach where it listens."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from listening import listening_addresses

from mlotel import scrape, sdk
from mlotel.store.memory import MemoryStore
from mlotel.ui import Reading, Running, serve

Script = Callable[..., "subprocess.CompletedProcess[str]"]

EVERYTHING = """
    import os, sys, time
    os.umask(int(sys.argv[1], 8))
    from pathlib import Path

    import pyarrow

    import mlotel
    from mlotel import annotations
    from mlotel.store.files import FileStore

    large = Path("large.bin")
    large.write_bytes(bytes(2 << 20))
    time.sleep(2.1)  # what has just changed is not remembered in the cache of digests
    Path("small.txt").write_text("x")
    os.chmod("small.txt", 0o640)
    reference = mlotel.Reference.fit(pyarrow.table({"x": list(range(100))}), model="m", version="1")
    mlotel.scrape.share("shared")
    mlotel.serving.Monitor(reference).observe({"x": 1})
    with mlotel.component("a") as run:
        run.log_input(large)
        run.log_output(Path("small.txt"), sidecar=True)
        run.log_predictions([1.0] * 3, keys=range(3))
        run.log_predictions([1.0] * 2000, keys=range(2000))
    annotations.flag(run.run_id, "why")
    mlotel.shutdown()
    with FileStore(Path(os.environ["MLOTEL_STORE"])) as store:
        assert store.runs()
        assert store.predictions("1")
    if "spool" in sys.argv:
        from mlotel.sdk.replay import replay
        for _ in range(450):
            with mlotel.component("b"):
                pass
        mlotel.shutdown()
        assert replay(Path(os.environ["MLOTEL_STORE"]), sys.argv[2]).kept
    """


def modes(folder: Path) -> dict[str, int]:
    found = {f"{path.relative_to(folder.parent)}": path for path in (folder, *folder.rglob("*"))}
    return {name: stat.S_IMODE(path.stat().st_mode) for name, path in found.items()}


@contextmanager
def taking_one_request() -> Iterator[str]:
    """A collector that goes away after the first request."""
    taken: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            taken.append(self.path)
            self.send_response(200 if len(taken) == 1 else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def closed_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("umask", ["000", "077"])
def test_only_the_owner_reads_what_is_written(script: Script, tmp_path: Path, umask: str) -> None:
    """Folders are 0700 and files 0600, whatever the umask: lines, index, cache, predictions, shared metrics.

    A sidecar is for those who can read what it stands beside, or else they could not see where that is from.
    """
    script(EVERYTHING, umask)
    found = modes(tmp_path / "store") | modes(tmp_path / "shared")

    kinds = {"store/segments", "store/index.sqlite", "store/digests.sqlite", "store/.gitignore", "store/predictions"}
    assert kinds <= found.keys()
    assert any(name.endswith(".parquet") for name in found)
    assert any(name.startswith("shared/") and name.endswith(".json") for name in found)
    folders = {"store", "shared", *(name for name in found if (tmp_path / name).is_dir())}
    assert found == {name: 0o700 if name in folders else 0o600 for name in found}
    assert modes(tmp_path)[f"{tmp_path.name}/small.txt.mlotel.json"] == 0o640


def test_only_the_owner_reads_what_waits_to_be_sent(script: Script, tmp_path: Path) -> None:
    """The spool, and how far it was sent."""
    with taking_one_request() as collector:
        nowhere = f"http://127.0.0.1:{closed_port()}"
        script(EVERYTHING, "000", collector, "spool", OTEL_EXPORTER_OTLP_ENDPOINT=nowhere, OTEL_METRICS_EXPORTER="none")
    found = modes(tmp_path / "store" / "spool")

    assert {Path(name).suffix for name in found} >= {".jsonl", ".sent"}
    folders = {name for name in found if (tmp_path / "store" / name).is_dir()}
    assert folders >= {"spool", "spool/segments"}
    assert found == {name: 0o700 if name in folders else 0o600 for name in found}


def test_the_web_view_listens_on_loopback_alone() -> None:
    """As the kernel tells of this process's sockets while it is served."""
    before = listening_addresses(os.getpid())
    found: list[set[str]] = []

    def started(running: Running) -> None:
        found.append(listening_addresses(os.getpid()))
        running.stop()

    serve(Reading(MemoryStore(), "nowhere"), started=started)
    assert found == [before | {"127.0.0.1"}]


def test_the_scrape_endpoint_listens_on_loopback_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address has to be asked for by name."""
    monkeypatch.setenv("MLOTEL_STORE", "none")
    monkeypatch.setattr(scrape, "_exposure", None)
    assert "0.0.0.0" not in listening_addresses(os.getpid())
    server = scrape.start_http_server(0)
    try:
        assert listening_addresses(os.getpid()) == {"127.0.0.1"}
    finally:
        server.close()
    server = scrape.start_http_server(0, "0.0.0.0")
    try:
        assert "0.0.0.0" in listening_addresses(os.getpid())
    finally:
        server.close()
        sdk.read_metrics(None)
