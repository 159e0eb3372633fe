"""Collections from the command line, from the first prompt to a training on what was kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import srl_env
from srl_agents.cli.main import app
from srl_agents.runs.config import EnvConfig, make_config
from srl_agents.runs.environment import make_env
from srl_agents.training.run import train
from srl_env.data import JsonlSource
from srl_env.errors import BadData
from tests.srl_agents.expert_data import teachers
from tests.srl_agents.letters import save_base, settings, updates
from tests.srl_agents.policies.servers.loopback import Loopback, Request, chat

TEACHER = f"{teachers.__file__}:Sums"


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["data", *map(str, arguments)])


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def sums(tmp_path: Path) -> str:
    """An environment of four sums; all are in its split "all"."""
    file = tmp_path / "sums.jsonl"
    made = [
        {"id": f"{a}", "prompt": f"What is {a} + 2 + 3?", "answer": f"{a + 5}", "steps": ["?", "."]}
        for a in range(4)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return f"steps:{file}"


def collect(sums: str, out: Path, *more: object) -> list[object]:
    given = ["collect", "-m", TEACHER, "-e", sums, "-o", out, "--split", "all"]
    return [*given, "--granularity", "solution", "-r", 3, *more]


def test_what_is_collected_passes_lint_and_is_trained_on(tmp_path: Path, sums: str) -> None:
    out, rejected = tmp_path / "teacher.jsonl", tmp_path / "rejected.jsonl"
    result = run(*collect(sums, out, "--rejected", rejected))
    assert result.exit_code == 0, result.output
    # Of prompts 1 to 12, numbers 4, 8, 12 fail and 3, 6, 9 are wrong; 1, 2 and 10, 11 are alike.
    for text in (
        "sampled: 12 of 12 solutions",
        "accepted: 6 (67% of those with a verdict), 2 of them duplicates",
        "rejected: 3 not correct",
        "failed, not counted and not written: PolicyFailure 3",
        "used: 27 completion tokens",
        f"{out}: 4 problems, 4 solutions",
        f"{rejected}: rejected solutions of 3 problems",
    ):
        assert text in result.output
    assert rows(out)[0]["trajectories"] == [
        {
            "source": TEACHER,
            "steps": [
                {"action": "0 + 2 = 2", "thought": "left to right"},
                "2 + 3 = 5",
                "#### 5",
            ],
        }
    ]
    assert [row["metadata"]["rejected"] for row in rows(rejected)] == [["wrong"]] * 3
    lint = run("lint", out, "--format", "think", "--json")
    assert (lint.exit_code, json.loads(lint.stdout)["counts"]) == (0, {})

    tree = settings(save_base(tmp_path / "base"), tmp_path / "run")
    env = {"id": sums, "options": {"split": "all"}, "experts": str(out)}
    method = [{"name": "sft", "objective": {"kind": "nll"}, "starts": {"at": "prefix"}}]
    tree |= {"env": env, "method": method, "budget": {"updates": 2}}
    tree["train"] = {"lr": 1e-2, "batch": 4}
    train(make_config(tree))
    first_loss, second_loss = [update["loss"] for update in updates(tmp_path / "run")]
    assert second_loss < first_loss
    alone = {"id": str(out), "options": {"split": "all"}}  # the file as an environment
    train(make_config({**tree, "out": str(tmp_path / "alone"), "env": alone}))


def test_a_killed_collection_asks_for_no_finished_solution_again(tmp_path: Path, sums: str) -> None:
    out, log = tmp_path / "teacher.jsonl", tmp_path / "log"

    def command(kill_after: int, *more: str) -> list[str]:
        kwargs = json.dumps({"log": str(log), "kill_after": kill_after})
        arguments = collect(sums, out, "--at-once", 1, "--policy-kwargs", kwargs, *more)
        return [sys.executable, "-m", "srl_agents", "data", *map(str, arguments)]

    killed = subprocess.run(command(5), check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    done = subprocess.run(command(0, "--resume"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    asked = log.read_text(encoding="utf-8").splitlines()
    # Five before the kill; then the fourth, which had failed, and the seven that were left.
    assert len(asked) == 5 + 1 + 7
    assert asked[5] == asked[3]
    assert asked[6:] == [line for line in dict.fromkeys(asked) for _ in range(3)][5:]
    assert len(rows(out)) == 4
    text = (tmp_path / "teacher.jsonl.collect" / "episodes/000000.jsonl").read_text(
        encoding="utf-8"
    )
    numbers = [json.loads(line)["number"] for line in text.splitlines()]
    assert numbers == list(range(12))


def test_tool_worlds_keep_their_turns_and_their_answers(tmp_path: Path) -> None:
    out = tmp_path / "shop.jsonl"
    done = run("collect", "-m", "expert", "-e", "srl/ToolShop-v0", "-n", 2, "-r", 1, "-o", out)
    assert done.exit_code == 0, done.output
    shop = srl_env.make("srl/ToolShop-v0").unwrapped
    for problem in JsonlSource(out):
        original = shop.problems[shop.problems.index_of(problem.id)]  # type: ignore[attr-defined]
        assert problem.trajectories[0].steps == original.trajectories[0].steps
    env = make_env(EnvConfig(id="srl/ToolShop-v0", experts=str(out)))
    assert len(env.problems) == 2
    _, info = env.reset(options={"problem": 1, "start_step": 1, "reward_mode": "srl"})
    assert info["messages"][-2]["content"] == env.expert_steps[0].action


def test_experts_of_other_problems_are_refused_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text('{"id": "x", "prompt": "?", "steps": ["a"]}\n', encoding="utf-8")
    with pytest.raises(BadData, match=r"other.jsonl:1: .*Fix: give the environment the arguments"):
        make_env(EnvConfig(id="srl/ModularChain-v0", experts=str(file)))
    file.write_text('{"id": "modular_chain/train/7/1", "prompt": "?"}\n', encoding="utf-8")
    with pytest.raises(BadData, match=r"other.jsonl:1: .*must have a solution; got none"):
        make_env(EnvConfig(id="srl/ModularChain-v0", experts=str(file)))


def test_limits_count_what_was_used_before(
    tmp_path: Path, sums: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def answer(request: Request) -> Request:
        a = int(request["messages"][-1]["content"].split("What is ")[1].split(" +")[0])
        return chat(f"<think></think>{a} + 5 = {a + 5}\n#### {a + 5}")

    out = tmp_path / "server.jsonl"
    with Loopback(answer=answer) as server:
        given = ["collect", "-m", "openai:m", "--base-url", server.base_url, "-e", sums, "-o", out]
        given += ["--split", "all", "--granularity", "solution", "-r", 1, "--at-once", 1]
        given += ["--parallel", 1, "--prices", "100000,0"]
        first = run(*given, "--max-requests", 2)
        assert first.exit_code == 2
        assert "the limit max-requests=2 is reached" in first.output
        assert len(rows(out)) == 2
        second = run(*given, "--max-cost", 3, "--resume")  # each request costs 1
        assert (second.exit_code, len(rows(out))) == (2, 3)
        last = run(*given, "--max-cost", 9, "--resume")
        assert last.exit_code == 0
        assert "requests 4, retries 0, failed 0, prompt tokens 40" in last.output
        assert "cost 4" in last.output
        assert len(server.requests) == 4


def test_another_collection_is_not_overwritten(tmp_path: Path, sums: str) -> None:
    out = tmp_path / "teacher.jsonl"
    assert run(*collect(sums, out)).exit_code == 0
    again = run(*collect(sums, out))
    assert again.exit_code == 2
    assert "Fix: continue it with --resume" in again.output
    other = run(*collect(sums, out, "--resume", "--temperature", 0.5))
    assert "got another --temperature" in other.output
    same = run(*collect(sums, out, "--resume", "--keep", "diverse", "--per-problem", 2))
    assert same.exit_code == 0, same.output
    missing = run(*collect(sums, tmp_path / "new.jsonl", "--resume"))
    assert "--resume must continue a collection; got none" in missing.output


def test_repository_tasks_are_collected_with_what_the_tools_answered(tmp_path: Path) -> None:
    out = tmp_path / "swe.jsonl"
    done = run("collect", "-m", "expert", "-e", "srl/SWE-v0", "-n", 1, "-r", 1, "-o", out)
    assert done.exit_code == 0, done.output
    (problem,) = JsonlSource(out)
    env = srl_env.make("srl/SWE-v0").unwrapped
    original = env.problems[env.problems.index_of(problem.id)]  # type: ignore[attr-defined]
    assert problem.trajectories[0].actions == original.trajectories[0].actions
    assert all(step.observation for step in problem.trajectories[0].steps)
