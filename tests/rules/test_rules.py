"""Rules as values and as YAML, without Prometheus; tests/stack has them evaluated by promtool."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlotel.drift import Reference
from mlotel.errors import ConfigurationError, InvalidReferenceError
from mlotel.rules import AlertRule, Group, Options, RecordingRule, generate, to_yaml

ALERTS = Path(__file__).parents[2] / "docs" / "alerts.md"


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(2)
    table = pa.table(
        {
            "x": rng.normal(size=1_000),
            "c": rng.choice(["a", "b"], 1_000),
            "fixed": np.ones(1_000),
            "prediction": rng.random(1_000),
        }
    )
    return Reference.fit(table, model="m", version="1", bins=5)


def as_data(groups: list[Group]) -> dict[str, Any]:
    """What a rule file has to say, written down apart from how it is written."""
    rules: list[dict[str, Any]] = []
    found: dict[str, Any] = {"groups": []}
    for group in groups:
        rules = []
        for rule in group.rules:
            if isinstance(rule, RecordingRule):
                rules.append({"record": rule.record, "expr": rule.expr})
                if rule.labels:
                    rules[-1]["labels"] = dict(rule.labels)
            else:
                rules.append(
                    {
                        "alert": rule.alert, "expr": rule.expr, "for": rule.hold, "labels": dict(rule.labels),
                        "annotations": dict(rule.annotations),
                    }
                )  # fmt: skip
        found["groups"].append({"name": group.name, "rules": rules})
    return found


def test_a_rule_file_says_what_the_rules_say(reference: Reference) -> None:
    """A YAML library reads exactly the rules that were generated."""
    groups = generate([reference], Options(expect={"train": "26h"}))
    assert yaml.safe_load(to_yaml(groups, head="a\nb")) == as_data(groups)


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


@given(TEXT, TEXT, TEXT)
@settings(max_examples=60)
def test_any_text_is_written_so_that_yaml_reads_it(name: str, expr: str, value: str) -> None:
    """Quotes, colons, line ends of any kind, blanks at the ends: what is read is what was meant."""
    groups = [
        Group(name, (RecordingRule("a:b", expr + "\n" + value, {"k": value}), RecordingRule("c:d", value * 9)), value)
    ]
    assert yaml.safe_load(to_yaml(groups, head=value)) == as_data(groups)


def test_no_rule_counts_what_the_reference_lacks(reference: Reference) -> None:
    """A model without categories has no alert on unseen ones, one without predictions none on their shift."""
    numbers = replace(reference, features=reference.features[:1])
    names = {rule.alert for group in generate([numbers]) for rule in group.rules if isinstance(rule, AlertRule)}
    assert not names & {"MlotelUnseenCategories", "MlotelPredictionShift", "MlotelConstantFeatureChanged"}


def alerts(reference: Reference) -> list[AlertRule]:
    groups = generate([reference], Options(expect={"train": "26h"}, runbooks="https://wiki/alerts.md"))
    return [rule for group in groups for rule in group.rules if isinstance(rule, AlertRule)]


def test_each_alert_says_what_who_and_where(reference: Reference) -> None:
    """Severity as its only label; a summary with values, a description, and a link to its section of the docs."""
    sections = re.findall(r"^### (\w+)$", ALERTS.read_text(encoding="utf-8"), re.M)
    for alert in alerts(reference):
        assert alert.labels.keys() == {"severity"}, alert.alert
        assert alert.labels["severity"] in ("warning", "critical")
        assert "{{" in alert.annotations["summary"]
        assert alert.annotations["description"].endswith(".")
        assert alert.annotations["runbook_url"] == f"https://wiki/alerts.md#{alert.alert.lower()}"
        assert alert.alert in sections
    assert sorted(sections) == sorted({alert.alert for alert in alerts(reference)})


def test_rules_keep_to_what_prometheus_2_42_knows(reference: Reference) -> None:
    """No field of groups or rules that came later."""
    document = yaml.safe_load(to_yaml(generate([reference])))
    keys = {key for group in document["groups"] for key in group}
    fields = {key for group in document["groups"] for rule in group["rules"] for key in rule}
    assert keys == {"name", "rules"}
    assert fields == {"record", "alert", "expr", "for", "labels", "annotations"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": "soon"}, "window: 'soon' is no duration: write it as Prometheus does, 90m or 26h"),
        ({"expect": {"train": "day"}}, "train: 'day' is no duration"),
        ({"alpha": 0.0}, "alpha is a level"),
        ({"objective": 99.0}, "give a share below 1"),
        ({"request_seconds": 0.3}, "0.3 s is no bucket of requests' durations: give one of 0.0005, 0.001"),
        ({"run_seconds": 5}, "5 s is no bucket of runs' durations: give one of 0.1, 1, 10"),
    ],
)
def test_options_that_make_no_rules_are_refused(changes: dict[str, Any], said: str) -> None:
    """What is wrong is said at once, with what to write."""
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        Options(**changes)


def test_references_that_make_no_rules_are_refused(reference: Reference) -> None:
    """Without a name, twice the same version, or with too few rows for any verdict."""
    with pytest.raises(ConfigurationError, match=r"has no model: give Reference.fit a model="):
        generate([replace(reference, model=None)])
    with pytest.raises(ConfigurationError, match="two references are of 'm' '1'"):
        generate([reference, reference])
    few = Reference.fit(pa.table({"x": np.arange(300.0)}), model="m", version="1")
    with pytest.raises(InvalidReferenceError, match="300 rows and 1 features: nothing can be judged"):
        generate([few])


def test_the_command_writes_the_same(
    reference: Reference, tmp_path: Path, script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """`mlotel rules` writes a file, or to the standard output, what `generate` makes of its options."""
    reference.save(tmp_path / "reference.json")
    source = "import sys; from mlotel.cli import main; main(['rules', '-r', 'reference.json', *sys.argv[1:]])"

    said = script(source, "--window", "2h", "--expect", "train=26h", "--job", "ours")
    script(source, "--window", "2h", "--expect", "train=26h", "--job", "ours", "-o", "rules.yml")

    options = Options(window="2h", expect={"train": "26h"}, jobs=("ours",))
    assert yaml.safe_load(said.stdout) == as_data(generate([reference], options))
    assert (tmp_path / "rules.yml").read_text(encoding="utf-8") == said.stdout


def test_the_command_says_what_is_wrong(
    tmp_path: Path, script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A file that is no reference, or a slip in an option: one line, exit code 2, and no file."""
    (tmp_path / "reference.json").write_text("{}")
    source = "import sys; from mlotel.cli import main; main(['rules', '-r', 'reference.json', *sys.argv[1:]])"
    for arguments, said in (
        (["-o", "rules.yml"], "not a reference"),
        (["--expect", "train"], "write it as COMPONENT=TIME"),
    ):
        done = script(source, *arguments, check=False)
        assert (done.returncode, said in done.stderr, len(done.stderr.splitlines())) == (2, True, 1), done.stderr
    assert not (tmp_path / "rules.yml").exists()
