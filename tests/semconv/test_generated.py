"""The generated constants and tables are what `semconv/*.yaml` says, and reused names are OpenTelemetry's own."""

import importlib
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import opentelemetry.semconv._incubating.attributes as incubating_attributes
import opentelemetry.semconv.attributes as stable_attributes
import pytest
import yaml

from mlotel.semconv import PREFIX, attributes, events, metrics

ROOT = Path(__file__).resolve().parents[2]
GENERATED = (
    "src/mlotel/semconv/__init__.py",
    "src/mlotel/semconv/attributes.py",
    "src/mlotel/semconv/events.py",
    "src/mlotel/semconv/metrics.py",
    "docs/semantic-conventions.md",
)


def generate(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools/semconv.py"), "--root", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that holds the YAML files and nothing generated."""
    shutil.copytree(ROOT / "semconv", tmp_path / "semconv")
    return tmp_path


def groups() -> list[dict]:
    """Every group of the YAML files, read without the generator."""
    files = sorted((ROOT / "semconv").glob("*.yaml"))
    return [group for file in files for group in yaml.safe_load(file.read_text("utf-8")).get("groups", ())]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_regenerating_gives_the_committed_files(project: Path) -> None:
    """Each generated file is byte for byte what the generator writes into an empty project."""
    done = generate(project)
    assert done.returncode == 0, done.stderr
    made = {name: (project / name).read_text("utf-8") for name in GENERATED}
    assert made == {name: (ROOT / name).read_text("utf-8") for name in GENERATED}


def test_check_passes_on_what_was_just_generated(project: Path) -> None:
    """After generating, `--check` finds nothing to change."""
    generate(project)
    assert generate(project, "--check").returncode == 0


def test_check_names_the_files_that_a_changed_definition_makes_stale(project: Path) -> None:
    """`--check` fails, names every stale file and writes none."""
    generate(project)
    before = (project / "src/mlotel/semconv/events.py").read_text("utf-8")
    replace(project / "semconv/events.yaml", "brief: A run has ended.", "brief: A run is over.")
    done = generate(project, "--check")
    assert done.returncode == 1
    assert "src/mlotel/semconv/events.py, docs/semantic-conventions.md" in done.stderr
    assert (project / "src/mlotel/semconv/events.py").read_text("utf-8") == before


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("spans.yaml", "ref: mlotel.run.state", "ref: mlotel.run.stat", "unknown attribute mlotel.run.stat"),
        ("spans.yaml", "extends: attributes.mlotel.run.start", "extends: nothing", "unknown group nothing"),
        ("registry.yaml", "id: mlotel.run.attempt", "id: mlotel.run.id", "mlotel.run.id is defined twice"),
        ("registry.yaml", "id: mlotel.run.attempt", "id: other.attempt", "begin with mlotel.: other.attempt"),
        ("metrics.yaml", "instrument: gauge", "instrument: meter", "no such instrument: meter"),
    ],
)
def test_contradictions_are_refused(project: Path, file: str, old: str, new: str, complaint: str) -> None:
    """A definition that cannot be meant stops the generator with a message that says where."""
    replace(project / "semconv" / file, old, new)
    done = generate(project)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_every_attribute_has_its_constant() -> None:
    """Constants are the names in upper case, dots as underscores, and there are no others."""
    names = {entry["id"] for group in groups() for entry in group.get("attributes", ()) if "id" in entry}
    constants = {name: getattr(attributes, name) for name in attributes.__all__}
    assert constants == {name.upper().replace(".", "_"): name for name in names}


def test_every_event_and_metric_has_its_constant() -> None:
    """Each event is a name; each metric a name, a unit, a description and an instrument."""
    named = {group["name"] for group in groups() if group["type"] == "event"}
    assert {getattr(events, name) for name in events.__all__} == named
    measured = {
        (group["metric_name"], group["unit"], group["brief"], group["instrument"])
        for group in groups()
        if group["type"] == "metric"
    }
    assert {getattr(metrics, name)[:4] for name in metrics.__all__ if name != "Metric"} == measured


def test_reused_names_are_those_that_opentelemetry_publishes() -> None:
    """A name without mlotel's prefix stands, letter for letter, in OpenTelemetry's own package."""
    published = {
        value
        for package in (stable_attributes, incubating_attributes)
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + ".")
        for name, value in vars(importlib.import_module(module.name)).items()
        if name.isupper() and isinstance(value, str)
    }
    reused = {getattr(attributes, name) for name in attributes.__all__}
    reused = {name for name in reused if not name.startswith(PREFIX)}
    assert reused
    assert reused <= published


def test_no_metric_has_a_label_with_unbounded_values() -> None:
    """Run ids, digests, URIs and hashes of keys are never metric labels, but for a digest with one value a version."""
    by_id = {group["id"]: group for group in groups()}
    unbounded = ("id", "digest", "uri", "hash", "revision")
    one_a_version = {"metric.mlotel.model.reference.rows": "mlotel.drift.reference.digest"}
    for group in by_id.values():
        if group["type"] == "metric":
            entries = [*group.get("attributes", ()), *by_id.get(group.get("extends"), {}).get("attributes", ())]
            labels = [entry["ref"] for entry in entries if entry["ref"] != one_a_version.get(group["id"])]
            assert labels
            assert [label for label in labels if label.rsplit(".", 1)[-1] in unbounded] == []
