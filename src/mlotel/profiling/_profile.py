"""Profiles of tables, whole and by groups, which merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlotel.errors import ArtifactError, nearest
from mlotel.profiling._columns import ColumnProfile

__all__ = ["GroupProfile", "Key", "Profile"]

Key = tuple[str | int | float | bool | None, ...]
"""The values of the columns that a table is grouped by; None stands for null and NaN."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupProfile:
    """The profile of all rows in which the columns that were grouped by have the values `key`."""

    key: Key
    profile: Profile


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What is known of a table's columns. Profiles of parts of a table merge into that of the whole.

    Counts, extremes and moments of merged profiles are those of the whole, to 1e-9 and better; sketches keep the bounds
    that they state. Profiles can be pickled, as JSON.

    Attributes:
        rows: how many rows.
        columns: the profiles of its columns, in their order.
        by: the names of the columns that it was grouped by.
        groups: the profiles of groups, the largest first. Each has all rows of its group.
        other: the profile of the rows in other groups, where there were more than could be kept apart.
        most_groups: how many could be.
    """

    rows: int = 0
    columns: tuple[ColumnProfile, ...] = ()
    by: tuple[str, ...] = ()
    groups: tuple[GroupProfile, ...] = ()
    other: Profile | None = None
    most_groups: int = 100

    def __getitem__(self, name: str) -> ColumnProfile:
        """Return the profile of a column.

        Raises:
            KeyError: there is no such column; the message names those that it may be a slip of.
        """
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        raise KeyError(f"no column {name!r}{nearest(name, names) or f': there are {names[:10]}'}")

    def __iter__(self) -> Iterator[ColumnProfile]:
        return iter(self.columns)

    def __len__(self) -> int:
        """How many columns."""
        return len(self.columns)

    def __bool__(self) -> bool:
        return bool(self.rows or self.columns)

    def __repr__(self) -> str:
        grouped = f", {len(self.groups)} groups by {', '.join(self.by)}" if self.by else ""
        return f"<Profile of {self.rows:,} rows × {len(self.columns)} columns{grouped}>"

    def __reduce__(self) -> tuple[Callable[[str], Profile], tuple[str]]:
        return Profile.from_json, (self.to_json(),)

    def _repr_html_(self) -> str:
        """Return the columns as a table for notebooks."""
        from mlotel.profiling._document import as_html

        return as_html(self)

    def group(self, *key: object) -> Profile:
        """Return the profile of the group with these values.

        Raises:
            KeyError: it is not among those that were kept apart.
        """
        for each in self.groups:
            if each.key == key:
                return each.profile
        more = "; others are in `other`" if self.other is not None else ""
        raise KeyError(f"no group {key!r} among the {len(self.groups)} by {self.by}{more}")

    def merge(self, other: Profile) -> Profile:
        """Return the profile of both tables together; one of nothing (`Profile()`) changes nothing.

        Of groups those are kept apart of which all rows are known: a group that is kept in one profile and may be among
        the `other` rows of the other one becomes other.

        Raises:
            ArtifactError: they have different columns, or columns of different types, or were not grouped alike.
        """
        if not self or not other:
            return self or other
        if self.by != other.by:
            raise ArtifactError(
                f"one profile is by {_names(self.by)}, the other by {_names(other.by)}: group both alike"
            )
        columns = _merged_columns(self.columns, other.columns)
        rows, most = self.rows + other.rows, min(self.most_groups, other.most_groups)
        if not self.by:
            return Profile(rows, columns, most_groups=most)
        groups, rest = _merged_groups(self, other, most)
        return Profile(rows, columns, self.by, groups, rest, most)

    @classmethod
    def merge_all(cls, profiles: Iterable[Profile]) -> Profile:
        """Return the profile of all tables together, `Profile()` of none.

        Raises:
            ArtifactError: as `merge`.
        """
        merged = cls()
        for each in profiles:
            merged = merged.merge(each)
        return merged

    def to_json(self) -> str:
        """Return the profile as JSON text that `from_json` reads; sketches are in their library's own form."""
        from mlotel.profiling._json import dump

        return dump(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Profile:
        """Return the profile that `to_json` wrote; nothing in it is run or evaluated.

        Raises:
            ArtifactError: it is no such text, or of a version that this one does not know.
            MissingExtraError: datasketches is not installed.
        """
        from mlotel.profiling._json import load

        return load(text)

    def document(self) -> dict[str, Any]:
        """Return what `profile.schema.json` describes: plain values, without sketches, to be read and not merged."""
        from mlotel.profiling._document import document

        return document(self)


def _names(by: Sequence[str]) -> str:
    return ", ".join(map(repr, by)) or "nothing"


def _merged_columns(one: Sequence[ColumnProfile], other: Sequence[ColumnProfile]) -> tuple[ColumnProfile, ...]:
    others = {column.name: column for column in other}
    alone = {column.name for column in one} ^ others.keys()
    if alone:
        raise ArtifactError(
            f"column {min(alone)!r} is in one of two profiles alone: give both tables the same columns before they are "
            "profiled"
        )
    return tuple(column.merge(others[column.name]) for column in one)


def _merged_groups(one: Profile, other: Profile, most: int) -> tuple[tuple[GroupProfile, ...], Profile | None]:
    """Return the groups of which all rows are known, at most so many, and the profile of all other rows."""
    mine, theirs = ({each.key: each.profile for each in profile.groups} for profile in (one, other))
    complete: dict[Key, Profile] = {}
    rest = [profile.other for profile in (one, other) if profile.other is not None]
    for key in {**mine, **theirs}:
        found = [groups[key] for groups in (mine, theirs) if key in groups]
        lacking = [profile for profile, groups in ((one, mine), (other, theirs)) if key not in groups]
        if any(profile.other is not None for profile in lacking):
            rest += found
        else:
            complete[key] = Profile.merge_all(found)
    largest = sorted(complete.items(), key=lambda item: -item[1].rows)
    rest += [profile for _, profile in largest[most:]]
    groups = tuple(GroupProfile(key, profile) for key, profile in largest[:most])
    return groups, Profile.merge_all(rest) if rest else None
