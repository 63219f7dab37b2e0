"""Names: any text of 1 to 255 characters without control characters, everywhere."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlotel
from mlotel.cli.app import app
from mlotel.errors import ConfigurationError, InvalidNameError
from mlotel.testing import capture

GOOD = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255)
BAD = st.one_of(
    st.just(""),
    st.text(min_size=256, max_size=300),
    st.builds(
        lambda before, bad, after: before + bad + after,
        st.text(max_size=20),
        st.characters(categories=["Cc", "Cs"]),
        st.text(max_size=20),
    ),
)


@settings(max_examples=60, deadline=None)
@given(component=GOOD, pipeline=GOOD, artifact=GOOD)
def test_every_valid_name_comes_back_as_it_was(component: str, pipeline: str, artifact: str) -> None:
    """What names a component, pipeline or artifact is what is read back."""
    with capture() as captured, mlotel.component(component, pipeline=pipeline) as run:
        run.log_output(b"content", artifact)
    (read,) = captured.runs
    assert (read.component, read.pipeline, read.outputs[0].name) == (component, pipeline, artifact)
    assert [r.run_id for r in captured.store.runs(component=component)] == [read.run_id]
    assert [a.name for a in captured.store.find_artifacts(name=artifact)] == [artifact]


@settings(max_examples=100, deadline=None)
@given(name=BAD)
def test_every_other_text_is_refused(name: str) -> None:
    """InvalidNameError says what is wrong and where."""
    assert not 1 <= len(name) <= 255 or any(unicodedata.category(c) in ("Cc", "Cs") for c in name)
    for make in (
        lambda: mlotel.component(name),
        lambda: mlotel.component("a", pipeline=name),
        lambda: mlotel.component("a", inputs={"x": name}),
        lambda: mlotel.component("a", outputs=[name]),
    ):
        with pytest.raises(InvalidNameError, match=r"1 to 255|control character"):
            make()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=BAD)
def test_a_hooks_name_is_mended(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Hooks make names while a pipeline runs: there a bad one is mended, and the run is recorded."""
    with capture() as captured:
        mlotel.start_component(name).end()
    (run,) = captured.runs
    assert 1 <= len(run.component) <= 255
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in run.component)


@pytest.mark.parametrize("name", [None, 3, b"train", ["train"], Path("train"), str])
def test_a_name_that_is_no_text_is_refused_with_the_fix(name: Any) -> None:
    """ConfigurationError names the type and shows a name."""
    with pytest.raises(ConfigurationError, match=r"must be text, not \w+: give a name such as 'train'"):
        mlotel.component(name)


ODD_NAMES = [
    "a/b",
    "../..",
    "a b",
    "ünï",
    "日本",
    "🙂" * 255,
    "-x",
    "%s{}",
    '"quoted"',
    "\u202eabc",
    "a\u2028b",
    "[red]x[/]",
    "x" * 255,
]


def test_odd_names_pass_through_store_and_command_line(script: Any, tmp_path: Path) -> None:
    """`mlotel runs --format json` gives names back as they were given, whatever they look like."""
    names = tmp_path / "names.json"
    names.write_text(json.dumps(ODD_NAMES), encoding="utf-8")
    script(
        """
        import json, pathlib, mlotel
        for name in json.loads(pathlib.Path("names.json").read_text(encoding="utf-8")):
            with mlotel.component(name, pipeline=name) as run:
                run.log_output(name.encode(), name)
        """
    )
    environment = {"MLOTEL_STORE": str(tmp_path / "store")}
    result = CliRunner().invoke(app, ["runs", "--format", "json", "--limit", "100"], env=environment)
    assert result.exit_code == 0, result.output
    runs = json.loads(result.stdout)
    assert [run["component"] for run in reversed(runs)] == ODD_NAMES
    assert [run["pipeline"] for run in reversed(runs)] == ODD_NAMES
    assert [run["outputs"][0]["name"] for run in reversed(runs)] == ODD_NAMES
    assert CliRunner().invoke(app, ["runs", "--limit", "100"], env=environment).exit_code == 0
