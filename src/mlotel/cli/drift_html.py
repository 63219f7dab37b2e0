"""A comparison as one HTML file without scripts: the distributions, reference beside current, alarms first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from mlotel import web
from mlotel.cli.page import page
from mlotel.cli.text import amount, clean
from mlotel.drift import DriftResult, FeatureDrift, NumericBins

__all__ = ["drift_html"]

_WIDTH, _HEIGHT, _FOOT = 560.0, 130.0, 18.0
_LONGEST = 60
_DISTANCES = (
    ("ks", "KS"),
    ("wasserstein", "Wasserstein"),
    ("jensen_shannon", "Jensen–Shannon"),
    ("hellinger", "Hellinger"),
    ("l_infinity", "L∞"),
)
_MOMENTS = ("mean", "std", "skewness", "kurtosis", "min", "max")


def drift_html(result: DriftResult, reference: str, current: str) -> str:
    """Return the text of an HTML page that shows a comparison.

    Args:
        result: what was found.
        reference: what the reference is called.
        current: what the rows that were compared with it are called.
    """
    title = _text(f"{current} beside {reference}")
    shown = sorted(result.features, key=lambda each: (not each.alarm, each.p_value if each.p_value is not None else -1))
    body = [
        "<header>",
        f"<h1>{title}</h1>",
        *_summary(result),
        "</header>",
        "<main>",
        *(_article(each, result) for each in shown),
        "</main>",
    ]
    return page(title, body, styles=[web.read_text(name) for name in web.DRIFT_STYLES])


def _summary(result: DriftResult) -> list[str]:
    alarms = len(result.alarmed)
    said = (
        f'<span class="alarm">{amount(alarms, "alarm")}</span>' if alarms else '<span class="ok">No alarm</span>'
    ) + f" in {amount(len(result.features), 'feature')}"
    where = "" if result.segment is None else f", segment {_text(result.segment)}"
    rows = f"{amount(result.rows, 'row')} against {result.reference_rows:,} of the reference{where}"
    keys = '<span class="key then"></span>reference<span class="key now"></span>current'
    return [
        f"<p>{said} · {rows}{keys}</p>",
        *(f'<p class="faint">{_text(note)}</p>' for note in result.notes),
    ]


def _article(found: FeatureDrift, result: DriftResult) -> str:
    reasons = ", ".join(reason.replace("_", " ") for reason in found.reasons)
    verdict = f'<span class="alarm">alarm: {_text(reasons)}</span>' if found.alarm else '<span class="ok">ok</span>'
    if not found.alarm and found.p_value is None:
        verdict = '<span class="faint">not judged</span>'
    parts = [
        f'<article class="changed" aria-label="{_text(found.feature)}">'
        if found.alarm
        else f'<article aria-label="{_text(found.feature)}">',
        f"<h2>{_text(found.feature)}</h2>",
        f'<p>{verdict} <span class="faint">{found.kind}, {_text(found.type or found.reference.type)}</span></p>',
        *(f"<p>{_text(note)}</p>" for note in found.notes),
    ]
    if found.counts:
        parts += [_bars(found, result), _figures(found), _details(found, result)]
    return "\n".join([*parts, "</article>"])


def _bars(found: FeatureDrift, result: DriftResult) -> str:
    """Return two bars for each bin: its share of the reference and of the rows now."""
    then, now = _shares(found.reference.counts, result.reference_rows), _shares(found.counts, result.rows)
    pairs = list(zip(then, now, strict=True))
    highest = max((share for pair in pairs for share in pair), default=0.0) or 1.0
    room = _WIDTH / len(pairs)
    bar = min(room * 0.4, 24.0)
    names = _names(found)
    size = f'viewBox="0 0 {_WIDTH:g} {_HEIGHT + _FOOT:g}"'
    drawn = [f'<svg {size} role="img" aria-label="Shares by bin: {_text(found.feature)}">']
    for place, (name, pair) in enumerate(zip(names, pairs, strict=True)):
        middle = (place + 0.5) * room
        drawn.append(f"<g><title>{_text(name)}: {pair[0]:.2%} of the reference, {pair[1]:.2%} now</title>")
        for side, share, left in (("then", pair[0], middle - bar), ("now", pair[1], middle)):
            height = share / highest * (_HEIGHT - 4)
            size = f'y="{_HEIGHT - height:.2f}" width="{bar:.2f}" height="{height:.2f}"'
            drawn.append(f'<rect class="{side}" x="{left:.2f}" {size}/>')
        drawn.append("</g>")
    drawn.append(f'<line x1="0" x2="{_WIDTH:g}" y1="{_HEIGHT:g}" y2="{_HEIGHT:g}"/>')
    for x, label in _labels(found, names, room):
        anchor = "start" if x < 30 else "end" if x > _WIDTH - 30 else "middle"
        drawn.append(f'<text x="{x:.2f}" y="{_HEIGHT + 13:g}" text-anchor="{anchor}">{_text(label)}</text>')
    return "\n".join([*drawn, "</svg>"])


def _labels(found: FeatureDrift, names: Sequence[str], room: float) -> list[tuple[float, str]]:
    """Return where a label stands below the bars: edges between numbers, names under categories, as many as fit."""
    bins = found.bins
    if isinstance(bins, NumericBins):
        step = max(1, round(70 / room))
        edges = [((place + 1) * room, f"{bins.edges[place]:.4g}") for place in range(1, len(bins.edges) - 1, step)]
        missing = [(_WIDTH, "missing")] if found.counts[bins.missing] or found.reference.counts[bins.missing] else []
        return [each for each in edges if each[0] < _WIDTH - 80 or not missing] + missing
    step = math.ceil(50 / room)
    fits = max(1, int(room * step / 7))
    cut = [name if len(name) <= fits else f"{name[: max(1, fits - 1)]}…" for name in names]
    return [((place + 0.5) * room, cut[place]) for place in range(0, len(cut), step)]


def _names(found: FeatureDrift) -> list[str]:
    bins = found.bins
    if not isinstance(bins, NumericBins):
        return [*(clean(each)[:_LONGEST] for each in bins.categories), "other", "missing"]
    edges = [f"{edge:.6g}" for edge in bins.edges]
    if not edges:
        return ["any value", "missing"]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"up to {edges[0]}", *between, f"above {edges[-1]}", "missing"]


def _figures(found: FeatureDrift) -> str:
    values = [
        ("PSI", found.psi),
        ("alarms at", found.threshold),
        ("effect", found.effect),
        ("p-value", found.p_value),
        *((label, found.distances.get(name)) for name, label in _DISTANCES),
        *((clean(name), value) for name, value in found.distances.items() if name not in dict(_DISTANCES)),
    ]
    cells = (f"<div><dt>{_text(name)}</dt><dd>{value:.3g}</dd></div>" for name, value in values if value is not None)
    return f"<dl>{''.join(cells)}</dl>"


def _details(found: FeatureDrift, result: DriftResult) -> str:
    rows = [
        _row(name, then, now)
        for name, then, now in zip(
            _names(found),
            _percent(_shares(found.reference.counts, result.reference_rows)),
            _percent(_shares(found.counts, result.rows)),
            strict=True,
        )
    ]
    if found.moments is not None and found.reference.moments is not None:
        for name in _MOMENTS:
            then, now = getattr(found.reference.moments, name), getattr(found.moments, name)
            rows.append(_row(name, *("" if math.isnan(each) else f"{each:.6g}" for each in (then, now))))
    head = "<thead><tr><th></th><th>reference</th><th>current</th></tr></thead>"
    return f"<details><summary>Figures</summary><table>{head}<tbody>{''.join(rows)}</tbody></table></details>"


def _row(name: str, then: str, now: str) -> str:
    return f"<tr><th>{_text(name)}</th><td>{_text(then)}</td><td>{_text(now)}</td></tr>"


def _percent(shares: Sequence[float]) -> list[str]:
    return [f"{share:.2%}" for share in shares]


def _shares(counts: Sequence[int], rows: int) -> list[float]:
    return [count / rows if rows else 0.0 for count in counts]


def _text(value: object) -> str:
    return escape(clean(value))
