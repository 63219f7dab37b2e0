"""`mlotel exec`: a command as a component run, seen from outside, as a shell sees it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from blake3 import blake3

import mlotel as package
from mlotel.cli.exec import Stopped

MLOTEL = (sys.executable, "-c", "from mlotel.cli import main; main()")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]

# Says that it is there, waits for a signal, says which one came, and exits with 7
WAITING = """
import os, signal, sys
def told(number, frame):
    print(signal.Signals(number).name, flush=True)
    sys.exit(7)
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(each, told)
print("ready", flush=True)
while True:
    signal.pause()
"""


# The same without handlers, Python's own included
HELPLESS = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture(autouse=True)
def usual_signals():
    """Signals as a terminal's programs have them: under nohup or in the background of a shell some are ignored."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS if number is not signal.SIGINT}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def environment(tmp_path):
    source = Path(package.__file__).parent.parent
    return {**os.environ, "PYTHONPATH": str(source), "MLOTEL_STORE": str(tmp_path / ".mlotel")}


@pytest.fixture
def step(tmp_path, environment):
    """Return what runs `mlotel exec` to its end in a process of its own."""

    def run(*arguments, **variables):
        return subprocess.run(
            [*MLOTEL, "exec", *map(str, arguments)],
            capture_output=True,
            cwd=tmp_path,
            env={**environment, **variables},
            text=True,
            input="",
            check=False,
        )

    return run


@pytest.fixture
def waiting(tmp_path, environment):
    """Start `mlotel exec` on a command that has said "ready" when this returns."""
    started = []

    def start(*command, **options):
        process = subprocess.Popen(
            [*MLOTEL, "exec", "--component", "wait", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment,
            text=True,
            **options,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def runs(mlotel, tmp_path):
    """Return the runs in the store, as programs see them."""
    return lambda: mlotel("runs", "--store", tmp_path / ".mlotel", "--format", "json").json


# --- exit codes


@pytest.mark.parametrize(("code", "state"), [(0, "ok"), (3, "failed"), (255, "failed")])
def test_the_exit_code_is_the_commands(step, runs, code, state):
    """A shell step behaves as it did without mlotel; its run says how it ended."""
    assert step("--component", "step", "--", "sh", "-c", f"exit {code}").returncode == code

    (run,) = runs()
    assert (run["component"], run["state"]) == ("step", state)
    assert run["error"] == (
        None
        if code == 0
        else {
            "type": "subprocess.CalledProcessError",
            "message": f"Command 'sh' returned non-zero exit status {code}.",
        }
    )


def test_a_command_that_is_not_there_exits_with_127(step, runs):
    """As in a shell, with a line that says so and a failed run."""
    done = step("-c", "step", "--", "no-such-command")

    assert (done.returncode, done.stdout, done.stderr) == (127, "", "mlotel: no-such-command: command not found\n")
    assert (runs()[0]["state"], runs()[0]["error"]["type"]) == ("failed", "FileNotFoundError")


@pytest.mark.parametrize(("mode", "reason"), [(0o644, "Permission denied"), (0o755, "Exec format error")])
def test_a_command_that_cannot_be_run_exits_with_126(step, runs, tmp_path, mode, reason):
    """A file that is no program, as in a shell."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"\x00\x01\x02")
    path.chmod(mode)

    done = step("-c", "step", "--", path)

    assert (done.returncode, done.stderr) == (126, f"mlotel: {path}: {reason}\n")
    assert runs()[0]["state"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_command_that_a_signal_killed_exits_with_128_and_its_number(step, runs, number):
    """The run failed: nobody asked mlotel for it."""
    assert step("-c", "step", "--", "sh", "-c", f"kill -{int(number)} $$").returncode == 128 + number

    assert runs()[0]["state"] == "failed"


def test_a_component_that_cannot_be_named_so_is_told_before_the_command_runs(step, tmp_path):
    """Bad usage ends with 2 and has done nothing."""
    for arguments in (["-c", "a\nb"], ["-c", "x", "--param", "novalue"], []):
        done = step(*arguments, "--", "touch", tmp_path / "touched")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr
    assert not (tmp_path / "touched").exists()


# --- what is recorded


def test_inputs_are_digested_before_and_outputs_after(step, runs, tmp_path):
    """A command that rewrites a file in place has read the old content and written the new one."""
    path = tmp_path / "data.txt"
    path.write_bytes(b"old")

    step("-c", "step", "-i", path, "-o", path, "--", "sh", "-c", f"printf new > {path}")

    (run,) = runs()
    assert [each["digest"] for each in run["inputs"]] == ["blake3:" + blake3(b"old").hexdigest()]
    assert [each["digest"] for each in run["outputs"]] == ["blake3:" + blake3(b"new").hexdigest()]
    assert [each["uri"] for each in run["inputs"] + run["outputs"]] == [path.as_uri()] * 2


def test_two_steps_are_joined_by_the_file_between_them(step, mlotel, tmp_path):
    """Lineage needs nothing but --input and --output; paths may be relative."""
    (tmp_path / "raw").write_text("raw")
    step("-c", "first", "-i", "raw", "-o", "between", "--", "sh", "-c", "tr a-z A-Z < raw > between")
    step("-c", "second", "-i", "between", "-o", "result", "--", "sh", "-c", "cat between between > result")

    found = mlotel("lineage", "result", "--store", tmp_path / ".mlotel", "--format", "json").json

    assert [run["component"] for run in found["runs"]] == ["first", "second"]
    assert [each["name"] for each in found["artifacts"]] == ["raw", "between", "result"]


def test_name_version_pipeline_and_parameters_are_recorded(step, runs):
    """Numbers, booleans and text are told apart; JSON's quotes make text of what looks like a number."""
    parameters = {
        "whole": "3",
        "real": "0.5",
        "flag": "true",
        "text": "a=b",
        "quoted": '"3"',
        "list": "[1]",
        "empty": "",
    }

    step(
        *("--component", "step", "--pipeline", "nightly", "--version", "1.2"),
        *(part for key, value in parameters.items() for part in ("--param", f"{key}={value}")),
        *("--", "true"),
    )

    (run,) = runs()
    assert (run["component"], run["pipeline"], run["version"]) == ("step", "nightly", "1.2")
    assert run["params"] == {
        "whole": 3,
        "real": 0.5,
        "flag": True,
        "text": "a=b",
        "quoted": "3",
        "list": "[1]",
        "empty": "",
    }


def test_of_the_command_line_only_the_programs_name_is_recorded(step, mlotel, runs, tmp_path):
    """Arguments may hold secrets: not one byte of them is in the store."""
    step("-c", "step", "--", "no-such-command", "--password", "hunter2")
    step("-c", "step", "--", "/bin/sh", "-c", "exit 3", "--password", "hunter2")

    store = tmp_path / ".mlotel"
    assert not any(b"hunter2" in path.read_bytes() for path in store.rglob("*") if path.is_file())
    shown = mlotel("show", runs()[0]["run_id"], "--store", store).out
    assert "  program    sh\n  exit code  3\n" in shown


def test_the_code_of_a_script_is_the_script(step, mlotel, runs, tmp_path):
    """A changed script shows as changed code; mlotel's own modules are not the step's code."""
    script = tmp_path / "step.sh"
    shown = []
    for text in ("#!/bin/sh\ntrue\n", "#!/bin/sh\ntrue\n", "#!/bin/sh\ntrue # changed\n"):
        script.write_text(text)
        script.chmod(0o755)
        step("-c", "step", "--", script)
        out = mlotel("show", runs()[0]["run_id"], "--store", tmp_path / ".mlotel").out
        shown.append(next(line for line in out.splitlines() if line.startswith("  code ")))

    assert shown[0] == shown[1] != shown[2]


def test_a_failed_command_has_written_what_it_touched(step, runs, tmp_path):
    """What an earlier run left is not taken for its output; what it did write others may find and read."""
    (tmp_path / "kept").write_text("earlier")
    (tmp_path / "rewritten").write_text("earlier")

    step(
        "-c", "step", "-o", "kept", "-o", "rewritten", "-o", "never", "--", "sh", "-c", "echo half > rewritten; exit 1"
    )

    (run,) = runs()
    assert [each["name"] for each in run["outputs"]] == ["rewritten"]


def test_an_output_that_was_not_written_is_told(step, runs):
    """One line on standard error; the exit code is the command's."""
    done = step("-c", "step", "-o", "nothing", "--", "true")

    assert (done.returncode, done.stderr) == (
        0,
        "mlotel: output nothing is not there after the command: not recorded\n",
    )
    assert runs()[0]["outputs"] == []


def test_an_input_that_is_missing_does_not_keep_the_command_from_running(step, runs, tmp_path):
    """It is told, recorded without a digest, and the command decides what it makes of it."""
    done = step("-c", "step", "-i", "nothing", "--", "echo", "ran")

    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "nothing" in done.stderr
    assert [(each["name"], each["digest"]) for each in runs()[0]["inputs"]] == [("nothing", None)]


def test_a_folder_is_an_artifact(step, runs, tmp_path):
    """Digested as a tree."""
    step("-c", "step", "-o", "out", "--", "sh", "-c", "mkdir out; echo a > out/a")

    assert [(each["name"], each["scope"]) for each in runs()[0]["outputs"]] == [("out", "tree")]


# --- what the command sees


def test_arguments_and_streams_are_the_commands_own(step):
    """Options after the command belong to it, a second -- too; mlotel adds nothing to its output."""
    done = step("-c", "step", "--", "printf", "%s|", "--component", "x", "--", "-h", "a b")

    assert (done.returncode, done.stdout, done.stderr) == (0, "--component|x|--|-h|a b|", "")


def test_the_command_finds_its_run_in_its_environment(step, runs):
    """TRACEPARENT is the run's span; a trace from outside goes on through the run."""
    outer = f"00-{'ab' * 16}-{'cd' * 8}-01"

    done = step("-c", "step", "--", "sh", "-c", "echo $TRACEPARENT", TRACEPARENT=outer)

    (run,) = runs()
    assert done.stdout.split("-")[1:3] == [run["trace_id"], run["span_id"]]
    assert run["trace_id"] == "ab" * 16


def test_a_component_in_the_command_is_a_child_of_the_step(step, runs):
    """A Python program with components of its own belongs to the same trace."""
    step("-c", "outer", "--", sys.executable, "-c", "import mlotel\nwith mlotel.component('inner'): pass")

    inner, outer = runs()
    assert (inner["component"], outer["component"]) == ("inner", "outer")
    assert inner["trace_id"] == outer["trace_id"]


def test_with_telemetry_switched_off_the_command_runs_all_the_same(step, tmp_path):
    """Nothing is recorded, and the trace context that there was is left as it is."""
    outer = f"00-{'ab' * 16}-{'cd' * 8}-01"

    done = step(
        "-c",
        "step",
        "-i",
        "x",
        "--",
        "sh",
        "-c",
        "echo $TRACEPARENT; exit 3",
        OTEL_SDK_DISABLED="true",
        TRACEPARENT=outer,
    )

    assert (done.returncode, done.stdout) == (3, outer + "\n")
    assert not (tmp_path / ".mlotel").exists()


def test_a_store_that_cannot_be_written_does_not_fail_the_command(step, tmp_path):
    """The warning goes to standard error, the exit code is the command's."""
    (tmp_path / "file").touch()

    done = step("-c", "step", "--", "sh", "-c", "echo ran; exit 3", MLOTEL_STORE=str(tmp_path / "file" / "store"))

    assert (done.returncode, done.stdout) == (3, "ran\n")
    assert done.stderr


# --- signals


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_passed_on_to_the_command(waiting, runs, number):
    """The command hears it once and decides how to end; its exit code is mlotel's, and the run was cancelled."""
    process = waiting(sys.executable, "-c", WAITING)

    process.send_signal(number)
    out, _ = process.communicate()

    assert (process.returncode, out) == (7, f"{number.name}\n")
    (run,) = runs()
    assert (run["state"], run["error"]["type"]) == ("cancelled", "mlotel.cli.exec.Stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_without_a_handler_dies_of_the_signal(waiting, runs, number):
    """128 and the signal's number, as a shell says it; the run was cancelled, not failed."""
    process = waiting(sys.executable, "-c", HELPLESS)

    process.send_signal(number)
    process.communicate()

    assert process.returncode == 128 + number
    assert [run["state"] for run in runs()] == ["cancelled"]


def test_a_command_that_ends_well_after_a_signal_has_ended_well(waiting, runs):
    """Shutting down on request is success if the command says so."""
    process = waiting(sys.executable, "-c", WAITING.replace("sys.exit(7)", "sys.exit(0)"))

    process.terminate()
    process.communicate()

    assert process.returncode == 0
    assert [run["state"] for run in runs()] == ["ok"]


def test_ctrl_c_at_a_terminal_reaches_the_command_once(environment, tmp_path):
    """The terminal signals the command itself, so mlotel must not do it again."""
    # Tells of each interrupt, and ends when the second one, or the line that ends its input, comes
    listening = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: print('interrupted', flush=True))\n"
        "print('ready', flush=True)\nsys.stdin.readline()\nsys.exit(4)"
    )
    terminal, other = os.openpty()
    process = subprocess.Popen(
        [*MLOTEL, "exec", "-c", "step", "--", sys.executable, "-c", listening],
        stdin=other,
        stdout=other,
        stderr=other,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(other)
    shown = b""
    for wanted, typed in ((b"ready", b"\x03"), (b"interrupted", b"\n")):
        while wanted not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, typed)
    code = process.wait()
    with contextlib.suppress(OSError):  # a terminal without anybody at its other end reads as an error
        while more := os.read(terminal, 1024):
            shown += more
    os.close(terminal)

    assert code == 4
    assert shown.count(b"interrupted") == 1


def test_signals_that_were_ignored_stay_ignored(waiting, runs, tmp_path):
    """Under nohup a hang-up reaches neither mlotel nor the command."""
    os.mkfifo(tmp_path / "go")
    code = "print('ready', flush=True); open('go').read(); import signal; print(signal.getsignal(signal.SIGHUP).name)"
    process = waiting(sys.executable, "-c", code, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))

    process.send_signal(signal.SIGHUP)
    (tmp_path / "go").write_text("")
    out, _ = process.communicate()

    assert (process.returncode, out) == (0, "SIG_IGN\n")
    assert [run["state"] for run in runs()] == ["ok"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_the_command_runs_cancels_the_run(mlotel, monkeypatch, tmp_path, number):
    """While inputs are digested there is nobody to pass it on to: the command is not started, handlers are put back."""
    from mlotel import ActiveRun, shutdown

    monkeypatch.setattr(ActiveRun, "log_input", lambda self, path: os.kill(os.getpid(), number))
    before = [signal.getsignal(each) for each in SIGNALS]
    shutdown()  # what an earlier test of this process recorded to

    answer = mlotel("exec", "-c", "step", "-i", "x", "--", "touch", tmp_path / "touched")
    shutdown()

    assert answer.code == 128 + number
    assert not (tmp_path / "touched").exists()
    assert [signal.getsignal(each) for each in SIGNALS] == before
    (run,) = mlotel("runs", "--format", "json").json
    assert (run["state"], run["error"]) == ("cancelled", {"type": "mlotel.cli.exec.Stopped", "message": ""})


def test_stopped_is_no_exception_that_handlers_of_failures_catch():
    """As KeyboardInterrupt: what guards against failures lets it pass."""
    assert not issubclass(Stopped, Exception)
    assert str(Stopped(signal.SIGTERM)) == "SIGTERM"


def test_the_answer_of_a_program_can_be_piped(step, environment, tmp_path):
    """Output in JSON is whole and alone on standard output."""
    step("-c", "step", "--", "true")

    done = subprocess.run(
        [*MLOTEL, "runs", "--format", "json"], capture_output=True, cwd=tmp_path, env=environment, text=True, check=True
    )

    assert [run["component"] for run in json.loads(done.stdout)] == ["step"]
    assert done.stderr == ""
