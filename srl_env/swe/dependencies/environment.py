"""Environments: packages at exact versions, installed once for all tasks that need the same."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from srl_env.errors import UserError
from srl_env.sandbox import Mount
from srl_env.sandbox.limits import SITE_PACKAGES
from srl_env.swe.cache import cache_folder

_NAMED: Final = 3
_PACKAGE: Final = re.compile(r"[A-Za-z0-9][\w.-]*==\w[\w.!+-]*", re.ASCII)
_PROJECT: Final = re.compile(r"(?:[A-Za-z0-9][\w.-]*)?", re.ASCII)
_SHOWN: Final = "/environment"  # the same on every machine


class MissingEnvironment(UserError):
    """The packages that tasks need are not installed on this machine."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a repository needs beside Python's standard library and pytest.

    packages: "name==version", sorted. project: the name of the repository's own distribution,
    whose version its code may look up; "" if there is none. Raises ValueError for anything else:
    pip would take a path or a URL, and the project's name is part of a path.
    """

    packages: tuple[str, ...]
    project: str = ""

    def __post_init__(self) -> None:
        for text in self.packages:
            if not _PACKAGE.fullmatch(text):
                raise ValueError(f"a package must be name==version; got {text!r:.80}")
        if not _PROJECT.fullmatch(self.project):
            raise ValueError(f"project must be a distribution's name; got {self.project!r:.80}")

    @property
    def folder(self) -> Path:
        """Where it is installed on this machine, for the running version of Python."""
        content = json.dumps(
            [sysconfig.get_platform(), sys.version_info[:2], self.packages, self.project]
        )
        return cache_folder() / "environments" / hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """Its files, read-only, for sessions. Raises MissingEnvironment."""
        path = self.folder / SITE_PACKAGES
        if not path.is_dir():
            names = ", ".join(self.packages[:_NAMED])
            more = f" and {len(self.packages) - _NAMED} more" * (len(self.packages) > _NAMED)
            raise MissingEnvironment(
                f"these tasks need an environment that is not on this machine ({names}{more}). "
                "Fix: srl-env swe install DIR, with the tasks' folder"
            )
        return (Mount(path, f"{_SHOWN}/{SITE_PACKAGES}"),)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what ``to_json`` returned. Raises KeyError, TypeError or ValueError."""
        return cls(tuple(map(str, data["packages"])), str(data.get("project", "")))
