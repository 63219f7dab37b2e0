"""The web view: runs, their lineage and their history in a browser on this machine, and the JSON API behind it."""

from __future__ import annotations

from mlotel.ui.app import create_app
from mlotel.ui.reading import Reading
from mlotel.ui.server import Running, open_browser, serve
from mlotel.ui.session import Session

__all__ = ["Reading", "Running", "Session", "create_app", "open_browser", "serve"]
