"""The version of mlotel."""

__version__ = "0.1.0"
