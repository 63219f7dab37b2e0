"""What the commands share that say something of a run or an artifact, or show what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from mlotel.annotation_documents import annotation_document
from mlotel.cli.options import OpenedStore, OutputFormat
from mlotel.cli.output import make_console, print_json
from mlotel.cli.tables import Column, print_table
from mlotel.cli.text import clean, short_digest, short_id, when
from mlotel.errors import RunNotFoundError
from mlotel.lineage import RECORD
from mlotel.model import Annotation
from mlotel.store import Store

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["annotated", "author_option", "print_annotations", "report", "subject", "why_option"]

why_option = click.option(
    "--why", default="", show_default=False, metavar="TEXT", help="The reason, which is kept with it."
)
author_option = click.option(
    "--author", metavar="NAME", help="Who says it. Default: MLOTEL_AUTHOR, else nobody is named."
)

_VERBS: Mapping[str, str] = {
    "note": "noted",
    "flag": "flagged",
    "unflag": "took the flag back",
    "label": "labelled",
    "unlabel": "took the label back",
    "retract": "retracted",
    "restore": "restored",
}


def annotated(opened: OpenedStore) -> Store:
    """Return the store to annotate. Raises RunNotFoundError where there is none."""
    if not opened.exists:
        raise RunNotFoundError(opened.advice)
    return opened.store


def report(said: Sequence[Annotation], output_format: OutputFormat) -> None:
    """Print what was written just now."""
    if output_format is OutputFormat.JSON:
        print_json([annotation_document(each) for each in said])
        return
    console = make_console()
    for each in said:
        label = f" {clean(each.label)!r}" if each.label else ""
        console.print(f"{_VERBS[each.kind]}{label}: {subject(each)}", soft_wrap=True)


def subject(said: Annotation) -> str:
    """Return what an annotation speaks of, in a few words."""
    if said.target.startswith(RECORD):
        return f"the prediction {clean(said.target)} of run {short_id(said.run_id or '')}"
    if said.artifact_name is not None:
        shown = short_digest(said.target) if ":" in said.target else short_id(said.target)
        return f"{clean(said.artifact_name)} ({shown})"
    return f"run {short_id(said.target)}" if said.run_id else clean(said.target)


def print_annotations(console: Console, title: str, said: Sequence[Annotation]) -> None:
    """Print annotations under a title, or nothing at all."""
    if not said:
        return
    if title:
        console.print(title, style="bold")
    print_table(
        console,
        [
            Column("WHEN", [when(each.time_ns) for each in said], rank=3),
            Column("WHAT", [_what(each) for each in said]),
            Column("ABOUT", [subject(each) for each in said], folds=True),
            Column("AUTHOR", [clean(each.author or "") for each in said], rank=2, folds=True),
            Column("TEXT", [clean(each.text) for each in said], rank=1, folds=True),
        ],
        indent=2 if title else 0,
    )


def _what(said: Annotation) -> str:
    return f"{said.kind} {clean(said.label)}" if said.label else said.kind
