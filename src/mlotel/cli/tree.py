"""A lineage as a tree, each node once: what the root was made from, or what it touched."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlotel.cli.output import print_trimmed
from mlotel.cli.stale import stale_lines
from mlotel.cli.tables import describe_artifact, describe_run
from mlotel.cli.text import amount, clean, short_id
from mlotel.lineage import SubWorkflow, node_id
from mlotel.model import Lineage, Staleness

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

__all__ = ["print_tree"]

_INDENT = 4  # columns a level, as rich draws it
_LABEL = 40  # columns that words need
_MOST_LEVELS = 40
# Where the words are not those of mlotel.link.resolved_by
_WAYS = {"embedded": "embedded context", "env": "environment", "latest_write": "digest, latest write"}


def print_tree(
    console: Console,
    lineage: Lineage,
    *,
    forward: bool = False,
    whole: bool = True,
    workflows: Mapping[str, Sequence[SubWorkflow]] = MappingProxyType({}),
    stale: Mapping[str, Sequence[Staleness]] = MappingProxyType({}),
) -> None:
    """Print a lineage as a tree, going back in time from the root, or forward.

    Back, an artifact and the run that wrote it share a node, so that each step is one level; forward, the runs that
    read an artifact are below it, and below a run what it wrote. A node that stands in several places is printed in
    the first and referred to in the others; what lies deeper than the terminal has room for is continued in a tree of
    its own. `whole` says that the walk was not cut by a depth or a time, so that an artifact without a producer is a
    source, and one without a reader an end. `workflows` are those of other pipelines that runs started, and `stale` is
    why inputs of runs are stale, both by run id.
    """
    levels = min(_MOST_LEVELS, max(1, (console.width - _LABEL) // _INDENT))
    branches = _ForwardBranches if forward else _Branches
    for tree in branches(console, lineage, whole, levels, workflows, stale).trees():
        print_trimmed(console, tree)


class _Branches:
    """The trees of one lineage while they are built, going back."""

    def __init__(
        self,
        console: Console,
        lineage: Lineage,
        whole: bool,
        levels: int,
        workflows: Mapping[str, Sequence[SubWorkflow]],
        stale: Mapping[str, Sequence[Staleness]],
    ) -> None:
        self._workflows = workflows
        self._stale = stale
        self._console = console
        self._lineage = lineage
        self._whole = whole
        self._levels = levels
        self._runs = {run.run_id: run for run in lineage.runs}
        self._artifacts = {node_id(each): each for each in lineage.artifacts}
        self._writers: defaultdict[str, list[str]] = defaultdict(list)
        self._reads: defaultdict[str, list[str]] = defaultdict(list)
        self._readers: defaultdict[str, list[str]] = defaultdict(list)
        self._wrote: defaultdict[str, list[str]] = defaultdict(list)
        self._depends: defaultdict[str, list[str]] = defaultdict(list)
        self._dependents: defaultdict[str, list[str]] = defaultdict(list)
        self._found_by: dict[tuple[str, str], str] = {}
        for edge in lineage.edges:
            if edge.kind == "write":
                self._writers[edge.target].append(edge.source)
                self._wrote[edge.source].append(edge.target)
            elif edge.kind == "depends_on":
                self._depends[edge.target].append(edge.source)
                self._dependents[edge.source].append(edge.target)
            else:
                self._reads[edge.target].append(edge.source)
                self._readers[edge.source].append(edge.target)
                if edge.resolved_by:
                    self._found_by[edge.source, edge.target] = edge.resolved_by
        self._shown: set[str] = set()
        self._later: dict[str, str | None] = {}

    def trees(self) -> Iterator[Tree]:
        """The tree of each root, then those of the nodes that were too deep in one before."""
        roots = deque[tuple[str, str | None]]((root, None) for root in self._roots())
        while roots:
            yield self._tree(*roots.popleft())
            if not roots and self._later:
                roots.extend(self._later.items())
                self._later.clear()

    def _roots(self) -> list[str]:
        """The root; of a whole trace, those of its runs that nothing else here was made from."""
        root = self._lineage.root
        if root in self._runs or root in self._artifacts:
            return [root]
        read = {edge.source for edge in self._lineage.edges if edge.kind == "read"}
        used = {edge.source for edge in self._lineage.edges if edge.kind == "write" and edge.target in read}
        used |= set(self._dependents)
        ends = [run.run_id for run in reversed(self._lineage.runs) if run.run_id not in used]
        return ends or [run.run_id for run in self._lineage.runs[-1:]]

    def _tree(self, root: str, reader: str | None) -> Tree:
        from rich.tree import Tree

        top = Tree("", hide_root=True)
        stack: list[tuple[Tree, str, str | None, int]] = [(top, root, reader, 0)]
        while stack:
            parent, node, by, level = stack.pop()
            if node in self._shown:
                parent.add(self._reference(node, by, "↑", "shown above"))
            elif node in self._later or (level == self._levels and self._leads_on(node)):
                self._later.setdefault(node, by)
                parent.add(self._reference(node, by, "↓", "continued below"))
            else:
                self._shown.add(node)
                branch = parent.add(self._label(node, by))
                stack.extend((branch, child, run, level + 1) for child, run in reversed(self._children(node)))
        return top

    def _producer(self, node: str) -> str | None:
        """The run that shares an artifact's node: its only writer."""
        writers = self._writers[node] if node in self._artifacts else []
        return writers[0] if len(writers) == 1 else None

    def _leads_on(self, node: str) -> bool:
        return bool(self._reads[node] or self._writers[node] or self._depends[node])

    def _children(self, node: str) -> list[tuple[str, str | None]]:
        """What a node was made from, with the run that read it."""
        run = node if node in self._runs else self._producer(node)
        if run is None:
            return [(each, None) for each in self._writers[node]]
        if run != node and run in self._shown:
            return []
        self._shown.add(run)
        return [(each, run) for each in (*self._reads[run], *self._depends[run])]

    def _label(self, node: str, reader: str | None) -> Text:
        from rich.text import Text

        if node in self._runs:
            label = Text("depends on ", style="dim") if reader in self._runs else Text()
            return label.append_text(describe_run(self._console, self._runs[node])).append_text(self._below(node))
        artifact = self._artifacts[node]
        label = describe_artifact(artifact)
        name = self._name_read(node, reader)
        if name != artifact.name:
            label.append(f"  read as {clean(name)}", style="dim")
        run = self._producer(node)
        if run is not None:
            label.append("\nby ", style="dim").append_text(self._run_label(run))
            found_by = self._found_by.get((node, reader or ""))
            if found_by:
                label.append(f"  (found by {_WAYS.get(found_by) or clean(found_by)})", style="dim")
            if run not in self._shown:
                label.append_text(self._below(run))
        elif self._whole and not self._writers[node]:
            label.append("\nno run wrote it" + (f": {clean(artifact.uri)}" if artifact.uri else ""), style="dim")
        return label

    def _run_label(self, run_id: str) -> Text:
        if run_id in self._shown:
            return self._reference(run_id, None, "↑", "shown above")
        return describe_run(self._console, self._runs[run_id])

    def _below(self, run_id: str) -> Text:
        """Further lines of a run: the workflows that it started, and why inputs of it are stale."""
        label = self._folded(run_id)
        for line in stale_lines(self._stale.get(run_id, ())):
            label.append("\n").append_text(line)
        return label

    def _folded(self, run_id: str) -> Text:
        """A line for each workflow of another pipeline that the run started."""
        from rich.text import Text

        label = Text()
        for each in self._workflows.get(run_id, ()):
            states = ", ".join(f"{number} {state}" for state, number in sorted(each.states.items()))
            more = " and more" if each.more else ""
            label.append("\n▸ started pipeline ", style="dim").append(clean(each.pipeline), style="bold")
            label.append(f"  {amount(each.runs, 'run')}{more} ({states})  run:{short_id(each.first)}", style="dim")
        return label

    def _reference(self, node: str, reader: str | None, arrow: str, where: str) -> Text:
        from rich.text import Text

        if node in self._runs:
            label = Text().append(clean(self._runs[node].component), style="bold")
            return label.append(f"  {short_id(node)}").append(f"  {arrow} {where}", style="dim")
        known, name = self._artifacts[node].name, self._name_read(node, reader)
        same = "" if name == known else f"the same content as {clean(known)}, "
        return Text().append(clean(name), style="bold blue").append(f"  {arrow} {same}{where}", style="dim")

    def _name_read(self, node: str, reader: str | None) -> str:
        """What the run that read an artifact calls it; what its producer does where that is not known."""
        inputs = self._runs[reader].inputs if reader else ()
        names = (each.name for each in inputs if node in (each.digest, each.span_id))
        return next(names, self._artifacts[node].name)


class _ForwardBranches(_Branches):
    """The same, going forward: `reader` is then the node above, of either kind."""

    def _roots(self) -> list[str]:
        """The root; of a whole trace, those of its runs that were made from nothing else here."""
        root = self._lineage.root
        if root in self._runs or root in self._artifacts:
            return [root]
        written = {edge.target for edge in self._lineage.edges if edge.kind == "write"}
        made = {edge.target for edge in self._lineage.edges if edge.kind == "read" and edge.source in written}
        made |= set(self._depends)
        starts = [run.run_id for run in self._lineage.runs if run.run_id not in made]
        return starts or [run.run_id for run in self._lineage.runs[:1]]

    def _leads_on(self, node: str) -> bool:
        return bool(self._readers[node] or self._wrote[node] or self._dependents[node])

    def _children(self, node: str) -> list[tuple[str, str | None]]:
        if node in self._runs:
            return [(each, node) for each in (*self._wrote[node], *self._dependents[node])]
        return [(each, node) for each in self._readers[node]]

    def _label(self, node: str, reader: str | None) -> Text:
        if node in self._artifacts:
            label = describe_artifact(self._artifacts[node])
            if self._whole and not self._readers[node]:
                label.append("  not read by any run", style="dim")
            return label
        label = describe_run(self._console, self._runs[node])
        if reader in self._runs and node in self._dependents[reader]:
            label.append(f"  depends on {clean(self._runs[reader].component)}", style="dim")
        above = self._artifacts.get(reader or "")
        if above is not None:
            name = self._name_read(node_id(above), node)
            if name != above.name:
                label.append(f"  read as {clean(name)}", style="dim")
            found_by = self._found_by.get((node_id(above), node))
            if found_by:
                label.append(f"  (found by {_WAYS.get(found_by) or clean(found_by)})", style="dim")
        return label.append_text(self._below(node))

    def _reference(self, node: str, reader: str | None, arrow: str, where: str) -> Text:
        return super()._reference(node, None, arrow, where)
