"""One process at a time writes a folder: a lock that the system releases when its holder dies.

It is a system lock (``flock``) on the file ``.lock`` in the folder, so a kill leaves no stale lock.
The file's text only names the holder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TextIO

from srl_env.errors import BadOption

LOCK = ".lock"
_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}

_held: set[Path] = set()
_files: set[TextIO] = set()
_guard = Lock()


@contextmanager
def held(folder: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Makes the folder if necessary, and holds it for this process until the end of the block.

    wait_s: how long to wait for another process. Raises BadOption with the holder's name if another
    process, or another thread of this one, writes there. On a file system without locks, other
    processes are not noticed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder.resolve()
    with _guard:
        if place in _held:
            raise _in_use(folder, f"this very process ({_name()})")
        _held.add(place)
    try:
        with _locked(folder, wait_s):
            yield
    finally:
        with _guard:
            _held.discard(place)


@contextmanager
def _locked(folder: Path, wait_s: float) -> Iterator[None]:
    # Not a record lock: that ends as soon as this process closes the file after reading it.
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + wait_s
        while not _taken(file):
            if time.monotonic() >= deadline:
                file.seek(0)
                raise _in_use(folder, file.read().strip() or "another process")
            time.sleep(0.1)
        file.truncate(0)
        file.write(f"{_name()}\n")
        file.flush()
        _files.add(file)
        try:
            yield
        finally:
            _files.discard(file)
            if not file.closed:  # closed in a forked process
                file.truncate(0)


def _let_go() -> None:
    """In a forked process: the lock belongs to its parent and ends with it."""
    for file in _files:
        file.close()
    _files.clear()


os.register_at_fork(after_in_child=_let_go)


def _taken(file: TextIO) -> bool:
    """Whether this process now has the lock, or the file system has none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS_HERE
    return True


def _name() -> str:
    """This process, for people."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return f"process {os.getpid()} on {socket.gethostname()}: {command:.200}"


def _in_use(folder: Path, holder: str) -> BadOption:
    return BadOption(
        f"{folder} must be written by one process at a time; got a second one beside {holder}."
        " Fix: wait until it ends, or choose another folder"
    )
