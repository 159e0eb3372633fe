"""A working package with an environment, written from templates: ``srl-env init``.

The templates are the files that are written, with ``__PACKAGE__``, ``__CLASS__`` and ``__ID__``
for the names. Their suffix ".tmpl" hides them from tools for Python code.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from srl_env.errors import BadOption, UnknownName

KINDS = ("data", "generated", "tools")
_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Package:
    """The files that were written. next_steps: commands that try them."""

    files: tuple[Path, ...]
    next_steps: tuple[str, ...]


def write_package(name: str, kind: str = "data", folder: Path | None = None) -> Package:
    """Writes a package: all of its files, or none if one of them exists.

    name: e.g. "my_tasks"; hyphens become underscores. kind: one of ``KINDS``. folder: by default
    one with that name in the current folder.
    Raises ``BadOption`` for a name that cannot be imported or is taken, for files that exist, and
    if nothing can be written; ``UnknownName`` for a kind that does not exist.
    """
    if kind not in KINDS:
        raise UnknownName("kind of environment", kind, KINDS)
    package = _package_name(name)
    folder = Path(package) if folder is None else folder
    texts = {folder / path: text for path, text in _files(package, kind)}
    there = [str(path) for path in texts if path.exists()]
    if there:
        raise BadOption(
            f"{', '.join(there)} must not exist, because nothing is overwritten. Fix: another "
            "name, or another folder with --out"
        )
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise BadOption(
            f"{error.filename or folder} cannot be written: {error.strerror}. Fix: another folder "
            "with --out"
        ) from error
    steps = (
        f"  srl-env check {folder}",
        f"  cd {folder} && python -m pytest",
        f"  pip install -e {folder} && srl-env play {_env_id(package)}",
    )
    return Package(tuple(texts), steps)


def _package_name(name: str) -> str:
    package = name.strip().replace("-", "_")
    if not _NAME.fullmatch(package) or keyword.iskeyword(package):
        raise BadOption(
            "a package name must have lower-case letters, digits and underscores, begin with a "
            f"letter, and not be a word of Python; got {name!r}. Fix: e.g. my_tasks"
        )
    if package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None:
        raise BadOption(
            f"a package name must be new; got {package!r}, which is an installed module. Fix: e.g. "
            f"{package}_tasks"
        )
    return package


def _env_id(package: str) -> str:
    return f"{package}/{_class_name(package)}-v0"


def _class_name(package: str) -> str:
    return "".join(word.capitalize() for word in package.split("_"))


def _files(package: str, kind: str) -> Iterator[tuple[Path, str]]:
    """Each file's path in the package's folder, and its text."""
    for root, prefix in ((_TEMPLATES / "common", ""), (_TEMPLATES / kind, "package/")):
        for template in sorted(root.rglob("*.tmpl")):
            path = prefix + template.relative_to(root).as_posix().removesuffix(".tmpl")
            place = re.sub(r"^package/", f"{package}/", path)
            text = template.read_text(encoding="utf-8")
            for mark, value in _marks(package).items():
                text = text.replace(mark, value)
            yield Path(place), text


def _marks(package: str) -> dict[str, str]:
    return {
        "__PACKAGE__": package,
        "__CLASS__": f"{_class_name(package)}Env",
        "__ID__": _env_id(package),
    }
