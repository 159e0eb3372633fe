"""What Landlock lets a command do: read the system and the tree's interpreter, write two folders.

This isolation is weak. No PID namespace hides other processes' existence, and file metadata
outside stays visible. A plain user's own files outside can be chmod'ed or touched, which Landlock
cannot forbid. It needs version 6 (Linux 6.12), whose scopes keep signals and abstract sockets
inside.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from . import kernel

NEEDED_VERSION: Final = 6
_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_ALL_FILES: Final = 0xFFFF  # every file-system right of version 5: 16 bits, ioctl included
_ON_FILES: Final = 0xC007  # what may be said of a file: execute, write, read, truncate, ioctl
_ALL_NETWORK, _ALL_SCOPES = 3, 3


def confine(readable: list[str], writable: list[str]) -> None:
    """Restricts the calling process for good. Raises OSError where the kernel cannot."""
    if kernel.landlock_version() < NEEDED_VERSION:
        raise OSError(errno.ENOSYS, f"Landlock {NEEDED_VERSION} is needed")
    rules: list[tuple[int, int]] = []
    try:
        for path in readable:
            rules.append(_rule(path, _EXECUTE | _READ | _LIST))
        for path in writable:
            rules.append(_rule(path, _ALL_FILES))
        kernel.landlock_restrict(rules, (_ALL_FILES, _ALL_NETWORK, _ALL_SCOPES))
    finally:
        for descriptor, _ in rules:
            os.close(descriptor)


def _rule(path: str, access: int) -> tuple[int, int]:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    return descriptor, access if os.path.isdir(path) else access & _ON_FILES
