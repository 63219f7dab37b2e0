"""A lineage as a tree: the root first, under each artifact what its producer read, each node once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mlotel.cli.output import make_console, print_trimmed
from mlotel.cli.tables import describe_artifact, describe_run
from mlotel.cli.text import clean
from mlotel.lineage import node_id
from mlotel.model import Lineage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

__all__ = ["print_tree"]

_INDENT = 4
_LABEL = 30


def print_tree(console: Console, lineage: Lineage, *, whole: bool = True) -> None:
    """Print a lineage as a tree, going back in time from the root.

    An artifact and the run that wrote it share a node, so that each step back is one level. A node that stands in
    several places is printed in the first and referred to in the others. `whole` says that the walk was not cut by a
    depth, so that an artifact without a producer is a source.
    """
    for tree, levels in _Branches(console, lineage, whole).trees():
        needed = levels * _INDENT + _LABEL
        # A chain deeper than the terminal is wide would have no room for words: let the terminal break those lines.
        print_trimmed(console if needed <= console.width else make_console(width=needed + _LABEL), tree)


class _Branches:
    """The tree of one lineage while it is built, on a stack of its own: a chain may be longer than Python recurses."""

    def __init__(self, console: Console, lineage: Lineage, whole: bool) -> None:
        self._console = console
        self._lineage = lineage
        self._whole = whole
        self._runs = {run.run_id: run for run in lineage.runs}
        self._artifacts = {node_id(each): each for each in lineage.artifacts}
        self._writers: defaultdict[str, list[str]] = defaultdict(list)
        self._reads: defaultdict[str, list[str]] = defaultdict(list)
        self._found_by: dict[tuple[str, str], str] = {}
        for edge in lineage.edges:
            if edge.kind == "write":
                self._writers[edge.target].append(edge.source)
            else:
                self._reads[edge.target].append(edge.source)
                if edge.resolved_by:
                    self._found_by[edge.source, edge.target] = edge.resolved_by
        self._shown: set[str] = set()

    def trees(self) -> list[tuple[Tree, int]]:
        return [self._tree(root) for root in self._roots()]

    def _roots(self) -> list[str]:
        """The root; of a whole trace, those of its runs that nothing else here was made from."""
        root = self._lineage.root
        if root in self._runs or root in self._artifacts:
            return [root]
        read = {edge.source for edge in self._lineage.edges if edge.kind == "read"}
        used = {edge.source for edge in self._lineage.edges if edge.kind == "write" and edge.target in read}
        ends = [run.run_id for run in reversed(self._lineage.runs) if run.run_id not in used]
        return ends or [run.run_id for run in self._lineage.runs[-1:]]

    def _tree(self, root: str) -> tuple[Tree, int]:
        from rich.tree import Tree

        top = Tree("", hide_root=True)
        deepest = 0
        stack: list[tuple[Tree, str, str | None, int]] = [(top, root, None, 0)]
        while stack:
            parent, node, reader, level = stack.pop()
            deepest = max(deepest, level)
            again = node in self._shown
            self._shown.add(node)
            branch = parent.add(self._label(node, reader, again))
            if not again:
                stack.extend((branch, child, by, level + 1) for child, by in reversed(self._children(node)))
        return top, deepest

    def _children(self, node: str) -> list[tuple[str, str | None]]:
        """What a node was made from, with the run that read it; a lone producer of an artifact is part of its node."""
        if node in self._runs:
            return [(each, node) for each in self._reads[node]]
        writers = self._writers[node]
        if len(writers) == 1 and writers[0] in self._runs:
            if writers[0] in self._shown:
                return []
            self._shown.add(writers[0])
            return [(each, writers[0]) for each in self._reads[writers[0]]]
        return [(each, None) for each in writers]

    def _label(self, node: str, reader: str | None, again: bool) -> Text:
        from rich.text import Text

        if node in self._runs:
            label = describe_run(self._console, self._runs[node])
            return label.append("  ↑ shown above", style="dim") if again else label
        artifact = self._artifacts[node]
        name = self._name_read(node, reader) or artifact.name
        if again:
            label = Text().append(clean(name), style="bold blue")
            same = "" if name == artifact.name else f"the same content as {clean(artifact.name)}, "
            return label.append(f"  ↑ {same}shown above", style="dim")
        label = describe_artifact(artifact)
        if name != artifact.name:
            label.append(f"  read as {clean(name)}", style="dim")
        found_by = self._found_by.get((node, reader or ""))
        writers = self._writers[node]
        if len(writers) == 1 and writers[0] in self._runs:
            label.append("\nby ", style="dim")
            label.append_text(describe_run(self._console, self._runs[writers[0]]))
            if writers[0] in self._shown:
                label.append("  ↑ shown above", style="dim")
            if found_by:
                label.append(f"  (found by {clean(found_by).replace('_', ' ')})", style="dim")
        elif not writers and self._whole:
            where = f": {clean(artifact.uri)}" if artifact.uri else ""
            label.append(f"\nno run wrote it{where}", style="dim")
        return label

    def _name_read(self, node: str, reader: str | None) -> str | None:
        """What the run that read an artifact calls it, where that is known."""
        inputs = self._runs[reader].inputs if reader else ()
        return next((each.name for each in inputs if node in (each.digest, each.span_id)), None)
