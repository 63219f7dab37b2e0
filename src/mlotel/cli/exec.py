"""`mlotel exec`: a command of any kind as a component run."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
import msgspec

from mlotel import provenance
from mlotel._json import UNDECODABLE
from mlotel.cli.options import OneOf
from mlotel.cli.output import complain
from mlotel.semconv import attributes as A

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["CANNOT_RUN", "NO_SUCH_COMMAND", "OnRetracted", "Stopped", "command"]

CANNOT_RUN = 126
"""Exit code, as a shell's, of a command that is there and cannot be run."""

NO_SUCH_COMMAND = 127
"""Exit code, as a shell's, of a command that is not there."""

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))
_FROM_TERMINAL = {signal.SIGINT, getattr(signal, "SIGQUIT", signal.SIGINT)}


class OnRetracted(StrEnum):
    """What comes of reading what bears a retracted label."""

    WARN = "warn"
    BLOCK = "block"


class Stopped(BaseException):
    """A signal asked for the end of the run; no Exception, as it is no failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, required=True, metavar="CMD...")
@click.option("--component", "-c", required=True, metavar="NAME", help="What the step is called.")
@click.option("--pipeline", metavar="NAME", help="The pipeline it is part of.")
@click.option("--version", metavar="TEXT", help="The version of the step.")
@click.option(
    "--param", "-p", multiple=True, metavar="KEY=VALUE", help="A parameter; numbers, true and false are taken as such."
)
@click.option(
    "--input",
    "-i",
    "inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file or folder that the command reads.",
)
@click.option(
    "--output",
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file or folder that the command writes.",
)
@click.option(
    "--on-retracted",
    type=OneOf(OnRetracted),
    default="warn",
    help="Whether an input with a retracted label whose time is up is told of, or stops the run.",
)
def command(
    arguments: Sequence[str],
    component: str,
    pipeline: str | None,
    version: str | None,
    param: Sequence[str],
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    on_retracted: OnRetracted,
) -> None:
    """Run a command as a run of a component, and exit as it does.

    Inputs are digested before, outputs after. The command finds its trace context in TRACEPARENT. Of its command line
    the program's name alone is recorded; CPU time and peak memory are the command's.

    CMD: The command and its arguments.

    Example: mlotel exec --component clean --input raw.csv --output clean.csv -- ./clean.sh raw.csv clean.csv
    """
    from mlotel._component import component as new_component

    params = dict(_parameter(each) for each in param)
    # As start_component does it, but the code of the step is the program's (if it is a script), not this module's
    step = new_component(component, version=version, pipeline=pipeline, on_retracted=on_retracted.value)
    run = step._start(params, shutil.which(arguments[0]))
    raise click.exceptions.Exit(_run(run, arguments, inputs, outputs))


def _parameter(text: str) -> tuple[str, str | bool | int | float]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--param")
    try:
        parsed = msgspec.json.decode(value)
    except UNDECODABLE:
        return key, value
    return key, parsed if isinstance(parsed, str | bool | int | float) else value


def _run(run: ActiveRun, arguments: Sequence[str], inputs: Sequence[Path], outputs: Sequence[Path]) -> int:
    """Run the command within `run`, end the run, and return the exit code."""
    error: BaseException | None = None
    code = 0
    relay = _Relay()
    run.set_attributes({A.PROCESS_EXECUTABLE_NAME: os.path.basename(arguments[0])})
    with relay.installed():
        try:
            for path in inputs:
                run.log_input(path)
            before = {path: _stamp(path) for path in outputs}
            code, error = _execute(relay, arguments, {**os.environ, **run.environment()})
            run.set_attributes({A.PROCESS_EXIT_CODE: code})
            for path in outputs:
                _log_output(run, path, before[path], failed=error is not None)
        except Stopped as stopped:
            code, error = 128 + stopped.number, stopped
        except BaseException as fault:
            run.end(fault)
            raise
        # Within the relay, so that a signal does not lose the run's end
        relay.ending = True
        cpu_time, peak_memory = provenance.children_usage()
        run.end(error, cpu_time=cpu_time, peak_memory=peak_memory)
    return code


def _execute(
    relay: _Relay, arguments: Sequence[str], environment: Mapping[str, str]
) -> tuple[int, BaseException | None]:
    """Run the command and return its exit code, and what it died of, if so."""
    program = os.path.basename(arguments[0])
    try:
        status = relay.run(arguments, environment)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        complain(f"{arguments[0]}: {'command not found' if missing else error.strerror or 'cannot be run'}")
        return NO_SUCH_COMMAND if missing else CANNOT_RUN, error
    code = 128 - status if status < 0 else status
    if code == 0:
        return 0, None
    if relay.passed_on:
        return code, Stopped(relay.passed_on[0])
    return code, subprocess.CalledProcessError(status, program)


def _log_output(run: ActiveRun, path: Path, before: object, *, failed: bool) -> None:
    after = _stamp(path)
    if after is None:
        if not failed:
            complain(f"output {path} is not there after the command: not recorded")
    elif not failed or after != before:
        # What a failed command did not touch is of an earlier run; what it did touch others may read
        run.log_output(path)


def _stamp(path: Path) -> object:
    """Return what changes when a file, or one in a folder, is written; None where nothing is."""
    try:
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode):
            return found.st_mtime_ns, found.st_size, found.st_ino
        inside = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
        return sorted((str(each), (status := each.lstat()).st_mtime_ns, status.st_size) for each in inside)
    except OSError:
        return None


class _Relay:
    """Passes the signals that ask for an end on to the command; while there is none, they raise Stopped."""

    def __init__(self) -> None:
        self.passed_on: list[int] = []
        self.ending = False
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = False
        self._early: list[int] = []

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals within a ``with`` block, save those that were ignored (as under nohup)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.getsignal(number) for number in _SIGNALS}
        handled = [number for number, handler in previous.items() if handler not in (signal.SIG_IGN, None)]
        for number in handled:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number in handled:
                signal.signal(number, previous[number])

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run the command to its end and return its status: its exit code, or minus the signal that killed it."""
        self._starting = True
        try:
            self._process = subprocess.Popen(arguments, env=environment)
            for number in self._early:
                self._pass_on(self._process, number)
            return self._process.wait()
        finally:
            self._starting = False
            self._process = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._process is not None:
            self._pass_on(self._process, number)
        elif self._starting:
            self._early.append(number)
        elif not self.ending:
            raise Stopped(number)

    def _pass_on(self, process: subprocess.Popen[bytes], number: int) -> None:
        self.passed_on.append(number)
        if not (number in _FROM_TERMINAL and _in_foreground()):
            process.send_signal(number)


def _in_foreground() -> bool:
    """Whether a key press signals this process: the terminal then signals the command too, and once is enough."""
    for descriptor in (0, 1, 2):
        try:
            if os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp():
                return True
        except (OSError, AttributeError):
            continue
    return False
