"""A session in user namespaces: what it sees is put together mount by mount, from nothing.

As root, the trees are opened first and then the process becomes an unprivileged user that no
account has; a tree's owner is mapped to that user for this mount alone, so that folders only
root may enter can be shown, and root's files changed in the workspace, without root anywhere.

Order matters: open mounts → drop → unshare → fork process 1 → build → pivot → give up all
capabilities → filter. Nothing a policy wrote runs before the last of these.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import stat
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from . import kernel
from .keeper import Keeper, give_up_rights
from .memory import Memory
from .wire import Wire
from .workspace import Workspace, copy_tree

USER: Final = 1000  # who commands are, as they see it
WORKSPACE: Final = "/workspace"
SCRATCH: Final = (WORKSPACE, "/tmp", "/dev/shm")
SET_UP_S: Final = 30.0
_ALL: Final = (
    kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
)  # fmt: skip
_READ_ONLY: Final = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID
# /dev/full reads as /dev/zero does, but cannot be mapped: that would be shared memory by a name
# that the filter cannot see.
_DEVICES: Final = {
    "null": "null", "zero": "full", "full": "full", "random": "random", "urandom": "urandom",
}  # fmt: skip
_TOP_LINKS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC: Final = {
    "passwd": f"sandbox:x:{USER}:{USER}::/tmp:/bin/sh\n",
    "group": f"sandbox:x:{USER}:\n",
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


@dataclass
class Identity:
    """Who sessions run as on the host.

    root: the launcher is root and drops to uid/gid; else they are its own.
    """

    uid: int
    gid: int
    root: bool


@dataclass
class Shown:
    """A mount to attach: where it goes, and its descriptor (or path, opened later).

    mapped: whether the files of the source's owner are to count as the session's own.
    """

    source: str
    target: str
    descriptor: int = -1
    mapped: bool = True


def run_session(
    spec: dict[str, Any],
    wire: socket.socket,
    who: Identity,
    owners: dict[tuple[int, int], int],
    memory: Memory,
) -> None:
    """Starts a session in a child of this process and watches over its set-up; then returns.

    owners: user-namespace descriptors that map a file owner to `who` (root only).
    """
    tree = Shown(spec["tree"], WORKSPACE) if spec["tree"] else None
    shown = [Shown(*pair) for pair in system_mounts()]
    named = [
        Shown(mount["source"], mount["target"], mapped=mount["mapped"]) for mount in spec["mounts"]
    ]
    mapped = False
    if who.root:
        for item in shown:
            item.descriptor = _open_mount(item.source)
        for item in named:
            _open_for(item, owners)
        if tree:
            mapped = _open_for(tree, owners)
        become(who)
    elif tree:
        status = os.stat(tree.source)
        mapped = (status.st_uid, status.st_gid) == (who.uid, who.gid)
    kernel.unshare(_ALL)
    _map_user(who)
    ready, done = os.pipe()
    child = os.fork()
    if child:
        os.close(done)
        wire.close()
        _watch_over(child, ready)
        return
    os.close(ready)
    for descriptor in owners.values():
        os.close(descriptor)
    overlay = mapped or tree is None
    _be_process_one(spec, wire, done, shown + named, tree, memory, overlay=overlay)


@functools.cache
def system_mounts() -> list[tuple[str, str]]:
    """The parts of the host every session sees: /usr without /usr/local and /usr/src, devices."""
    paths = [f"/usr/{name}" for name in sorted(os.listdir("/usr")) if name not in ("local", "src")]
    paths += [f"/{name}" for name in _TOP_LINKS if os.path.isdir(f"/{name}")]
    paths += ["/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"]
    paths = [path for path in paths if os.path.exists(path) and not os.path.islink(path)]
    devices = [(f"/dev/{source}", f"/dev/{name}") for name, source in _DEVICES.items()]
    return [(path, path) for path in paths] + devices


def owner_namespace(owner: tuple[int, int], who: Identity) -> int:
    """A user namespace in which files of `owner` count as those of `who`; root only."""
    ready, started = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWUSER)
            os.write(started, b"1")
            signal.pause()
        finally:
            os._exit(1)
    os.close(started)
    try:
        if not os.read(ready, 1):
            raise OSError("a user namespace for the owner of the tree could not be made")
        for name, inside, outside in (("uid", owner[0], who.uid), ("gid", owner[1], who.gid)):
            with open(f"/proc/{child}/{name}_map", "w") as file:
                file.write(f"{inside} {outside} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _open_mount(path: str) -> int:
    descriptor = kernel.clone_mount(path)
    kernel.set_mount(descriptor, _READ_ONLY)
    return descriptor


def _open_for(item: Shown, owners: dict[tuple[int, int], int]) -> bool:
    """Opens a mount the task names; True where its owner could be mapped."""
    item.descriptor = _open_mount(item.source)
    if not item.mapped:
        return False
    status = os.stat(item.source)
    namespace = owners.get((status.st_uid, status.st_gid))
    if namespace is None:
        return False
    try:
        attribute = kernel.MOUNT_ATTR_IDMAP
        kernel.set_mount(item.descriptor, attribute, user_namespace=namespace, deep=False)
    except OSError:  # an old kernel, or a file system that cannot: shown as it is
        return False
    return True


def become(who: Identity) -> None:
    os.setgroups([])
    os.setresgid(who.gid, who.gid, who.gid)
    os.setresuid(who.uid, who.uid, who.uid)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or /proc/self/uid_map belongs to root


def _map_user(who: Identity) -> None:
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{USER} {who.uid} 1"),
        ("gid_map", f"{USER} {who.gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)
    with open("/proc/self/oom_score_adj", "w") as file:  # before the trainer, if it comes to that
        file.write("800")


def _watch_over(child: int, ready: int) -> None:
    """Waits for process 1 to be ready; kills it where that takes too long."""
    poll = select.poll()
    poll.register(ready, select.POLLIN)
    if not poll.poll(SET_UP_S * 1000):
        os.kill(child, signal.SIGKILL)


def _be_process_one(
    spec: dict[str, Any],
    connection: socket.socket,
    done: int,
    shown: list[Shown],
    tree: Shown | None,
    memory: Memory,
    *,
    overlay: bool,
) -> NoReturn:
    wire = Wire(connection.fileno(), connection.fileno())
    try:
        handle = os.pidfd_open(os.getpid())
        socket.send_fds(connection, [b"\0"], [handle])
        os.close(handle)
        workspace = _build(spec, shown, tree, overlay=overlay)
        give_up_rights(memory)
        keeper = Keeper(
            wire, workspace, WORKSPACE, spec["limits"], spec["environment"], memory, namespace=True
        )
        os.close(done)
        keeper.serve()
    except Exception as error:  # noqa: BLE001  the boundary: whatever it is, the controller must hear it
        with contextlib.suppress(OSError):
            wire.send({"failed": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)


def _build(
    spec: dict[str, Any], shown: list[Shown], tree: Shown | None, *, overlay: bool
) -> Workspace:
    """Puts the new root together, moves there, and hands back the workspace."""
    limits = spec["limits"]
    for item in (*shown, *([tree] if tree else [])):
        if item.descriptor < 0:
            item.descriptor = _open_mount(item.source)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    _tmpfs("/tmp", "size=4m,nr_inodes=4096,mode=755")
    os.chdir("/tmp")
    _make_folders(limits)
    _attach_all(shown, spec["covered"])
    for path in spec["hidden"]:
        if os.path.isdir(f".{path}"):
            _tmpfs(f".{path}", "size=4k,nr_inodes=1,mode=555")
    _link_and_write(spec)
    workspace = _make_workspace(limits, tree, overlay=overlay)
    kernel.mount("proc", "./proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    _set_kernel_limits()
    kernel.pivot_root()
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    kernel.set_mount(root, _READ_ONLY, deep=False)
    os.close(root)
    socket.sethostname("sandbox")
    return workspace


def _make_folders(limits: dict[str, Any]) -> None:
    for name in ("proc", "etc", "dev", "usr/local/bin", "tmp", "workspace", ".upper", ".lower"):
        os.makedirs(name)
    _tmpfs("./tmp", f"size={limits['scratch_bytes']},nr_inodes={limits['files']},mode=1777")
    os.mkdir("./dev/shm")
    _tmpfs("./dev/shm", f"size={limits['scratch_bytes']},nr_inodes={limits['files']},mode=1777")


def _attach_all(shown: list[Shown], covered: list[str]) -> None:
    """Attaches mounts; a covered folder holds only those whose own place is in it."""
    within = tuple(f"{path}/" for path in covered)
    for item in shown:
        if not item.target.startswith(within):
            _attach(item)
    places = [f".{path}" for path in covered if os.path.isdir(f".{path}")]
    for place in places:
        _tmpfs(place, "size=1m,nr_inodes=4096,mode=755")
    for item in shown:
        if item.target.startswith(within):
            _attach(item)
    for place in places:
        folder = os.open(place, os.O_PATH | os.O_CLOEXEC)
        kernel.set_mount(folder, _READ_ONLY, deep=False)
        os.close(folder)


def _attach(item: Shown) -> None:
    place = f".{item.target}"
    if stat.S_ISDIR(os.fstat(item.descriptor).st_mode):
        os.makedirs(place, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if not os.path.lexists(place):  # else it may lie in what cannot be written
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.attach_mount(item.descriptor, place)
    os.close(item.descriptor)


def _link_and_write(spec: dict[str, Any]) -> None:
    for name in _TOP_LINKS:
        if not os.path.isdir(f"./{name}") and os.path.isdir(f"./usr/{name}"):
            os.symlink(f"usr/{name}", name)
    for name, target in spec["links"].items():
        os.symlink(target, f".{name}")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"./dev/{name}")
    for name, text in _ETC.items():
        with open(f"./etc/{name}", "w") as file:
            file.write(text)


def _make_workspace(limits: dict[str, Any], tree: Shown | None, *, overlay: bool) -> Workspace:
    """The workspace over the tree: an overlay where the tree's owner is ours, else a copy."""
    size = f"size={limits['workspace_bytes']},nr_inodes={limits['files']},mode=755"
    if tree:
        kernel.attach_mount(tree.descriptor, "./.lower")
    touched = None
    if overlay:
        _tmpfs("./.upper", size)
        os.mkdir("./.upper/changed")
        os.mkdir("./.upper/work")
        layers = "lowerdir=./.lower,upperdir=./.upper/changed,workdir=./.upper/work,userxattr"
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("workspace", "./workspace", "overlay", flags, layers)
        touched = _open("./.upper/changed")
        kernel.unmount("./.upper")
    else:
        _tmpfs("./workspace", size)
        copy_tree("./.lower", "./workspace")
    workspace = Workspace(_open("./workspace"), _open("./.lower"), touched)
    if tree:
        kernel.unmount("./.lower")
    for name in (".upper", ".lower"):
        os.rmdir(name)
    return workspace


def _set_kernel_limits() -> None:
    """Bounds what only the kernel counts: nested namespaces, what is queued in unix sockets and
    for inotify (16,384 events of up to 512 bytes in each instance)."""
    for name, value in (
        ("user/max_user_namespaces", "0"),
        ("user/max_inotify_instances", "8"),
        ("user/max_inotify_watches", "16384"),
        ("net/unix/max_dgram_qlen", "1"),
        ("net/core/somaxconn", "16"),
    ):
        with contextlib.suppress(OSError), open(f"./proc/sys/{name}", "w") as file:
            file.write(value)


def _tmpfs(target: str, options: str) -> None:
    kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
