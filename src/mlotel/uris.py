"""Where an artifact lies, without what must not be told: credentials, signatures, control characters."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

__all__ = ["clean", "of_absolute", "of_path"]

_LIMIT = 2048
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C:\ is a drive
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# What names a version of the artifact stays; any other part of a query may be a signature, a token or a password
_KEPT = frozenset({"generation", "snapshot", "snapshotid", "version", "versionid", "table"})


def of_path(path: os.PathLike[str] | str) -> str:
    """Return the absolute ``file:`` URI of a local path, which need not exist."""
    return of_absolute(os.path.abspath(path))


@lru_cache(maxsize=1024)  # a component's runs name the same few files again and again
def of_absolute(path: str) -> str:
    """Return the ``file:`` URI of an absolute local path."""
    return Path(path).as_uri()


def clean(uri: str) -> str:
    """Return `uri` without user, password, fragment and every query parameter that does not name a version.

    A relative or absolute path becomes a ``file:`` URI. Text past 2,048 characters is cut.
    """
    uri = _CONTROL.sub("", uri.strip())[: 4 * _LIMIT]
    if not _SCHEME.match(uri):
        return of_path(uri)[:_LIMIT]
    if uri[:5].lower() == "jdbc:":
        return ("jdbc:" + clean(uri[5:].split(";", 1)[0]))[:_LIMIT]
    try:
        parts = urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:  # an unfinished IPv6 address: keep what is surely no secret
        return uri.split(":", 1)[0] + ":"
    query = urlencode([(key, value) for key, value in pairs if key.lower() in _KEPT])
    path = parts.path
    if not parts.netloc and "@" in path and parts.scheme not in ("file", "s3", "gs"):
        path = path.rpartition("@")[2]  # scp form (git@host:path) and opaque URIs such as mailto-like DSNs
    cleaned = urlunsplit((parts.scheme, host, path, query, ""))
    # urlunsplit drops the empty authority of schemes it does not know (hdfs:///x)
    if not host and uri[len(parts.scheme) :].startswith(":///") and not cleaned[len(parts.scheme) :].startswith("://"):
        cleaned = f"{parts.scheme}://{path}" + (f"?{query}" if query else "")
    return cleaned[:_LIMIT]
