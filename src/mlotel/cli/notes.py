"""`mlotel notes`: what people wrote about a run or an artifact, and one more."""

from __future__ import annotations

import click

from mlotel.annotation_documents import annotation_document
from mlotel.cli.options import OutputFormat, StoreSource, format_option, open_store, store_options
from mlotel.cli.output import make_console, print_json
from mlotel.cli.said import annotated, author_option, print_annotations, report
from mlotel.cli.tables import caption
from mlotel.lineage import resolve
from mlotel.standing import said_of

__all__ = ["command"]


@click.command()
@click.argument("what", metavar="RUN")
@click.argument("text", required=False, metavar="[TEXT]")
@author_option
@format_option
@store_options
def command(
    what: str,
    text: str | None,
    author: str | None,
    output_format: OutputFormat,
    source: StoreSource,
) -> None:
    """List the notes about a run and what it read and wrote, latest first, or add one.

    RUN: A run, or an artifact, named as for `mlotel lineage`.

    TEXT: A note to add; without it the notes are listed.

    Example: mlotel notes 3f9a12c4 "trained without the July data"
    """
    with open_store(source) as opened:
        place = annotated(opened)
        if text is not None:
            from mlotel.annotations import note

            report(note(what, text, store=place, author=author), output_format)
            return
        found = [each for each in said_of(place, resolve(place, what)) if each.kind == "note"]
        if output_format is OutputFormat.JSON:
            print_json([annotation_document(each) for each in found])
            return
        console = make_console()
        print_annotations(console, "", found)
        if not found:
            console.print("no notes", soft_wrap=True)
        caption(console, opened)
