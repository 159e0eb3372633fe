"""Runs that cannot work, refused before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from srl_agents.runs.config import EnvConfig, make_config
from srl_agents.runs.environment import make_env
from srl_agents.runs.input_checks import check_inputs
from srl_agents.runs.settings import merged
from srl_env.data import DatasetSource
from srl_env.errors import BadData, BadOption, UnknownName, UserError

CHAIN = {"env": {"id": "srl/ModularChain-v0"}}


def check(**changes: Any) -> None:
    tree = {"out": "run", "model": {"path": "x"}, "budget": {"updates": 1}}
    check_inputs(make_config(merged(tree, changes)))


@pytest.fixture
def _without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(DatasetSource, "from_hub", asked)


def test_what_may_work_passes() -> None:
    check(**CHAIN)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"env": {"id": "srl/Nope-v0"}}, UnknownName, "no environment 'srl/Nope-v0'"),
        (
            {"env": {"id": "CartPole-v1"}},
            BadOption,
            "'CartPole-v1' must be a srl_env.ReasoningEnv; got a CartPoleEnv",
        ),
        ({"env": {"id": "steps:no.jsonl"}}, BadData, "no.jsonl"),
        ({"env": {"options": {"dificulty": 1}}}, UnknownName, "Did you mean 'difficulty'"),
        ({"model": {"path": "models/missing"}}, BadOption, "no folder 'models/missing'"),
        ({"env": {"problems": "missing.json"}}, BadData, "missing.json: No such file"),
    ],
)
def test_what_cannot_work_is_named(
    changes: dict[str, Any], error: type[UserError], message: str
) -> None:
    with pytest.raises(error, match=message):
        check(**merged(CHAIN, changes))


def test_problems_to_train_on_have_to_be_the_environments(tmp_path: Path) -> None:
    file = tmp_path / "hard.json"
    file.write_text(json.dumps(["modular_chain/train/7/4"]))
    check(**merged(CHAIN, {"env": {"problems": str(file)}}))
    file.write_text(json.dumps(["modular_chain/dev/7/4"]))
    with pytest.raises(BadData, match="It must be in modular_chain/train/7"):
        check(**merged(CHAIN, {"env": {"problems": str(file)}}))


@pytest.mark.usefixtures("_without_network")
@pytest.mark.parametrize("options", [{}, {"source": "hub", "path": None}])
def test_problems_of_the_hub_are_not_loaded_and_the_rest_is_checked(
    options: dict[str, Any], tmp_path: Path
) -> None:
    env = {"id": "srl/GSM8K-v0", "options": options}
    check(env=env)
    (tmp_path / "hard.json").write_text('["openai/gsm8k/train/4"]')
    check(env={**env, "problems": str(tmp_path / "hard.json")})
    with pytest.raises(BadData, match="none.json"):
        check(env={**env, "problems": "none.json"})
    with pytest.raises(UnknownName, match="no split 'tset'"):
        check(env={**env, "options": {**options, "split": "tset"}})
    with pytest.raises(UnknownName, match="no source 'hubb'"):
        check(env={**env, "options": {**options, "source": "hubb"}})


def test_an_argument_that_is_needed_is_not_made_up() -> None:
    with pytest.raises(BadOption, match="srl/ReasoningGym-v0 needs dataset="):
        check(env={"id": "srl/ReasoningGym-v0"})


def test_an_environment_is_made_as_it_is_configured() -> None:
    settings = EnvConfig(id="srl/ModularChain-v0", options={"difficulty": 3})
    assert make_env(settings).problems.name == "modular_chain/train/3"
    assert make_env(settings, split="dev").problems.name == "modular_chain/dev/3"
