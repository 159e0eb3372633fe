"""Sandboxes for the tests, and the question whether anything is left of them on the host."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from srl_env.errors import SandboxUnavailable
from srl_env.sandbox import LocalSandbox, Sandbox, open_sandbox


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Sandbox]:
    """The namespaces backend, tried out; skips where the kernel does not allow it."""
    try:
        sandbox = open_sandbox("namespaces")
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="module")
def local() -> Iterator[Sandbox]:
    """The backend without isolation, on which attacks succeed."""
    sandbox = LocalSandbox()
    yield sandbox
    sandbox.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project to start sessions on."""
    folder = tmp_path / "tree"
    (folder / "pkg").mkdir(parents=True)
    (folder / "pkg" / "mod.py").write_text("value = 1\n")
    (folder / "README").write_text("read me\n")
    return folder


class Marked:
    """Processes that carry a mark in their environment, which their children inherit."""

    def __init__(self) -> None:
        self.env = {"SRL_TEST_MARK": uuid.uuid4().hex}

    def alive(self) -> list[int]:
        """Which processes of the host carry the mark."""
        mark = f"SRL_TEST_MARK={self.env['SRL_TEST_MARK']}".encode()
        found = []
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                environment = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if mark in environment.split(b"\0"):
                found.append(int(name))
        return found

    def wait_for_none(self, seconds: float = 2.0) -> list[int]:
        """Those still alive after at most that long."""
        until = time.monotonic() + seconds
        while (left := self.alive()) and time.monotonic() < until:
            time.sleep(0.02)
        return left


@pytest.fixture
def marked() -> Marked:
    return Marked()
