"""Every code block of the README runs, in order, as a reader would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import (
    ROOT,
    blocks,
    commands,
    program,
    run_command,
    visiting,
    write_your_project,
)

README = ROOT / "README.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's Python has run, in a process of its own: its blocks are one program."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "readme.py").write_text(program(README), encoding="utf-8")
    command = [sys.executable, "-W", "error", "readme.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_block_is_python_shell_or_what_the_first_example_prints() -> None:
    shown = [block for block in blocks(README) if block.language not in ("python", "bash")]
    assert [block.language for block in shown] == ["text"]
    first = program(README).partition("\nimport gymnasium")[0]
    done = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True, check=True)
    assert done.stdout == shown[0].text


def test_the_python_blocks_run_one_after_the_other(folder: Path) -> None:
    assert (folder / "runs/first/model/config.json").exists()


def test_the_shell_commands_run(folder: Path) -> None:
    with visiting(folder):
        write_your_project()
        for words in commands(README):
            run_command(words)
