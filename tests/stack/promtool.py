"""Rule files in the real promtool: what recorded series are, and which alerts fire."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MINUTES, STEP, EVERY = 120, 5, 10
"""How long series go on, and how many minutes lie between their samples and between evaluations of the rules."""


@dataclass
class Case:
    """One test of promtool: series that go up by so much a minute or stay, and what is expected of them."""

    series: dict[str, str] = field(default_factory=dict)
    at: str = "90m"
    close: list[dict[str, Any]] = field(default_factory=list)

    def counter(self, metric: str, labels: Mapping[str, str], a_minute: float, *, since: int = 0) -> None:
        """A counter that begins at 0 and goes up from some minute on."""
        flat = f"0x{since // STEP} " if since else ""
        self.series[selector(metric, labels)] = f"{flat}0+{float(a_minute) * STEP!r}x{(MINUTES - since) // STEP}"

    def gauge(self, metric: str, labels: Mapping[str, str], value: float) -> None:
        """A value that stays."""
        self.series[selector(metric, labels)] = f"{float(value)!r}x{MINUTES // STEP}"

    def near(self, expression: str, expected: float, relative: float = 1e-9) -> None:
        """Expect of an expression that its one value is this one."""
        expected = float(expected)
        assert math.isfinite(expected)
        within = max(abs(expected), 0.01) * relative
        self.equal(f"count(abs({expression} - {expected!r}) <= {within!r})", 1)

    def equal(self, expression: str, expected: float | None) -> None:
        """Expect of an expression without labels exactly this value, None for no series at all."""
        samples = [] if expected is None else [{"value": expected}]
        self.close.append({"expr": expression, "eval_time": self.at, "exp_samples": samples})

    def firing(self, expected: Iterable[Mapping[str, str]], *, at: str | None = None) -> None:
        """Expect that these alerts, and no others, fire; by their labels, the name among them."""
        samples = [
            {"labels": selector("ALERTS", {**labels, "alertstate": "firing"}), "value": 1} for labels in expected
        ]
        query = 'ALERTS{alertstate="firing"}'
        self.close.append({"expr": query, "eval_time": at or self.at, "exp_samples": samples})

    def document(self) -> dict[str, Any]:
        return {
            "interval": f"{STEP}m",
            "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
            "promql_expr_test": self.close,
        }


def selector(metric: str, labels: Mapping[str, str]) -> str:
    quoted = (f'{key}="{value}"' for key, value in labels.items())
    return f"{metric}{{{', '.join(quoted)}}}"


def check(promtool: Path, folder: Path, rules: str, cases: Sequence[Case]) -> None:
    """Run promtool on a rule file; fail with what it says."""
    (folder / "rules.yml").write_text(rules, encoding="utf-8")
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{EVERY}m",
        "tests": [case.document() for case in cases],
    }
    (folder / "test.yml").write_text(yaml.safe_dump(tests, width=10_000), encoding="utf-8")
    for arguments in (["check", "rules", "rules.yml"], ["test", "rules", "test.yml"]):
        answer = subprocess.run([promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
