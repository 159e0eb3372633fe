"""Every code block of the README runs, in order, as a reader would run it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

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
        "def test_cheapest():\n    assert cheapest([3, 1, 2]) == 1\n"
    ),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def joined(block: str) -> str:
    """The block with lines that end in a backslash joined to the next."""
    return block.replace("\\\n", " ")


def commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in joined(block).splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's Python has run: its blocks are one program."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "readme.py").write_text("\n".join(blocks("python")), encoding="utf-8")
    run([sys.executable, "-W", "error", "readme.py"], folder)
    for name, text in YOUR_PROJECT.items():
        (folder / "your-project" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "your-project" / name).write_text(text, encoding="utf-8")
    return folder


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_is_python_or_shell() -> None:
    fences = re.findall(r"^```(\w*)$", README, re.MULTILINE)
    assert set(fences[::2]) == {"python", "bash"}


def test_the_python_blocks_run_one_after_the_other(folder: Path) -> None:
    assert (folder / "runs/first/model/config.json").exists()


def test_the_shell_commands_run(folder: Path) -> None:
    for program, *arguments in commands():
        if program == "make":
            assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        else:
            run([os.path.join(os.path.dirname(sys.executable), program), *arguments], folder)


def test_every_link_into_the_repository_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
