"""Which way a walk goes, and which write a read belongs to.

Identity decides, never a name. A read belongs to the write that its link names, unless the digests contradict it;
without such a link, to the latest write of the same digest before the read. Forward is the same relation read from the
other end: a run consumes a write if, going back from its read, that write is found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from mlotel.lineage._records import Records
from mlotel.lineage._references import is_empty, node_id
from mlotel.model import Artifact, Run

__all__ = ["LATEST_WRITE", "Backward", "Crossing", "Direction", "Far", "Forward", "as_written", "io_id"]

LATEST_WRITE = "latest_write"
"""`Edge.resolved_by` where several runs wrote the same digest and no link says which of them was read."""

_DIGEST = "digest"
_LINK = "link"

# Where a read may come from: a write, a run of which no such write is known, or nothing but its content
_WRITE, _RUN, _CONTENT = "write", "run", "content"


class Far(Struct, frozen=True):
    """The other end of a step across an artifact: a run, and the I/O by which it touched the artifact."""

    run: Run
    instance: Artifact
    resolved_by: str | None


class Crossing(Struct, frozen=True):
    """One artifact, as its producer wrote it where that is known, and the runs on the far side of it.

    It is `lost` where a run that belongs there is not in the store.
    """

    artifact: Artifact
    far: tuple[Far, ...] = ()
    lost: bool = False


class Direction(Protocol):
    """Which way a walk goes. `reads_near` says that it comes to an artifact from the run that read it."""

    reads_near: bool

    def expect_runs(self, runs: Collection[Run]) -> None:
        """Read together what `through` and `beside` will look for."""
        ...

    def expect_artifacts(self, near: Collection[Artifact]) -> None:
        """Read together what `across` will look for."""
        ...

    def through(self, run: Run, via: Artifact | None) -> Sequence[Artifact]:
        """What lies on the other side of a run that was entered by `via` (None: by nothing in particular)."""
        ...

    def across(self, near: Artifact) -> Crossing:
        """What lies on the other side of an artifact that was reached as `near`."""
        ...

    def narrows(self, far: Far) -> bool:
        """Whether it matters by which I/O the run is entered."""
        ...

    def beside(self, run: Run) -> tuple[Sequence[Run], bool]:
        """The runs that are joined to this one by hand, and whether one of them is not in the store."""
        ...


class Backward:
    """From reads to the writes that they come from."""

    reads_near = True

    def __init__(self, records: Records) -> None:
        self._records = records

    def expect_runs(self, runs: Collection[Run]) -> None:
        """Read together what `through` and `beside` will look for."""
        self._records.expect_runs_of_spans((link.trace_id, link.span_id) for run in runs for link in run.dependencies)

    def expect_artifacts(self, near: Collection[Artifact]) -> None:
        """Read together what `across` will look for."""
        self._records.expect_runs(each.run_id for each in near if each.direction == "output")
        _expect_producers(self._records, [each for each in near if each.direction != "output"])

    def through(self, run: Run, via: Artifact | None) -> Sequence[Artifact]:
        """What the run read; of an output that names what it came from, those inputs alone."""
        named = set(via.derived_from) if via else set()
        reads = [read for read in run.inputs if not named or read.span_id in named]
        return [each for read in reads for each in (read, *self._records.entries(read))]

    def across(self, near: Artifact) -> Crossing:
        """The run that wrote it."""
        if near.direction == "output":
            run = self._records.run(near.run_id)
            return Crossing(near, (Far(run, near, None),) if run else (), lost=run is None)
        return _producer(self._records, near)

    def narrows(self, far: Far) -> bool:
        """An output that names what it came from leads to those inputs alone; any other leads to all of them."""
        return bool(far.instance.derived_from)

    def beside(self, run: Run) -> tuple[Sequence[Run], bool]:
        """The runs that it was said to depend on."""
        found = [self._records.run_of_span(link.trace_id, link.span_id) for link in run.dependencies]
        return [each for each in found if each is not None], None in found


_Origin = tuple[str, ...]
_Reads = Mapping[_Origin, Sequence[tuple[Artifact, Crossing]]]
"""Reads by where they come from, each with its producer."""


class Forward:
    """From writes to the reads that come from them."""

    reads_near = False

    def __init__(self, records: Records) -> None:
        self._records = records
        self._by_digest: dict[str, _Reads] = {}
        self._by_run: dict[str, _Reads] = {}

    def expect_runs(self, runs: Collection[Run]) -> None:
        """Read together what `through` and `beside` will look for."""
        self._expect(self._records.expect_readers_of_runs(runs))
        self._records.expect_dependents(runs)

    def expect_artifacts(self, near: Collection[Artifact]) -> None:
        """Read together what `across` will look for."""
        records = self._records
        writes = [each for each in near if each.direction == "output"]
        records.expect_runs(each.run_id for each in writes)
        runs = [(each.span_id, run) for each in writes if (run := records.run(each.run_id)) is not None]
        self.expect_runs([run for _, run in runs])
        _expect_producers(records, [each for each in near if each.direction != "output"])
        spans = ((run.trace_id, span_id) for span_id, run in runs)
        self._expect(records.expect_reads(spans, (each.digest for each in near if each.digest and not is_empty(each))))

    def _expect(self, reads: Collection[Artifact]) -> None:
        """Read together who read, and who wrote what they read."""
        self._records.expect_runs(read.run_id for read in reads)
        _expect_producers(self._records, reads)

    def through(self, run: Run, via: Artifact | None) -> Sequence[Artifact]:
        """What the run wrote, other than outputs that name what they came from and do not name `via`."""
        written = [
            each for each in run.outputs if via is None or not each.derived_from or via.span_id in each.derived_from
        ]
        outputs = [each for write in written for each in (write, *self._records.entries(write))]
        # What was read with a link to the run, and by its digest is none of its outputs: a message, for instance
        sent = [reads[0][0] for origin, reads in self._linked_to(run).items() if origin[0] == _RUN]
        return [*outputs, *sent]

    def across(self, near: Artifact) -> Crossing:
        """The runs that read it: those whose reads, going back, end where it comes from."""
        artifact, origin = near, _written(near)
        found: list[tuple[Artifact, Crossing]] = []
        if near.direction == "input":
            crossing = _producer(self._records, near)
            artifact, origin = crossing.artifact, _origin(near, crossing)
            found.append((near, crossing))
        digest = None if is_empty(artifact) else artifact.digest
        if digest:
            found += self._of_digest(digest).get(origin, ())
        # A link joins also what has no digest, no content, or a digest of another scope.
        source = self._records.run(origin[1]) if origin[0] != _CONTENT else None
        if source is not None:
            found += self._linked_to(source).get(origin, ())
            if origin[0] == _WRITE:
                linked = self._records.readers(source.trace_id, artifact.span_id)
                others = [read for read in linked if not digest or read.digest != digest]
                found += self._told_apart(others).get(origin, ())
        far, lost = [], False
        for read, crossing in sorted(
            {io_id(each[0]): each for each in found}.values(), key=lambda each: _time(each[0])
        ):
            run = self._records.run(read.run_id)
            lost |= crossing.lost or run is None
            if run is not None:
                far.append(Far(run, read, crossing.far[0].resolved_by if crossing.far else None))
        return Crossing(artifact, tuple(far), lost)

    def origin(self, near: Artifact) -> Hashable:
        """What tells where an artifact comes from: `across` answers the same for all of one origin."""
        return _written(near) if near.direction == "output" else _origin(near, _producer(self._records, near))

    def narrows(self, far: Far) -> bool:
        """Where an output names what it came from, other inputs do not lead to it."""
        return any(each.derived_from for each in far.run.outputs)

    def beside(self, run: Run) -> tuple[Sequence[Run], bool]:
        """The runs that were said to depend on it."""
        return self._records.dependents(run), False

    def _of_digest(self, digest: str) -> _Reads:
        """The reads of a digest, told apart once for all its writes."""
        if digest not in self._by_digest:
            self._by_digest[digest] = self._told_apart(self._records.reads(digest))
        return self._by_digest[digest]

    def _linked_to(self, run: Run) -> _Reads:
        """The reads with a link to the run itself, or to one of its spans that wrote nothing."""
        if run.run_id not in self._by_run:
            self._by_run[run.run_id] = self._told_apart(self._records.readers_of_run(run))
        return self._by_run[run.run_id]

    def _told_apart(self, reads: Iterable[Artifact]) -> _Reads:
        found: defaultdict[_Origin, list[tuple[Artifact, Crossing]]] = defaultdict(list)
        for read in reads:
            crossing = _producer(self._records, read)
            found[_origin(read, crossing)].append((read, crossing))
        return found


def as_written(records: Records, artifact: Artifact) -> Artifact:
    """Return the write that a read comes from, as which it stands in a lineage; itself where none is known."""
    return artifact if artifact.direction == "output" else _producer(records, artifact).artifact


def io_id(artifact: Artifact) -> tuple[str, str | None]:
    """Return what tells one read or write from all others; the entries of a manifest share its span."""
    return artifact.span_id, artifact.digest


def _written(artifact: Artifact) -> _Origin:
    return _WRITE, artifact.run_id, artifact.span_id, artifact.digest or ""


def _origin(read: Artifact, crossing: Crossing) -> _Origin:
    """What tells where a read comes from; its second part is the run's id, unless it is its content alone."""
    if not crossing.far:
        return _CONTENT, node_id(read)
    far = crossing.far[0]
    return _written(far.instance) if far.instance.direction == "output" else (_RUN, far.run.run_id, node_id(read))


def _expect_producers(records: Records, reads: Collection[Artifact]) -> None:
    """Read together what `_producer` will look for, apart from what links wrongly named."""
    links = [(read, read.link) for read in reads if read.link is not None]
    records.expect_runs_of_spans((link.trace_id, link.span_id) for _, link in links)
    lost = [read for read, link in links if records.run_of_span(link.trace_id, link.span_id) is None]
    alone = [
        (read, read.digest)
        for read in (*lost, *(read for read in reads if read.link is None))
        if read.digest and not is_empty(read)
    ]
    records.expect_writers(digest for _, digest in alone)
    latest = [_latest_write(records, read, digest) for read, digest in alone]
    records.expect_runs(written.run_id for written in latest if written is not None)


def _producer(records: Records, read: Artifact) -> Crossing:
    """What a read comes from, and the run that wrote it."""
    linked = _linked(records, read)
    if linked is not None and linked.far:
        return linked
    found = _by_digest(records, read)
    # The producer that the link names is not in this store: another writer of the same bytes is a good answer,
    # but not the whole one.
    return Crossing(found.artifact, found.far, lost=found.lost or (linked is not None and linked.lost))


def _linked(records: Records, read: Artifact) -> Crossing | None:
    """The producer that the read's link names; None without a link or where the digests contradict it."""
    if read.link is None:
        return None
    run = records.run_of_span(read.link.trace_id, read.link.span_id)
    if run is None:
        return Crossing(read, lost=True)
    written = _written_by(run, read.link.span_id)
    if written is None:  # the link names the run, or another of its spans
        written = next((each for each in run.outputs if each.digest and each.digest == read.digest), None)
    elif _contradicts(written, read):
        return None
    resolved_by = read.link.resolved_by or _LINK
    return Crossing(written or read, (Far(run, written or read, resolved_by),))


def _written_by(run: Run, span_id: str) -> Artifact | None:
    for each in run.outputs:
        if each.span_id == span_id:
            return each
    return None


def _by_digest(records: Records, read: Artifact) -> Crossing:
    if not read.digest or is_empty(read):
        return Crossing(read)
    written = _latest_write(records, read, read.digest)
    if written is None:
        return Crossing(read)
    run = records.run(written.run_id)
    if run is None:
        return Crossing(read, lost=True)
    several = records.is_written_by_others(read.digest, written.run_id)
    return Crossing(written, (Far(run, written, LATEST_WRITE if several else _DIGEST),))


def _latest_write(records: Records, read: Artifact, digest: str) -> Artifact | None:
    """The latest write of a digest before the read of it."""
    return records.latest_write(digest, until_ns=read.time_ns or None)


def _time(artifact: Artifact) -> int:
    return artifact.time_ns


def _contradicts(written: Artifact, read: Artifact) -> bool:
    """Whether two digests that can be compared (same algorithm, same scope) differ."""
    if not written.digest or not read.digest or written.digest == read.digest:
        return False
    same_algorithm = written.digest.partition(":")[0] == read.digest.partition(":")[0]
    return same_algorithm and (written.scope is None or read.scope is None or written.scope == read.scope)
