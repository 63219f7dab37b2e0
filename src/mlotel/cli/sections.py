"""The sections of an answer about runs: values under a title, and tables of artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlotel.cli.tables import Column, extent, print_table
from mlotel.cli.text import clean, number, short_digest
from mlotel.documents import profile_document
from mlotel.model import Artifact, Drift

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["drift_text", "error_text", "print_artifacts", "print_profiles", "print_section"]

_MOST_DRIFTED = 5
_STATISTICS = ("mean", "std", "skewness", "kurtosis", "min", "p5", "p50", "p95", "max")
_RANKS = {"skewness": 3, "kurtosis": 3, "p5": 2, "p95": 2, "distinct": 2}
_IDENTITIES = frozenset({"process", "exit code"})  # numbers that are not counts


def error_text(error: Mapping[str, str]) -> str:
    """Return an error as its type and its message."""
    kind, message = clean(error.get("type", "")), clean(error.get("message", ""))
    return f"{kind}: {message}" if kind and message and not message.startswith(f"{kind}:") else message or kind


def print_section(console: Console, title: str, values: Mapping[str, object], *, unknown: str = "") -> None:
    """Print the values that are known under a title, and `unknown` in the place of others; without it nothing."""
    from rich.text import Text

    missing = Text(unknown, style="dim italic")
    told = {key: missing if value in (None, "", (), []) else value for key, value in values.items()}
    known = {key: value for key, value in told.items() if unknown or value is not missing}
    if not known:
        return
    if title:
        console.print(title, style="bold")
    shown = [value if isinstance(value, Text) else _shown(key, value) for key, value in known.items()]
    keys = [Text(clean(key), style="dim") for key in known]
    print_table(console, [Column("", keys), Column("", shown, folds=True)], indent=2)


def _shown(key: str, value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(clean(each) for each in value)
    return clean(value) if key in _IDENTITIES else number(value)


def print_artifacts(console: Console, title: str, artifacts: Sequence[Artifact], *, content: bool = False) -> None:
    """Print artifacts as one run read or wrote them under a title, or nothing at all.

    `content` adds what is known of their content: null cells and the digest of the schema.
    """
    if not artifacts:
        return
    console.print(title, style="bold")
    print_table(
        console,
        [
            Column("NAME", [clean(each.name) for each in artifacts], folds=True),
            Column("TYPE", [clean(each.type or "") for each in artifacts], rank=4),
            Column("EXTENT", [" ".join(extent(each)) for each in artifacts], rank=2),
            Column("DIGEST", [short_digest(each.digest) if each.digest else "none" for each in artifacts]),
            Column(
                "NULLS",
                [number(each.missing) if content and each.missing is not None else "" for each in artifacts],
                rank=5,
            ),
            Column("SCHEMA", [short_digest(each.schema_digest or "") if content else "" for each in artifacts], rank=5),
            Column("DRIFT", [drift_text(each.drift) for each in artifacts], folds=True, rank=1),
            Column("FOUND BY", [_found_by(each) for each in artifacts], rank=3),
            Column("WHERE", [clean(each.uri or "") for each in artifacts], rank=1, folds=True),
            Column("NOTE", [clean(each.note or "") for each in artifacts], folds=True, rank=1),
        ],
        indent=2,
    )


def drift_text(drift: Drift | None) -> str:
    """Return what a comparison with a reference found: nothing where there was none."""
    if drift is None:
        return ""
    named = [clean(each) for each in drift.features[:_MOST_DRIFTED]]
    more = f" and {len(drift.features) - _MOST_DRIFTED} more" if len(drift.features) > _MOST_DRIFTED else ""
    return f"{', '.join(named) or 'yes'}{more}" if drift.alarm else "none"


def print_profiles(console: Console, artifacts: Iterable[Artifact]) -> None:
    """Print the statistics of the columns of those tables that were profiled."""
    for artifact in artifacts:
        columns = None if artifact.profile is None else profile_document(artifact.profile)
        if not columns:
            continue
        console.print(f"Columns of {clean(artifact.name)}", style="bold")
        print_table(
            console,
            [
                Column("COLUMN", [clean(each["column"]) for each in columns], folds=True),
                Column("TYPE", [clean(each["type"]) for each in columns], rank=4),
                *(_numbers(columns, name) for name in ("missing", "distinct", *_STATISTICS)),
            ],
            indent=2,
        )


def _numbers(columns: Sequence[Mapping[str, Any]], name: str) -> Column:
    cells = [number(each[name]) if name in each else "" for each in columns]
    return Column(name.upper(), cells, rank=_RANKS.get(name, 1), right=True)


def _found_by(artifact: Artifact) -> str:
    return "" if artifact.link is None else clean(artifact.link.resolved_by or artifact.link.type)
