"""Digests of bytes, files and folders, with hashlib and the blake3 package as oracles."""

from __future__ import annotations

import array
import hashlib
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_digest import reference_manifest, reference_tree

from mlotel.carriers import sidecar
from mlotel.errors import ArtifactError, ConfigurationError
from mlotel.hashing import _files, digest_manifest, fingerprint
from mlotel.model import Fingerprint
from mlotel.store.location import STORE_NAME


def blake(content: bytes | bytearray) -> str:
    return f"blake3:{blake3(content).hexdigest()}"


@given(content=st.binary(max_size=300))
def test_bytes_have_the_digest_that_any_tool_computes(content: bytes) -> None:
    """All kinds of byte buffers have plain BLAKE3 and SHA-256 digests of their content."""
    buffers = (content, bytearray(content), memoryview(content), pa.py_buffer(content))
    found = {fingerprint(buffer) for buffer in buffers}
    assert found == {
        Fingerprint(digest=blake(content), scope="bytes", size=len(content), empty=not content),
    }
    sha = fingerprint(content, algorithm="sha256").digest
    assert sha == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_memoryviews_of_any_shape_count_as_their_bytes() -> None:
    """Views with other items, strides and dimensions are their content in C order."""
    matrix = np.arange(12, dtype="<i4").reshape(3, 4)
    assert fingerprint(memoryview(matrix.T)).digest == blake(matrix.T.tobytes())
    assert fingerprint(memoryview(b"abcdef")[::2]).digest == blake(b"ace")
    assert fingerprint(memoryview(array.array("d", [1.5]))).digest == blake(array.array("d", [1.5]).tobytes())
    assert fingerprint(memoryview(np.empty((0, 3)))).digest == blake(b"")


@pytest.mark.parametrize("size", [0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (4 << 20) + 5, 9 << 20])
@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path, size: int, mapped: bool) -> None:
    """Files of every size, read in blocks or mapped, have the plain digest of their content."""
    content = np.random.default_rng(size).bytes(size)
    path = tmp_path / "data.bin"
    path.write_bytes(content)
    found = fingerprint(path, mapped=mapped, threads=2)
    assert found == Fingerprint(digest=blake(content), scope="bytes", size=size, empty=size == 0)
    sha = fingerprint(path, mapped=mapped, algorithm="sha256").digest
    assert sha == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_link_given_directly_is_followed(tmp_path: Path) -> None:
    """A symbolic link that is itself the artifact stands for the file it leads to."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert fingerprint(tmp_path / "link") == fingerprint(tmp_path / "file")


def test_paths_given_as_bytes_and_odd_names_work(tmp_path: Path) -> None:
    """File names that are no UTF-8 can be hashed, by themselves and in a folder."""

    class Entry:
        def __fspath__(self) -> bytes:
            return os.fsencode(tmp_path) + b"/\xff\n"

    Path(os.fsdecode(Entry().__fspath__())).write_bytes(b"x")
    assert fingerprint(Entry()).digest == blake(b"x")
    assert fingerprint(tmp_path).digest is not None


def make_tree(root: Path) -> None:
    (root / "b" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "b.txt").write_bytes(b"text")
    (root / "b" / "a").write_bytes(b"")
    (root / "b" / "deep" / "x").write_bytes(b"x" * 5000)
    (root / "loop").symlink_to(".")
    (root / "gone").symlink_to("nowhere")


def test_a_folder_has_the_documented_digest(tmp_path: Path) -> None:
    """A folder is its sorted paths, kinds and contents; links count as their text, cycles do no harm."""
    make_tree(tmp_path)
    files = {"b": None, "b/a": b"", "b/deep": None, "b/deep/x": b"x" * 5000, "b.txt": b"text", "empty": None}
    expected = reference_tree(files, {"loop": ".", "gone": "nowhere"})
    assert fingerprint(tmp_path) == Fingerprint(digest=expected, scope="tree", size=5004)


def test_each_change_in_a_folder_changes_its_digest(tmp_path: Path) -> None:
    """Contents, names, places, kinds and link targets count; times and modes do not."""
    seen = [fingerprint(tmp_path).digest]

    def see() -> None:
        digest = fingerprint(tmp_path).digest
        assert digest not in seen
        seen.append(digest)

    make_tree(tmp_path)
    see()
    os.utime(tmp_path / "b.txt", (1, 1))
    (tmp_path / "b.txt").chmod(0o600)
    assert fingerprint(tmp_path).digest == seen[-1]
    (tmp_path / "b.txt").write_bytes(b"test")
    see()
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    see()
    (tmp_path / "b" / "a").rename(tmp_path / "a")
    see()
    (tmp_path / "gone").unlink()
    (tmp_path / "gone").symlink_to("elsewhere")
    see()
    (tmp_path / "empty").rmdir()
    see()
    (tmp_path / "empty").write_bytes(b"")
    see()


def test_what_mlotel_leaves_in_a_folder_does_not_count(tmp_path: Path) -> None:
    """Sidecars and stores, at any depth, leave a folder's digest as it was."""
    make_tree(tmp_path)
    before = fingerprint(tmp_path)
    (tmp_path / "b" / f"x{sidecar.SUFFIX}").write_text("{}")
    segments = tmp_path / "b" / STORE_NAME / "segments"
    segments.mkdir(parents=True)
    (segments / "1.jsonl").write_bytes(b"{}\n")
    assert fingerprint(tmp_path) == before


def test_a_folder_without_files_is_empty(tmp_path: Path) -> None:
    """Folders that hold no file are empty, like a file of no bytes."""
    (tmp_path / "inner").mkdir()
    assert fingerprint(tmp_path).empty
    (tmp_path / "inner" / "file").touch()
    assert not fingerprint(tmp_path).empty


def test_what_is_no_file_gets_a_note(tmp_path: Path) -> None:
    """FIFOs, sockets and devices are not read: no digest, and a note that says so."""
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path / 'socket'}")
    notes = {
        name: fingerprint(path)
        for name, path in {
            "FIFO": tmp_path / "fifo",
            "socket": tmp_path / "socket",
            "character device": Path("/dev/null"),
        }.items()
    }
    assert notes == {name: Fingerprint(note=f"no digest: a {name} is not read for one") for name in notes}
    (tmp_path / "socket").unlink()
    inside = fingerprint(tmp_path)
    assert (inside.digest, inside.scope) == (None, "tree")
    assert f"{inside.note}".endswith("(fifo)")


def test_missing_and_unreadable_files_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that leads nowhere or may not be read raises ArtifactError with the path in it."""
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("nothing", "dangling", "loop", "a\0b"):
        with pytest.raises(ArtifactError, match=r"there is no such file|cannot be read"):
            fingerprint(tmp_path / name)
    (tmp_path / "secret").write_bytes(b"x")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    # By a fake, because the tests may run as root, whom modes do not keep out.
    monkeypatch.setattr(_files.os, "open", refuse)
    with pytest.raises(ArtifactError, match=r"secret: may not be read \(permission denied\)"):
        fingerprint(tmp_path / "secret")


def test_a_file_that_changes_while_it_is_read_gets_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appending to a file in the middle of its reading is noticed."""
    path = tmp_path / "growing"
    path.write_bytes(bytes(100))
    read = os.read

    def read_and_grow(descriptor: int, count: int) -> bytes:
        content = read(descriptor, count)
        with path.open("ab") as file:
            file.write(b"more")
        return content

    monkeypatch.setattr(_files.os, "read", read_and_grow)
    found = fingerprint(path)
    assert found == Fingerprint(scope="bytes", size=104, note="no digest: changed while it was read")


def test_reading_ahead_goes_on_without_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the interpreter shuts down no thread can be started: large files are read all the same."""
    from concurrent.futures import ThreadPoolExecutor

    def refuse(*_: object) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    content = np.random.default_rng(1).bytes(5 << 20)
    (tmp_path / "large").write_bytes(content)
    assert fingerprint(tmp_path / "large").digest == blake(content)


def test_threads_hash_different_files_at_once(tmp_path: Path) -> None:
    """Fingerprints may be computed in many threads at once."""
    contents = {tmp_path / f"{i}": np.random.default_rng(i).bytes(200_000 + i) for i in range(8)}
    for path, content in contents.items():
        path.write_bytes(content)
    found: dict[Path, str | None] = {}
    threads = [threading.Thread(target=lambda p=p: found.update({p: fingerprint(p).digest})) for p in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {path: blake(content) for path, content in contents.items()}


def test_scopes_and_algorithms_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    """An unknown algorithm or scope, and a scope that does not fit a path, are said clearly."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="md5"):
        fingerprint(b"", algorithm="md5")
    with pytest.raises(ArtifactError, match="scope"):
        fingerprint(b"", scope="rows")
    with pytest.raises(ArtifactError, match="is a folder"):
        fingerprint(tmp_path, scope="bytes")
    with pytest.raises(ArtifactError, match="not a folder"):
        fingerprint(tmp_path / "file", scope="tree")
    with pytest.raises(ArtifactError, match="not a table file"):
        fingerprint(tmp_path / "file", scope="logical")


def test_a_table_file_can_be_hashed_by_its_bytes(tmp_path: Path) -> None:
    """`scope="bytes"` hashes a Parquet file as the file it is, still a dataset."""
    path = tmp_path / "t.PARQUET"
    pq.write_table(pa.table({"a": [1]}), path)
    content = path.read_bytes()
    assert fingerprint(path, scope="bytes") == Fingerprint(
        digest=blake(content), scope="bytes", type="dataset", size=len(content)
    )
    logical = fingerprint(path)
    assert (logical.scope, logical.size, logical.rows) == ("logical", len(content), 1)
    assert fingerprint(path, scope="logical") == logical


def test_a_damaged_table_file_is_hashed_by_its_bytes(tmp_path: Path) -> None:
    """A file that only pretends to be Parquet keeps an identity, its bytes', and a note says why."""
    for name in ("t.parquet", "t.feather", "t.arrow"):
        (tmp_path / name).write_bytes(b"nonsense")
        found = fingerprint(tmp_path / name)
        assert (found.digest, found.scope) == (blake(b"nonsense"), "bytes")
        assert f"{found.note}".startswith("hashed by its bytes: ")
        with pytest.raises(ArtifactError, match="cannot be read as a table"):
            fingerprint(tmp_path / name, scope="logical")
    (tmp_path / "t.parquet").write_bytes(b"")
    assert fingerprint(tmp_path / "t.parquet").empty


@given(
    entries=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), st.text("0123456789abcdef", max_size=5))
    )
)
@settings(max_examples=50)
def test_a_manifest_has_the_documented_digest(entries: list[tuple[str, str]]) -> None:
    """A manifest's digest is that of its sorted pairs; their order does not matter."""
    assert digest_manifest(entries) == digest_manifest(reversed(entries)) == reference_manifest(entries)


def test_manifest_boundaries_count() -> None:
    """Where a name ends and its digest begins counts; a missing digest is an empty one."""
    assert digest_manifest([("ab", "c")]) != digest_manifest([("a", "bc")])
    assert digest_manifest([("a", None)]) == digest_manifest([("a", "")]) != digest_manifest([])
