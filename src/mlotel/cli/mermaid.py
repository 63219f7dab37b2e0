"""A lineage as a Mermaid flowchart, of which no text of the data can become a part other than as text.

Nodes are numbered, and every character of a label that is neither a letter, a digit nor a blank is written as Mermaid's
entity code (https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters). So neither Mermaid's own
syntax, nor the Markdown and the HTML that it allows in labels, can begin in a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlotel.cli.text import clean, short_digest, short_id
from mlotel.lineage import node_id
from mlotel.model import Lineage

__all__ = ["mermaid"]

_LONGEST = 80
# What Mermaid acts upon after it has decoded the entities: mathematics, icons, "\n" for a new line, its own codes
_ACTED_UPON = re.compile(r"\$(?=\$)|fa[a-z]?:(?=[\w-])|\\(?=n)|ﬂ(?=°)")
_WORD_JOINER = "\u2060"  # not seen, and no blank


def mermaid(lineage: Lineage) -> str:
    """Return the text of a flowchart: runs with round ends, artifacts as cylinders, arrows as the data flows.

    An arrow from an artifact to a run that read it says how its producer was found.
    """
    return "\n".join(_lines(lineage)) + "\n"


def _lines(lineage: Lineage) -> Iterator[str]:
    yield "flowchart LR"
    if lineage.partial:
        yield "  %% partial: some of it could not be read"
    numbers: dict[str, str] = {}
    for artifact in lineage.artifacts:
        node = numbers[node_id(artifact)] = f"a{len(numbers)}"
        digest = [short_digest(artifact.digest)] if artifact.digest else []
        yield f'  {node}[("{_label(artifact.name, *digest)}")]'
    for run in lineage.runs:
        node = numbers[run.run_id] = f"r{len(numbers)}"
        yield f'  {node}(["{_label(run.component, f"{short_id(run.run_id)} {run.state}")}"])'
    for edge in lineage.edges:
        found_by = f'|"{_label(edge.resolved_by)}"|' if edge.resolved_by else ""
        yield f"  {numbers[edge.source]} -->{found_by} {numbers[edge.target]}"
    if lineage.root in numbers:
        yield f"  style {numbers[lineage.root]} stroke-width:3px"


def _label(*lines: str) -> str:
    return "<br/>".join(_escaped(line) for line in lines)


def _escaped(text: str) -> str:
    # Blanks that are several, or that a line begins with, would mean something to Markdown.
    text = " ".join(clean(text).split())
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    text = _ACTED_UPON.sub(lambda match: match[0] + _WORD_JOINER, text)
    return "".join(each if each.isalnum() or each == " " else f"#{ord(each)};" for each in text)
