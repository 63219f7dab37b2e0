"""Who can reach the stack."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "reliability"))

from listening import listening_addresses

from mlotel_stack import Stack

pytestmark = pytest.mark.stack


def test_every_service_listens_on_loopback_alone(stack: Stack) -> None:
    """As the kernel tells of the sockets of each of its processes."""
    found = {name: listening_addresses(pid) for name, pid in stack.pids().items()}
    assert found.keys() >= {"collector", "jaeger", "prometheus", "alertmanager"}
    assert all(addresses for addresses in found.values())
    beyond = {
        name: [each for each in addresses if not ip_address(each).is_loopback] for name, addresses in found.items()
    }
    assert beyond == {name: [] for name in found}
