"""How a test gets a file system of its own, as root or as anybody: a mount namespace."""

from __future__ import annotations

import os
import subprocess
from functools import cache

import pytest

__all__ = ["in_own_mounts"]


@cache
def _unshare() -> tuple[str, ...] | None:
    """The command that starts a program which may mount; None where the system permits none."""
    ways = (("unshare", "--mount"),) if os.getuid() == 0 else ()
    for way in (*ways, ("unshare", "--user", "--map-root-user", "--mount")):
        try:
            probe = [*way, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
            if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
                return way
        except FileNotFoundError:
            return None
    return None


def in_own_mounts(command: list[str]) -> list[str]:
    """``command``, started so that it may mount; the mounts end with it. Skips where that is refused."""
    way = _unshare()
    if way is None:
        pytest.skip("needs to mount a small file system: neither root nor user namespaces are permitted here")
    return [*way, *command]
