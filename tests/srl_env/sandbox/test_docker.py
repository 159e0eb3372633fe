"""The container backend, as far as it can be tried without an engine.

A stand-in for the engine starts the same keeper, over the same streams, as process 1 of a PID
namespace; the engine's own isolation is not there, and not tested.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from srl_env.errors import BadOption, SandboxFailure, SandboxUnavailable
from srl_env.sandbox import DockerSandbox, Limits, Mount, Sandbox
from srl_env.sandbox.docker import container_command
from srl_env.sandbox.selfcheck import promises, self_check

ENGINE = """#!{python}
import os, subprocess, sys, tempfile
if sys.argv[1] == "rm":
    sys.exit()
mounts = [sys.argv[at + 1] for at, part in enumerate(sys.argv) if part == "--mount"]
fields = [dict(part.split("=", 1) for part in mount.split(",") if "=" in part) for mount in mounts]
places = {{mount["target"]: mount["source"] for mount in fields}}
pristine = places.get("/pristine") or tempfile.mkdtemp(dir="{folder}")
workspace = tempfile.mkdtemp(dir="{folder}")
code = sys.argv[-1].replace("/keeper", os.path.dirname(places["/keeper/inside"]))
code = code.replace("main()", f"main({{workspace!r}}, {{pristine!r}})")
command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
os.execvp("unshare", [*command, sys.executable, "-I", "-S", "-c", code])
"""


@pytest.fixture
def engine(tmp_path: Path, namespaces: Sandbox) -> str:
    path = tmp_path / "engine"
    (tmp_path / "folders").mkdir()
    path.write_text(ENGINE.format(python=sys.executable, folder=tmp_path / "folders"))
    path.chmod(0o755)
    return str(path)


def test_the_container_is_closed_and_bounded() -> None:
    limits = Limits(processes=9, memory_bytes=1 << 20, workspace_bytes=4096, scratch_bytes=4096)
    command = container_command("docker", "image", "name", limits, ["type=bind"], empty=True)
    said = " ".join(command)
    for part in (
        "--network none", "--cap-drop ALL", "--security-opt no-new-privileges", "--read-only",
        "--pids-limit 10", "--user 1000:1000", "--memory 1060864 --memory-swap 1060864",
        "--tmpfs /workspace:rw,nosuid,nodev,size=4096,nr_inodes=50000,mode=1777",
        "--mount type=bind", "--entrypoint python3 image -I -S -c",
    ):  # fmt: skip
        assert part in said


def test_the_keeper_keeps_its_promises_over_an_engines_streams(engine: str) -> None:
    sandbox = DockerSandbox("image", engine=engine)
    sandbox.isolation = "none"  # the stand-in isolates nothing
    result = self_check(lambda: sandbox)
    result.require()
    assert len(result.held) == len(promises("none"))


def test_an_engine_that_fails_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "engine"
    path.write_text("#!/bin/sh\necho 'no such image: nothing' >&2\nexit 125\n")
    path.chmod(0o755)
    with pytest.raises(SandboxFailure, match="engine: no such image: nothing"):
        DockerSandbox("nothing", engine=str(path)).start(None)


def test_a_missing_engine_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxUnavailable, match="no docker or podman on the PATH; install one"):
        DockerSandbox("image")


def test_a_path_that_the_engine_would_misread_is_refused(engine: str, tmp_path: Path) -> None:
    (tmp_path / "a,readonly=false").mkdir()
    with pytest.raises(BadOption, match="hold no comma"):
        DockerSandbox("image", engine=engine).start(tmp_path / "a,readonly=false")
    with pytest.raises(BadOption, match="must exist"):
        DockerSandbox("image", engine=engine).start(None, mounts=[Mount(Path("/nowhere"))])
