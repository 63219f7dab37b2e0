"""The table of the API's operations: addresses are made of it, and so is its documentation."""

from __future__ import annotations

from mlotel.ui.routes_judging import JUDGING, SAYING
from mlotel.ui.routes_reading import READING

__all__ = ["OPERATIONS"]

OPERATIONS = (*READING, *JUDGING, *SAYING)
"""Every operation but the one that answers with their documentation."""
