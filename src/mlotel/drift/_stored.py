"""The JSON form of a reference, read with as little trust as a file deserves: every value is checked, none is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlotel.drift._feature import FeatureReference, feature_from_document
from mlotel.drift._segments import MOST_SEGMENTS
from mlotel.errors import InvalidReferenceError

__all__ = ["FORMAT", "VERSION", "Features", "Stored", "read"]

FORMAT, VERSION = "mlotel.reference", 1

Features = tuple[FeatureReference, ...]

_MOST_FEATURES = 100_000
_KEYS = frozenset(("format", "version", "digest", "model", "rows", "window", "features", "left_out", "segments"))


@dataclass(frozen=True, slots=True)
class Stored:
    """What a document says; whether its digest is that of its content remains to be seen."""

    rows: int
    features: Features
    window: int | None
    model: str | None
    model_version: str | None
    left_out: Mapping[str, str]
    segment_column: str | None
    segments: Mapping[str, tuple[int, Features]]
    digest: object


def read(document: object) -> Stored:
    """Return what a document says.

    Raises:
        InvalidReferenceError: it is no reference, of an unknown version, or damaged.
    """
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise InvalidReferenceError("not a reference: one is what `mlotel reference` or Reference.save writes")
    if document.get("version") != VERSION:
        raise InvalidReferenceError(
            f"a reference of version {document.get('version')!r}, of which this mlotel knows {VERSION} alone: "
            "fit it anew, or take the mlotel that wrote it"
        )
    unknown = document.keys() - _KEYS
    if unknown:
        raise InvalidReferenceError(f"version {VERSION} of a reference has no {min(unknown)!r}: fit it anew")
    try:
        return _read(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from error


def _read(document: Mapping[str, Any]) -> Stored:
    model, segments, left_out, window = (document[name] for name in ("model", "segments", "left_out", "window"))
    texts = (model["name"], model["version"], segments["column"])
    if not all(each is None or isinstance(each, str) for each in texts):
        raise _damaged("no text where one belongs")
    if not all(isinstance(each, str) for pair in left_out.items() for each in pair):
        raise _damaged("no text where one belongs")
    if window is not None and (type(window) is not int or window < 1):
        raise _damaged("no number of rows for a window")
    rows, features = _read_features(document)
    parts = segments["references"]
    if not isinstance(parts, list) or len(parts) > MOST_SEGMENTS:
        raise _damaged("no list of segments")
    if not all(isinstance(part["segment"], str) for part in parts):
        raise _damaged("a segment without a name")
    by_segment = {part["segment"]: _read_features(part) for part in parts}
    digest = document.get("digest")
    return Stored(rows, features, window, texts[0], texts[1], dict(left_out), texts[2], by_segment, digest)


def _read_features(document: Mapping[str, Any]) -> tuple[int, Features]:
    rows, features = document["rows"], document["features"]
    if type(rows) is not int or rows < 1:
        raise _damaged("no number of rows")
    if not isinstance(features, list) or len(features) > _MOST_FEATURES:
        raise _damaged("no list of features")
    found = tuple(feature_from_document(each, rows) for each in features)
    if len({each.name for each in found}) != len(found):
        raise _damaged("two features have the same name")
    return rows, found


def _damaged(what: str) -> InvalidReferenceError:
    return InvalidReferenceError(f"damaged ({what[:200]}): fit the reference anew")
