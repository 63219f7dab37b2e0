"""The logger of mlotel. A handler that raises, as some test suites and services install, must not stop a pipeline."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

__all__ = ["logger"]


class _Careful(logging.LoggerAdapter[logging.Logger]):
    """A logger that swallows what its handlers and filters raise."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the record names who called, not this frame
        with contextlib.suppress(Exception):
            super().log(level, msg, *args, **kwargs)


logger = _Careful(logging.getLogger("mlotel"))
