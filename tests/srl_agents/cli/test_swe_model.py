"""``srl-env swe build --model``: a server on loopback writes bugs and words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_env.errors import SandboxUnavailable
from srl_env.sandbox import open_sandbox
from tests.srl_agents.policies.servers.loopback import Loopback, Request, chat, refuses
from tests.srl_env.swe.builder.conftest import SHOP, write_repository
from tests.srl_env.swe.builder.test_author import written


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        open_sandbox().close()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "cache"))
    write_repository(tmp_path / "shop", SHOP)


def build(*words: str) -> Result:
    given = ["build", "shop", "--out", "tasks", "--max-tasks", "1", "--max-bugs", "1"]
    return CliRunner().invoke(app, ["swe", *given, *words])


def served(request: Request) -> Request:
    return chat(written(request["messages"][0]["content"]))


def test_a_server_writes_tasks_and_acceptance_and_cost_are_reported() -> None:
    with Loopback(answer=served) as server:
        place = ["-m", "openai:fake", "--base-url", server.base_url, "--prices", "1,2"]
        stopped = build(*place, "--max-requests", "2")
        assert stopped.exit_code == 2
        assert "the limit max-requests=2 is reached. Fix: raise it" in stopped.stderr
        done = build(*place, "--max-requests", "40")
        asked = len(server.requests)
    assert done.exit_code == 0, done.output
    report = json.loads(Path("tasks/report.json").read_text())["shop"]
    usage = report["model"]["usage"]
    assert usage["requests"] == asked
    # Of each request 10 tokens at 1 and 3 at 2, for a million.
    assert usage["cost"] == pytest.approx(asked * 16e-6)
    for text in ("model acceptance", "1 tasks", "model requests", "model cost", "written_"):
        assert text in done.stdout
    assert "It adds the discount" not in Path("tasks/tasks.jsonl").read_text()


def test_a_server_that_fails_is_a_typed_failure_and_the_build_can_be_resumed() -> None:
    with Loopback(*[refuses(503)] * 50) as server:
        quick = '{"retries": 0, "backoff_s": 0}'
        place = ["-m", "openai:fake", "--base-url", server.base_url, "--policy-kwargs", quick]
        done = build(*place)
    assert done.exit_code == 1
    assert "Progress is saved. The same command resumes" in done.stderr
    assert "answered 503" in done.stderr
    assert Path("tasks/.build/shop.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "http://localhost:8000/v1"], "openai:MODEL with --base-url http://localhost:8000"),
        (["-m", "expert"], "must be a policy that writes text; got expert"),
        (["--max-requests", "5"], "--model must name a policy; got max_requests without one"),
        (["-m", "openai:x", "--max-cost", "1"], "max_cost needs prices"),
        (["-m", "openai:x", "--temperature", "-1"], "temperature must be in 0"),
    ],
)
def test_what_cannot_be_a_model_is_refused_before_anything_runs(
    words: list[str], message: str
) -> None:
    done = build(*words, *(["--base-url", "http://127.0.0.1:9/v1"] if "openai:x" in words else []))
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") <= 2
    assert not Path("tasks").exists()
