"""The running stack: four services on free loopback ports with a folder of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from mlotel_stack import builds, processes, programs
from mlotel_stack.errors import StackError
from mlotel_stack.plan import SERVICES, Service, Settings, plan

STATE = "stack.json"
_MARK = ".mlotel-stack"  # what the folder holds is a stack's, and may be removed with it
_IN_USE = "address already in use"
_TRIES = 5
_READY_WITHIN = 60.0  # seconds
# Seconds from SIGTERM to SIGKILL. Jaeger would wait 10 s for idle connections, and has nothing to save.
_PATIENCE = {"jaeger": 0.5}
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback never goes through a proxy


@dataclass(frozen=True)
class Started:
    """A service that was started: its pid, and what tells it from a later process of that pid."""

    pid: int
    identity: str


class Stack:
    """A collector, Jaeger, Prometheus and Alertmanager that this project started.

    `endpoints` has the keys otlp_grpc, otlp_http, jaeger_ui, jaeger_query_grpc, prometheus, alertmanager,
    collector_metrics, collector_self and health; those of gRPC are `host:port`, the others URLs.
    """

    def __init__(self, run_dir: Path, endpoints: dict[str, str], services: dict[str, Service],
                 die_with_parent: bool = False) -> None:  # fmt: skip
        self.run_dir = run_dir
        self.endpoints = endpoints
        self._services = services
        self._started: dict[str, Started] = {}
        self._die_with_parent = die_with_parent

    @classmethod
    def start(cls, run_dir: Path, settings: Settings | None = None, *, say: Callable[[str], None] = print) -> Stack:
        """Start the stack in `run_dir` and return it once every service is ready.

        Args:
            run_dir: its folder, made when absent; else empty, or left by a stack that runs no more.
            settings: see `Settings`, whose defaults hold without.
            say: takes each line of progress.

        Raises:
            StackError: a program is lacking, the folder is in use, or a service did not come up.
        """
        run_dir, settings = run_dir.absolute(), settings or Settings()
        if (run_dir / STATE).exists():
            if any(cls.attach(run_dir).alive().values()):
                raise StackError(f"a stack is running in {run_dir}: stop it first")
            cls.attach(run_dir).stop()
        found = builds.ensure(programs.cache_dir(), say)
        _claim(run_dir)
        for attempts_left in (2, 1, 0):
            endpoints, services = plan(run_dir, found, settings)
            stack = cls(run_dir, endpoints, services, settings.die_with_parent)
            try:
                for name in SERVICES:
                    stack.begin(name)
                    say(f"{name} is ready")
                return stack
            except StackError as error:
                stack.stop(keep=True)
                # Somebody took a port between its choice and its use.
                if "address already in use" not in str(error) or not attempts_left:
                    raise
            except BaseException:
                stack.stop(keep=True)
                raise
        raise AssertionError("unreachable")

    @classmethod
    def attach(cls, run_dir: Path) -> Stack:
        """Return the stack that was started in `run_dir` by another process.

        Raises:
            StackError: none was started there.
        """
        try:
            state = json.loads((run_dir.absolute() / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StackError(f"no stack was started in {run_dir}: `python tools/stack.py up` starts one") from error
        services = {
            name: Service(value["command"], value["environ"], tuple(value["ready"]))
            for name, value in state["services"].items()
        }
        stack = cls(run_dir.absolute(), state["endpoints"], services)
        stack._started = {name: Started(**value) for name, value in state["started"].items()}
        return stack

    def __enter__(self) -> Stack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def alive(self) -> dict[str, bool]:
        """Return, by service, whether the process that was started is still there."""
        return {
            name: name in self._started and processes.identity(self._started[name].pid) == self._started[name].identity
            for name in SERVICES
        }

    def pids(self) -> dict[str, int]:
        """Return the pids of the services that are running."""
        return {name: self._started[name].pid for name, alive in self.alive().items() if alive}

    def log(self, name: str) -> Path:
        """Return the file that a service's output goes to."""
        return self.run_dir / "log" / f"{name}.log"

    def begin(self, name: str) -> None:
        """Start one service that is not running, on the same ports and data as before, and wait until it is ready.

        Raises:
            StackError: it is running already, or did not come up.
        """
        if self.alive()[name]:
            raise StackError(f"{name} is running already")
        service = self._services[name]
        self.log(name).parent.mkdir(exist_ok=True)
        environ = {**os.environ, **service.environ}
        for tries_left in reversed(range(_TRIES)):
            pid = processes.start(service.command, environ, self.run_dir, self.log(name), self._die_with_parent)
            self._started[name] = Started(pid, processes.identity(pid) or "gone")
            self._write_state()
            try:
                return self._wait_ready(name)
            except StackError as error:
                # Somebody else had one of its ports for a moment, while it was not running.
                if not tries_left or _IN_USE not in str(error):
                    raise
            time.sleep(1.0)

    def end(self, name: str) -> None:
        """Stop one service gently and return once it is gone."""
        self._end(name, signal.SIGTERM)

    def kill(self, name: str) -> None:
        """Kill one service (SIGKILL) and return once it is gone."""
        self._end(name, signal.SIGKILL)

    def restart(self, name: str) -> None:
        """Stop one service if it runs, start it again and wait until it is ready."""
        self.end(name)
        self.begin(name)

    def stop(self, *, keep: bool = False) -> None:
        """End every service and remove what the stack wrote.

        Args:
            keep: leave data and logs in the run folder.
        """
        for name in reversed(SERVICES):
            self.end(name)
        (self.run_dir / STATE).unlink(missing_ok=True)
        if not keep:
            for name in (*SERVICES, "log"):
                shutil.rmtree(self.run_dir / name, ignore_errors=True)
            (self.run_dir / _MARK).unlink(missing_ok=True)

    def load_rules(self, path: Path) -> None:
        """Let Prometheus read a rule file too, in the place of an earlier one of the same name.

        Raises:
            StackError: Prometheus does not take it, or does not answer.
        """
        shutil.copy(path, self.run_dir / "prometheus/rules" / path.with_suffix(".yml").name)
        request = urllib.request.Request(f"{self.endpoints['prometheus']}/-/reload", method="POST")
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except OSError as error:
            raise StackError(f"Prometheus does not take {path.name}: {self._last_words('prometheus')}") from error

    def env(self, protocol: str = "http/protobuf") -> dict[str, str]:
        """Return the OTEL_* variables that send a program's telemetry to this stack.

        Args:
            protocol: `http/protobuf` or `grpc`.
        """
        endpoints = {
            "http/protobuf": self.endpoints["otlp_http"],
            "grpc": f"http://{self.endpoints['otlp_grpc']}",  # the scheme says: no TLS
        }
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoints[protocol],
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            # A proxy that the environment names is not for loopback.
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def _end(self, name: str, number: int) -> None:
        started = self._started.pop(name, None)
        if started is not None:
            processes.end(started.pid, started.identity, number, _PATIENCE.get(name, 15.0))
            self._write_state()

    def _write_state(self) -> None:
        state = {
            "endpoints": self.endpoints,
            "started": {name: asdict(value) for name, value in self._started.items()},
            "services": {name: asdict(value) for name, value in self._services.items()},
        }
        unfinished = self.run_dir / f".{STATE}.new"
        unfinished.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, self.run_dir / STATE)

    def _wait_ready(self, name: str) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        started = self._started[name]
        waiting = list(self._services[name].ready)
        while True:
            while waiting and _answers(waiting[0]):
                waiting.pop(0)
            # Asked after the answer: another process may have given it.
            if processes.identity(started.pid) != started.identity:
                raise StackError(f"{name} ended while starting: {self._last_words(name)} ({self.log(name)})")
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise StackError(f"{name} was not ready within {_READY_WITHIN:.0f} s; see {self.log(name)}")
            time.sleep(0.05)

    def _last_words(self, name: str) -> str:
        text = self.log(name).read_text(encoding="utf-8", errors="replace")
        spoken = [line.strip() for line in text.splitlines() if line.strip()]
        wrong = [at for at, line in enumerate(spoken) if re.search(r"error|fail|in use", line, re.IGNORECASE)]
        # The collector says what is wrong in the line after the one that says "error".
        return " ".join(spoken[wrong[-1] : wrong[-1] + 2] if wrong else spoken[-2:])[:500]


def _claim(run_dir: Path) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    if any(run_dir.iterdir()) and not (run_dir / _MARK).exists():
        raise StackError(f"{run_dir} holds other files: choose an empty folder for the stack")
    (run_dir / _MARK).touch()


def _answers(url: str) -> bool:
    try:
        with _direct.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
