"""The runs behind what was flagged, those first that stand behind much of it and behind little else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import exp
from typing import TypeVar

from mlotel.lineage import Reach, Root, reach_back
from mlotel.model import Annotation, Run
from mlotel.review._association import likelihood_ratio, log_p_value
from mlotel.review._population import MOST_RUNS, Kind, Output, population
from mlotel.standing import flags
from mlotel.store import Store

__all__ = ["MOST_TRAITS", "Review", "Standing", "Suspect", "Trait", "review"]

MOST_TRAITS = 10
"""Shared versions, commits and parameters that a review tells of."""

_SURPRISING = 0.05
_Trait = tuple[str, str, str]
"""Component, name and value."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """Of how many flagged and unflagged outputs something stands behind, and what follows from that.

    `coverage` is its share of all flagged outputs. `likelihood_ratio` and `p_value` are as the functions of these names
    have them. `rank` counts from 1; what nothing tells apart has the same.
    """

    rank: int
    flagged: int
    unflagged: int
    coverage: float
    likelihood_ratio: float | None
    p_value: float


@dataclass(frozen=True, slots=True)
class Suspect:
    """A run that stands behind flagged outputs."""

    run: Run
    standing: Standing


@dataclass(frozen=True, slots=True)
class Trait:
    """What runs of a component that stand behind flagged outputs share, and others of it do not.

    `name` is ``version``, ``commit`` or ``param.NAME``; `runs` counts the component's runs that have the value and
    stand behind any of the outputs.
    """

    component: str
    name: str
    value: str
    runs: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class Review:
    """The answer: runs and traits, the most suspect first.

    `flags` are those that hold; `unplaced` those among them of which no run in the time range is known to have made
    what they speak of. `flagged` and `unflagged` count the outputs that were compared, which are of `kinds`.
    `suspected` counts the suspects before they were cut to a limit. It is `truncated` where a component has too many
    runs to compare them all, `partial` where a run that belongs to the lineage is not in the store.
    """

    flags: Sequence[Annotation]
    unplaced: Sequence[Annotation]
    kinds: Sequence[Kind]
    flagged: int
    unflagged: int
    suspected: int
    suspects: Sequence[Suspect]
    traits: Sequence[Trait]
    truncated: bool
    partial: bool


def review(
    store: Store,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    limit: int | None = None,
    most_runs: int = MOST_RUNS,
) -> Review:
    """Return the runs that stand behind flagged outputs, the most suspect first.

    A run is the more suspect the less probable it is that so many of the outputs it stands behind are flagged by
    chance (`log_p_value`): what stands behind everything, as a shared ingest step does, comes last however many flagged
    outputs it stands behind. Among runs that nothing tells apart, the one that began first comes first.

    Args:
        store: where to look.
        since_ns: only outputs of runs that began at or after this time, nanoseconds since the epoch.
        until_ns: only outputs of runs that began at or before this time.
        limit: return the first so many suspects.
        most_runs: how many runs of a component are compared at most, the latest first.

    Raises:
        StoreError: the store cannot be read.
    """
    held = flags(store)
    compared = population(store, held, since_ns=since_ns, until_ns=until_ns, most_runs=most_runs)
    tally = _Tally(compared.outputs)
    reach = reach_back(store, tally.roots(), known=compared.runs)
    by_start = sorted(reach.runs.values(), key=lambda run: (run.start_ns, run.run_id))
    suspects = [Suspect(run, found) for run, found in tally.ranked((run, reach.of_run[run.run_id]) for run in by_start)]
    return Review(
        flags=held,
        unplaced=compared.unplaced,
        kinds=compared.kinds,
        flagged=tally.flagged,
        unflagged=tally.unflagged,
        suspected=len(suspects),
        suspects=suspects[:limit],
        traits=_traits(tally, reach, suspects)[:MOST_TRAITS],
        truncated=compared.truncated,
        partial=reach.partial,
    )


class _Tally:
    """Counts the flagged and unflagged outputs in a set of bits, one bit for each output."""

    def __init__(self, outputs: Iterable[Output]) -> None:
        # flagged ones first, so that their bits are the lowest
        self._outputs = sorted(outputs, key=lambda each: not each.flagged)
        self.flagged = sum(each.flagged for each in self._outputs)
        self.unflagged = sum(each.weight for each in self._outputs if not each.flagged)
        self._flagged_bits = (1 << self.flagged) - 1
        self._log_ps: dict[tuple[int, int], float] = {}
        # An output that stands for many predictions counts so often: for each binary digit of these weights, the bits
        # of the outputs whose weight has it.
        self._planes: dict[int, int] = {}
        for number, each in enumerate(self._outputs[self.flagged :], self.flagged):
            weight, digit = each.weight, 1
            while weight >= digit:
                if weight & digit:
                    self._planes[digit] = self._planes.get(digit, 0) | 1 << number
                digit <<= 1

    def roots(self) -> Iterator[tuple[Root, int]]:
        """Where the lineage of each output begins, with its bit."""
        for number, each in enumerate(self._outputs):
            for root in each.roots:
                yield root, 1 << number

    def ranked(self, things: Iterable[tuple[T, int]]) -> list[tuple[T, Standing]]:
        """The things whose bits hold flagged outputs, the most suspect first; equals stay in their order.

        Args:
            things: each with its bits.
        """
        counted = [(thing, self._counts(bits)) for thing, bits in things]
        judged = [(self._log_p(*counts), counts, thing) for thing, counts in counted if counts[0]]
        judged.sort(key=lambda each: (each[0], -each[1][0]))
        found: list[tuple[T, Standing]] = []
        rank, before = 0, None
        for place, (log_p, counts, thing) in enumerate(judged, 1):
            if (log_p, counts[0]) != before:
                rank, before = place, (log_p, counts[0])
            found.append((thing, self._standing(rank, log_p, *counts)))
        return found

    def _counts(self, bits: int) -> tuple[int, int]:
        unflagged = sum(digit * (bits & plane).bit_count() for digit, plane in self._planes.items())
        return (bits & self._flagged_bits).bit_count(), unflagged

    def _log_p(self, flagged: int, unflagged: int) -> float:
        counts = flagged, unflagged
        if counts not in self._log_ps:  # many runs have the same counts
            self._log_ps[counts] = log_p_value(*counts, self.flagged, self.unflagged)
        return self._log_ps[counts]

    def _standing(self, rank: int, log_p: float, flagged: int, unflagged: int) -> Standing:
        ratio = likelihood_ratio(flagged, unflagged, self.flagged, self.unflagged)
        return Standing(rank, flagged, unflagged, flagged / self.flagged, ratio, exp(log_p))


def _traits(tally: _Tally, reach: Reach, suspects: Iterable[Suspect]) -> list[Trait]:
    """What two or more suspects of a component share, other runs of it do not have, and chance hardly explains."""
    shared = Counter(trait for suspect in suspects for trait in _traits_of(suspect.run))
    bits: dict[_Trait, int] = {trait: 0 for trait, count in sorted(shared.items()) if count > 1}
    runs: Counter[_Trait] = Counter()
    values: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for run in reach.runs.values():
        for trait in _traits_of(run):
            if len(known := values[trait[:2]]) < 2:  # whether there is another value is all that counts
                known.add(trait[2])
            if trait in bits:
                bits[trait] |= reach.of_run[run.run_id]
                runs[trait] += 1
    ranked = tally.ranked((trait, found) for trait, found in bits.items() if len(values[trait[:2]]) > 1)
    return [Trait(*trait, runs[trait], found) for trait, found in ranked if found.p_value < _SURPRISING]


def _traits_of(run: Run) -> Iterator[_Trait]:
    if run.version is not None:
        yield run.component, "version", run.version
    if commit := run.git.get("commit"):
        yield run.component, "commit", str(commit)
    for name, value in run.params.items():
        yield run.component, f"param.{name}", str(value)
