from mlotel import annotations as annotations
from mlotel import drift as drift
from mlotel import io as io
from mlotel import scrape as scrape
from mlotel import serving as serving
from mlotel._component import component as component
from mlotel._component import extract as extract
from mlotel._component import inject as inject
from mlotel._component import start_component as start_component
from mlotel._current import current_run as current_run
from mlotel._run import ActiveRun as ActiveRun
from mlotel._version import __version__ as __version__
from mlotel.drift import Reference as Reference
from mlotel.errors import RetractedError as RetractedError
from mlotel.hashing import register as register_fingerprint
from mlotel.model import ArtifactContext as ArtifactContext
from mlotel.profiling import profile as profile
from mlotel.sdk import configure as configure
from mlotel.sdk import flush as flush
from mlotel.sdk import shutdown as shutdown

__all__ = [
    "ActiveRun",
    "ArtifactContext",
    "Reference",
    "RetractedError",
    "__version__",
    "annotations",
    "component",
    "configure",
    "current_run",
    "drift",
    "extract",
    "flush",
    "inject",
    "io",
    "profile",
    "register_fingerprint",
    "scrape",
    "serving",
    "shutdown",
    "start_component",
]
