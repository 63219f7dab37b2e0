"""mlotel.testing where there is no pytest."""

from __future__ import annotations

import subprocess
import sys

HIDE = """
import sys
sys.modules["pytest"] = None
try:
    import mlotel.testing
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_the_missing_extra_is_named() -> None:
    """Without pytest the error ends in the command that installs it."""
    done = subprocess.run([sys.executable, "-c", HIDE], capture_output=True, text=True, check=True)
    assert done.stdout == "MissingExtraError pytest is not installed: pip install 'mlotel[pytest]'\n"
