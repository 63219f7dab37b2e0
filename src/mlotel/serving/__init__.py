"""What a model is asked and what it answers, counted where it is served; docs/serving.md tells how to use it."""

from __future__ import annotations

from mlotel.serving._export import bind
from mlotel.serving._monitor import Monitor

__all__ = ["Monitor", "bind"]
