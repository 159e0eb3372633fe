"""Processes that do not fit together: one line each, the same in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from srl_agents.parallel.agreement import check_same, flat, software, weights_digest
from srl_agents.parallel.team import ALONE, Team, launched
from srl_agents.runs.config import make_config
from srl_agents.training.run import _check_together
from srl_env.errors import BadOption
from tests.srl_agents import letters
from tests.srl_agents.parallel.team_jobs import PLACE


@dataclass(frozen=True, slots=True)
class Given(Team):
    """A team whose other processes have the given items; without any, the same as this one."""

    others: Sequence[Any] = ()

    def all_gather(self, mine: Sequence[Any]) -> list[Any]:
        return [*mine, *(self.others or [*mine] * (self.size - 1))]


def test_what_differs_is_named_with_both_values() -> None:
    mine = flat({"seed": 0, "train": {"lr": 0.1, "batch": 4}, "env": {}})
    assert mine == {"seed": 0, "train.lr": 0.1, "train.batch": 4, "env": {}}
    team = Given(0, 3, [mine, {**mine, "train.lr": 0.2}])
    with pytest.raises(BadOption) as error:
        check_same(team, "settings", mine, "start all with the same command")
    assert str(error.value) == (
        "all processes must have the same settings; got train.lr = 0.2 and 0.1 in rank 2 and rank"
        " 0. Fix: start all with the same command"
    )


def test_of_many_differences_three_are_shown() -> None:
    team = Given(0, 2, [dict.fromkeys("abcde", 1)])
    with pytest.raises(BadOption, match=r"c = 1 and 0 and 2 more in rank 1 and rank 0"):
        check_same(team, "settings", dict.fromkeys("abcde", 0), "x")


def test_processes_that_have_the_same_agree() -> None:
    check_same(Given(0, 2), "software", software(), "x")
    check_same(ALONE, "software", {}, "x")


def test_a_digest_of_weights_sees_one_changed_number() -> None:
    model = letters.base()
    before = weights_digest(model)
    assert before == weights_digest(letters.base())
    with torch.no_grad():
        model.model.norm.weight[3] += 2**-20
    assert weights_digest(model) != before


def test_every_process_needs_a_group(tree: dict[str, Any]) -> None:
    config = make_config(tree)
    _check_together(Given(0, 4), config, resume=False)
    with pytest.raises(BadOption) as error:
        _check_together(Given(0, 5), config, resume=False)
    assert str(error.value) == (
        "the batch of stage 'srl' must have a group for each of 5 processes; got 4. Fix: raise"
        " train.batch, or start fewer processes"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MASTER_ADDR": ""}, "variable MASTER_ADDR must be set where RANK is; got none"),
        ({"WORLD_SIZE": ""}, "variable WORLD_SIZE must be set where RANK is; got none"),
        ({"RANK": "one"}, "variable RANK must be a number; got one"),
        ({"RANK": "2"}, "variable RANK must be below WORLD_SIZE; got 2 and 2"),
    ],
)
def test_a_launcher_variable_that_is_missing_or_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    for name, value in (PLACE | {"RANK": "1"} | changes).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadOption, match=message) as error:
        launched()
    assert "Fix: " in str(error.value)
    assert "\n" not in str(error.value)


def test_one_process_of_a_launcher_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launched() == ALONE
