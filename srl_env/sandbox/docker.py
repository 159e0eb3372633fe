"""Sessions in containers of Docker or Podman, for machines without user namespaces.

Much slower (an engine takes 150 ms and more to start a container) and only as good as the
engine's own isolation, but it works where an administrator allows nothing else. The image needs
Python 3.11 or newer as ``python3``, and bash for commands given as text.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import uuid
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from srl_env.errors import BadOption, SandboxFailure, SandboxUnavailable
from srl_env.sandbox.inside.wire import Header, Wire
from srl_env.sandbox.limits import Isolation, Limits, Mount
from srl_env.sandbox.native import BASE_ENVIRONMENT
from srl_env.sandbox.session import ProcessConnection, Session

ENGINES: Final = ("docker", "podman")
_INSIDE: Final = Path(__file__).resolve().parent / "inside"
_MAIN: Final = (
    "import sys; sys.path.insert(0, '/keeper'); from inside import container; container.main()"
)
_USER: Final = "1000:1000"


class DockerSandbox:
    """Sessions in containers; see ``srl_env.sandbox``.

    image: what they run in. engine: "docker" or "podman", or a path; default: the first found.
    Raises SandboxUnavailable where there is no engine.
    """

    name = "docker"
    isolation: Isolation = "full"

    def __init__(self, image: str, *, engine: str | None = None) -> None:
        self.image = image
        self.engine = _find_engine(engine)
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()

    def start(
        self,
        tree: Path | None,
        *,
        limits: Limits = Limits(),  # noqa: B008  frozen
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
    ) -> Session:
        shown = [_mount(_INSIDE, "/keeper/inside")]
        if tree:
            shown.append(_mount(tree, "/pristine"))
        shown += [_mount(mount.source, mount.target or str(mount.source)) for mount in mounts]
        spec = {"limits": asdict(limits), "environment": {**BASE_ENVIRONMENT, **(env or {})}}

        def connect() -> ProcessConnection:
            name = f"srl-sandbox-{uuid.uuid4().hex}"
            command = container_command(self.engine, self.image, name, limits, shown, tree is None)
            return _start(self.engine, command, name, spec)

        session = Session(connect, workspace="/workspace", limits=limits)
        self._sessions.add(session)
        return session

    def close(self) -> None:
        for session in list(self._sessions):
            session.close()


def container_command(
    engine: str, image: str, name: str, limits: Limits, shown: Sequence[str], empty: bool
) -> list[str]:
    """The engine's command line for one session.

    shown: values for --mount; empty: there is no tree, so an empty folder stands for it.
    """
    memory = str(limits.memory_bytes + limits.workspace_bytes + 2 * limits.scratch_bytes)

    def sized(path: str, size: int) -> list[str]:
        return ["--tmpfs", f"{path}:rw,nosuid,nodev,size={size},nr_inodes={limits.files},mode=1777"]

    return [
        engine, "run", "--rm", "--interactive", "--name", name, "--hostname", "sandbox",
        "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--pids-limit", str(limits.processes + 1), "--read-only", "--user", _USER,
        "--memory", memory, "--memory-swap", memory,
        *sized("/tmp", limits.scratch_bytes), *sized("/dev/shm", limits.scratch_bytes),
        *sized("/workspace", limits.workspace_bytes),
        *(sized("/pristine", 4096) if empty else []),
        *(part for mount in shown for part in ("--mount", mount)),
        "--entrypoint", "python3", image, "-I", "-S", "-c", _MAIN,
    ]  # fmt: skip


def _start(engine: str, command: list[str], name: str, spec: Header) -> ProcessConnection:
    def remove() -> None:
        subprocess.run(
            [engine, "rm", "--force", name], capture_output=True, timeout=60, check=False
        )

    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdin
        with contextlib.suppress(OSError):  # then it has ended, and its answer is missing
            Wire(-1, process.stdin.fileno()).send(spec)
        try:
            return ProcessConnection(process, remove)
        except SandboxFailure as error:
            said.seek(0)
            reason = said.read(4096).decode(errors="replace").strip() or str(error)
            raise SandboxFailure(f"{engine}: {reason}") from error


def _find_engine(engine: str | None) -> str:
    for candidate in [engine] if engine else ENGINES:
        if path := shutil.which(candidate):
            return path
    raise SandboxUnavailable(
        f"no {engine or 'docker or podman'} on the PATH; install one, or use the namespaces backend"
    )


def _mount(source: Path, target: str) -> str:
    path = source.resolve()
    if not path.exists() or "," in str(path):
        raise BadOption(f"start: the path must exist and hold no comma; got {source}")
    return f"type=bind,source={path},target={target},readonly"
