"""`mlotel explain`: what, when, where and how of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from mlotel.cli.options import OutputFormat, StoreSource, format_option, open_store, store_options
from mlotel.cli.output import make_console, print_json
from mlotel.cli.sections import error_text, print_artifacts, print_section
from mlotel.cli.stale import print_stale
from mlotel.cli.tables import Column, caption, describe_run, print_table, state_text
from mlotel.cli.text import bytes_, clean, duration, short_id, timestamp, when
from mlotel.documents import predictions
from mlotel.errors import RunNotFoundError
from mlotel.inspection import Attempts, Explanation, Source, explain
from mlotel.inspection_documents import explanation_document
from mlotel.lineage import RECORD, resolve_record, resolve_run
from mlotel.model import Run
from mlotel.semconv import attributes as A

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["command"]

_UNKNOWN = "not recorded"
_CHILDREN_SHOWN = 20
_WITHIN = {"trace": ", in the same trace", "inputs and parameters": ""}
_CLOUD = ("provider", "platform", "account", "resource")
_CONTAINER = ("container", "container_id", "image")
_KUBERNETES = ("cluster", "namespace", "node", "deployment", "cronjob", "job", "pod")


@click.command()
@click.argument("run", metavar="RUN")
@format_option
@store_options
def command(run: str, output_format: OutputFormat, source: StoreSource) -> None:
    """Answer what a run was, when, where and how it ran, and say what nobody recorded.

    RUN: A run id, trace id or span id, or its first 4 digits or more; record:KEY is the run of the latest prediction
    for that record.

    Example: mlotel explain 3f9a12c4
    """
    with open_store(source) as opened:
        if not opened.exists:
            raise RunNotFoundError(opened.advice)
        record = resolve_record(opened.store, run) if run.startswith(RECORD) else None
        explained = explain(opened.store, resolve_run(opened.store, run) if record is None else record.run)
        if output_format is OutputFormat.JSON:
            print_json(explanation_document(explained))
            return
        console = make_console()
        _print_what(console, explained)
        _print_when(console, explained)
        _print_where(console, explained)
        _print_how(console, explained)
        caption(console, opened)


def _print_what(console: Console, explained: Explanation) -> None:
    run, said = explained.run, explained.what
    statistics = predictions(run) or {}
    classes = statistics.pop("classes", {})
    values = {
        "component": clean(run.component),
        "version": run.version,
        "description": said["description"],
        "owner": said["owner"],
        "labels": said["component_tags"],
        "pipeline": run.pipeline,
        "experiment": said["experiment"],
        "state": state_text(console, run.state),
        "run id": run.run_id,
    }
    # what only some runs have is not missed where it is not there
    some = {
        "error": None if run.error is None else error_text(run.error),
        "exit code": said["exit_code"],
        "model": _joined(said["model"], said["model_version"], said["model_digest"]),
        "variant": _joined(said["flag"], said["variant"]),
    }
    values |= {key: value for key, value in some.items() if value is not None}
    print_section(console, "What", values, unknown=_UNKNOWN)
    _print_artifacts(console, "Inputs", run, "input")
    _print_sources(console, explained.sources)
    _print_artifacts(console, "Outputs", run, "output")
    _print_or_say(
        console, "Predictions", {**statistics, **{f"class {clean(name)}": count for name, count in classes.items()}}
    )
    _print_or_say(console, "Metrics", run.metrics)
    print_section(console, "Tags", run.tags)
    print_stale(console, explained.stale)


def _print_when(console: Console, explained: Explanation) -> None:
    run = explained.run
    cpu = run.attributes.get(A.MLOTEL_RUN_CPU_TIME)
    values = {
        "started": timestamp(run.start_ns),
        "ended": "not yet" if run.state == "running" else None if run.end_ns is None else timestamp(run.end_ns),
        "took": None if run.end_ns is None else duration(run.duration_s),
        "waited": None if explained.queue_s is None else duration(explained.queue_s),
        "CPU time": duration(cpu) if isinstance(cpu, int | float) else None,
        "attempt": _attempt(explained.attempts),
        "parent": _parent(console, explained),
        "trace id": run.trace_id,
        "span id": run.span_id,
    }
    print_section(console, "When", values, unknown=_UNKNOWN)
    _print_runs(console, "Earlier attempts", explained.attempts.earlier)
    _print_runs(console, "Runs within it", explained.children)


def _print_where(console: Console, explained: Explanation) -> None:
    said = explained.where
    peak = said["peak_memory"]
    values = {
        "service": _joined(said["service"], said["service_version"], said["service_instance"]),
        "replica": said["replica"],
        "environment": said["environment"],
        "region": said["region"],
        "zone": said["zone"],
        "cloud": _named(said, _CLOUD),
        "host": _joined(said["host"], said["host_id"]),
        "system": _joined(said["system"], said["architecture"]),
        "container": _named(said, _CONTAINER),
        "Kubernetes": _named(said, _KUBERNETES),
        "process": said["process"],
        "runtime": _joined(said["runtime"], said["runtime_version"]),
        "peak memory": bytes_(peak) if isinstance(peak, int) else None,
    }
    print_section(console, "Where", values, unknown=_UNKNOWN)


def _print_how(console: Console, explained: Explanation) -> None:
    said, trigger = explained.how, explained.trigger
    changed = said["dirty"]
    dirty = "" if changed is None else " (uncommitted changes)" if changed else " (nothing uncommitted)"
    values = {
        "commit": None if said["commit"] is None else clean(said["commit"]) + dirty,
        "branch": said["branch"],
        "repository": said["repository"],
        "code": said["code"],
        "function": _joined(said["function"], said["file"]),
        "packages": said["packages"],
        "trigger": _trigger(explained),
        "pipeline run": trigger["pipeline_run"],
        "task": _joined(trigger["task"], trigger["task_run"]),
    }
    print_section(console, "How", values, unknown=_UNKNOWN)
    _print_or_say(console, "Parameters", explained.run.params)


def _attempt(attempts: Attempts) -> str | None:
    if attempts.number is None:
        return None
    if attempts.judged_by == "attribute":
        return f"{attempts.number} (as the run says itself)"
    if not attempts.earlier:
        return "1 (no run before it failed with the same inputs and parameters)"
    return f"{attempts.number} (earlier runs failed with the same inputs and parameters{_WITHIN[attempts.judged_by]})"


def _parent(console: Console, explained: Explanation) -> object:
    if explained.parent is not None:
        return describe_run(console, explained.parent)
    if explained.run.parent_span_id is None:
        return "none: it began its trace"
    return f"span {clean(explained.run.parent_span_id)}, which is no run of this store"


def _trigger(explained: Explanation) -> str | None:
    """Return what started the run, by the first of the ways that is known."""
    said = explained.trigger
    if said["orchestrator"] or said["task"] or said["pipeline_run"]:
        return f"orchestrator {clean(said['orchestrator'] or '(its name is not recorded)')}"
    if explained.parent is not None:
        return f"run {short_id(explained.parent.run_id)} of {clean(explained.parent.component)}"
    if said["command"]:
        return f"mlotel exec of {clean(said['command'])}"
    return None


def _named(said: Mapping[str, object], keys: Sequence[str]) -> str | None:
    """Return what is known of several things, each with its name."""
    return ", ".join(f"{key.replace('_', ' ')} {clean(said[key])}" for key in keys if said[key] is not None) or None


def _joined(*values: object) -> str | None:
    return " ".join(clean(value) for value in values if value not in (None, "")) or None


def _print_artifacts(console: Console, title: str, run: Run, side: str) -> None:
    artifacts = run.inputs if side == "input" else run.outputs
    if artifacts:
        print_artifacts(console, title, artifacts, content=True)
    else:
        _say_unknown(console, title)


def _print_sources(console: Console, sources: Sequence[Source]) -> None:
    if not sources:
        return
    console.print("Written by", style="bold")
    print_table(
        console,
        [
            Column("INPUT", [clean(each.read.name) for each in sources], folds=True),
            Column("COMPONENT", [clean(each.run.component) for each in sources], folds=True),
            Column("RUN", [short_id(each.run.run_id) for each in sources]),
            Column("WRITTEN", [when(each.written_ns) for each in sources], rank=1),
        ],
        indent=2,
    )


def _print_or_say(console: Console, title: str, values: Mapping[str, object]) -> None:
    if values:
        print_section(console, title, values)
    else:
        _say_unknown(console, title)


def _say_unknown(console: Console, title: str) -> None:
    from rich.text import Text

    console.print(Text(title, style="bold").append(f"  {_UNKNOWN}", style="not bold dim italic"))


def _print_runs(console: Console, title: str, runs: Sequence[Run]) -> None:
    if not runs:
        return
    console.print(title, style="bold")
    for line in _lines(console, runs):
        console.print(line, soft_wrap=True)


def _lines(console: Console, runs: Sequence[Run]) -> Iterable[object]:
    for run in runs[:_CHILDREN_SHOWN]:
        line = describe_run(console, run)
        line.pad_left(2)
        yield line
    if len(runs) > _CHILDREN_SHOWN:
        yield f"  and {len(runs) - _CHILDREN_SHOWN:,} more"
