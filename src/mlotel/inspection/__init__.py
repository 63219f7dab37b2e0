"""What one run was, what differs between two, and whether what a run read was still fresh."""

from __future__ import annotations

from mlotel.inspection._staleness import staleness, staleness_of_all

__all__ = ["staleness", "staleness_of_all"]
