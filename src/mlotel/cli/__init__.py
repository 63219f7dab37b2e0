"""The command line: `mlotel runs`, `show`, `history`, `lineage`, `exec`, `version`."""

from __future__ import annotations

from mlotel.cli.app import build_app, main

__all__ = ["build_app", "main"]
