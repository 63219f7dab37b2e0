#!/usr/bin/env python3
"""Get, start and stop the real stack: OpenTelemetry Collector, Jaeger, Prometheus and Alertmanager on loopback.

    python tools/stack.py check    is everything there, or can it be got?
    python tools/stack.py build    get it into the cache
    python tools/stack.py up       start it and print its addresses
    python tools/stack.py status   what runs, and where
    python tools/stack.py down     stop it

Standard library only; docs/stack.md has the details.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from mlotel_stack import Settings, Stack, StackError, builds, cache_dir, distribution, programs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit status: 1 with one line on stderr when something is lacking."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (StackError, OSError) as error:  # OSError: a folder that cannot be written
        print(f"stack: {error}", file=sys.stderr)
        return 1


def check(options: argparse.Namespace) -> int:
    """Say in one line whether the stack, and the browser and Java that tests need, can be had."""
    found = programs.find(cache_dir())
    packages = distribution.ALL
    if problems := programs.lacking(found) + [problem for each in packages for problem in each.lacking()]:
        raise StackError("; ".join(problems))
    to_get = [name for name in programs.NAMES if name not in found]
    to_get += [each.title for each in packages if each.find() is None]
    print(f"stack: can be had; still to get: {', '.join(to_get)}" if to_get else "stack: all programs are there")
    return 0


def build(options: argparse.Namespace) -> int:
    """Get every program and print where it is."""
    for name, path in vars(builds.ensure(cache_dir(), _say)).items():
        print(f"{name:14}{path}")
    return 0


def up(options: argparse.Namespace) -> int:
    """Start the stack, or say that it is running."""
    try:
        running = Stack.attach(options.run_dir)
    except StackError:
        running = None
    if running is not None and all(running.alive().values()):
        print("stack: it is running already")
        _describe(running)
        return 0
    if running is not None:
        running.stop()
    settings = Settings(scrape_interval=options.scrape_interval, span_metrics_interval=options.scrape_interval)
    _describe(Stack.start(options.run_dir, settings, say=_say))
    return 0


def status(options: argparse.Namespace) -> int:
    """Print the addresses and which services run; exit 1 unless all do."""
    stack = Stack.attach(options.run_dir)
    _describe(stack)
    down = [name for name, alive in stack.alive().items() if not alive]
    if down:
        raise StackError(f"not running: {', '.join(down)}; `python tools/stack.py up` starts the stack again")
    return 0


def down(options: argparse.Namespace) -> int:
    """Stop what `up` started, and nothing else."""
    try:
        stack = Stack.attach(options.run_dir)
    except StackError:
        print("stack: not running")
        return 0
    stack.stop(keep=options.keep)
    print("stack: stopped")
    return 0


def _describe(stack: Stack) -> None:
    pids = stack.pids()
    print(f"\nfolder            {stack.run_dir}")
    for name, address in stack.endpoints.items():
        print(f"{name:18}{address}")
    print("pids              " + ", ".join(f"{name} {pid}" for name, pid in pids.items()))
    print("\nTo send a program's telemetry here:")
    print(f"  export OTEL_EXPORTER_OTLP_ENDPOINT={stack.endpoints['otlp_http']}")


def _say(line: str) -> None:
    print(f"stack: {line}", flush=True)


def _parser() -> argparse.ArgumentParser:
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="stack.py", description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for function in (check, build, up, status, down):
        command = commands.add_parser(function.__name__, help=(function.__doc__ or "").splitlines()[0])
        command.set_defaults(command=function)
        if function in (up, status, down):
            command.add_argument(
                "--run-dir", type=Path, default=cache_dir() / "run",
                help="folder of the running stack (default: %(default)s)",
            )  # fmt: skip
        if function is up:
            command.add_argument(
                "--scrape-interval", default="5s", help="how often Prometheus scrapes (default: %(default)s)"
            )
        if function is down:
            command.add_argument("--keep", action="store_true", help="leave data and logs in the run folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
