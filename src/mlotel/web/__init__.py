"""Scripts and style of the pages that mlotel makes: no server, no templates, nothing from a network."""

from __future__ import annotations

from mlotel.web.resources import DRIFT_STYLES, LICENSES, SCRIPTS, STYLES, read_text

__all__ = ["DRIFT_STYLES", "LICENSES", "SCRIPTS", "STYLES", "read_text"]
