"""Grafana dashboards as data, and as the JSON that Grafana reads; docs/dashboards.md tells how to use them."""

from __future__ import annotations

from mlotel.grafana._generating import dashboards, write
from mlotel.grafana._values import Dashboard, Link, Options, Panel, Query, Row, Variable

__all__ = ["Dashboard", "Link", "Options", "Panel", "Query", "Row", "Variable", "dashboards", "write"]
