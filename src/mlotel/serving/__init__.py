"""What a model is asked and what it answers, counted where it is served; docs/serving.md tells how to use it."""

from __future__ import annotations

from mlotel.serving._export import bind
from mlotel.serving._monitor import Monitor
from mlotel.serving._sheet import exported

__all__ = ["Monitor", "bind", "exported"]
