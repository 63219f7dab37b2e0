"""`mlotel.configure` and the variables: what is refused at once, and where runs go."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlotel
from mlotel.errors import ConfigurationError, MlotelError, StoreError
from mlotel.store.files import FileStore

Script = Callable[..., "subprocess.CompletedProcess[str]"]

ONE_RUN = """
    import mlotel
    with mlotel.component("a"):
        pass
    """


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "http/json"}, "protocol must be one of grpc, http/protobuf, not 'http/json'"),
        ({"protocol": "GRPC"}, "protocol must be one of"),
        ({"protocol": ""}, "protocol must be one of"),
        ({"endpoint": "localhost:4318"}, "endpoint is no URL: write it as http://host:4318"),
        ({"endpoint": "ftp://host"}, "write it as http://host:4318"),
        ({"endpoint": "http://"}, "write it as"),
        ({"endpoint": "http://host:port"}, "write it as"),
        ({"endpoint": "http://[::1"}, "write it as"),
        ({"endpoint": ""}, "write it as"),
        ({"digest": "md5"}, "digest must be blake3 or sha256, not 'md5'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    """With what to write instead; nothing of the call is taken over."""
    with pytest.raises(ConfigurationError, match=message.replace("[", r"\[")):
        mlotel.configure(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"endpoint": 4318},
        {"headers": "a=b"},
        {"headers": {"a": 1}},
        {"service_name": 3},
        {"resource_attributes": ["a"]},
        {"store": 3},
        {"store": True},
        {"store": ""},
    ],
)
def test_settings_of_a_wrong_type_are_refused_at_once(arguments: dict[str, Any]) -> None:
    """By an error of mlotel's, not by one from somewhere inside, and not later."""
    with pytest.raises(MlotelError):
        mlotel.configure(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"headers": "authorization=hunter2"},
        {"headers": ["hunter2"]},
        {"headers": {"authorization": b"hunter2"}},
        {"resource_attributes": "key=hunter2"},
        {"endpoint": "ftp://user:hunter2@host"},
        {"endpoint": "user:hunter2@host:4318"},
    ],
)
def test_what_is_refused_is_not_repeated_where_it_is_secret(arguments: dict[str, Any]) -> None:
    """A message ends in logs and bug reports."""
    with pytest.raises(ConfigurationError) as raised:
        mlotel.configure(**arguments)
    assert "hunter2" not in str(raised.value)


def test_the_digest_that_is_configured_is_used_for_everything(script: Script, tmp_path: Path) -> None:
    """Artifacts and manifests, for tools that know SHA-256 alone."""
    script(
        """
        import pathlib, mlotel, pyarrow
        mlotel.configure(digest="sha256")
        with mlotel.component("a") as run:
            run.log_input(pathlib.Path(__file__))
            run.log_input(pyarrow.table({"x": [1]}), "table")
            for i in range(100):
                run.log_input(b"x", f"part {i}")
        """
    )
    with FileStore(tmp_path / "store") as store:
        digests = [str(a.digest).partition(":")[0] for a in store.runs()[0].inputs]
    assert digests == ["sha256"] * 101


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Where it is configured, with its path."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written") as raised:
        mlotel.configure(store=tmp_path / "file" / "store")
    assert str(tmp_path / "file" / "store") in str(raised.value)
    assert isinstance(raised.value.__cause__, OSError)


def test_a_store_is_made_where_it_is_said(script: Script, tmp_path: Path) -> None:
    """`configure(store=)` goes before MLOTEL_STORE."""
    script(
        """
        import mlotel
        mlotel.configure(store="said/here")
        with mlotel.component("a"):
            pass
        mlotel.configure(digest="sha256")
        with mlotel.component("b") as run:
            run.log_input(b"x", "x")
        """
    )
    assert not (tmp_path / "store").exists()
    with FileStore(tmp_path / "said" / "here") as store:
        b, a = store.runs()
        assert [a.component, b.component] == ["a", "b"]
        assert str(b.inputs[0].digest).startswith("sha256:")
    assert (tmp_path / "said" / "here").stat().st_mode & 0o777 == 0o700


def test_without_any_setting_the_store_is_found_as_git_finds_its_own(script: Script, tmp_path: Path) -> None:
    """The nearest .mlotel upwards, else one in the working directory, which git ignores."""
    source = """
        import os, sys, mlotel
        os.makedirs(sys.argv[1], exist_ok=True)
        os.chdir(sys.argv[1])
        with mlotel.component("a"):
            pass
        """
    script(source, "one/two", MLOTEL_STORE=None)
    assert (tmp_path / "one" / "two" / ".mlotel" / "segments").is_dir()
    (tmp_path / "one" / ".mlotel").mkdir()
    script(source, "one/three/four", MLOTEL_STORE=None)
    assert not (tmp_path / "one" / "three" / "four" / ".mlotel").exists()
    with FileStore(tmp_path / "one" / ".mlotel") as store:
        assert len(store.runs()) == 1
    status = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "init", "-q", "."], cwd=tmp_path / "one" / "two", check=True
    )
    assert status.returncode == 0
    seen = subprocess.run(
        ["git", "status", "--porcelain"], cwd=tmp_path / "one" / "two", capture_output=True, text=True, check=True
    )
    assert seen.stdout == ""


@pytest.mark.parametrize(
    "variables", [{"MLOTEL_STORE": "none"}, {"MLOTEL_STORE": "OFF"}, {"OTEL_SDK_DISABLED": "true"}]
)
def test_switched_off_nothing_is_written(script: Script, tmp_path: Path, variables: dict[str, str]) -> None:
    """Neither a store nor anything else, and nothing is said."""
    done = script(ONE_RUN, **{"MLOTEL_STORE": None, **variables})
    assert (done.stdout, done.stderr) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_a_relative_store_does_not_move_with_the_working_directory(script: Script, tmp_path: Path) -> None:
    """A pipeline that changes its directory keeps writing to the store that it began with."""
    script(
        """
        import os, mlotel
        with mlotel.component("a"):
            pass
        os.mkdir("elsewhere"); os.chdir("elsewhere")
        with mlotel.component("b"):
            pass
        """,
        MLOTEL_STORE="here",
    )
    with FileStore(tmp_path / "here") as store:
        assert [run.component for run in store.runs()] == ["b", "a"]
    assert not (tmp_path / "elsewhere" / "here").exists()


def test_configuring_within_a_run_loses_nothing(script: Script, tmp_path: Path) -> None:
    """A run ends where it began, also if the settings changed in between."""
    script(
        """
        import mlotel
        with mlotel.component("outer") as run:
            mlotel.configure(service_name="x")
            with mlotel.component("inner"):
                pass
            run.log_output(b"x", "x")
        """
    )
    with FileStore(tmp_path / "store") as store:
        inner, outer = store.runs()
        assert [(run.component, run.state) for run in (outer, inner)] == [("outer", "ok"), ("inner", "ok")]
        assert [a.name for a in outer.outputs] == ["x"]


def test_seeding_python_does_not_seed_the_ids(script: Script) -> None:
    """Two processes that call random.seed(0), as training scripts do, have different ids; theirs are undisturbed."""
    source = """
        import random, mlotel
        random.seed(0)
        with mlotel.component("a") as run:
            print(run.run_id, run.trace_id, run.span_id, random.random())
        """
    one, two = (script(source).stdout.split() for _ in range(2))
    assert all(x != y for x, y in zip(one[:3], two[:3], strict=True))
    import random

    assert one[3] == two[3] == str(random.Random(0).random())


def test_resource_attributes_stand_on_every_line(script: Script, tmp_path: Path) -> None:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES mean what they mean everywhere; configure wins over them."""
    script(ONE_RUN, OTEL_SERVICE_NAME="flights", OTEL_RESOURCE_ATTRIBUTES="team=da%20ta,a=b")
    lines = b"".join(path.read_bytes() for path in (tmp_path / "store" / "segments").iterdir())
    assert lines.count(b'"flights"') == lines.count(b'"da ta"') == len(lines.splitlines()) >= 2
    with FileStore(tmp_path / "store") as store:
        assert store.runs()[0].service == "flights"


def test_variables_that_mean_nothing_are_warnings(script: Script, tmp_path: Path) -> None:
    """A wrong value in the environment does not stop a pipeline that nobody watches."""
    done = script(
        """
        import logging, mlotel
        logging.basicConfig(format="%(message)s")
        with mlotel.component("a"):
            pass
        mlotel.shutdown(0.2)
        print("done")
        """,
        OTEL_TRACES_EXPORTER="zipkin",
        OTEL_RESOURCE_ATTRIBUTES="nonsense,=,a=%ZZ",
        OTEL_EXPORTER_OTLP_PROTOCOL="carrier/pigeon",
    )
    assert done.stdout == "done\n"
    assert "zipkin is not known" in done.stderr


def test_a_read_only_store_is_one_warning_in_a_pipeline(script: Script, tmp_path: Path) -> None:
    """A store that lies where nothing can be made."""
    done = script(
        """
        import mlotel
        for _ in range(3):
            with mlotel.component("a"):
                pass
        print("done")
        """,
        MLOTEL_STORE="/proc/nowhere",
    )
    assert done.stdout == "done\n"
    warning, summary = done.stderr.splitlines()
    assert "runs are not recorded" in warning
    assert summary == "mlotel: dropped in all: 3 log records, 3 spans"
    assert os.path.exists("/proc/nowhere") is False
