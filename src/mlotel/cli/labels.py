"""`mlotel label`, `unlabel`, `labels`, `retract` and `restore`: what passes to everything that is derived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlotel.annotation_documents import known_labels_document, labels_document, touched_document
from mlotel.cli.options import (
    OpenedStore,
    OutputFormat,
    StoreSource,
    format_option,
    open_store,
    store_options,
)
from mlotel.cli.output import make_console, print_json
from mlotel.cli.said import annotated, author_option, report, why_option
from mlotel.cli.tables import Column, caption, print_table, state_text
from mlotel.cli.text import amount, clean, short_digest, short_id, when
from mlotel.errors import QueryError
from mlotel.labels import Bearing, Touched, labels, labels_of, retractions, touched_by
from mlotel.lineage import node_id, resolve
from mlotel.model import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from rich.console import Console

    from mlotel.model import Annotation, Artifact

__all__ = ["label_command", "labels_command", "restore_command", "retract_command", "unlabel_command"]

_SHOWN = 20

_what_argument = click.argument("what", metavar="WHAT")
_label_argument = click.argument("label", metavar="LABEL")


@click.command()
@_what_argument
@_label_argument
@why_option
@author_option
@format_option
@store_options
def label_command(
    what: str,
    label: str,
    why: str,
    author: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """Give an artifact, or all that a run wrote, a label. What is derived from it bears the label too.

    WHAT: An artifact, or a run (whose outputs it then is on), named as for `mlotel lineage`.

    LABEL: The label, 1 to 255 characters.

    Example: mlotel label raw/customers.parquet customer-17
    """
    from mlotel.annotations import label as give

    with open_store(source) as opened:
        report(give(what, label, why, store=annotated(opened), author=author), output_format)


@click.command()
@_what_argument
@_label_argument
@why_option
@author_option
@format_option
@store_options
def unlabel_command(
    what: str,
    label: str,
    why: str,
    author: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """Take a label from what was given it.

    WHAT: An artifact, or a run (whose outputs it then is on), named as for `mlotel lineage`.

    LABEL: The label, 1 to 255 characters.

    Example: mlotel unlabel raw/customers.parquet customer-17
    """
    from mlotel.annotations import unlabel

    with open_store(source) as opened:
        report(unlabel(what, label, why, store=annotated(opened), author=author), output_format)


@click.command()
@click.argument("what", required=False, metavar="[WHAT]")
@format_option
@store_options
def labels_command(what: str | None, output_format: OutputFormat, source: StoreSource) -> None:
    """List the labels that something bears, by itself or by what it was made from, or all labels.

    WHAT: An artifact or a run, named as for `mlotel lineage`; without it all labels are listed.

    Example: mlotel labels out/scores.parquet
    """
    with open_store(source) as opened:
        place = annotated(opened)
        console = make_console()
        if what is None:
            given, retracted = labels(place), retractions(place)
            if output_format is OutputFormat.JSON:
                print_json(known_labels_document(given, retracted))
                return
            _print_known(console, given, retracted)
        else:
            borne = labels_of(place, resolve(place, what))
            if output_format is OutputFormat.JSON:
                print_json(labels_document(borne))
                return
            _print_borne(console, borne)
        caption(console, opened)


@click.command()
@_label_argument
@why_option
@click.option(
    "--deadline",
    default="30d",
    metavar="TIME",
    help="When what bears it may be read no longer: how long from now (30d, 12h; 0d is at once), RFC 3339, or never.",
)
@author_option
@format_option
@store_options
def retract_command(
    label: str,
    why: str,
    deadline: str,
    author: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """Retract a label, and list everything that bears it: artifacts, models, runs and how much these predicted.

    Runs that read such an artifact warn from now on. After the deadline, those of components that were made with
    on_retracted="block" refuse to.

    LABEL: The label, 1 to 255 characters.

    Example: mlotel retract customer-17 --why "consent withdrawn" --deadline 30d
    """
    from mlotel.annotations import retract

    until = _deadline(deadline)
    with open_store(source) as opened:
        place = annotated(opened)
        retract(label, why, deadline=until, store=place, author=author)
        _print_touched(opened, touched_by(place, label), output_format)


@click.command()
@_label_argument
@why_option
@author_option
@format_option
@store_options
def restore_command(
    label: str,
    why: str,
    author: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """Take the retraction of a label back, and list what may be read again.

    LABEL: The label, 1 to 255 characters.

    Example: mlotel restore customer-17 --why "retracted by mistake"
    """
    from mlotel.annotations import restore

    with open_store(source) as opened:
        place = annotated(opened)
        restore(label, why, store=place, author=author)
        _print_touched(opened, touched_by(place, label), output_format)


def _deadline(text: str) -> timedelta | datetime | None:
    from mlotel.annotations import parse_deadline

    try:
        return parse_deadline(text)
    except QueryError as error:
        raise click.BadParameter(str(error), param_hint="--deadline") from None


def _print_known(console: Console, given: Sequence[Annotation], retracted: Mapping[str, Annotation]) -> None:
    names = sorted({each.label for each in given if each.label is not None} | retracted.keys())
    if not names:
        console.print("no labels: give one with `mlotel label WHAT LABEL` or run.log_output(..., labels=[...])")
        return
    counts = [sum(each.label == name for each in given) for name in names]
    print_table(
        console,
        [
            Column("LABEL", [clean(each) for each in names], folds=True),
            Column("GIVEN TO", [f"{count:,}" for count in counts], rank=1, right=True),
            Column("RETRACTED", [_retraction(retracted.get(name)) for name in names], folds=True),
        ],
    )


def _print_borne(console: Console, borne: Sequence[Bearing]) -> None:
    if not borne:
        console.print("no labels, neither its own nor of anything that it was made from", soft_wrap=True)
        return
    print_table(
        console,
        [
            Column("LABEL", [clean(each.label) for each in borne], folds=True),
            Column("FROM", [_source(each) for each in borne], folds=True),
            Column("GIVEN", [when(each.said.time_ns) for each in borne], rank=2),
            Column("BY", [clean(each.said.author or "") for each in borne], rank=3, folds=True),
            Column("RETRACTED", [_retraction(each.retraction) for each in borne], folds=True),
        ],
    )


def _source(borne: Bearing) -> str:
    if not borne.inherited:
        return "itself"
    source = borne.source
    if isinstance(source, Run):
        return f"run {short_id(source.run_id)} of {clean(source.component)}"
    return f"{clean(source.name)} ({_short(source)})"


def _short(artifact: Artifact) -> str:
    node = node_id(artifact)
    return short_digest(node) if ":" in node else short_id(node)


def _retraction(said: Annotation | None) -> str:
    if said is None:
        return ""
    until = "no deadline" if said.deadline_ns is None else f"until {when(said.deadline_ns)}"
    return f"{until}: {clean(said.text)}" if said.text else until


def _print_touched(opened: OpenedStore, found: Touched, output_format: OutputFormat) -> None:
    if output_format is OutputFormat.JSON:
        print_json(touched_document(found))
        return
    console = make_console()
    if found.retraction is None:
        console.print(f"restored {clean(found.label)!r}: what bears it may be read", soft_wrap=True)
    else:
        deadline = found.retraction.deadline_ns
        until = "it may go on being read" if deadline is None else f"it may be read until {when(deadline)}"
        console.print(f"retracted {clean(found.label)!r}; reading what bears it warns; {until}", soft_wrap=True)
    _print_artifacts(console, "Given to", found.bearers)
    _print_artifacts(console, "Models that inherit it", found.models)
    models = {node_id(each) for each in found.models}
    _print_artifacts(console, "Inherited by", [each for each in found.artifacts if node_id(each) not in models])
    runs = found.runs[-_SHOWN:][::-1]
    if runs:
        console.print("Runs", style="bold")
        print_table(
            console,
            [
                Column("RUN", [short_id(run.run_id) for run in runs]),
                Column("COMPONENT", [clean(run.component) for run in runs], folds=True),
                Column("STATE", [state_text(console, run.state) for run in runs], rank=2),
                Column("STARTED", [when(run.start_ns) for run in runs], rank=1),
            ],
            indent=2,
        )
        _print_rest(console, len(found.runs))
    counts = [
        amount(len(found.artifacts), "artifact"),
        f"{amount(len(found.models), 'model')} among them",
        amount(len(found.runs), "run"),
        amount(found.predictions, "prediction"),
    ]
    caption(console, opened, more=f" · {', '.join(counts)}")
    if found.partial:
        console.print("partial: some runs that belong here are not in this store", style="yellow")


def _print_artifacts(console: Console, title: str, artifacts: Sequence[Artifact]) -> None:
    if not artifacts:
        return
    shown = artifacts[-_SHOWN:][::-1]
    console.print(title, style="bold")
    print_table(
        console,
        [
            Column("NAME", [clean(each.name) for each in shown], folds=True),
            Column("TYPE", [clean(each.type or "") for each in shown], rank=1),
            Column("ID", [_short(each) for each in shown]),
            Column("RUN", [short_id(each.run_id) for each in shown], rank=3),
            Column("WHERE", [clean(each.uri or "") for each in shown], rank=2, folds=True),
        ],
        indent=2,
    )
    _print_rest(console, len(artifacts))


def _print_rest(console: Console, count: int) -> None:
    if count > _SHOWN:
        console.print(f"  … and {count - _SHOWN:,} earlier ones: --format json lists all", style="dim")
