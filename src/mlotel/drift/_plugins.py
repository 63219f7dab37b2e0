"""Distances and detectors that other packages bring, found as entry points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlotel.drift._detectors import DETECTORS, Detector
from mlotel.drift._distances import DISTANCES, Distance
from mlotel.errors import ConfigurationError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["DETECTOR_GROUP", "DISTANCE_GROUP", "find_detectors", "find_distances"]

DISTANCE_GROUP, DETECTOR_GROUP = "mlotel.distances", "mlotel.detectors"
Discover = Callable[[str], "Iterable[EntryPoint]"]


def _installed(group: str) -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # imported late: it costs more than all of this package

    return entry_points(group=group)


def find_distances(names: Sequence[str] = (), *, discover: Discover = _installed) -> dict[str, Distance]:
    """Return mlotel's distances, and those of other packages that are asked for, by name.

    Raises:
        ConfigurationError: no installed package has one of this name, or it cannot be loaded.
    """
    return {**DISTANCES, **_found(DISTANCE_GROUP, names, DISTANCES, discover)}


def find_detectors(names: Sequence[str], *, discover: Discover = _installed) -> dict[str, Detector]:
    """Return detectors by their names; ``tolerance`` is mlotel's own.

    Raises:
        ConfigurationError: none are asked for, no installed package has one of this name, or it cannot be loaded.
    """
    if not names:
        raise ConfigurationError("no detectors: name at least one, 'tolerance' for mlotel's own")
    return _found(DETECTOR_GROUP, names, DETECTORS, discover)


def _found(group: str, names: Sequence[str], own: Mapping[str, Any], discover: Discover) -> dict[str, Any]:
    others: dict[str, EntryPoint] | None = None
    found = {}
    for name in names:
        if name in own:
            found[name] = own[name]
            continue
        others = {point.name: point for point in discover(group)} if others is None else others
        if name not in others:
            known = [*own, *others]
            what = nearest(name, known) or f": there are {', '.join(map(repr, known))}"
            raise ConfigurationError(f"nothing installed brings {name!r} of the group {group}{what}")
        try:
            found[name] = others[name].load()
        except Exception as error:  # somebody else's package, which may fail in any way
            raise ConfigurationError(
                f"{name!r} of the group {group} cannot be loaded ({type(error).__name__}: {error}): "
                "repair or leave out the package that brings it"
            ) from error
    return found
