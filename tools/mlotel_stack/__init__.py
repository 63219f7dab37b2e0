"""The real stack on loopback: collector, Jaeger, Prometheus and Alertmanager, got, started and stopped.

Standard library only, so that `python tools/stack.py` runs before anything is installed. Tests use `Stack`.
"""

from mlotel_stack.errors import StackError
from mlotel_stack.plan import Settings
from mlotel_stack.programs import Programs, cache_dir
from mlotel_stack.stack import Stack

__all__ = ["Programs", "Settings", "Stack", "StackError", "cache_dir"]
