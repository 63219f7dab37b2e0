"""Where an artifact lies, without what must not be told: credentials, signatures, control characters."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

__all__ = ["clean", "hide_credentials", "of_absolute", "of_path"]

_LIMIT = 2048
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C:\ is a drive
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_AUTHORITY = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\s]*)@")
# Azure names its containers there (abfss://container@account): no secret, and half of where the artifact lies
_CONTAINERS = frozenset({"abfs", "abfss", "wasb", "wasbs"})
_HOSTS = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[^:\[\]]*)(:[0-9]*)?(,(\[[0-9A-Fa-f:.]*\]|[^:\[\]]*)(:[0-9]*)?)*")
_SCP = re.compile(r"[^@/\s]+@([^@/:\s]+):(?!//)(.+)")  # user@host:path, as ssh and git take it
_PAIR = re.compile(
    r"(?:^|(?<=[;?&,\s]))[^;?&,=\s/]*"
    r"(?:passw|pass(?==)|pwd|secret|token(?!s|i[sz]|_(?:count|limit|len|size|type))|credential|signature"
    r"|(?:api|access|account|private)[_-]?key)"
    r"[^;?&,=\s/]*=[^;&]*[;&]?"
    r"|(?<=;)\s*(?:uid|user(?:\s?name|\s?id)?)\s*=[^;&]*[;&]?",
    re.IGNORECASE,
)
# What names a version of the artifact stays; any other part of a query may be a signature, a token or a password
_KEPT = frozenset({"generation", "snapshot", "snapshotid", "version", "versionid", "table"})


def of_path(path: os.PathLike[str] | os.PathLike[bytes] | str) -> str:
    """Return the absolute ``file:`` URI of a local path, which need not exist."""
    return of_absolute(os.path.abspath(os.fsdecode(path)))


@lru_cache(maxsize=1024)  # a component's runs name the same few files again and again
def of_absolute(path: str) -> str:
    """Return the ``file:`` URI of an absolute local path."""
    try:
        return Path(path).as_uri()
    except UnicodeEncodeError:  # half a surrogate pair: there can be no such file
        return Path(path.encode("utf-8", "replace").decode()).as_uri()


def hide_credentials(text: str) -> str:
    """Return `text` with the users and passwords of its URIs, and its ``password=…`` parts, taken out."""
    return _AUTHORITY.sub(_without_user, _PAIR.sub("", text))


def _without_user(match: re.Match[str]) -> str:
    scheme, user = match.groups()
    return match[0] if _is_container(scheme, user) else f"{scheme}://"


def _is_container(scheme: str, user: str) -> bool:
    return scheme.lower() in _CONTAINERS and re.fullmatch(r"[a-z0-9$][a-z0-9-]{0,62}", user) is not None


def clean(uri: str) -> str:
    """Return `uri` without user, password, fragment and every query parameter that does not name a version.

    A relative or absolute path becomes a ``file:`` URI. Text past 2,048 characters is cut.
    """
    uri = _CONTROL.sub("", uri[: 4 * _LIMIT]).strip()
    if uri[:5].lower() == "jdbc:":
        return _clean_jdbc(uri[5:])
    uri = hide_credentials(uri)
    remote = _SCP.fullmatch(uri)
    if remote is not None:
        return f"ssh://{remote[1]}/{remote[2]}"[:_LIMIT]
    if not _SCHEME.match(uri):
        return of_path(uri)[:_LIMIT]
    scheme, _, rest = uri.partition(":")
    scheme = scheme.lower()
    if scheme == "data":
        return "data:"  # the rest is the content itself
    try:
        parts = urlsplit(uri)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:  # no URI, whatever it is: keep what is surely no secret
        return f"{scheme}:"
    user, separator, hosts = parts.netloc.rpartition("@")
    if separator and _is_container(scheme, user):
        hosts = parts.netloc
    if _HOSTS.fullmatch(hosts) is None:
        return f"{scheme}:"  # no port after the colon: a piece of a password that holds "/", "?" or "#"
    path = parts.path
    if not parts.netloc and "@" in path and scheme not in ("file", "s3", "gs"):
        path = path.rpartition("@")[2]  # user:password@host, and what vendors made up in its likeness
    query = urlencode([(key, value) for key, value in pairs if key.lower() in _KEPT])
    # put together by hand: urlunsplit drops the empty authority of the schemes it does not know (hdfs:///x)
    authority = f"//{hosts}" if rest.startswith("//") else ""
    return f"{scheme}:{authority}{path}{'?' if query else ''}{query}"[:_LIMIT]


def _clean_jdbc(rest: str) -> str:
    kind = _SCHEME.match(rest)
    if kind is None or rest[:5].lower() == "jdbc:":
        return "jdbc:"
    where, _, properties = rest.partition(";")
    if "@" in properties and not rest.lower().startswith("sqlserver:"):
        return f"jdbc:{kind[0].lower()}"  # the semicolon may be in a password: what comes after it would be the host
    return f"jdbc:{clean(where)}"[:_LIMIT]
