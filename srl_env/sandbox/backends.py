"""Which backend to use: the first that works when tried for real, or none at all."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path
from typing import Final

from srl_env.errors import SandboxFailure, SandboxUnavailable, UnknownName
from srl_env.sandbox.docker import DockerSandbox
from srl_env.sandbox.interface import Preload, Sandbox
from srl_env.sandbox.native import LandlockSandbox, LocalSandbox, NamespaceSandbox

BACKENDS: Final = ("namespaces", "landlock", "docker", "local")
_OLDEST_LINUX: Final = (5, 12)


def open_sandbox(
    backend: str | None = None,
    *,
    allow_weak: bool = False,
    image: str | None = None,
    preload: Preload | None = None,
) -> Sandbox:
    """A sandbox that has been tried out; the caller closes it.

    backend: one of BACKENDS, and only that; None takes the first that works of namespaces,
    Landlock (only where allow_weak) and Docker (only where an image is named). Never `local`
    unless it is named: that one isolates nothing.
    preload: modules that sessions have in memory, where the backend can (namespaces).
    Raises SandboxUnavailable, saying for each what is missing and how to get it.
    """
    if backend is not None and backend not in BACKENDS:
        raise UnknownName("sandbox backend", backend, BACKENDS)
    names = [backend] if backend else ["namespaces"]
    if backend is None and allow_weak:
        names.append("landlock")
    if backend is None and image:
        names.append("docker")
    missing: list[str] = []
    for name in names:
        try:
            return _tried(_make(name, image, preload))
        except (SandboxFailure, SandboxUnavailable) as error:
            missing.append(f"- {name}: {error}{_advice(name)}")
    if backend is None and not allow_weak:
        missing.append("- landlock: not tried; weak isolation has to be allowed (allow_weak=True)")
    if backend is None and not image:
        missing.append("- docker: not tried; it needs an image (image='python:3.12-slim')")
    raise SandboxUnavailable("no sandbox works here:\n" + "\n".join(missing))


def _make(name: str, image: str | None, preload: Preload | None) -> Sandbox:
    match name:
        case "namespaces":
            return NamespaceSandbox(preload)
        case "landlock":
            return LandlockSandbox()
        case "docker":
            if image is None:
                raise SandboxUnavailable("an image is needed (image='python:3.12-slim')")
            return DockerSandbox(image)
        case _:
            return LocalSandbox()


def _tried(sandbox: Sandbox) -> Sandbox:
    """The sandbox, once a whole session has run: a secret beside the tree must stay unread."""
    try:
        with tempfile.TemporaryDirectory(prefix="srl-probe-") as folder:
            tree, secret = Path(folder) / "tree", Path(folder) / "secret"
            tree.mkdir()
            (tree / "given").write_text("given")
            secret.write_text("s3cret")
            with sandbox.start(tree) as session:
                done = session.run(["sh", "-c", f"cat given; echo made > made; cat '{secret}'"])
                made = [change.path for change in session.changes()]
            if not done.output.startswith(b"given") or made != ["made"]:
                raise SandboxFailure(f"a trial session did not do as told: {done.text()!r}, {made}")
            if sandbox.isolation != "none" and b"s3cret" in done.output:
                raise SandboxFailure("a trial session read a file of the host")
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def _advice(name: str) -> str:
    """What to do about it, from what this machine says of itself; empty where it says nothing."""
    found: list[str] = []
    if name == "namespaces":
        found = _namespace_obstacles()
    elif name == "docker":
        found = ["start the engine and pull the image, and see that this user may use it"]
    return "".join(f"\n    {line}" for line in found)


def _namespace_obstacles() -> list[str]:
    if platform.system() != "Linux":
        return [f"it needs Linux; this is {platform.system()}"]
    found: list[str] = []
    release = tuple(int(part) for part in platform.release().split(".")[:2] if part.isdecimal())
    if release < _OLDEST_LINUX:
        found.append(f"it needs Linux 5.12 or newer; this is {platform.release()}")
    if _setting("user/max_user_namespaces") == "0":
        found.append("user namespaces are off: sudo sysctl user.max_user_namespaces=15000")
    if _setting("kernel/unprivileged_userns_clone") == "0":
        found.append("they are off for users: sudo sysctl kernel.unprivileged_userns_clone=1")
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        found.append(
            "AppArmor restricts them (Ubuntu 23.10 and later): "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        found.append(
            "this is a container; start it with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined"
        )
    return found


def _setting(name: str) -> str:
    try:
        return Path(f"/proc/sys/{name}").read_text().strip()
    except OSError:
        return ""
