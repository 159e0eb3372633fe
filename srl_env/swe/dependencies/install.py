"""Making environments: wheels are downloaded here, and installed in a sandbox.

The download runs pip with exact names only, and takes no package but a wheel, so that nothing of a
project or of a package runs on this machine; pip cannot start other programs. The wheels are
unpacked by pip in a session without network, and only regular files come out of it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from srl_env.errors import BadOption, SandboxUnavailable, UserError
from srl_env.sandbox import CommandResult, Limits, Mount, Sandbox, Snapshot
from srl_env.sandbox.limits import SITE_PACKAGES
from srl_env.swe.cache import CACHE_VARIABLE
from srl_env.swe.dependencies.environment import Environment

MAX_BYTES: Final = 1 << 30
_DOWNLOAD_S: Final = 300.0
_INSTALL_S: Final = 300.0
_LIMITS: Final = Limits(
    timeout_s=_INSTALL_S,
    workspace_bytes=2 * MAX_BYTES,
    file_bytes=MAX_BYTES,
    files=200_000,
)
_PYTEST: Final = ("pytest", "pluggy", "iniconfig")
_METADATA: Final = "Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.0\n"
# A wheel may need a package at a URL or in a folder, which pip would build, or clone with git.
_PIP_ALONE: Final = """
import runpy, sys

def forbid(event, arguments):
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn"):
        raise PermissionError("only wheels are downloaded: pip must start no other program")

sys.addaudithook(forbid)
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
_OPTIONS: Final = ("--no-input", "--disable-pip-version-check", "--quiet")


class CannotInstall(UserError):
    """Packages that have no wheels for this Python, exclude each other, or are too large."""


def make_environment(
    sandbox: Sandbox, requirements: Sequence[str], project: str = ""
) -> Environment:
    """An environment of packages that satisfy the requirements, installed unless it is there.

    requirements: names with versions (PEP 508), without URLs and options. project: as in
    ``Environment``. Raises CannotInstall; SandboxUnavailable without full isolation; BadOption
    where pip is missing or the cache cannot be written; SandboxFailure.
    """
    _require_isolation(sandbox)
    with tempfile.TemporaryDirectory(prefix="srl-wheels-") as folder:
        if requirements:
            _download(requirements, Path(folder))
        environment = Environment(_packages_in(Path(folder)), project)
        _install(sandbox, environment, Path(folder))
        return environment


def restore_environment(sandbox: Sandbox, environment: Environment) -> None:
    """Installs exactly the packages of an environment, unless it is there.

    Raises as ``make_environment``.
    """
    _require_isolation(sandbox)
    with tempfile.TemporaryDirectory(prefix="srl-wheels-") as folder:
        if environment.packages and not environment.folder.is_dir():
            _download(environment.packages, Path(folder), "--no-deps")
        _install(sandbox, environment, Path(folder))


def _require_isolation(sandbox: Sandbox) -> None:
    if sandbox.isolation != "full":
        raise SandboxUnavailable(
            "environments are installed in a sandbox with full isolation; "
            f"{sandbox.name!r} has isolation {sandbox.isolation!r}"
        )


def _download(requirements: Sequence[str], wheels: Path, *options: str) -> None:
    """Downloads wheels of the requirements, and of what they need. options: of pip."""
    for text in requirements:
        if not re.fullmatch(r"[A-Za-z0-9][^@:/\\\s]*", text):
            raise CannotInstall(f"requirements must be names with versions; got {text!r}")
    command = [sys.executable, "-c", _PIP_ALONE, "download", *_OPTIONS, *options]
    command += ["--only-binary=:all:", "--dest", str(wheels), "--", *requirements]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_DOWNLOAD_S,
            cwd=wheels,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(_pip()), "PYTHONSAFEPATH": "1"},
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"its packages were not there after {_DOWNLOAD_S:g} s") from None
    if done.returncode:
        raise CannotInstall(_reason(done.stderr or done.stdout))
    for name in _PYTEST:  # it comes from this installation
        for path in wheels.glob(f"{name}-*.whl"):
            path.unlink()
    size = sum(path.stat().st_size for path in wheels.iterdir())
    if size > MAX_BYTES // 4:
        raise CannotInstall(f"its packages are too large: {size >> 20} MiB of wheels")


def _packages_in(wheels: Path) -> tuple[str, ...]:
    from packaging.utils import parse_wheel_filename  # pytest brings it

    found = (parse_wheel_filename(path.name) for path in wheels.glob("*.whl"))
    return tuple(sorted(f"{name}=={version}" for name, version, *_ in found))


def _install(sandbox: Sandbox, environment: Environment, wheels: Path) -> None:
    """Installs the wheels, unless the environment is there."""
    if environment.folder.is_dir():
        return
    try:
        _make(sandbox, environment, wheels)
    except OSError as error:
        raise BadOption(
            f"the environment cannot be written to {environment.folder}: "
            f"{error.strerror or error}. Fix: set {CACHE_VARIABLE} to a folder with space"
        ) from error


def _make(sandbox: Sandbox, environment: Environment, wheels: Path) -> None:
    """Unpacks the wheels in the sandbox, and moves the result to its place at once."""
    parent = environment.folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix="making-") as folder:
        made = Path(folder, "made")
        (made / SITE_PACKAGES).mkdir(parents=True)
        if environment.packages:
            _write(made, _installed(sandbox, environment, wheels))
        if environment.project:
            about = re.sub(r"[-_.]+", "_", environment.project)
            place = made / SITE_PACKAGES / f"{about}-0.0.0.dist-info"
            place.mkdir()
            (place / "METADATA").write_text(_METADATA.format(name=environment.project), "utf-8")
        try:
            made.rename(environment.folder)
        except OSError:
            if not environment.folder.is_dir():  # else another process made the same
                raise


def _installed(sandbox: Sandbox, environment: Environment, wheels: Path) -> Snapshot:
    with (
        tempfile.TemporaryDirectory(prefix="srl-empty-") as empty,
        sandbox.start(
            Path(empty),
            limits=_LIMITS,
            mounts=[Mount(wheels, "/wheels"), Mount(_pip() / "pip" if _pip().is_dir() else _pip())],
            env={"PYTHONPATH": str(_pip())},
        ) as session,
    ):
        target = f"{session.workspace}/{SITE_PACKAGES}"
        install = ["python3", "-m", "pip", "install", *_OPTIONS, "--no-index", "--no-deps"]
        install += ["--no-compile", "--no-cache-dir", "--target", target]
        files = [f"/wheels/{path.name}" for path in sorted(wheels.glob("*.whl"))]
        _require(session.run([*install, *files], timeout_s=_INSTALL_S))
        # Checked neither by time nor by content: the files never change.
        compiling = ["python3", "-m", "compileall", "-q", "--invalidation-mode"]
        session.run([*compiling, "unchecked-hash", target], timeout_s=_INSTALL_S)
        return session.snapshot(max_bytes=MAX_BYTES, max_entries=_LIMITS.files)


def _require(done: CommandResult) -> None:
    if not done.ok:
        said = _reason(done.text())
        raise CannotInstall(f"pip cannot install its wheels ({done.ended}): {said}")


def _write(folder: Path, snapshot: Snapshot) -> None:
    snapshot.check()
    for change, content in zip(snapshot.changes, snapshot.contents, strict=True):
        path = PurePosixPath(change.path)
        if change.change != "deleted" and change.kind == "file" and path.parts[0] == SITE_PACKAGES:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            (folder / path).chmod(0o755 if change.mode & 0o100 else 0o644)


def _pip() -> Path:
    """What must be on the path to import pip: a folder, or the wheel that Python comes with."""
    spec = importlib.util.find_spec("pip")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parents[1]
    bundled = importlib.util.find_spec("ensurepip")
    places = bundled.submodule_search_locations if bundled else None
    for place in places or ():
        for wheel in Path(place).glob("_bundled/pip-*.whl"):
            return wheel
    raise BadOption("pip is not installed here; wheels are downloaded with it. Fix: install pip")


def _reason(text: str) -> str:
    """What pip says went wrong, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    if "Exception:" in errors:  # a traceback, which ends with the reason
        errors = []
    return (errors or lines or ["no reason given"])[-1][:300]
