"""Moved: mlotel.documents is what both faces, the command line and the web view, print."""

from __future__ import annotations

from mlotel.documents import lineage_document, predictions, run_document

__all__ = ["lineage_document", "predictions", "run_document"]
