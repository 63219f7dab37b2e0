"""What a process finds out about the code it runs, in repositories made for the purpose."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blake3
import pytest

import mlotel
from mlotel import provenance
from mlotel.provenance import Git
from mlotel.store.files import FileStore
from mlotel.testing import CapturedRuns

GIT = shutil.which("git") or "git"


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """A repository with one commit, which is the working directory, and a function to run git in it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(provenance, "_code_folders", lambda: [Path.cwd()])
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run([GIT, *identity, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    run("init", "-q", "-b", "main")
    Path("code.py").write_text("1\n")
    run("add", "code.py")
    run("commit", "-q", "-m", "one")
    provenance.git.cache_clear()
    yield run
    provenance.git.cache_clear()


def test_commit_branch_and_state_are_gits_own(git: Callable[..., str]) -> None:
    """A clean checkout of a branch without a remote."""
    assert provenance.git() == Git(git("rev-parse", "HEAD"), "main", False, None)


def test_changed_files_make_a_checkout_dirty(git: Callable[..., str]) -> None:
    """Changes to files that git knows, staged or not; files that it does not know are nobody's code yet."""
    Path("untracked.txt").write_text("x")
    assert provenance.git().dirty is False
    Path("code.py").write_text("2\n")
    provenance.git.cache_clear()
    assert provenance.git().dirty is True
    git("add", "code.py")
    provenance.git.cache_clear()
    assert provenance.git().dirty is True


def test_a_detached_head_has_no_branch(git: Callable[..., str]) -> None:
    """As on most CI systems."""
    git("checkout", "-q", "--detach")
    assert provenance.git() == Git(git("rev-parse", "HEAD"), None, False, None)


def test_a_branch_without_a_commit(git: Callable[..., str]) -> None:
    """A repository as `git init` leaves it."""
    git("checkout", "-q", "--orphan", "new")
    assert (provenance.git().commit, provenance.git().branch) == (None, "new")


def test_a_folder_below_and_a_worktree(
    git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repository is found upwards; a linked worktree has its own branch (its .git is a file)."""
    Path("a/b").mkdir(parents=True)
    monkeypatch.chdir("a/b")
    assert provenance.git().branch == "main"
    git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    monkeypatch.chdir(tmp_path / "side")
    provenance.git.cache_clear()
    assert provenance.git().branch == "side"


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name.git"),
        ("https://user:token@github.com/owner/name.git", "https://github.com/owner/name.git"),
        ("https://ghp_secret@github.com/owner/name", "https://github.com/owner/name"),
        ("https://user:p@ss@host.example/x?private_token=secret", "https://host.example/x"),
        ("git@github.com:owner/name.git", "ssh://github.com/owner/name.git"),
        ("user:secret@host.example:owner/name", "ssh://host.example/owner/name"),
        ("ssh://git@host.example:2222/owner/name", "ssh://host.example:2222/owner/name"),
        ("host.example:owner/name", "ssh://host.example/owner/name"),
    ],
)
def test_the_remote_is_told_without_credentials(git: Callable[..., str], remote: str, shown: str) -> None:
    """In every form that git takes."""
    git("config", "remote.origin.url", remote)
    assert provenance.git().repository == shown


@pytest.mark.parametrize("place", ["scripts", "purelib", "stdlib"])
def test_an_installed_program_is_not_the_users_code(
    git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Under pytest, say: its environment may lie in another repository than the code that it runs."""
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", "-b", "others", other], check=True)
    installed = {name: str(other / name) for name in ("scripts", "purelib", "platlib", "stdlib", "platstdlib")}
    git("branch", "-q", "-m", "ours")
    here = Path.cwd()
    monkeypatch.undo()  # of the fixture: here it is asked where the code is
    monkeypatch.chdir(here)
    monkeypatch.setattr("sysconfig.get_paths", lambda: installed)
    monkeypatch.setattr("__main__.__file__", str(other / place / "program"), raising=False)
    provenance.git.cache_clear()
    assert provenance.git().branch == "ours"
    monkeypatch.setattr("__main__.__file__", str(other / "script.py"))
    provenance.git.cache_clear()
    assert provenance.git().branch == "others"


def test_no_repository_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of what runs in a container has none."""
    monkeypatch.setattr(provenance, "_code_folders", lambda: [tmp_path])
    monkeypatch.setattr(provenance, "_repository", lambda folders: None)
    provenance.git.cache_clear()
    assert provenance.git() == Git()
    provenance.git.cache_clear()


def test_no_git_is_no_error(git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository, and no program to ask about it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git() == Git()


def test_a_damaged_repository_is_no_error(git: Callable[..., str]) -> None:
    """What git cannot say is left out."""
    Path(".git/HEAD").write_text("nonsense")
    assert provenance.git() == Git()


def test_a_git_that_hangs_is_not_waited_for(
    git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run starts after about a second at most, without what git did not say; it is killed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec sleep 60\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    before = time.monotonic()
    assert provenance.git() == Git()
    assert time.monotonic() - before < 10  # far from 60, whatever the machine is doing
    assert provenance._GIT_SECONDS <= 1
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    deadline = time.monotonic() + 10
    while any(_exists(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _tree(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        found[str(path.relative_to(folder))] = (
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
    return found


def test_nothing_is_written_and_nothing_of_the_repositorys_is_run(git: Callable[..., str], tmp_path: Path) -> None:
    """Not the index, which `git status` likes to refresh, and not the programs that its settings name."""
    marker = tmp_path / "was run"
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    hook.chmod(0o755)
    git("config", "core.fsmonitor", str(hook))
    for name in ("core.pager", "core.editor", "core.askPass", "diff.external", "core.sshCommand"):
        git("config", name, str(hook))
    git("config", "alias.status", f"!{hook}")
    git("config", "remote.origin.url", f"ext::{hook}")
    os.utime("code.py")  # the index is out of date now: without the right settings it would be written anew
    before = _tree(Path())
    assert provenance.git().dirty is False
    assert _tree(Path()) == before
    assert not marker.exists()


def test_variables_of_git_do_not_lead_elsewhere(
    git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run within a git hook (GIT_DIR is set there) tells the repository that its code lies in."""
    commit = git("rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", "/")
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "remote.origin.url")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://elsewhere.example/")
    assert provenance.git() == Git(commit, "main", False, None)


def test_the_environments_digest_is_that_of_the_installed_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package more, or another version of one, changes it; how its name is spelt and where it lies does not."""
    site, other = tmp_path / "site", tmp_path / "other"

    def digest(*names: str, folder: Path = site) -> str:
        shutil.rmtree(site, ignore_errors=True)
        shutil.rmtree(other, ignore_errors=True)
        for name in names:
            (folder / name).mkdir(parents=True)
        monkeypatch.setattr("sys.path", [str(site), str(other), str(tmp_path / "missing"), "archive.zip"])
        provenance.environment_digest.cache_clear()
        return provenance.environment_digest()

    one = digest("pandas-2.2.0.dist-info")
    assert one.startswith("blake3:")
    assert digest("pandas-2.2.0.dist-info", folder=other) == one
    assert digest("Pandas-2.2.0.dist-info") == one
    assert digest("pandas-2.2.0.dist-info", "notes.txt") == one
    others = [
        digest(),
        digest("pandas-2.2.1.dist-info"),
        digest("pandas-2.2.0.dist-info", "numpy-2.0.0.dist-info"),
        digest("polars-2.2.0.dist-info"),
    ]
    assert len({one, *others}) == 5
    assert digest("a_b-1.dist-info") == digest("a.b-1.egg-info")
    provenance.environment_digest.cache_clear()


def test_the_codes_digest_is_that_of_the_callers_file(mlotel_runs: CapturedRuns) -> None:
    """Of the file that holds the block, the decorated function or the call of `start_component`."""
    expected = "blake3:" + blake3.blake3(Path(__file__).read_bytes()).hexdigest()

    @mlotel.component("function")
    def function() -> None: ...

    with mlotel.component("block"):
        pass
    function()
    mlotel.start_component("start").end()
    assert [run.attributes.get("mlotel.code.digest") for run in mlotel_runs.runs] == [expected] * 3


def test_code_without_a_file_has_no_digest(mlotel_runs: CapturedRuns) -> None:
    """Code that was typed in, or made by a program."""
    namespace: dict[str, Any] = {"mlotel": mlotel}
    exec("with mlotel.component('typed'): pass", namespace)
    assert "mlotel.code.digest" not in mlotel_runs.runs[0].attributes


def test_a_run_records_where_it_came_from(script: Callable[..., Any], git: Callable[..., str], tmp_path: Path) -> None:
    """Commit, branch, state, repository, environment, code, process, CPU time and memory stand on the run."""
    git("config", "remote.origin.url", "https://user:secret@example.org/x")
    script(
        """
        import mlotel, os
        os.chdir("repository")
        with mlotel.component("a"):
            pass
        print(os.getpid())
        """
    )
    with FileStore(tmp_path / "store") as store:
        (run,) = store.runs()
    assert run.git == {
        "commit": git("rev-parse", "HEAD"),
        "branch": "main",
        "dirty": False,
        "repository": "https://example.org/x",
    }
    attributes = run.attributes
    assert attributes["mlotel.code.digest"] == (
        "blake3:" + blake3.blake3((tmp_path / "program.py").read_bytes()).hexdigest()
    )
    assert str(attributes["mlotel.environment.digest"]).startswith("blake3:")
    assert 0 <= float(str(attributes["mlotel.run.cpu.time"])) < 60
    assert 10**6 < int(str(attributes["mlotel.run.memory.peak"])) < 10**10


def test_nothing_is_found_out_at_import(script: Callable[..., Any], tmp_path: Path) -> None:
    """Importing mlotel and making components runs no program; the first run does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\n")
    (folder / "git").chmod(0o755)
    (tmp_path / ".git").mkdir()
    script(
        """
        import pathlib, mlotel
        component = mlotel.component("a")
        component(len)
        mlotel.configure(service_name="x")
        assert not pathlib.Path("asked").exists()
        for _ in range(3):
            with component:
                pass
        """,
        PATH=f"{folder}:{os.environ['PATH']}",
    )
    assert len((tmp_path / "asked").read_text().split()) == 4  # the four questions, once
