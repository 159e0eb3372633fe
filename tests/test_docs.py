"""The pages under docs: their Python is Python, and agents.md runs as a reader would run it."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from srl_agents.cli import app
from srl_agents.small_models import bpe_tokenizer, build
from tests.srl_agents.policies.loopback import Loopback, chat

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
AGENTS = ROOT / "docs/agents.md"


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_python_block_is_python(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_into_the_repository_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_agents_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python blocks, which are one program, then its commands; in this process, for time."""
    pytest.importorskip("openai")
    pytest.importorskip("sb3_contrib")
    monkeypatch.chdir(tmp_path)
    tokenizer = bpe_tokenizer(["Anna has 3 apples. How many?"], vocab_size=300)
    build("lfm2-0.3m", tokenizer, seed=0).save_pretrained("tiny")
    tokenizer.save_pretrained("tiny")
    with Loopback(answer=lambda _: chat("<think>a guess</think>\n#### 7")) as server:
        Path("agents.py").write_text(here("\n".join(blocks(AGENTS, "python")), server), "utf-8")
        runpy.run_path("agents.py", run_name="__main__")
        commands = [shlex.split(here(b, server)) for b in blocks(AGENTS, "bash")]
        assert [command[:2] for command in commands] == [["srl-env", "eval"]] * 3
        for _, *words in commands:
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, done.output
            assert "pass@1" in done.stdout
    assert {request["model"] for request in server.requests} == {"Qwen/Qwen3-8B"}


def here(text: str, server: Loopback) -> str:
    """The text with the tiny model and the server on loopback; commands on one line."""
    text = text.replace("\\\n", " ").replace("Qwen/Qwen3-0.6B", "./tiny")
    return text.replace("http://localhost:8000/v1", server.base_url)
