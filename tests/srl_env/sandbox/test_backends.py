"""Choosing a backend: the first that works, and none rather than one that isolates nothing."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

import srl_env
from srl_env.errors import SandboxUnavailable, UnknownName
from srl_env.sandbox import Limits, Mount, Sandbox, open_sandbox


def test_an_unknown_backend_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no sandbox backend 'namespace'. Did you mean"):
        open_sandbox("namespace")


def test_namespaces_come_first(namespaces: Sandbox) -> None:
    sandbox = open_sandbox(allow_weak=True, image="python:3.12-slim")
    assert (sandbox.name, sandbox.isolation) == ("namespaces", "full")
    sandbox.close()


def test_local_is_used_only_when_it_is_named() -> None:
    sandbox = open_sandbox("local")
    assert (sandbox.name, sandbox.isolation) == ("local", "none")
    sandbox.close()


def test_docker_without_an_image_says_what_is_missing() -> None:
    with pytest.raises(SandboxUnavailable, match="an image is needed"):
        open_sandbox("docker")


REFUSED = """
from srl_env.errors import SandboxUnavailable
from srl_env.sandbox import open_sandbox
try:
    print("opened", open_sandbox(image="python:3.12-slim").name)
except SandboxUnavailable as error:
    print(error)
"""


def test_where_namespaces_are_refused_nothing_runs_and_the_error_says_why(
    namespaces: Sandbox,
) -> None:
    """Inside a sandbox no further namespaces can be made, which is what a bare machine is like."""
    package, site = Path(srl_env.__file__).parent, Path(sysconfig.get_path("purelib"))
    mounts = [Mount(package, "/packages/srl_env"), Mount(site, "/site")]
    env = {"PYTHONPATH": "/packages:/site", "OMP_NUM_THREADS": "1"}
    limits = Limits(address_space_bytes=4 << 30)
    with namespaces.start(None, limits=limits, mounts=mounts, env=env) as session:
        said = session.run(["python3", "-c", REFUSED]).text()
    assert "opened" not in said
    assert "no sandbox works here:\n- namespaces: the session could not be set up" in said
    assert "Operation not permitted" in said
    assert "user namespaces are off: sudo sysctl user.max_user_namespaces=15000" in said
    assert "- docker: no docker or podman on the PATH" in said
    assert "- landlock: not tried; weak isolation has to be allowed (allow_weak=True)" in said
