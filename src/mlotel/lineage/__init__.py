"""Lineage: what an output was made from and what it touched, over any store, and what a typed reference stands for."""

from __future__ import annotations

from mlotel.lineage._components import (
    ComponentSummary,
    RunTag,
    component_names,
    component_tags,
    components,
    run_tags,
)
from mlotel.lineage._directions import LATEST_WRITE, as_written
from mlotel.lineage._history import History
from mlotel.lineage._producers import Producers
from mlotel.lineage._reach import Reach, reach_back, reach_forward
from mlotel.lineage._record_keys import RECORD, Record, resolve_record
from mlotel.lineage._records import Records
from mlotel.lineage._references import Root, node_id, resolve, resolve_run
from mlotel.lineage._walk import around, downstream, upstream
from mlotel.lineage._workflows import SubWorkflow, sub_workflows

__all__ = [
    "LATEST_WRITE",
    "RECORD",
    "ComponentSummary",
    "History",
    "Producers",
    "Reach",
    "Record",
    "Records",
    "Root",
    "RunTag",
    "SubWorkflow",
    "around",
    "as_written",
    "component_names",
    "component_tags",
    "components",
    "downstream",
    "node_id",
    "reach_back",
    "reach_forward",
    "resolve",
    "resolve_record",
    "resolve_run",
    "run_tags",
    "sub_workflows",
    "upstream",
]
