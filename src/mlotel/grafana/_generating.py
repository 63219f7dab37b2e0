"""All dashboards, and their files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mlotel.errors import MissingExtraError
from mlotel.grafana._component import component
from mlotel.grafana._drift import drift
from mlotel.grafana._lineage import lineage
from mlotel.grafana._pipelines import pipeline_health
from mlotel.grafana._values import Dashboard, Options

__all__ = ["dashboards", "write"]


def dashboards(options: Options | None = None) -> list[Dashboard]:
    """Return the dashboards, as values: pipeline health, drift, one component, lineage."""
    options = options or Options()
    return [pipeline_health(options), drift(options), component(options), lineage(options)]


def write(folder: Path, made: Sequence[Dashboard]) -> list[Path]:
    """Write each dashboard as ``UID.json`` into a folder, which is made; return the files.

    Args:
        folder: where they go; files of these names are replaced, others are left alone.
        made: the dashboards.

    Raises:
        MissingExtraError: grafana-foundation-sdk is not installed.
        OSError: the folder or a file cannot be written.
    """
    try:
        from mlotel.grafana._rendering import render
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "grafana_foundation_sdk":
            raise
        raise MissingExtraError("grafana-foundation-sdk", "dashboards") from error

    texts = {folder / f"{each.uid}.json": json.dumps(render(each), indent=2, ensure_ascii=False) for each in made}
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(f"{text}\n", encoding="utf-8")
    return list(texts)
