"""The command line: `mlotel runs`, `show`, `history`, `lineage`, `exec`, `version`."""

from __future__ import annotations

from mlotel.cli.app import app, main

__all__ = ["app", "main"]
