"""Recording rules of one version of a model: from counts per bin, over all replicas, to what is judged.

They are the formulas of `mlotel.drift`, vector by vector: each rule is evaluated for all features at once. What differs
between features (which bins are tails, how overdispersed they are) stands in the rules, grouped by value, and not in
labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import NormalDist

from mlotel.drift import CategoricalBins, FeatureReference, NumericBins, Reference
from mlotel.drift.tolerance import SHARE_MARGIN, SHARE_RATIO
from mlotel.exposition import metric_name
from mlotel.rules._promql import BIN, BY_BIN, BY_FEATURE, FEATURE, MODEL, VERSION, any_of, number, quoted
from mlotel.rules._values import Options, RecordingRule
from mlotel.semconv import metrics as M

__all__ = ["RATIO", "VALUES", "drift_rules", "matchers", "ratios"]

VALUES, RATIO = metric_name(M.MLOTEL_FEATURE_VALUES), metric_name(M.MLOTEL_FEATURE_REFERENCE_RATIO)

_NORMAL = NormalDist()
_ON = f"on {BY_FEATURE} group_left ()"


def matchers(model: str, version: str) -> str:
    """Return the matchers of the series of one version of a model."""
    return f"{MODEL}={quoted(model)}, {VERSION}={quoted(version)}"


def drift_rules(reference: Reference, model: str, version: str, options: Options) -> Iterator[RecordingRule]:
    """Yield the rules of one version of a model, in the order in which they have to be evaluated."""
    chosen = matchers(model, version)

    def at(record: str, more: str = "") -> str:
        return f"mlotel:{record}{{{chosen}{', ' if more else ''}{more}}}"

    yield from _counts(reference, chosen, at, options)
    yield from _psi(reference, at, options)
    yield from _shares(reference, at)
    yield from _distances(reference, at, options)


def ratios(reference: Reference) -> list[tuple[str, list[FeatureReference]]]:
    """Return the shares that are tested, by their names, with the features that have them."""
    features = reference.features
    return [
        ("missing", [each for each in features if each.constant != each.bins.missing]),
        ("unseen", [each for each in features if isinstance(each.bins, CategoricalBins)]),
        ("tails", [each for each in features if each.constant is None and each.outer]),
        ("awake", [each for each in features if each.constant is not None]),
    ]


At = Callable[..., str]


def _counts(reference: Reference, chosen: str, at: At, options: Options) -> Iterator[RecordingRule]:
    """Yield what was counted, in the window and in the reference, and the smoothed shares of both."""
    m = number(reference.rows)
    count, then, rows, bins = (
        at("feature_bin:count"),
        at("feature_bin:reference_count"),
        at("feature:rows"),
        at("feature:bins"),
    )
    yield _rule("feature_bin:count", f"sum by {BY_BIN} (increase({VALUES}{{{chosen}}}[{options.window}]))")
    # Each replica exports the reference, all of them the same
    yield _rule("feature_bin:reference_count", f"round({m} * max by {BY_BIN} ({RATIO}{{{chosen}}}))")
    yield _rule("feature:rows", f"sum by {BY_FEATURE} ({count})")
    yield _rule("feature:bins", f"count by {BY_FEATURE} ({count} + {then} > 0)")
    for record, value, total in (
        ("smoothed_share", count, rows),
        ("reference_smoothed_share", then, m),
    ):
        yield _rule(
            f"feature_bin:{record}",
            f"(({value} + 0.5) and ({count} + {then} > 0))\n/ {_ON}\n({total} + 0.5 * {bins})",
        )


def _psi(reference: Reference, at: At, options: Options) -> Iterator[RecordingRule]:
    """Yield PSI, and the threshold that it alarms above: `mlotel.drift.tolerance` tells the formula and its source."""
    m = number(reference.rows)
    q, p = at("feature_bin:smoothed_share"), at("feature_bin:reference_smoothed_share")
    rows, bins, psi, s = at("feature:rows"), at("feature:bins"), at("feature:psi"), at("feature:psi_scale")
    yield _rule("feature:psi", f"sum by {BY_FEATURE} (({q} - {p}) * ln({q} / {p}))")
    yield _rule(
        "feature:overdispersion",
        _parameter(at, [(each, each.overdispersion) for each in reference.features]),
    )
    yield _rule("feature:psi_scale", f"{at('feature:overdispersion')} * (1 / ({rows} > 0) + 1 / {m})")
    yield _rule("feature:psi_effect", f"{psi} - {s} * ({bins} - 1)")
    yield _rule(
        "feature:psi_tolerated", _parameter(at, [(each, options.delta + each.excess) for each in reference.features])
    )
    # Bonferroni, over the model's features and each feature's tests
    tests = {each.name: 1 for each in reference.features}
    for _, tested in ratios(reference):
        for each in tested:
            tests[each.name] += 1
    level = options.alpha / len(reference.features)
    yield _rule(
        "feature:quantile",
        _parameter(at, [(each, -_NORMAL.inv_cdf(level / tests[each.name])) for each in reference.features]),
    )
    nu, lambda_ = f"({bins} - 1)", at("feature:noncentrality")
    h, power, w = at("feature:sankaran_h"), at("feature:sankaran_p"), at("feature:sankaran_w")
    yield _rule("feature:noncentrality", f"{at('feature:psi_tolerated')} / {s} and {bins} > 1")
    yield _rule(
        "feature:sankaran_h",
        f"1 - 2 * ({nu} + {lambda_}) * ({nu} + 3 * {lambda_})\n/ (3 * ({nu} + 2 * {lambda_}) ^ 2)",
    )
    yield _rule("feature:sankaran_p", f"({nu} + 2 * {lambda_}) / ({nu} + {lambda_}) ^ 2")
    yield _rule("feature:sankaran_w", f"({h} - 1) * (1 - 3 * {h})")
    middle = f"1 + {h} * {power} * ({h} - 1 - 0.5 * (2 - {h}) * {w} * {power})"
    spread = f"{at('feature:quantile')} * {h} * sqrt(2 * {power}) * (1 + 0.5 * {w} * {power})"
    yield _rule(
        "feature:psi_threshold",
        f"{s} * ({nu} + {lambda_})\n* clamp_min(\n{middle}\n+ {spread},\n0) ^ (1 / {h})",
    )


def _shares(reference: Reference, at: At) -> Iterator[RecordingRule]:
    """Yield the shares of missing values, of unseen categories, of the tails and of what a constant is no more.

    Each is tested after Anscombe's transformation of counts, as `tail_p_value` and `share_p_value` do.
    """
    m, n = number(reference.rows), at("feature:rows")
    for name, features in ratios(reference):
        if not features:
            continue
        counted = [(each, _places(name, each)) for each in features]
        for prefix, source in (("", "count"), ("reference_", "reference_count")):
            yield _rule(f"feature:{prefix}{name}", _sums(at, f"feature_bin:{source}", counted))
        c, r = at(f"feature:{name}"), f"({at(f'feature:reference_{name}')} + 0.375)"
        yield _rule(f"feature:{name}_ratio", f"{c} / ({n} > 0)")
        phi = at("feature:overdispersion")
        doubled, raised = f"{SHARE_RATIO:g} * {r} / {m}", f"{r} / {m} + {SHARE_MARGIN:g}"
        if name == "tails":
            rho = f"({SHARE_RATIO:g} / {m} * ({n} > 0))"
            top = f"2 * (sqrt({c} + 0.375) - sqrt({rho} * {r}))"
            yield _rule("feature:tails_z", f"{top}\n/ sqrt({phi} * (1 + {rho}))")
            continue
        yield _rule(f"feature:{name}_tolerated", f"({doubled} > {raised})\nor ({raised})")
        tolerated = at(f"feature:{name}_tolerated")
        # What the reference's own error adds: four times as much where the share may double
        own = f"(1 + 3 * ({doubled} > bool {raised})) * {n} * {r} / ({tolerated} * {m} ^ 2)"
        yield _rule(
            f"feature:{name}_z",
            f"2 * (sqrt({c} + 0.375) - sqrt({n} * {tolerated}))\n/ sqrt({phi} * (1 + {own}))",
        )


def _distances(reference: Reference, at: At, options: Options) -> Iterator[RecordingRule]:
    """Yield Jensen–Shannon's, Kolmogorov–Smirnov's and Wasserstein's distances, which are shown and do not alarm."""
    m = number(reference.rows)
    count, then, rows = at("feature_bin:count"), at("feature_bin:reference_count"), at("feature:rows")
    yield _rule("feature_bin:share", f"{count} / {_ON} ({rows} > 0)")
    yield _rule("feature_bin:reference_share", f"{then} / {m}")
    q, p = at("feature_bin:share"), at("feature_bin:reference_share")
    halves = [f"sum by {BY_FEATURE} ({each} * ln(2 * {each} / ({q} + {p})) and {each} > 0)" for each in (q, p)]
    yield _rule("feature:jensen_shannon", f"sqrt(clamp_min(0.5 * (\n{halves[0]}\n+\n{halves[1]}), 0))")
    numeric = [each for each in reference.features if isinstance(each.bins, NumericBins) and each.bins.edges]
    if not numeric:
        return
    # Distribution functions are those of the values that are there
    present = _grouped([(each, each.bins.missing) for each in numeric])
    terms = [
        f"({at('feature_bin:count', _and(who, f'{BIN}!={quoted(str(missing))}'))}"
        f"\n/ {_ON} ({at('feature:rows', who)} - {at('feature:missing_values', who)} > 0)"
        f"\n- {at('feature_bin:reference_count', _and(who, f'{BIN}!={quoted(str(missing))}'))}"
        f"\n/ {_ON} ({m} - {at('feature:reference_missing_values', who)}))"
        for missing, who in present
    ]
    for prefix, source in (("", "count"), ("reference_", "reference_count")):
        yield _rule(
            f"feature:{prefix}missing_values",
            _sums(at, f"feature_bin:{source}", [(each, (each.bins.missing,)) for each in numeric]),
        )
    yield _rule("feature_bin:difference", "\nor\n".join(terms))
    last = max(each.bins.missing for each in numeric) - 1
    for place in range(last + 1):
        bin_ = f"{BIN}={quoted(str(place))}"
        more = at("feature_bin:difference", bin_)
        before = at("feature_bin:distance", f"{BIN}={quoted(str(place - 1))}")
        expr = f"{before}\n+ ignoring ({BIN}) {more}" if place else more
        yield RecordingRule("mlotel:feature_bin:distance", expr, {BIN: str(place)})
    yield _rule("feature:kolmogorov_smirnov", f"max by {BY_FEATURE} (abs({at('feature_bin:distance')}))")
    if options.wasserstein:
        yield from _wasserstein(numeric, at)


def _wasserstein(numeric: Sequence[FeatureReference], at: At) -> Iterator[RecordingRule]:
    """Yield ∫ |F − G|, where F − G is taken as straight between the edges of a bin."""
    # (|a| + |b|) / 2, and (a² + b²) / (2 (|a| + |b|)) where the sign changes on the way: both at once
    b, a = at("feature_bin:distance"), at("feature_bin:distance_before")
    yield _rule("feature_bin:distance_before", f"{b} - {at('feature_bin:difference')}")
    yield _rule(
        "feature_bin:mean_distance",
        f"({a} ^ 2 + {b} ^ 2 + abs({a} * {b}) + {a} * {b})\n/ (2 * (abs({a}) + abs({b})) + 1e-300)",
    )
    for each in numeric:
        # One rule a feature: the widths of its bins are its own
        terms = [
            f"{number(width)} * {at('feature_bin:mean_distance', _one(each, str(place)))}"
            for place, width in enumerate(_widths(each), 1)
        ]
        if terms:
            yield RecordingRule(
                "mlotel:feature:wasserstein",
                f"sum by {BY_FEATURE} (\n" + "\nor\n".join(terms) + ")",
                {FEATURE: each.name[:255]},
            )


def _widths(feature: FeatureReference) -> list[float]:
    edges = feature.bins.edges if isinstance(feature.bins, NumericBins) else ()
    widths = [b - a for a, b in pairwise(edges)]
    return widths if all(map(math.isfinite, widths)) else []


def _one(feature: FeatureReference, place: str) -> str:
    return f"{FEATURE}={quoted(feature.name[:255])}, {BIN}={quoted(place)}"


def _places(name: str, feature: FeatureReference) -> tuple[int, ...]:
    """Return the bins that a share is of."""
    bins = feature.bins
    if name == "missing":
        return (bins.missing,)
    if name == "unseen" and isinstance(bins, CategoricalBins):
        return (bins.other,)
    if name == "tails":
        return feature.outer
    still = {feature.constant, bins.missing}
    return tuple(place for place in range(bins.size) if place not in still)


def _rule(record: str, expr: str) -> RecordingRule:
    return RecordingRule(f"mlotel:{record}", expr)


def _sums(at: At, source: str, counted: Sequence[tuple[FeatureReference, tuple[int, ...]]]) -> str:
    """Return the sums of some bins of each feature; features with the same bins stand in one term."""
    by_bins: dict[tuple[int, ...], list[str]] = {}
    for feature, places in counted:
        by_bins.setdefault(places, []).append(feature.name[:255])
    return "\nor\n".join(
        f"sum by {BY_FEATURE} ({at(source, f'{any_of(FEATURE, names)}, {any_of(BIN, map(str, places))}')})"
        for places, names in by_bins.items()
    )


def _grouped(values: Iterable[tuple[FeatureReference, int]]) -> list[tuple[int, str]]:
    """Return each value with the matcher of the features that have it."""
    found: dict[int, list[str]] = {}
    for feature, value in values:
        found.setdefault(value, []).append(feature.name[:255])
    return [(value, any_of(FEATURE, names)) for value, names in found.items()]


def _parameter(at: At, values: Sequence[tuple[FeatureReference, float]]) -> str:
    """Return a number for each feature that is there, the commonest one without naming its features."""
    by_value: dict[float, list[str]] = {}
    for feature, value in values:
        by_value.setdefault(value, []).append(feature.name[:255])
    common = max(by_value, key=lambda value: len(by_value[value]))
    terms = [
        f"0 * {at('feature:rows', any_of(FEATURE, names))} + {number(value)}"
        for value, names in sorted(by_value.items())
        if value != common
    ]
    return "\nor\n".join([*terms, f"0 * {at('feature:rows')} + {number(common)}"])


def _and(first: str, second: str) -> str:
    return f"{first}, {second}"
