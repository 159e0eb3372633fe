"""The pages under docs: every block of code runs, every link leads somewhere, every page is found.

How blocks are run, and which are not, is said in ``tests/pages.py``. Pages that need more than
that (a server, data, a repository) have tests of their own.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from srl_agents.models.small import bpe_tokenizer, build
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import with_overrides
from tests.pages import (
    ROOT,
    blocks,
    commands,
    program,
    run_command,
    run_program,
    texts,
    unknown_options,
    visiting,
    write_files,
    write_your_project,
)
from tests.srl_agents.policies.servers.loopback import Loopback, chat

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
EVERYWHERE = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
SHOWN = {"text", "toml", "yaml", "json", "console", ""}
PLAIN = ["index", "idea", "environments", "rewards", "training", "evaluation", "security"]
PLAIN += ["grading", "measures", "methods", "sandbox", "throughput"]
OWN_TESTS = ["data", "large-models", "swe"]
AGENTS = {"index": (), "own": (), "transformers": (), "human": (), "openai": ("openai",)}
AGENTS |= {"tools": ()}
AGENTS |= {"stable-baselines3": ("sb3_contrib",), "trl": ("trl",)}

page_id: Callable[[Path], str] = lambda page: page.relative_to(ROOT).with_suffix("").as_posix()  # noqa: E731


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """An empty folder to run a page in."""
    with visiting(tmp_path):
        yield tmp_path


@pytest.mark.parametrize("name", PLAIN)
def test_a_page_runs_from_top_to_bottom(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = DOCS / f"{name}.md"
    write_files(page)
    run_program(program(page))
    printed = capsys.readouterr().out
    for words in commands(page):
        run_command(words)
    for shown in texts(page, "text"):
        if "\n" in shown.strip() and not shown.startswith("def "):
            assert shown in printed


def test_every_page_with_code_is_run_by_a_test() -> None:
    run = {*PLAIN, *OWN_TESTS, *(f"agents/{name}" for name in AGENTS)}
    with_code = [page for page in PAGES if texts(page, "python") or texts(page, "bash")]
    assert {page.relative_to(DOCS).with_suffix("").as_posix() for page in with_code} <= run


@pytest.mark.parametrize("page", EVERYWHERE, ids=page_id)
def test_code_that_is_shown_only_is_well_formed(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"python", "bash", "py", "sh", *SHOWN}
    for text in texts(page, "py"):
        compile(text, str(page), "exec")
    for words in commands(page, "sh"):
        if words[0] == "srl-env":
            assert unknown_options(words) == [], shlex.join(words)
    for block in blocks(page):
        assert block.text.count("\t") == 0 or block.language == "text"


@pytest.mark.parametrize("page", EVERYWHERE, ids=page_id)
def test_a_training_that_is_shown_only_has_a_configuration(page: Path) -> None:
    for words in commands(page, "sh"):
        if words[:2] == ["srl-env", "train"] and "--config" not in words:
            given = dict(zip(words[2::2], words[3::2], strict=True))
            assert "--out" in given
            changes = [value for name, value in pairwise(words) if name == "--set"]
            tree = {
                "out": given["--out"],
                "method": given["--method"],
                "env": {"id": given["--env"]},
            }
            make_config(with_overrides({**tree, "model": {"path": given["--model"]}}, changes))


@pytest.mark.parametrize("page", EVERYWHERE, ids=page_id)
def test_every_link_into_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(
        r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")
    )
    for target, anchor in links:
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the site and code hosts make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def test_every_page_has_its_place_in_the_navigation_once() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    found = [page for _, page in entries(nav) if page]
    assert sorted(found) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def test_no_two_entries_of_the_navigation_have_one_name() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    names = [name for name, _ in entries(nav)]
    assert sorted(names) == sorted(set(names))


def test_the_first_page_names_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = (DOCS / "index.md").read_text(encoding="utf-8").partition("| extra |")[2]
    assert [e for e in project["optional-dependencies"] if f"`{e}`" not in table] == []


def entries(nav: list[dict[str, Any]]) -> Iterator[tuple[str, str | None]]:
    """(name, page) of each entry of a navigation; the page of a section is None."""
    for entry in nav:
        for name, inner in entry.items():
            yield name, inner if isinstance(inner, str) else None
            yield from entries(inner) if isinstance(inner, list) else ()


def test_the_page_on_software_engineering_runs(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_program(program(DOCS / "swe.md"))
    assert "0.0 False controlled {'sandbox': 'namespaces'" in capsys.readouterr().out


@pytest.mark.slow
def test_the_commands_of_the_page_on_software_engineering_run(here: Path) -> None:
    write_your_project()
    for words in commands(DOCS / "swe.md"):
        run_command(words)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*pin_memory:UserWarning")  # of TRL
@pytest.mark.parametrize("name", AGENTS)
def test_a_page_on_agents_runs(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python blocks, which are one program, then its commands; in this process, for time."""
    for package in AGENTS[name]:
        pytest.importorskip(package)
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    tokenizer = bpe_tokenizer(["Anna has 3 apples. How many?"], vocab_size=300)
    build("lfm2-0.3m", tokenizer, seed=0).save_pretrained("tiny")
    tokenizer.save_pretrained("tiny")
    page = DOCS / f"agents/{name}.md"
    with Loopback(answer=lambda _: chat("<think>a guess</think>\n#### 7")) as server:
        run_program(replaced(program(page), server))
        for words in commands(page):
            assert words[:2] == ["srl-env", "eval"]
            assert "pass@1" in run_command([replaced(word, server) for word in words])
    asked = {request["model"] for request in server.requests}
    assert asked == ({"Qwen/Qwen3-8B"} if name == "openai" else set())


def replaced(text: str, server: Loopback) -> str:
    """The text with the tiny model and the server on loopback."""
    text = text.replace("Qwen/Qwen3-0.6B", "./tiny")
    return text.replace("http://localhost:8000/v1", server.base_url)


@pytest.mark.parametrize("page", EVERYWHERE, ids=page_id)
def test_files_of_the_packages_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:srl_env|envs|agents|examples|tests|sitegen)/[\w/.-]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
