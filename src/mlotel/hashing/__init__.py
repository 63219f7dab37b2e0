"""Identity of artifacts by content: digests of bytes, files, folders, tables, arrays and models.

docs/digests.md specifies every digest so that it can be computed by other programs.
"""

from __future__ import annotations

from mlotel.hashing._algorithms import content_digest, digest_manifest
from mlotel.hashing._cache import StatCache
from mlotel.hashing._fingerprint import Fingerprinter

__all__ = ["Fingerprinter", "StatCache", "content_digest", "digest_manifest", "fingerprint", "is_artifact", "register"]

_default = Fingerprinter()
fingerprint = _default.fingerprint
is_artifact = _default.is_artifact
register = _default.register
