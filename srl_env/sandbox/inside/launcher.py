"""The launcher: a small clean process that starts sessions for one controller.

Forking a trainer of several gigabytes costs tens of milliseconds and hands its memory to the
child; forking this process costs one. It knows only what a request says: a session's description,
and a socket whose other end the controller holds. It ends when the controller does, and with it
every session. Each module imported here makes each session and each command slower to fork.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
from typing import Any, Final, NoReturn

from . import kernel, landlock, namespaces
from .cgroup import Cgroups, find_cgroups
from .keeper import Keeper, filter_calls, give_up_rights
from .memory import Memory, Watched
from .namespaces import SCRATCH
from .seccomp import seccomp_program
from .wire import Wire
from .workspace import Workspace, copy_tree, remove_tree

MAX_REQUEST: Final = 1 << 17
FIRST_FREE_USER: Final = 1_800_000_000  # far above any account


def main(control: int) -> None:
    """Serves start requests over a SEQPACKET socket until it closes."""
    connection = socket.socket(fileno=control)
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    launcher = Launcher()
    gc.freeze()
    launcher.poll.register(connection, select.POLLIN)
    launcher.poll.register(reading, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in launcher.poll.poll()}
        if reading in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(reading, 4096)
            launcher.reap()
        if connection.fileno() in ready:
            data, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST, 1)
            if not data:
                launcher.end()
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)  # what is received is inheritable
            launcher.start(json.loads(data), socket.socket(fileno=descriptors[0]))
        launcher.remove_cgroups(ready)


class Launcher:
    """The sessions' common part: who they run as, and what to remove after them.

    poll: also reports the end of a session that has a cgroup.
    """

    def __init__(self) -> None:
        self.who = _identity()
        namespaces.system_mounts()  # read once here, inherited by every session
        self.owners: namespaces.Owners = {}
        self.folders: dict[int, str] = {}
        self.cgroups: Cgroups | None = None
        self.cgroup_of: dict[int, str] = {}  # by a pipe that closes at the session's end
        self._tried_cgroups = False
        self.poll = select.poll()

    def start(self, spec: dict[str, Any], connection: socket.socket) -> None:
        """Starts one session, in a fork; errors are reported over its own connection."""
        folder = ""
        try:
            if spec["kind"] == "namespaces":
                self._know_owners(spec)
            else:
                folder = f"/tmp/srl-sandbox-{os.urandom(8).hex()}"
                os.mkdir(folder, 0o700)
            memory, held = self._memory(spec)
            child = os.fork()
        except OSError as error:
            _report_failure(connection, error)
            return
        if child == 0:
            self._become_session(spec, connection, folder, memory, held)
        for descriptor in held:
            os.close(descriptor)
        if folder:
            self.folders[child] = folder
        connection.close()

    def _memory(self, spec: dict[str, Any]) -> tuple[Memory, set[int]]:
        """What bounds a session's memory, and the descriptors that are the session's alone."""
        inside = spec["kind"] == "namespaces"
        if spec["cgroup"] and not self._tried_cgroups:
            self._tried_cgroups, self.cgroups = True, find_cgroups(self.who)
        use = spec["cgroup"] and self.cgroups
        with contextlib.suppress(OSError):  # made once here, inherited by every session
            seccomp_program(kernel.MACHINE, strict=not use)
        if not use:
            return Watched(), set()
        folder, cgroup = use.make(spec["limits"], SCRATCH if inside else ())
        reading, writing = os.pipe()
        self.cgroup_of[reading] = folder
        self.poll.register(reading, select.POLLIN)
        return cgroup, {writing, *cgroup.descriptors}

    def remove_cgroups(self, ready: set[int]) -> None:
        """Removes the cgroups of sessions that have ended, as far as they are empty."""
        if not self.cgroups:
            return
        for descriptor in ready & self.cgroup_of.keys():
            self.poll.unregister(descriptor)
            os.close(descriptor)
            self.cgroups.ended.append(self.cgroup_of.pop(descriptor))
        self.cgroups.sweep()

    def _know_owners(self, spec: dict[str, Any]) -> None:
        """Makes the user namespaces that map the owners of the tree and of the task's mounts."""
        if not self.who.root:
            return
        mapped = [mount["source"] for mount in spec["mounts"] if mount["mapped"]]
        for path in filter(None, (spec["tree"], *mapped)):
            status = os.stat(path)
            owner = (status.st_uid, status.st_gid)
            if owner not in self.owners:
                with contextlib.suppress(OSError):  # then the tree is copied
                    self.owners[owner] = namespaces.owner_namespace(owner, self.who)

    def _become_session(
        self,
        spec: dict[str, Any],
        connection: socket.socket,
        folder: str,
        memory: Memory,
        held: set[int],
    ) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _close_all_but({connection.fileno(), *self.owners.values(), *held})
            if spec["kind"] == "namespaces":
                namespaces.run_session(spec, connection, self.who, self.owners, memory)
            else:
                _run_in_folder(spec, connection, folder, self.who, memory)
        except Exception as error:  # noqa: BLE001  report anything to the controller
            _report_failure(connection, error)
        finally:
            os._exit(0)

    def reap(self) -> None:
        """Collects ended processes and removes the folders of ended sessions."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self._clear_after(ended)

    def end(self) -> NoReturn:
        """Waits for the sessions, whose connections closed as well, and exits."""
        signal.alarm(10)
        with contextlib.suppress(ChildProcessError):
            while True:
                self._clear_after(os.waitpid(-1, 0)[0])
        if self.cgroups:
            self.cgroups.close()
        os._exit(0)

    def _clear_after(self, ended: int) -> None:
        """Removes an ended session's folder, in a process of its own: that may take minutes."""
        folder = self.folders.pop(ended, None)
        if folder and os.fork() == 0:
            try:
                remove_tree(folder)
            finally:
                os._exit(0)


def _identity() -> namespaces.Identity:
    if os.geteuid() != 0:
        return namespaces.Identity(os.getuid(), os.getgid(), root=False)
    number = FIRST_FREE_USER + os.getpid() % 100_000_000
    if not _is_mapped(number):  # in a container that knows only its first 65,536 users
        number = 65534
    return namespaces.Identity(number, number, root=True)


def _is_mapped(number: int) -> bool:
    with open("/proc/self/uid_map") as file:
        ranges = [line.split() for line in file]
    return any(int(first) <= number < int(first) + int(count) for first, _, count in ranges)


def _run_in_folder(
    spec: dict[str, Any],
    connection: socket.socket,
    folder: str,
    who: namespaces.Identity,
    memory: Memory,
) -> None:
    """A session without namespaces, in a copy of the tree: Landlock, or nothing at all."""
    confined = spec["kind"] == "landlock"
    drop = (who.uid, who.gid) if confined and who.root else None
    workspace, scratch, pristine = (f"{folder}/{name}" for name in ("workspace", "tmp", "pristine"))
    for path in (workspace, scratch, pristine):
        os.mkdir(path, 0o755)
    if drop:
        for path in (folder, workspace, scratch):
            os.chown(path, *drop)
    if spec["tree"]:
        for path, owner in ((workspace, drop), (pristine, None)):
            copy_tree(spec["tree"], path, owner)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    handle = os.pidfd_open(os.getpid())
    socket.send_fds(connection, [b"\0"], [handle])
    os.close(handle)
    spec["environment"] |= {"HOME": scratch, "TMPDIR": scratch}
    readable = [path for path, _ in namespaces.system_mounts() if path != "/dev/null"]
    readable += [mount["source"] for mount in spec["mounts"]]

    def confine() -> None:
        if confined:
            landlock.confine(readable, [workspace, scratch, "/dev/null"])
            filter_calls(memory)  # only now, for it refuses Landlock's own calls

    keeper = Keeper(
        Wire(connection.fileno(), connection.fileno()),
        Workspace.at(workspace, pristine),
        workspace,
        spec,
        memory,
        namespace=False,
        limit_processes=drop is not None,
        confine=confine,
    )
    if drop:
        namespaces.become(who)
    if confined:
        give_up_rights(memory, filtered=False)
    keeper.serve()


def _report_failure(connection: socket.socket, error: Exception) -> None:
    with contextlib.suppress(OSError):
        wire = Wire(connection.fileno(), connection.fileno())
        connection.send(b"\0")
        wire.send({"failed": f"{type(error).__name__}: {error}"})


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
