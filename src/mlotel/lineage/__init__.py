"""Lineage: what an output was made from, over any store, and what a reference typed by a person stands for."""

from __future__ import annotations

from mlotel.lineage._references import Root, node_id, resolve, resolve_run
from mlotel.lineage._walk import LATEST_WRITE, upstream

__all__ = ["LATEST_WRITE", "Root", "node_id", "resolve", "resolve_run", "upstream"]
