"""What grading needs to know of a task; none of it is ever shown to a policy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from srl_env.errors import BadOption
from srl_env.grading.values import Value, encode_value
from srl_env.sandbox import Limits, Mount
from srl_env.seconds import check_seconds

Trust = Literal["inprocess", "controlled", "oracle"]
_NEVER_OWN: Final = {"__init__", "__main__", "pytest", "_pytest", "py"}


@dataclass(frozen=True)
class OracleCase:
    """One call whose result is known here and nowhere else.

    name: its id in verdicts. setup: statements (imports, values the call needs).
    expression: what is evaluated after them.
    expected: the exact value, of built-in types only; or raises: the exception's type name.
    """

    name: str
    setup: str
    expression: str
    expected: Value = None
    raises: str | None = None

    def __post_init__(self) -> None:
        encode_value(self.expected)  # BadOption for what cannot come back


def own_modules(tree: Path, python_path: Iterable[str]) -> frozenset[str]:
    """The top-level modules that a repository provides in the folders of its path.

    They are imported from it, whatever of that name is installed. Modules of the standard
    library and of pytest come first, and are not among them.
    """
    names: set[str] = set()
    for root in filter(os.path.isdir, (tree / root for root in python_path)):
        for name in os.listdir(root):
            if name.endswith(".py"):
                names.add(name.removesuffix(".py"))
            elif os.path.exists(f"{root}/{name}/__init__.py"):
                names.add(name)
    return frozenset(names) - sys.stdlib_module_names - _NEVER_OWN


@dataclass(frozen=True)
class GradingTask:
    """A repository with a fault, and what must hold once it is fixed.

    tree: the repository as the policy was given it.
    hidden: files written over it for grading, tests above all; path → content.
    fail_to_pass, pass_to_pass: pytest ids of tests that must pass; the first fail before.
    cases: oracle cases; all must hold for trust "oracle".
    trust: the level that decides `resolved`. At "oracle", tests must pass too where any are named.
    allowed: patterns (as of fnmatch, on the whole path) of files a change may touch although the
    filter would drop them.
    python_path: folders of the repository its packages are imported from.
    mounts: packages the repository's code needs beyond the standard library; importable.
    conftest: whether the tree's own conftest files are loaded (a change's never are).
    timeout_s: wall time of one run of all tests, and of all oracle cases.
    controls: runs with changed expectations at trust "controlled"; a forgery that leaves it to
    chance which of n tests it makes pass survives each with probability 2^-n.
    """

    tree: Path
    hidden: Mapping[str, bytes] = field(default_factory=dict)
    fail_to_pass: tuple[str, ...] = ()
    pass_to_pass: tuple[str, ...] = ()
    cases: tuple[OracleCase, ...] = ()
    trust: Trust = "oracle"
    allowed: tuple[str, ...] = ()
    python_path: tuple[str, ...] = (".",)
    mounts: tuple[Mount, ...] = ()
    conftest: bool = False
    timeout_s: float = 60.0
    limits: Limits = field(default_factory=Limits)
    controls: int = 4

    def __post_init__(self) -> None:
        needed = "cases" if self.trust == "oracle" else "fail_to_pass"
        if not getattr(self, needed):
            raise BadOption(f"GradingTask: {needed} must not be empty with trust={self.trust!r}")
        check_seconds("GradingTask: timeout_s", self.timeout_s)
        if self.controls < 2:
            raise BadOption(f"GradingTask: controls must be at least 2; got {self.controls}")

    @property
    def tests(self) -> tuple[str, ...]:
        """All test ids, each once, in order."""
        return tuple(dict.fromkeys((*self.fail_to_pass, *self.pass_to_pass)))

    @cached_property
    def own_modules(self) -> frozenset[str]:
        """The modules that the repository itself provides, found in the tree."""
        return own_modules(self.tree, self.python_path)

    @property
    def test_files(self) -> tuple[str, ...]:
        """The files the tests are in."""
        return tuple(dict.fromkeys(test.partition("::")[0] for test in self.tests))
