"""The contract of verl's agent loops, without verl: see ``verl_fake`` for what stands in for it."""

from __future__ import annotations

import asyncio
import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import pytest

from srl_agents.integrations.rows import RowsDropped, StepRewardsSpread
from srl_agents.models.small import EOS, character_tokenizer
from srl_env.errors import BadOption, MissingExtra, WorldFailure
from srl_env.testing import CountingEnv
from srl_env.text.prompt import PromptStyle
from tests.srl_agents.integrations import verl_fake
from tests.srl_agents.integrations.trl.test_task import ALPHABET, Plain, spoken

COUNTING, SPOKEN = "verl-test/Counting-v0", "verl-test/Spoken-v0"


class Fails(CountingEnv):
    """Dies at "die", and at the first "once"."""

    deaths = 0

    def __init__(self) -> None:
        super().__init__(style=PromptStyle.bare(), format=Plain())

    def advance(self, action: str) -> Any:
        if "die" in action or ("once" in action and not Fails.deaths):
            Fails.deaths += 1
            raise WorldFailure("the world is gone")
        return super().advance(action)


@pytest.fixture
def verl() -> Iterator[ModuleType]:
    """``srl_agents.integrations.verl`` on the fake, and environments for it."""
    made: dict[str, Any] = {COUNTING: Fails, SPOKEN: spoken}
    for env_id, maker in made.items():
        gymnasium.register(env_id, maker, order_enforce=False, disable_env_checker=True)
    Fails.deaths = 0
    sys.modules.pop("srl_agents.integrations.verl", None)
    with verl_fake.installed():
        yield importlib.import_module("srl_agents.integrations.verl")
    sys.modules.pop("srl_agents.integrations.verl", None)
    for env_id in made:
        del gymnasium.registry[env_id]


def run(
    verl: ModuleType,
    row: dict[str, Any],
    *said: str,
    environment: str = COUNTING,
    lengths: dict[str, int] | None = None,
    **given: Any,
) -> tuple[verl_fake.AgentLoopOutput, verl_fake.Server, Any]:
    tokenizer = character_tokenizer(ALPHABET)
    server = verl_fake.Server(tokenizer, *said)

    async def main() -> Any:
        arguments = verl_fake.workers_arguments(tokenizer, server, **(lengths or {}))
        loop = verl.SRLAgentLoop(**arguments, environment=environment, **given)
        return await loop.run({"temperature": 1.0}, raw_prompt=[], extra_info=row, index=0)

    return asyncio.run(main()), server, tokenizer


def row(start_step: int = 0) -> dict[str, Any]:
    return {"problem": 0, "start_step": start_step, "seed": 1, "problem_id": "", "index": 0}


STEPWISE: dict[str, Any] = {"reward_mode": "rlvr", "settings": {"granularity": "step"}}


def test_the_loop_is_registered_under_the_name_that_the_rows_have(verl: ModuleType) -> None:
    assert verl_fake.registry["srl_env"] == {
        "_target_": "srl_agents.integrations.verl.SRLAgentLoop"
    }
    assert verl.NAME == "srl_env"


def test_in_srl_a_row_is_one_step_and_its_reward(verl: ModuleType) -> None:
    output, server, tokenizer = run(verl, row(1), "say 2" + EOS)
    assert tokenizer.decode(output.prompt_ids) == "Count to 2, then add up.say 1"
    assert output.prompt_ids == server.asked[0]["prompt_ids"]
    assert output.response_ids == tokenizer("say 2" + EOS)["input_ids"]
    assert output.response_mask == [1] * 6
    assert output.response_logprobs == [-0.5] * 6
    assert (output.reward_score, output.num_turns) == (1.0, 2)
    assert output.extra_fields["turn_scores"] == [1.0]
    assert output.metrics.generate_sequences > 0
    assert server.asked[0]["sampling_params"] == {"temperature": 1.0, "max_tokens": 100}
    missed, *_ = run(verl, row(1), "say 1" + EOS)
    assert missed.reward_score == pytest.approx(0.8)


def test_several_steps_are_one_response_with_the_environment_masked(verl: ModuleType) -> None:
    said = "say 1;xx", "the sum=3!;"
    output, server, tokenizer = run(verl, row(), *said, environment=SPOKEN, **STEPWISE)
    assert tokenizer.decode(output.response_ids) == "say 1;1 saidthe sum=3!;"
    assert output.response_mask == [1] * 6 + [0] * 6 + [1] * 11
    assert output.response_logprobs == [-0.5] * 6 + [0.0] * 6 + [-0.5] * 11
    assert (output.reward_score, output.num_turns) == (1.0, 4)
    assert output.extra_fields["reward_extra_info"] == {"acc": 1.0, "format_ok": 1.0}
    assert len({asked["id"] for asked in server.asked}) == 1  # sticky: the same server's cache
    assert server.asked[1]["sampling_params"]["max_tokens"] == 100 - 12


def test_a_response_is_no_longer_than_verl_takes(verl: ModuleType) -> None:
    short: dict[str, Any] = {"environment": SPOKEN, "lengths": {"response_length": 12}}
    output, *_ = run(verl, row(), "say 1;", "say 2;", **short, **STEPWISE)
    assert len(output.response_ids) == len(output.response_mask) == 6
    assert output.reward_score == 0.0
    assert output.extra_fields["reward_extra_info"]["acc"] == 0.0


def test_whole_episodes_of_srl_are_refused_and_summed_steps_are_told_of(verl: ModuleType) -> None:
    with pytest.raises(BadOption, match="spread the sum over all of their tokens"):
        run(verl, row(), settings={"each": "problem"})
    settings = {"granularity": "step"}
    with pytest.warns(
        StepRewardsSpread, match="up to 2 steps of an episode were rewarded; verl has"
    ):
        output, *_ = run(
            verl,
            row(),
            "say 1;",
            "the sum=3!;",
            environment=SPOKEN,
            reward_mode="hybrid",
            settings=settings,
        )
    assert sum(output.extra_fields["turn_scores"]) == output.reward_score


def test_what_does_not_continue_is_left_out_and_told_of(verl: ModuleType) -> None:
    with pytest.warns(RowsDropped, match="an episode of 2 steps is trained on up to step 1"):
        output, *_ = run(verl, row(), "say 1" + EOS, "the sum=3!" + EOS, **STEPWISE)
    assert len(output.response_ids) == 6
    assert output.reward_score == 1.0


def test_an_episode_that_failed_is_begun_anew_and_never_paid_0(verl: ModuleType) -> None:
    output, server, _ = run(verl, row(), "once" + EOS, "say 1" + EOS)
    assert (output.reward_score, len(server.asked)) == (1.0, 2)
    with pytest.raises(WorldFailure, match="the world is gone"):
        run(verl, row(), *["die" + EOS] * 3)
    with pytest.raises(WorldFailure):
        run(verl, row(), "die" + EOS, retries=0)


def test_an_environment_must_be_named(verl: ModuleType) -> None:
    with pytest.raises(BadOption, match="in the agent loop's YAML file"):
        run(verl, row(), environment="")


def test_the_file_of_rows_has_what_verls_data_set_reads(verl: ModuleType, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = tmp_path / "train.parquet"
    assert verl.write_rows(path, COUNTING, reward_mode="srl", problems=2) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert set(rows.column_names) == {
        "prompt", "data_source", "agent_name", "reward_model", "extra_info",
    }  # fmt: skip
    assert rows[1]["prompt"][0]["content"] == "Count to 2, then add up.say 1"
    assert rows[1]["agent_name"] == "srl_env"
    assert rows[1]["extra_info"]["index"] == 1
    output, *_ = run(verl, rows[1]["extra_info"], "say 2" + EOS)
    assert output.reward_score == 1.0


def test_without_verl_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.modules.pop("srl_agents.integrations.verl", None)
    monkeypatch.setitem(sys.modules, "verl", None)
    with pytest.raises(MissingExtra, match=r"of its own with: pip install 'srl-env\[verl\]"):
        importlib.import_module("srl_agents.integrations.verl")


def test_environments_are_used_again(verl: ModuleType) -> None:
    run(verl, row(), "say 1" + EOS)
    idle = verl._shared_rows(COUNTING, "{}", '{"reward_mode": "srl"}')._idle
    assert len(idle) == 1
    run(verl, row(), "say 1" + EOS)
    assert len(idle) == 1
