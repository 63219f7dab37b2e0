"""`mlotel show`: one run in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mlotel.cli.options import FormatOption, JaegerOption, OutputFormat, StoreOption, open_store
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, caption, extent, print_table, state_text
from mlotel.cli.text import bytes_, clean, duration, number, short_digest, timestamp
from mlotel.documents import predictions, run_document
from mlotel.errors import RunNotFoundError
from mlotel.lineage import resolve_run
from mlotel.model import Artifact, Run
from mlotel.semconv import attributes as A

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["command"]

_IDENTITIES = frozenset({"process", "exit code"})  # numbers that are not counts


def command(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run id, trace id or span id, or its first 4 digits or more.")
    ],
    output_format: FormatOption = OutputFormat.TABLE,
    store: StoreOption = None,
    jaeger: JaegerOption = None,
) -> None:
    """Show one run in full: what ran, when, where and how, and what it read and wrote.

    Example: mlotel show 3f9a12c4
    """
    with open_store(store, jaeger) as opened:
        if not opened.exists:
            raise RunNotFoundError(opened.advice)
        found = resolve_run(opened.store, run)
        if output_format is OutputFormat.JSON:
            print_json(run_document(found))
            return
        console = make_console()
        _print_run(console, found)
        caption(console, opened)


def _print_run(console: Console, run: Run) -> None:
    read = run.attributes.get
    commit = clean(run.git.get("commit", ""))
    if run.git.get("dirty"):
        commit += " (uncommitted changes)"
    processor = read(A.MLOTEL_RUN_CPU_TIME)
    peak = read(A.MLOTEL_RUN_MEMORY_PEAK)
    runtime = " ".join(
        clean(value) for key in (A.PROCESS_RUNTIME_NAME, A.PROCESS_RUNTIME_VERSION) if (value := read(key))
    )
    _section(
        console,
        "What",
        {
            "component": clean(run.component),
            "version": run.version,
            "description": read(A.MLOTEL_COMPONENT_DESCRIPTION),
            "owner": read(A.MLOTEL_COMPONENT_OWNER),
            "labels": read(A.MLOTEL_COMPONENT_TAGS),
            "pipeline": run.pipeline,
            "experiment": read(A.MLOTEL_EXPERIMENT_NAME),
            "state": state_text(console, run.state),
            "error": None if run.error is None else _error(run.error),
            "run id": run.run_id,
        },
    )
    _section(
        console,
        "When",
        {
            "started": timestamp(run.start_ns),
            "ended": None if run.end_ns is None else timestamp(run.end_ns),
            "took": None if run.end_ns is None else duration(run.duration_s),
            "CPU time": duration(processor) if isinstance(processor, int | float) else None,
        },
    )
    _section(
        console,
        "Where",
        {
            "service": run.service,
            "environment": read(A.DEPLOYMENT_ENVIRONMENT_NAME),
            "host": read(A.HOST_NAME),
            "process": read(A.PROCESS_PID),
            "peak memory": bytes_(peak) if isinstance(peak, int) else None,
            "trace id": run.trace_id,
            "span id": run.span_id,
        },
    )
    _section(
        console,
        "How",
        {
            "commit": commit,
            "branch": run.git.get("branch"),
            "repository": run.git.get("repository"),
            "code": read(A.MLOTEL_CODE_DIGEST),
            "packages": read(A.MLOTEL_ENVIRONMENT_DIGEST),
            "program": read(A.PROCESS_EXECUTABLE_NAME),
            "exit code": read(A.PROCESS_EXIT_CODE),
            "runtime": runtime,
        },
    )
    _section(console, "Parameters", run.params)
    _artifacts(console, "Inputs", run.inputs)
    _artifacts(console, "Outputs", run.outputs)
    statistics = predictions(run) or {}
    classes = statistics.pop("classes", {})
    _section(
        console, "Predictions", {**statistics, **{f"class {clean(name)}": count for name, count in classes.items()}}
    )
    _section(console, "Metrics", run.metrics)
    _section(console, "Tags", run.tags)


def _error(error: Mapping[str, str]) -> str:
    kind, message = clean(error.get("type", "")), clean(error.get("message", ""))
    return f"{kind}: {message}" if kind and message and not message.startswith(f"{kind}:") else message or kind


def _section(console: Console, title: str, values: Mapping[str, object]) -> None:
    """Print the values that are known under a title, or nothing at all."""
    from rich.text import Text

    known = {key: value for key, value in values.items() if value not in (None, "", (), [])}
    if not known:
        return
    console.print(title, style="bold")
    shown = [value if isinstance(value, Text) else _shown(key, value) for key, value in known.items()]
    keys = [Text(clean(key), style="dim") for key in known]
    print_table(console, [Column("", keys), Column("", shown, folds=True)], indent=2)


def _shown(key: str, value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(clean(each) for each in value)
    return str(value) if key in _IDENTITIES else number(value)


def _artifacts(console: Console, title: str, artifacts: Sequence[Artifact]) -> None:
    if not artifacts:
        return
    console.print(title, style="bold")
    print_table(
        console,
        [
            Column("NAME", [clean(each.name) for each in artifacts], folds=True),
            Column("TYPE", [clean(each.type or "") for each in artifacts], rank=4),
            Column("EXTENT", [" ".join(extent(each)) for each in artifacts], rank=2),
            Column("DIGEST", [short_digest(each.digest) if each.digest else "none" for each in artifacts]),
            Column("FOUND BY", [_found_by(each) for each in artifacts], rank=3),
            Column("WHERE", [clean(each.uri or "") for each in artifacts], rank=1, folds=True),
            Column("NOTE", [clean(each.note or "") for each in artifacts], folds=True, rank=1),
        ],
        indent=2,
    )


def _found_by(artifact: Artifact) -> str:
    return "" if artifact.link is None else clean(artifact.link.resolved_by or artifact.link.type)
