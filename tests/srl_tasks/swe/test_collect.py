"""Solutions of repository tasks collected from a policy: the resolved ones, and the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import srl_env
from srl_agents.expert_data.collect import collect
from srl_agents.expert_data.settings import CollectConfig
from srl_env.data import JsonlSource
from srl_env.errors import Failure, PolicyFailure
from srl_env.policy import Generation, Sampling
from srl_env.text.prompt import Messages
from srl_env.text.tool_calls import ToolCall

LOOK = ToolCall("bash", {"command": "ls"}).render()
REPAIR = ToolCall("bash", {"command": "sed -i 's/1 + off/1 - off/' shop/prices.py"}).render()
DELETE = ToolCall("bash", {"command": "rm -rf shop tests"}).render()
SUBMIT = ToolCall("submit", {}).render()
PLANS = (
    (f"It must be less.\n{REPAIR}", SUBMIT),
    (LOOK, SUBMIT),
    ("I do not know.", SUBMIT),
    (DELETE, SUBMIT),
    (LOOK, LOOK, LOOK),  # never submits
    (REPAIR, LOOK, LOOK),  # never submits, and is resolved
    (),
)


class Scripted:
    """Takes the next of the plans in each episode. The last one is a failure of its server."""

    def __init__(self) -> None:
        self._plans = iter(PLANS)
        self._plan: tuple[str, ...] = ()

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        (messages,) = batch
        turn = sum(message["role"] == "assistant" for message in messages)
        if turn == 0:
            self._plan = next(self._plans)
        if not self._plan:
            return [PolicyFailure("the server is away")]
        return [Generation(self._plan[turn])]


def test_solutions_that_are_not_resolved_are_kept_as_negatives_with_what_they_saw(
    tiny_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path / "cache"))
    settings = CollectConfig(problems=1, rollouts=len(PLANS), max_steps=3, at_once=1, per_problem=9)
    found = collect(
        Scripted(),
        lambda: srl_env.make("srl/SWE-v0", path=str(tiny_tasks), split="train"),
        settings,
        tmp_path / "kept.jsonl",
        rejected=tmp_path / "rejected.jsonl",
    )
    assert found.verdicts == {"accepted": 2, "wrong": 4}
    assert found.failures == {"PolicyFailure": 1}
    assert (found.problems, found.rejected) == (1, 1)
    (accepted,), (rejected,) = (JsonlSource(tmp_path / f"{n}.jsonl") for n in ("kept", "rejected"))
    assert [solution.actions for solution in accepted.trajectories] == [
        (REPAIR, SUBMIT),
        (REPAIR, LOOK, LOOK),
    ]
    assert accepted.trajectories[0].steps[0].thought == "It must be less."
    assert [solution.actions for solution in rejected.trajectories] == [
        (LOOK, SUBMIT),
        ("I do not know.", SUBMIT),
        (DELETE, SUBMIT),
        (LOOK, LOOK, LOOK),
    ]
    assert rejected.metadata["rejected"] == ["wrong"] * 4
    looked, refused, *_ = (solution.steps[0].observation for solution in rejected.trajectories)
    assert looked == "shop\ntests"
    assert refused is not None
    assert "There is no call in it" in refused
