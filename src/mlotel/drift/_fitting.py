"""How a reference is fitted: bins from one pass over the table, counts from a second, overdispersion from a third."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from mlotel.columnar import TableSource
from mlotel.drift._bins import category_bins, distinct, quantile_edges
from mlotel.drift._counts import Counts, Tally, count_source, finite_moments
from mlotel.drift._feature import FeatureReference
from mlotel.drift.columns import NUMERIC, Floats, as_floats, default_kind, possible_kinds
from mlotel.drift.tolerance import psi, psi_p_value
from mlotel.errors import ArtifactError, ConfigurationError, nearest
from mlotel.profiling.moments import Moments

__all__ = ["LEAST_WINDOWS", "Planned", "Settings", "fit_features", "plan"]

LEAST_WINDOWS = 30
"""Windows of the reference from which its overdispersion is found, at least."""

_MOST_WINDOWS = 1000
_SAMPLE, _BLOCK = 32_768, 65_536
_MOST_CATEGORIES_HELD = 65_536
_SURELY_NO_CHANCE = 0.01


@dataclass(frozen=True, slots=True)
class Planned:
    """A column that becomes a feature."""

    name: str
    type: str
    kind: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How finely a reference is cut, and whether it holds moments."""

    bins: int
    categories: int
    moments: bool


def plan(
    schema: pa.Schema, features: Sequence[str] | None, kinds: Mapping[str, str] | None, skipped: Sequence[str] = ()
) -> tuple[list[Planned], dict[str, str]]:
    """Return the columns that become features, and the others with their types.

    Args:
        schema: of the table.
        features: the columns, in their order; all that can be watched if not given.
        kinds: ``numeric`` or ``categorical`` by column, where it is not to be inferred.
        skipped: columns that are none unless they are named.

    Raises:
        ConfigurationError: there is no such column, or it cannot be of that kind.
    """
    declared = dict(kinds or {})
    names = list(dict.fromkeys(schema.names))
    for name in (*(features or ()), *declared):
        if name not in names:
            raise ConfigurationError(f"no column {name!r}{nearest(name, names) or f': there are {_some(names)}'}")
    if len(names) != len(schema.names):
        raise ArtifactError("two columns have the same name: give each a name of its own")
    planned, left_out = [], {}
    for name in features or names:
        type_ = schema.field(name).type
        asked = name in declared or (features is not None)
        kind = declared.get(name) or (next(iter(possible_kinds(type_)), None) if asked else default_kind(type_))
        if kind is None or (name in skipped and not asked):
            if asked and name not in skipped:
                raise ConfigurationError(f"column {name!r} is {type_}, which cannot be watched: leave it out")
            left_out[name] = f"{type_}"
            continue
        if kind not in (possible := possible_kinds(type_)):
            wanted = " or ".join(possible) or "nothing that can be watched"
            raise ConfigurationError(f"column {name!r} is {type_}, not {kind!r}: it can be {wanted}")
        planned.append(Planned(name, f"{type_}", kind))
    return planned, left_out


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:10])) + (", …" if len(names) > 10 else "")


def fit_features(
    source: TableSource,
    planned: Sequence[Planned],
    *,
    window: int | None,
    settings: Settings,
) -> tuple[int, tuple[FeatureReference, ...]]:
    """Return how many rows a table has and its features; the table is read two times, three with windows.

    Raises:
        ArtifactError: the table has no rows, or cannot be read.
        ConfigurationError: it has too few rows for windows of this size.
    """
    rows, sketches = _sketched(source, planned, settings.moments)
    if not rows:
        raise ArtifactError("a reference needs rows, and the table has none: give the data that is to be compared with")
    if window is not None and rows < LEAST_WINDOWS * window:
        raise ConfigurationError(
            f"{rows:,} rows make {rows // window:,} windows of {window:,}, and {LEAST_WINDOWS} are needed to find how "
            f"much they differ: give a window of at most {rows // LEAST_WINDOWS:,} rows, or more rows"
        )
    unbound = [sketch.feature(rows, settings) for sketch in sketches]
    # Of a column whose distinct values could all be held, the first pass has counted everything
    counted = count_source(source, [each for each in unbound if not each.counts])
    features = [each if each.counts else replace(each, counts=counted.features[each.name].counts) for each in unbound]
    if window is not None:
        features = _with_windows(source, features, rows, window)
    return rows, tuple(features)


def _sketched(source: TableSource, planned: Sequence[Planned], moments: bool) -> tuple[int, list[_Sketch]]:
    sketches = [_Numbers(each, moments) if each.kind == NUMERIC else _Texts(each) for each in planned]
    if source.table is not None:
        for sketch in sketches:
            sketch.add(source.table.column(sketch.planned.name))
        return source.table.num_rows, sketches
    rows = 0
    for batch in source.batches():
        for sketch in sketches:
            sketch.add(batch.column(batch.schema.get_field_index(sketch.planned.name)))
        rows += batch.num_rows
    return rows, sketches


@dataclass(slots=True)
class _Numbers:
    """What the bins of a numeric column follow from: a sample, the extremes and, if they are wanted, the moments."""

    planned: Planned
    with_moments: bool
    moments: Moments = field(default_factory=Moments)
    lowest: float = math.inf
    highest: float = -math.inf
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    parts: list[Floats] = field(default_factory=list)
    held: int = 0
    stride: int = 1
    waiting: list[Floats] = field(default_factory=list)
    waiting_size: int = 0

    def add(self, array: pa.Array | pa.ChunkedArray) -> None:
        for chunk in array.chunks if isinstance(array, pa.ChunkedArray) else [array]:
            self._hold(as_floats(chunk))

    def _hold(self, values: Floats) -> None:
        """Take blocks of one size, however the column comes in parts: its reference is to the bit the same."""
        while values.size:
            taken = values[: _BLOCK - self.waiting_size]
            values = values[taken.size :]
            self.waiting.append(taken)
            self.waiting_size += taken.size
            if self.waiting_size == _BLOCK:
                self._flush()

    def _flush(self) -> None:
        block = self.waiting[0] if len(self.waiting) == 1 else np.concatenate(self.waiting or [np.zeros(0)])
        self.waiting, self.waiting_size = [], 0
        if block.size:
            self._add(block)

    def _add(self, values: Floats) -> None:
        if self.with_moments:
            self.moments = self.moments.merge(finite_moments(values))
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            values = values[np.isfinite(values)]
            if not values.size:
                return
            low, high = float(values.min()), float(values.max())
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        # Only to find the edges: one value of each `stride`, from a random one on. Counts are of all rows.
        while self.held + values.size // self.stride > 2 * _SAMPLE:
            self.stride *= 2
            self.parts = [part[self.rng.integers(0, 2) :: 2] for part in self.parts]
            self.held = sum(part.size for part in self.parts)
        part = values[self.rng.integers(0, self.stride) :: self.stride].copy()
        self.parts.append(part)
        self.held += part.size

    def feature(self, rows: int, settings: Settings) -> FeatureReference:
        self._flush()
        sample = np.sort(np.concatenate(self.parts)) if self.parts else np.zeros(0)
        if not sample.size and math.isfinite(self.lowest):  # none of the few finite values are in the sample
            sample = np.array([self.lowest, self.highest])
        cut, outer = quantile_edges(sample, settings.bins, rows, self.lowest, self.highest)
        moments = self.moments if self.with_moments else None
        return FeatureReference(self.planned.name, self.planned.type, cut, (), outer, moments)


@dataclass(slots=True)
class _Texts:
    """How often each category of a column occurs; of very many, the most frequent are kept while it is read."""

    planned: Planned
    counts: dict[str, int] = field(default_factory=dict)
    whole: bool = True

    def add(self, array: pa.Array | pa.ChunkedArray) -> None:
        texts, numbers = distinct(array)
        for text, number in zip(texts.to_pylist(), numbers.tolist(), strict=True):
            if text is not None:
                self.counts[text] = self.counts.get(text, 0) + number
        if len(self.counts) > _MOST_CATEGORIES_HELD:
            ranked = sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))
            self.counts = dict(ranked[: _MOST_CATEGORIES_HELD // 2])
            self.whole = False

    def feature(self, rows: int, settings: Settings) -> FeatureReference:
        cut = category_bins(list(self.counts.items()), settings.categories)
        counts: tuple[int, ...] = ()
        if self.whole:
            present, own = sum(self.counts.values()), [self.counts[each] for each in cut.categories]
            counts = (*own, present - sum(own), rows - present)
        return FeatureReference(self.planned.name, self.planned.type, cut, counts)


_Sketch = _Numbers | _Texts


def _with_windows(
    source: TableSource, features: Sequence[FeatureReference], rows: int, window: int
) -> list[FeatureReference]:
    """Return the features with the overdispersion that windows of rows that follow each other show."""
    ratios: dict[str, list[float]] = {each.name: [] for each in features}
    excesses: dict[str, list[tuple[float, float]]] = {each.name: [] for each in features}
    for counted in _windows(source, features, rows, window):
        for feature in features:
            counts = np.array(counted.features[feature.name].counts)
            # Held out: the window is compared with all of the reference but itself
            value, k = psi(np.array(feature.counts) - counts, counts)
            if k > 1:
                scale = 1 / window + 1 / (rows - window)
                ratios[feature.name].append(value / (scale * (k - 1)))
                chance = psi_p_value(value, k, scale, delta=0.0)
                excesses[feature.name].append((chance, value - scale * (k - 1)))
    return [_dispersed(each, ratios[each.name], excesses[each.name]) for each in features]


def _dispersed(
    feature: FeatureReference, ratios: Sequence[float], excesses: Sequence[tuple[float, float]]
) -> FeatureReference:
    if not ratios:
        return feature
    # Of windows of independent rows the largest excess is noise, which must not raise the tolerance
    excess = max((value for chance, value in excesses if chance * len(ratios) < _SURELY_NO_CHANCE), default=0.0)
    phi = max(1.0, sum(ratios) / len(ratios))
    return replace(feature, overdispersion=phi, excess=max(excess, 0.0), windows=len(ratios))


def _windows(source: TableSource, features: Sequence[FeatureReference], rows: int, window: int) -> Iterator[Counts]:
    """Yield the counts of whole windows, of very many only some, evenly spread."""
    whole = rows // window
    chosen = set(np.unique(np.linspace(0, whole - 1, min(whole, _MOST_WINDOWS)).round().astype(int)).tolist())
    tallies: dict[str, Tally] = {}
    at = 0
    for batch in source.batches():
        first = 0
        while first < batch.num_rows:
            number, inside = divmod(at, window)
            taken = min(window - inside, batch.num_rows - first)
            if number in chosen:
                if inside == 0:
                    tallies = {each.name: Tally(each.bins, None) for each in features}
                for name, tally in tallies.items():
                    tally.add(batch.column(batch.schema.get_field_index(name)).slice(first, taken))
                if inside + taken == window:
                    yield Counts(window, {name: tally.counted() for name, tally in tallies.items()})
            at, first = at + taken, first + taken
