"""What a session is given: limits, mounts of host files, modules in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from srl_env.errors import BadOption
from srl_env.seconds import check_seconds

Isolation = Literal["full", "weak", "none"]
SITE_PACKAGES: Final = "site-packages"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session's commands may use, all together unless said otherwise.

    timeout_s: wall time of a command that names none.
    memory_bytes: memory of all processes (shared pages counted once), checked every 30 ms; with
    a memory cgroup, the kernel bounds its sum with the sizes of all writable folders.
    address_space_bytes: per process, shared libraries and reservations included.
    processes: processes and threads. open_files: per process. sockets: unix sockets.
    file_bytes: size of any one file. files: inodes, for each of workspace, /tmp and /dev/shm.
    workspace_bytes: all that is changed in the workspace. scratch_bytes: /tmp, and /dev/shm.
    These three lie in memory, on top of memory_bytes, until the session ends.
    output_keep_bytes: output handed back (its first and last half); output_kill_bytes: output
    after which the command is killed.
    """

    timeout_s: float = 30.0
    memory_bytes: int = 1 << 30
    address_space_bytes: int = 2 << 30
    processes: int = 128
    open_files: int = 256
    sockets: int = 512
    file_bytes: int = 64 << 20
    files: int = 50_000
    workspace_bytes: int = 256 << 20
    scratch_bytes: int = 64 << 20
    output_keep_bytes: int = 1 << 20
    output_kill_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        check_seconds("Limits: timeout_s", self.timeout_s)
        for name in self.__slots__:
            value = getattr(self, name)
            if not value > 0:
                raise BadOption(f"Limits: {name} must be a positive number; got {value!r}")


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the host that a session may read, at `target` (default: its own path)."""

    source: Path
    target: str | None = None

    @property
    def import_folder(self) -> str:
        """The folder that Python imports it from: the one above, or itself as "site-packages"."""
        path = Path(self.target or self.source.absolute())
        return str(path if path.name == SITE_PACKAGES else path.parent)


@dataclass(frozen=True, slots=True)
class Preload:
    """Python modules that sessions have in memory from their start, for `Session.call`.

    folders: where they are imported from; modules: their names. The launcher loads them once,
    before any session, so they must hold nothing secret.
    """

    folders: tuple[Path, ...]
    modules: tuple[str, ...]
