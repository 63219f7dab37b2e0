"""Lineage: what an output was made from and what it touched, over any store, and what a typed reference stands for."""

from __future__ import annotations

from mlotel.lineage._directions import LATEST_WRITE
from mlotel.lineage._references import Root, node_id, resolve, resolve_run
from mlotel.lineage._walk import around, downstream, upstream

__all__ = ["LATEST_WRITE", "Root", "around", "downstream", "node_id", "resolve", "resolve_run", "upstream"]
