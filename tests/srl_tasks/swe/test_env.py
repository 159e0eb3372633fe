"""``srl/SWE-v0`` on a tiny task set: what is executed, what is not, and who decides."""

from __future__ import annotations

import json
import math
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

import srl_env
from srl_agents.policies import ExpertPolicy
from srl_env import EnvPool, Sampling, Start
from srl_env.batch.stepping import reset_many, step_many
from srl_env.errors import BadOption, SandboxFailure, SandboxUnavailable, UnknownName
from srl_env.rollout import rollout
from srl_env.sandbox import open_sandbox
from srl_env.text.tool_calls import EDITOR, ToolCall
from srl_tasks.swe import env as swe
from srl_tasks.swe.env import SWEEnv

SUBMIT = ToolCall("submit", {}).render()


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path_factory.getbasetemp() / "trees"))


@pytest.fixture
def env(tiny_tasks: Path) -> Iterator[SWEEnv]:
    made = SWEEnv(tiny_tasks)
    yield made
    made.close()


def bash(command: str) -> str:
    return ToolCall("bash", {"command": command}).render()


def answer(env: SWEEnv, action: str) -> str:
    """What an action is answered by."""
    return env.step(action)[0].rpartition("\nObservation:\n")[2]


def play(env: SWEEnv, **options: Any) -> list[Any]:
    """The results of the expert's steps."""
    env.reset(seed=3, options=options)
    left = len(env.expert_steps) - env.start_step
    return [env.step(env.expert_completion()) for _ in range(left)]


@pytest.mark.parametrize("mode", ["rlvr", "hybrid", "srl"])
def test_the_expert_resolves_the_task_in_every_mode(env: SWEEnv, mode: str) -> None:
    results = play(env, reward_mode=mode, continuation="policy")
    _, _, terminated, truncated, info = results[-1]
    assert (terminated, truncated) == (True, False)
    assert info["verdict"]["correct"]
    assert info["verdict"]["resolved"]
    assert info["verdict"]["trust"] == "oracle"
    assert info["world"] == {"sandbox": "namespaces", "isolation": "full"}
    expected = {"rlvr": 1.0, "hybrid": 3.0, "srl": 5.0}[mode]  # hybrid: 5 × 0.5 + 0.5
    assert math.fsum(result[1] for result in results) == pytest.approx(expected)


def test_submitting_at_once_resolves_nothing(env: SWEEnv) -> None:
    env.reset(seed=0, options={"reward_mode": "rlvr"})
    _, reward, terminated, _, info = env.step(SUBMIT)
    assert (reward, terminated, info["verdict"]["correct"]) == (0.0, True, False)
    assert info["verdict"]["cases"] == {"half off": False, "nothing off": True}


def test_another_repair_than_the_expert_s_counts_as_well(env: SWEEnv) -> None:
    env.reset(seed=0, options={"reward_mode": "rlvr"})
    env.step(bash("sed -i 's/(1 + off)/(1.0 - off)/' shop/prices.py"))
    assert env.step(SUBMIT)[1] == 1.0


def test_the_step_limit_is_judged_too(env: SWEEnv) -> None:
    env.reset(seed=0, options={"reward_mode": "rlvr", "max_steps": 1})
    _, reward, terminated, truncated, info = env.step(bash("sed -i 's/1 + off/1 - off/' */*.py"))
    assert (reward, terminated, truncated) == (1.0, False, True)
    assert info["verdict"]["resolved"]


def test_nothing_is_executed_under_the_expert_s_continuation(
    tiny_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_sandbox(*_: object) -> None:
        raise AssertionError("a sandbox was opened")

    monkeypatch.setattr(swe, "shared_sandbox", no_sandbox)
    results = play(SWEEnv(tiny_tasks), reward_mode="srl")
    assert [result[1] for result in results] == [1.0] * 5
    assert results[-1][4]["verdict"] is None
    assert "world" not in results[-1][4]


def test_what_is_no_call_is_minus_one_and_is_answered_by_what_to_do(env: SWEEnv) -> None:
    env.reset(seed=0, options={"reward_mode": "srl", "continuation": "policy"})
    observation, reward, terminated, truncated, info = env.step("I would look around first.")
    assert (reward, terminated, truncated, info["format_ok"]) == (-1.0, False, False, False)
    assert "End the turn with exactly one call" in observation


def test_a_start_step_really_executes_the_expert_s_steps(env: SWEEnv) -> None:
    for _ in range(2):  # the second time from what was kept of the first
        observation, info = env.reset(
            seed=1, options={"reward_mode": "rlvr", "start_step": 3, "problem": "shop-train"}
        )
        assert info["step"] == 3
        assert "has been edited" in observation
        assert "1 - off" in env.step(bash("cat shop/prices.py"))[0]
        assert env.step(SUBMIT)[1] == 1.0


def test_a_start_step_shows_what_stepping_there_shows(env: SWEEnv) -> None:
    options = {"reward_mode": "rlvr", "problem": 0}
    env.reset(seed=1, options=options)
    for _ in range(4):
        stepped = env.step(env.expert_completion())[0]
    assert env.reset(seed=1, options={**options, "start_step": 4})[0] == stepped


def test_the_context_is_the_whole_conversation_or_its_end_or_without_old_results(
    tiny_tasks: Path,
) -> None:
    options = {"reward_mode": "rlvr", "start_step": 4}
    whole = SWEEnv(tiny_tasks)
    last = SWEEnv(tiny_tasks, context_turns=2)
    small = SWEEnv(tiny_tasks, context_characters=300)
    shown, end, short = (
        env.reset(seed=1, options=options)[1]["messages"] for env in (whole, last, small)
    )
    assert [message["role"] for message in shown] == ["system", "user", *["assistant", "user"] * 4]
    assert end == [*shown[:2], *shown[-4:]]
    assert [m for m in short if m["role"] == "assistant"] == [
        m for m in shown if m["role"] == "assistant"
    ]
    assert any("left out]" in message["content"] for message in short)
    assert short[-1] == shown[-1]
    for env in (whole, last, small):
        env.close()


def test_a_snapshot_forks_the_workspace_too(env: SWEEnv) -> None:
    env.reset(seed=0, options={"reward_mode": "rlvr"})
    env.step(bash("echo kept > note; cd shop"))
    snapshot = pickle.loads(pickle.dumps(env.snapshot()))
    env.step(bash("rm ../note; sed -i 's/1 + off/1 - off/' prices.py"))
    assert env.step(SUBMIT)[1] == 1.0
    env.restore(snapshot)
    assert "kept" in env.step(bash("cat ../note; pwd"))[0]
    assert env.step(SUBMIT)[1] == 0.0
    env.snapshot()  # of an episode that has ended: its last workspace


def test_nothing_in_reach_gives_the_solution_away(env: SWEEnv) -> None:
    env.reset(seed=0, options={"reward_mode": "rlvr"})
    shown = answer(env, bash("find . -path ./.git -prune -o -type f -print | sort; ls"))
    assert shown.split() == [
        *("./shop/__init__.py", "./shop/prices.py", "./shop/text.py", "./tests/test_text.py"),
        *("shop", "tests"),
    ]
    elsewhere = f"find / -path /proc -prune -o -path /usr -prune -o -path {sys.base_prefix} -prune"
    secrets = ("test_prices*", "oracle_cases*", "tasks.jsonl", ".git")
    names = " -o ".join(f"-name '{name}'" for name in ("prices.py", *secrets))
    found = answer(env, bash(rf"{elsewhere} -o \( {names} \) -print"))
    assert found.split() == ["/workspace/.git", "/workspace/shop/prices.py"]
    objects = answer(
        env, bash("git cat-file --batch-all-objects --batch | grep -ac 'def total'; true")
    )
    assert objects.split()[0] in ("1", "0")  # 0 where git is not installed
    objects = "git cat-file --batch-all-objects --batch | grep -aF '1 - off'"
    assert "exit status 1" in answer(env, bash(objects))
    assert "exit status 1" in answer(env, bash("grep -rF '1 - off' . /tmp /dev/shm /etc"))
    assert "exit status 1" in answer(env, bash("env | grep -F shop"))


def test_three_time_outs_in_a_row_end_the_episode(tiny_tasks: Path) -> None:
    env = SWEEnv(tiny_tasks, command_timeout_s=0.2)
    env.reset(seed=0, options={"reward_mode": "rlvr"})
    ends = [env.step(bash("sleep 9"))[2] for _ in range(3)]
    assert ends == [False, False, True]


def test_time_spent_in_commands_ends_the_episode(tiny_tasks: Path) -> None:
    env = SWEEnv(tiny_tasks, episode_timeout_s=0.3)
    env.reset(seed=0, options={"reward_mode": "rlvr"})
    _, _, terminated, _, info = env.step(bash("sleep 0.4"))
    assert terminated
    assert info["verdict"]["correct"] is False


def test_a_sandbox_that_dies_is_a_failure_and_no_reward(
    env: SWEEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise SandboxFailure("the launcher is gone")

    env.reset(seed=0, options={"reward_mode": "rlvr"})
    monkeypatch.setattr(swe, "grade", dies)
    _, reward, terminated, truncated, info = env.step(SUBMIT)
    assert math.isnan(reward)
    assert (terminated, truncated) == (False, True)
    assert info["failure"] == {"type": "SandboxFailure", "message": "the launcher is gone"}
    assert "verdict" not in info


@pytest.mark.parametrize(
    "command",
    [
        "for i in 1 2 3 4 5; do truncate -s 60M hole$i; done",
        "python3 -c 'import os; [os.symlink(4000 * \"a\", str(i)) for i in range(9000)]'",
    ],
    ids=["contents", "names"],
)
def test_a_workspace_made_too_large_is_not_resolved_rather_than_masked(
    env: SWEEnv, command: str
) -> None:
    env.reset(seed=0, options={"reward_mode": "rlvr"})
    env.step(bash(command))
    _, reward, terminated, _, info = env.step(SUBMIT)
    assert (reward, terminated) == (0.0, True)
    assert info["verdict"]["tamper"] == ["the change is too large"]
    env.restore(env.snapshot())


@pytest.mark.parametrize("backend", ["landlock", "local"])
def test_backends_that_isolate_less_run_and_grade_too(tiny_tasks: Path, backend: str) -> None:
    try:
        open_sandbox(backend, allow_weak=True).close()
    except SandboxUnavailable as missing:
        pytest.skip(str(missing))
    pool = EnvPool(lambda: SWEEnv(tiny_tasks, sandbox=backend, allow_weak=True))
    (episode,) = rollout(pool, ExpertPolicy(), [Start({"reward_mode": "rlvr"}, 0, 0)], Sampling())
    assert episode.correct
    assert "No module named" not in str(episode.steps[-1].messages)


def test_many_environments_are_stepped_together(tiny_tasks: Path) -> None:
    envs: list[srl_env.ReasoningEnv] = [SWEEnv(tiny_tasks) for _ in range(4)]
    reset_many(envs, seeds=range(4), options=[{"reward_mode": "rlvr"}] * 4)
    step_many(envs, [bash("sed -i 's/1 + off/1 - off/' shop/prices.py"), *[bash("true")] * 3])
    rewards = [result[1] for result in step_many(envs, [SUBMIT] * 4)]
    assert rewards == [1.0, 0.0, 0.0, 0.0]


def test_every_promise_of_an_environment_is_kept(tiny_tasks: Path) -> None:
    srl_env.check_env(SWEEnv(tiny_tasks), hostile=300, seconds=5.0)


def test_gymnasium_s_own_check_passes(env: SWEEnv) -> None:
    gymnasium_check_env(env, skip_render_check=True)


def test_hostile_calls_are_answered(env: SWEEnv) -> None:
    env.reset(seed=0, options={"reward_mode": "rlvr"})
    calls = [
        bash("printf '\\x1b[31m\\x00\\xff'; ln -s /etc/passwd link; mkfifo pipe"),
        ToolCall(EDITOR, {"command": "view", "path": "link"}).render(),
        ToolCall(EDITOR, {"command": "view", "path": "pipe"}).render(),
        ToolCall(EDITOR, {"command": "view", "path": "/etc/passwd"}).render(),
        ToolCall(EDITOR, {"command": "view", "path": "../../etc/passwd"}).render(),
        ToolCall(EDITOR, {"command": "create", "path": "link", "file_text": "x"}).render(),
        bash("x" * 200_000),
        bash("echo \ud800"),
    ]
    for call in calls:
        observation, _, terminated, truncated, info = env.step(call)
        assert (terminated, truncated) == (False, False), info
        assert "root:" not in observation
        assert "\x1b" not in observation
        json.dumps(info)
        observation.encode()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"split": "tran"}, UnknownName, "Did you mean 'train'"),
        ({"repos": ["shopp"]}, UnknownName, "Did you mean 'shop'"),
        ({"repos": "shop"}, BadOption, "repos must be a list"),
        ({"measure": "calls"}, UnknownName, "Did you mean 'tool-calls'"),
        ({"command_timeout_s": 0}, BadOption, "command_timeout_s"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(
    tiny_tasks: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SWEEnv(tiny_tasks, **arguments)


def test_a_folder_without_tasks_is_named(tmp_path: Path) -> None:
    with pytest.raises(srl_env.errors.BadData, match=r"dataset.json: No such file"):
        SWEEnv(tmp_path)


def test_whole_solutions_are_refused(env: SWEEnv) -> None:
    with pytest.raises(BadOption, match="granularity must be 'step'; got 'solution'"):
        env.reset(options={"granularity": "solution"})
