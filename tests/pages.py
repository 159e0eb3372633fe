"""Pages of documentation, run as a reader would run them.

What the fence of a block says about it, in README.md and under docs:

- ``python``: the blocks of a page are one program, which runs.
- ``bash``: commands, which run after the program, in order.
- ``python title="times.py"``, and so in any language: a file, which is there before all else.
- ``py``, ``sh``: what needs a GPU, a download or an hour. Read, not run: Python must compile,
  options of ``srl-env`` must exist, and what a training is given must make a configuration.
- ``text``, ``toml``, ``json``, ``console``: shown.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_agents.methods import shipped
from srl_env.rewards import registry

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block of a page; title: the name of the file that it is, None where it is none."""

    language: str
    title: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(match[1], match[2], match[3]) for match in found]


def texts(page: Path, language: str) -> list[str]:
    """The page's blocks in that language that are no files."""
    return [b.text for b in blocks(page) if b.language == language and b.title is None]


def program(page: Path) -> str:
    """The page's Python, as one program."""
    return "\n".join(texts(page, "python"))


def commands(page: Path, language: str = "bash") -> list[list[str]]:
    """The words of each command of the page: one a line, unless a backslash ends the line."""
    lines = "\n".join(texts(page, language)).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def write_files(page: Path) -> None:
    """Writes the blocks that are files into the current folder."""
    for block in blocks(page):
        if block.title is not None:
            Path(block.title).write_text(block.text, encoding="utf-8")


@contextmanager
def visiting(folder: Path) -> Iterator[None]:
    """Makes the folder the current one; what is registered and imported inside is forgotten."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SRL_ENV_CACHE", str(folder / "cache"))
        patch.setattr(sys, "path", [*sys.path])
        patch.setattr(registry, "_REGISTRY", {**registry._REGISTRY})
        patch.setattr(shipped, "_METHODS", {**shipped._METHODS})
        yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def run_program(text: str) -> None:
    """Runs Python in this process, as a script in the current folder."""
    Path("page.py").write_text(text, encoding="utf-8")
    runpy.run_path("page.py", run_name="__main__")


def run_command(words: list[str]) -> str:
    """What a command prints, which must succeed.

    ``srl-env`` runs in this process, for time; of ``make`` it is enough that the target is there,
    and of ``pip``, which installs this checkout, that the extras are.
    """
    name, *arguments = words
    if name == "make":
        assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        return ""
    if name == "pip":
        assert arguments[:2] == ["install", "-e"]
        extras = re.fullmatch(r"\.(?:\[(.+)\])?", arguments[2])
        assert extras is not None, f"pip installs a checkout; got {shlex.join(words)}"
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert {*(extras[1] or "dev").split(",")} <= {*project["optional-dependencies"]}
        return ""
    if name == "srl-env":
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}"
        return done.output
    assert name == "python", f"a page runs srl-env, python and make; got {shlex.join(words)}"
    here = {**os.environ, "PYTHONPATH": os.getcwd()}
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=here)
    assert ran.returncode == 0, f"{shlex.join(words)}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def unknown_options(words: list[str]) -> list[str]:
    """The options of a command of ``srl-env`` that it does not have, or the command itself."""
    command = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            return rest[:1] or ["no command"]
        command = command.commands[rest.pop(0)]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return [option for option in given if option not in known]


YOUR_PROJECT = {
    "prices.py": (
        "def total(prices, off=0):\n"
        "    if off < 0:\n        raise ValueError('off is negative')\n"
        "    return sum(prices) * (1 - off)\n\n\n"
        "def cheapest(prices):\n    return min(prices)\n"
    ),
    "tests/test_prices.py": (
        "import pytest\nfrom prices import cheapest, total\n\n\n"
        "def test_half_off():\n    assert total([10, 20], 0.5) == 15\n\n\n"
        "def test_no_negative_discount():\n"
        "    with pytest.raises(ValueError):\n        total([1], -1)\n\n\n"
        "def test_cheapest():\n    assert cheapest([3, 1, 2]) == 1\n\n\n"
        "def test_no_discount():\n    assert total([4, 5]) == 9\n\n\n"
        "def test_quarter_off():\n    assert total([4], 0.25) == 3\n\n\n"
        "def test_cheapest_of_two():\n    assert cheapest([7, 5]) == 5\n\n\n"
        "def test_cheapest_of_equals():\n    assert cheapest([2, 2]) == 2\n"
    ),
}
"""The repository that pages call ``your-project``."""


def write_your_project() -> None:
    """Puts it into the current folder."""
    for name, text in YOUR_PROJECT.items():
        path = Path("your-project", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
