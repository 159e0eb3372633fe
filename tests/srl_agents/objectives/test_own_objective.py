"""A new objective, and a method of it, are one file and a name in the configuration."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from srl_agents.objectives import Scores
from srl_agents.objectives.registry import objective_class
from srl_agents.runs.config import make_config
from srl_agents.training.run import train
from srl_env.errors import BadOption, UnknownName
from tests.srl_agents import letters
from tests.srl_agents.objectives.own_objective import Reinforce

FILE = "tests.srl_agents.objectives.own_objective"
STAGE = {
    "name": "own",
    "objective": {"kind": f"{FILE}:Reinforce", "reward_mode": "srl", "max_steps": 1},
    "starts": {"at": "prefix"},
}


@pytest.mark.parametrize("method", [f"{FILE}:METHOD", [STAGE]], ids=["method", "stage written out"])
def test_an_objective_in_a_file_of_its_own_trains(tree: dict[str, Any], method: Any) -> None:
    train_it = {"objective": {"strength": 2.0, "max_tokens": 4}, "batch": 4, "lr": 1e-2}
    config = make_config({**tree, "method": method, "train": train_it, "budget": {"updates": 2}})
    result = train(config)
    assert result.finished
    made = letters.updates(result.folder)
    assert [line["groups/trained"] for line in made] == [4.0, 4.0]
    assert all(line["grad_norm"] > 0 for line in made)
    signals = [
        signal for row in letters.lines(result.folder, "rollouts") for signal in row["signals"]
    ]
    assert {signal["outcome"] for signal in signals} <= {"trained", "unused"}
    assert "the mean reward 'srl'" in config.resolved_method.summary(made)


def test_its_settings_are_checked_like_those_that_ship(tree: dict[str, Any]) -> None:
    stage = {**STAGE, "objective": {"kind": f"{FILE}:Reinforce", "strength": 0.0}}
    with pytest.raises(BadOption, match=r"objective\.strength must be greater than 0; got 0\.0"):
        make_config({**tree, "method": [stage], "train": {}})
    with pytest.raises(UnknownName, match="train.objective.strenght"):
        make_config({**tree, "method": [STAGE], "train": {"objective": {"strenght": 1.0}}})


def test_its_loss_is_its_own() -> None:
    scores = Scores(torch.tensor([[-1.0, -2.0]]), torch.tensor([[True, True]]), torch.tensor([0.5]))
    (term,) = Reinforce(strength=2.0).loss_terms(scores)
    assert term.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("ppo", UnknownName, "no objective 'ppo'"),
        ("tests.nowhere:Mine", BadOption, "cannot be imported"),
        (f"{FILE}:METHOD", BadOption, "must name a subclass of Objective"),
    ],
)
def test_what_is_no_objective_is_refused(kind: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        objective_class(kind)
