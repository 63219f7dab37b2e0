"""Which carriers are believed where their digest cannot be compared with the content's."""

from __future__ import annotations

import os
from pathlib import Path

import mlotel
from mlotel.carriers import sidecar
from mlotel.model import ArtifactContext
from mlotel.testing import CapturedRuns

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
SHA256 = f"sha256:{'c' * 64}"
BLAKE3 = f"blake3:{'d' * 64}"


class Unknown:
    """Has no fingerprint."""


def link_of(runs: CapturedRuns, obj: object, context: ArtifactContext | None = None) -> tuple[object, str | None]:
    with mlotel.component("read") as run:
        run.log_input(obj, "x", context=context)
    (artifact,) = runs.runs[-1].inputs
    return artifact.link and (artifact.link.span_id, artifact.link.resolved_by), artifact.note


def test_a_sidecar_is_not_believed_of_what_has_no_digest(mlotel_runs: CapturedRuns, tmp_path: Path) -> None:
    """Two digests that are both absent are not the same digest."""
    os.mkfifo(tmp_path / "pipe")
    sidecar.path_of(tmp_path / "pipe").write_text(f'{{"traceparent": "{TRACEPARENT}", "digest": null}}')
    assert link_of(mlotel_runs, tmp_path / "pipe")[0] is None


def test_a_digest_of_another_algorithm_says_nothing(mlotel_runs: CapturedRuns, tmp_path: Path) -> None:
    """It is not called other content, and a file's carrier is not believed."""
    (tmp_path / "file").write_text("content")
    sidecar.write(tmp_path / "file", ArtifactContext(TRACEPARENT, SHA256))
    assert link_of(mlotel_runs, tmp_path / "file") == (None, "sidecar context cannot be checked: not believed")


def test_headers_are_believed_unless_the_content_contradicts_them(mlotel_runs: CapturedRuns) -> None:
    """Who hands over headers vouches for them; a digest of other content is a contradiction."""
    believed = ("b" * 16, "header")
    assert link_of(mlotel_runs, Unknown(), ArtifactContext(TRACEPARENT, BLAKE3))[0] == believed
    assert link_of(mlotel_runs, b"content", ArtifactContext(TRACEPARENT, SHA256))[0] == believed
    assert link_of(mlotel_runs, b"content", ArtifactContext(TRACEPARENT))[0] == believed
    contradicted = link_of(mlotel_runs, b"content", ArtifactContext(TRACEPARENT, BLAKE3))
    assert contradicted == (None, "header context is of other content: not believed")
