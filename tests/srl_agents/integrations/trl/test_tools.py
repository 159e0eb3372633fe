"""The tools form: one tool, the environment's reward, and TRL really calling it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from srl_agents.integrations import StepRewardsSpread, TRLTools
from srl_agents.integrations.trl.tools import OVER, ToolEpisodes, ToolSteps
from srl_agents.models.small import bpe_tokenizer
from srl_env.problem import ExpertStep
from srl_env.testing import CountingEnv, FailingVerifier, SlowWorldEnv
from tests.srl_agents import letters
from tests.srl_agents.integrations.trl.test_training import make_trainer

pytest.importorskip("datasets")


def begun(tools: TRLTools, row: int) -> ToolEpisodes:
    episode = tools.environment()
    episode.reset(**tools.dataset()[row])
    return episode


def test_prompts_ask_for_calls_of_the_tool_and_for_no_tags() -> None:
    (system, _), *_ = TRLTools(CountingEnv).dataset()["prompt"]
    assert "take_step" in system["content"]
    assert "<think>" not in system["content"]


def test_in_srl_a_row_is_one_call_and_a_second_does_nothing() -> None:
    tools = TRLTools(CountingEnv)
    episode = begun(tools, 1)
    assert episode.take_step("say 2") == OVER
    assert episode.take_step("the sum=3!") == OVER
    assert episode.get_reward() == 1.0
    episode.reset(**tools.dataset()[1])
    episode.take_step("say 1")
    assert episode.get_reward() == pytest.approx(0.8)


def test_who_calls_no_tool_is_paid_what_an_empty_step_is_paid() -> None:
    assert begun(TRLTools(CountingEnv), 0).get_reward() == -1.0
    assert begun(TRLTools(CountingEnv, "rlvr"), 0).get_reward() == 0.0


def test_in_rlvr_the_world_answers_until_the_end() -> None:
    episode = begun(TRLTools(SlowWorldEnv, "rlvr"), 0)
    assert episode.take_step("say 1") == "1 said"
    assert episode.take_step("the sum=3!") == f"2 said\n{OVER}"
    assert episode.get_reward() == 1.0
    plain = begun(TRLTools(CountingEnv, "rlvr"), 0)
    assert plain.take_step("say 1") == "Taken."


def test_failures_have_no_reward_and_are_counted() -> None:
    tools = TRLTools(lambda: CountingEnv(FailingVerifier()), "rlvr")
    episode = begun(tools, 0)
    assert episode.take_step("the sum=3!") == OVER
    assert episode.get_reward() is None
    gone = TRLTools(lambda: SlowWorldEnv(), "rlvr")
    lost = gone.environment()
    lost._env.fail_at = 0  # type: ignore[attr-defined]
    lost.reset(**gone.dataset()[0])
    assert (lost.take_step("say 1"), lost.get_reward()) == (OVER, None)
    assert (tools.failures, gone.failures) == ({"VerifierTimeout": 1}, {"WorldFailure": 1})


def test_summed_rewards_of_steps_are_told_of_loudly() -> None:
    episode = begun(TRLTools(CountingEnv, "hybrid"), 0)
    for action in ("say 1", "say 2", "the sum=3!"):
        episode.take_step(action)
    with pytest.warns(StepRewardsSpread, match="up to 3 steps"):
        assert episode.get_reward() == pytest.approx(3 * 0.5 + 0.5)


def test_the_format_takes_all_of_an_argument() -> None:
    form = ToolSteps()
    assert form.parse(form.render(ExpertStep("say 1", thought="hm"))).action == "say 1"
    assert not form.parse(" \n").ok


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_trl_calls_the_tool_masks_its_answer_and_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was made to know one call by heart."""
    trl = pytest.importorskip("trl")
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    tools = TRLTools(SlowWorldEnv, "rlvr", problems=1)
    call = json.dumps({"name": "take_step", "arguments": {"action": "the sum=3!"}})
    said = f"<tool_call>\n{call}\n</tool_call><|im_end|>"
    tokenizer = chat_tokenizer(Path(trl.__file__).parent / "chat_templates/qwen3.jinja", call)
    model = letters.base(tokenizer)
    trainer = make_trainer(
        tmp_path,
        tokenizer,
        model=model,
        train_dataset=tools.dataset(),
        environment_factory=tools.environment,
        per_device_train_batch_size=2,
        num_generations=2,
        max_completion_length=120,
        max_tool_calling_iterations=1,
        temperature=0.01,
        max_steps=1,
    )
    (prompt, *_), _, _ = prompts_of(trainer, tools)
    memorise(model, [*prompt, *tokenizer(said)["input_ids"]], len(prompt))
    trainer.train()
    (line,) = [line for line in trainer.state.log_history if "reward" in line]
    assert line["reward"] == 1.0
    assert line["tools/call_frequency"] == 1.0
    assert line["tools/failure_frequency"] == 0.0


def chat_tokenizer(template: Path, *texts: str) -> Any:
    """A tokenizer learned from a template and some texts, which has that template."""
    marks = ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
    tokenizer = bpe_tokenizer([template.read_text(), *texts * 20], vocab_size=1000)
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    tokenizer.add_tokens([mark for mark in marks if mark != "<|im_end|>"])
    tokenizer.chat_template = template.read_text()
    return tokenizer


def prompts_of(trainer: Any, tools: TRLTools) -> Any:
    trainer._batch_environments = [None]
    return trainer._tokenize_prompts([tools.dataset()[0]["prompt"]])


def memorise(model: Any, ids: list[int], start: int) -> None:
    """Trains a model until it says the end of a text by heart."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = torch.tensor([ids])
    labels = batch.clone()
    labels[:, :start] = -100
    for _ in range(200):
        loss = model(batch, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss < 0.005:
            return
    raise AssertionError(f"not learned: loss {loss}")
