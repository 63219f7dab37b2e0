"""Where a process listens, as the kernel tells."""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["listening_addresses"]

_LISTENING = "0A"
_TABLES = ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6"))


def listening_addresses(pid: int) -> set[str]:
    """Return the addresses on which a process listens for TCP connections."""
    held = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.add(os.readlink(fd))
        except FileNotFoundError:  # closed meanwhile
            continue
    addresses = set()
    for family, table in _TABLES:
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and f"socket:[{fields[9]}]" in held:
                packed = bytes.fromhex(fields[1].partition(":")[0])
                words = [packed[at : at + 4][::-1] for at in range(0, len(packed), 4)]
                addresses.add(socket.inet_ntop(family, b"".join(words)))
    return addresses
