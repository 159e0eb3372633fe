"""The backends of the sandbox: what each provides, and the first that works when tried."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from srl_env.errors import SandboxFailure, SandboxUnavailable, UnknownName
from srl_env.sandbox.docker import DockerSandbox
from srl_env.sandbox.limits import Isolation, Limits, Mount, Preload
from srl_env.sandbox.native import LandlockSandbox, LocalSandbox, NamespaceSandbox
from srl_env.sandbox.session import Session

BACKENDS: Final = ("namespaces", "landlock", "docker", "local")
_OLDEST_LINUX: Final = (5, 12)


@runtime_checkable
class Sandbox(Protocol):
    """A backend: it runs untrusted code in sessions."""

    @property
    def name(self) -> str:
        """The backend: "namespaces", "landlock", "docker", "local"."""
        ...

    @property
    def isolation(self) -> Isolation:
        """How much it isolates; see ``srl_env.sandbox``."""
        ...

    def start(
        self,
        tree: Path | None,
        *,
        limits: Limits = ...,
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
    ) -> Session:
        """A session whose workspace begins as the tree, which itself never changes.

        The tree should have one owner: files of others than the folder's own can be read as
        far as their modes allow, but not changed or deleted.

        Raises BadOption for a missing tree or mount, SandboxFailure where the session could not
        be set up.
        """
        ...

    def close(self) -> None:
        """Ends its sessions, and what the backend itself keeps running."""
        ...


def open_sandbox(
    backend: str | None = None,
    *,
    allow_weak: bool = False,
    image: str | None = None,
    preload: Preload | None = None,
) -> Sandbox:
    """A sandbox that has run a test session; the caller closes it.

    backend: one of BACKENDS, and only that; None takes the first that works of namespaces,
    Landlock (only where allow_weak) and Docker (only where an image is named). Never `local`
    unless it is named: that one isolates nothing.
    preload: modules that sessions have in memory, where the backend can (namespaces).
    Raises SandboxUnavailable, saying for each what is missing and how to get it.
    """
    if backend is not None and backend not in BACKENDS:
        raise UnknownName("sandbox backend", backend, BACKENDS)
    names = [backend] if backend else ["namespaces"]
    missing: list[str] = []
    if backend is None:
        skipped = {
            "landlock": (allow_weak, "weak isolation has to be allowed (allow_weak=True)"),
            "docker": (image, "it needs an image (image='python:3.12-slim')"),
        }
        names += [name for name, (wanted, _) in skipped.items() if wanted]
        missing += [
            f"- {n}: not tried; {why}" for n, (wanted, why) in skipped.items() if not wanted
        ]
    failed: list[str] = []
    for name in names:
        try:
            return _tried(_make(name, image, preload))
        except (SandboxFailure, SandboxUnavailable) as error:
            advice = "".join(f"\n    {line}" for line in _advice(name))
            failed.append(f"- {name}: {error}{advice}")
    raise SandboxUnavailable("no sandbox works here:\n" + "\n".join(failed + missing))


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
                said = f"{done.text()!r}, {made}"
                raise SandboxFailure(f"the test session returned unexpected output: {said}")
            if sandbox.isolation != "none" and b"s3cret" in done.output:
                raise SandboxFailure("the test session read a file of the host")
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def _advice(name: str) -> list[str]:
    """How to make a backend work, from what this machine reports; empty where it is unclear."""
    if name == "docker":
        return ["start the engine and pull the image, and check that this user may use it"]
    if name != "namespaces":
        return []
    if platform.system() != "Linux":
        return [f"it needs Linux; this is {platform.system()}"]
    release = tuple(int(part) for part in platform.release().split(".")[:2] if part.isdecimal())
    container = os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv")
    found = (
        (release < _OLDEST_LINUX, f"it needs Linux 5.12 or newer; this is {platform.release()}"),
        (
            _setting("user/max_user_namespaces") == "0",
            "user namespaces are off: sudo sysctl user.max_user_namespaces=15000",
        ),
        (
            _setting("kernel/unprivileged_userns_clone") == "0",
            "they are off for users: sudo sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            _setting("kernel/apparmor_restrict_unprivileged_userns") == "1",
            "AppArmor restricts them (Ubuntu 23.10 and later): "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            container,
            "this is a container; start it with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined",
        ),
    )
    return [line for holds, line in found if holds]


def _setting(name: str) -> str:
    try:
        return Path(f"/proc/sys/{name}").read_text().strip()
    except OSError:
        return ""
