"""`mlotel show`: one run in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlotel.annotation_documents import annotation_document
from mlotel.cli.options import OutputFormat, StoreSource, format_option, open_store, store_options
from mlotel.cli.output import make_console, print_json
from mlotel.cli.record import print_record
from mlotel.cli.said import print_annotations
from mlotel.cli.sections import drift_text, error_text, print_artifacts, print_profiles, print_section
from mlotel.cli.stale import print_stale
from mlotel.cli.tables import caption, state_text
from mlotel.cli.text import bytes_, clean, duration, timestamp
from mlotel.documents import predictions, record_document, run_document
from mlotel.errors import RunNotFoundError
from mlotel.inspection import staleness
from mlotel.lineage import RECORD, resolve_record, resolve_run
from mlotel.model import Run
from mlotel.semconv import attributes as A
from mlotel.standing import said_of
from mlotel.store.values import drift_of

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["command"]


@click.command()
@click.argument("run", metavar="RUN")
@format_option
@store_options
def command(run: str, output_format: OutputFormat, source: StoreSource) -> None:
    """Show one run in full: what ran, when, where and how, and what it read and wrote.

    RUN: A run id, trace id or span id, its first 4 digits or more, or record:KEY.

    Example: mlotel show 3f9a12c4
    """
    with open_store(source) as opened:
        if not opened.exists:
            raise RunNotFoundError(opened.advice)
        record = resolve_record(opened.store, run) if run.startswith(RECORD) else None
        found = resolve_run(opened.store, run) if record is None else record.run
        if output_format is OutputFormat.JSON:
            document = run_document(found, staleness(opened.store, found))
            document["annotations"] = [annotation_document(each) for each in said_of(opened.store, found)]
            print_json(document if record is None else {"record": record_document(record), **document})
            return
        console = make_console()
        if record is not None:
            print_record(console, record)
        _print_run(console, found)
        print_stale(console, staleness(opened.store, found))
        print_annotations(console, "Notes, flags and labels", said_of(opened.store, found))
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
    print_section(
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
            "error": None if run.error is None else error_text(run.error),
            "run id": run.run_id,
        },
    )
    print_section(
        console,
        "When",
        {
            "started": timestamp(run.start_ns),
            "ended": None if run.end_ns is None else timestamp(run.end_ns),
            "took": None if run.end_ns is None else duration(run.duration_s),
            "CPU time": duration(processor) if isinstance(processor, int | float) else None,
        },
    )
    print_section(
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
    print_section(
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
    print_section(console, "Parameters", run.params)
    print_artifacts(console, "Inputs", run.inputs)
    print_artifacts(console, "Outputs", run.outputs)
    print_profiles(console, (*run.inputs, *run.outputs))
    statistics = predictions(run) or {}
    classes = statistics.pop("classes", {})
    print_section(
        console,
        "Predictions",
        {
            **statistics,
            **{f"class {clean(name)}": count for name, count in classes.items()},
            "drift": drift_text(drift_of(run.attributes)),
        },
    )
    print_section(console, "Metrics", run.metrics)
    print_section(console, "Tags", run.tags)
