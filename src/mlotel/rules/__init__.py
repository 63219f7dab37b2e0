"""Recording and alert rules for Prometheus, generated from references; docs/alerts.md tells what each alert means."""

from __future__ import annotations

from mlotel.rules._generating import generate
from mlotel.rules._values import AlertRule, Group, Options, RecordingRule
from mlotel.rules._yaml import to_yaml

__all__ = ["AlertRule", "Group", "Options", "RecordingRule", "generate", "to_yaml"]
