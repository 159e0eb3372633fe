"""A session in user namespaces: what it sees is put together mount by mount, from nothing.

A root launcher opens the trees first and then becomes an unprivileged user that no account has. A
tree's owner is mapped to that user for this mount alone. So a tree in a folder that only root may
enter can be shown, and root's files changed in the workspace, without root anywhere inside.

Order matters: open mounts → drop → unshare → fork process 1 → build → pivot → give up all
capabilities → filter. No code of a policy runs before the last of these.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import stat
from typing import Any, Final, NamedTuple, NoReturn

from . import kernel
from .keeper import Keeper, give_up_rights
from .memory import Memory
from .wire import Wire, readable
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


class Identity(NamedTuple):
    """Who sessions run as on the host.

    root: the launcher is root and drops to uid/gid; else they are its own.
    """

    uid: int
    gid: int
    root: bool


class Opened(NamedTuple):
    """A detached read-only mount, and where it goes.

    owned: whether the files of the source's owner count as the session's own.
    """

    descriptor: int
    target: str
    owned: bool


Owners = dict[tuple[int, int], int]  # user namespaces that map a file owner, by uid and gid


def run_session(
    spec: dict[str, Any], wire: socket.socket, who: Identity, owners: Owners, memory: Memory
) -> None:
    """Starts a session in a child of this process and watches over its set-up; then returns.

    owners: user-namespace descriptors that map a file owner to `who` (root only).
    """
    opened: list[Opened] = []
    if who.root:
        opened = _open_mounts(spec, owners)
        become(who)
    kernel.unshare(_ALL)
    _map_user(who)
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        for descriptor in (ready, *owners.values()):
            os.close(descriptor)
        _be_process_one(spec, wire, done, opened, memory)
    os.close(done)
    wire.close()
    if not readable(ready, SET_UP_S):
        os.kill(child, signal.SIGKILL)


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
            kernel.write_file(f"/proc/{child}/{name}_map", f"{inside} {outside} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def become(who: Identity) -> None:
    """Changes the calling process, which is root, to that user for good."""
    os.setgroups([])
    os.setresgid(who.gid, who.gid, who.gid)
    os.setresuid(who.uid, who.uid, who.uid)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or /proc/self/uid_map belongs to root


def _open_mounts(spec: dict[str, Any], owners: Owners) -> list[Opened]:
    """Opens all a session is shown; the last is the tree, where there is one."""
    found = [Opened(_open_mount(source), target, owned=False) for source, target in system_mounts()]
    for mount in spec["mounts"]:
        descriptor = _open_mount(mount["source"])
        owned = mount["mapped"] and _own(descriptor, owners)
        found.append(Opened(descriptor, mount["target"], owned))
    if spec["tree"]:
        descriptor = _open_mount(spec["tree"])
        found.append(Opened(descriptor, "/.lower", _own(descriptor, owners)))
    return found


def _open_mount(path: str) -> int:
    descriptor = kernel.clone_mount(path)
    kernel.set_mount(descriptor, _READ_ONLY)
    return descriptor


def _own(descriptor: int, owners: Owners) -> bool:
    """Makes a mount's owner the session's user where that can be; whether it is."""
    status = os.fstat(descriptor)
    owner = (status.st_uid, status.st_gid)
    if os.geteuid() != 0:
        return owner == (os.getuid(), os.getgid())
    if owner not in owners:
        return False
    try:
        attribute = kernel.MOUNT_ATTR_IDMAP
        kernel.set_mount(descriptor, attribute, user_namespace=owners[owner], deep=False)
    except OSError:  # an old kernel, or a file system that cannot: shown as it is
        return False
    return True


def _map_user(who: Identity) -> None:
    kernel.write_file("/proc/self/setgroups", "deny")
    kernel.write_file("/proc/self/uid_map", f"{USER} {who.uid} 1")
    kernel.write_file("/proc/self/gid_map", f"{USER} {who.gid} 1")
    # the kernel kills a session before the trainer, where memory runs out
    kernel.write_file("/proc/self/oom_score_adj", "800")


def _be_process_one(
    spec: dict[str, Any], connection: socket.socket, done: int, opened: list[Opened], memory: Memory
) -> NoReturn:
    wire = Wire(connection.fileno(), connection.fileno())
    try:
        handle = os.pidfd_open(os.getpid())
        socket.send_fds(connection, [b"\0"], [handle])
        os.close(handle)
        workspace = _build(spec, opened or _open_mounts(spec, {}))
        give_up_rights(memory)
        keeper = Keeper(wire, workspace, WORKSPACE, spec, memory, namespace=True)
        os.close(done)
        keeper.serve()
    except Exception as error:  # noqa: BLE001  report anything to the controller
        with contextlib.suppress(OSError):
            wire.send({"failed": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)


def _build(spec: dict[str, Any], opened: list[Opened]) -> Workspace:
    """Puts the new root together, moves there, and hands back the workspace."""
    limits = spec["limits"]
    shown, tree = (opened[:-1], opened[-1]) if spec["tree"] else (opened, None)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    _tmpfs("/tmp", "size=4m,nr_inodes=4096,mode=755")
    os.chdir("/tmp")
    _make_folders(limits)
    _attach_all(shown, spec["covered"])
    for path in spec["hidden"]:
        if os.path.isdir(f".{path}"):
            _tmpfs(f".{path}", "size=4k,nr_inodes=1,mode=555")
    _link_and_write(spec)
    workspace = _make_workspace(limits, tree)
    kernel.mount("proc", "./proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    _set_kernel_limits()
    kernel.pivot_root()
    _make_read_only("/")
    socket.sethostname("sandbox")
    return workspace


def _make_folders(limits: dict[str, Any]) -> None:
    folders = ("usr", "usr/local", "usr/local/bin", "workspace", ".upper", ".lower")
    for name in ("proc", "etc", "dev", "tmp", *folders):
        os.mkdir(name)
    _tmpfs("./tmp", f"size={limits['scratch_bytes']},nr_inodes={limits['files']},mode=1777")
    os.mkdir("./dev/shm")
    _tmpfs("./dev/shm", f"size={limits['scratch_bytes']},nr_inodes={limits['files']},mode=1777")


def _attach_all(shown: list[Opened], covered: list[str]) -> None:
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
        _make_read_only(place)


def _attach(item: Opened) -> None:
    place = f".{item.target}"
    make = os.mkdir if stat.S_ISDIR(os.fstat(item.descriptor).st_mode) else os.mknod
    with contextlib.suppress(FileExistsError):  # then it may lie in what cannot be written
        try:
            make(place)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place))
            make(place)
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
        kernel.write_file(f"./etc/{name}", text, os.O_CREAT)


def _make_workspace(limits: dict[str, Any], tree: Opened | None) -> Workspace:
    """The workspace over the tree: an overlay where the tree's owner is ours, else a copy."""
    size = f"size={limits['workspace_bytes']},nr_inodes={limits['files']},mode=755"
    if tree:
        _attach(tree)
    overlay = tree is None or tree.owned
    if overlay:
        _tmpfs("./.upper", size)
        os.mkdir("./.upper/changed")
        os.mkdir("./.upper/work")
        layers = "lowerdir=./.lower,upperdir=./.upper/changed,workdir=./.upper/work,userxattr"
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("workspace", "./workspace", "overlay", flags, layers)
        workspace = Workspace.at("./workspace", "./.lower", "./.upper/changed")
    else:
        _tmpfs("./workspace", size)
        copy_tree("./.lower", "./workspace")
        workspace = Workspace.at("./workspace", "./.lower")
    for place, mounted in (("./.upper", overlay), ("./.lower", tree is not None)):
        if mounted:
            kernel.unmount(place)
        os.rmdir(place)
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
        with contextlib.suppress(OSError):
            kernel.write_file(f"./proc/sys/{name}", value)


def _make_read_only(path: str) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    kernel.set_mount(folder, _READ_ONLY, deep=False)
    os.close(folder)


def _tmpfs(target: str, options: str) -> None:
    kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
