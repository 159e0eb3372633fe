"""The measure "log-likelihood": worked by hand, then in a whole run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from srl_agents.collection.likelihood import LogLikelihood, model_score
from srl_agents.objectives import GRPO
from srl_agents.objectives.batch import Batch
from srl_agents.policies import TransformersPolicy
from srl_agents.runs.config import make_config
from srl_agents.runs.input_checks import check_inputs
from srl_agents.training.run import train
from srl_env.errors import BadOption, UnknownName
from srl_env.policy import Generation, Sampling
from srl_env.rollout import Episode, Step
from srl_env.text.format import Brackets, ThinkTags

from .. import thinking
from ..letters import TOKENIZER, base, lines, save_base, settings, updates


class Characters:
    """One id for each character; completions end with id 0 unless a stop string ends them."""

    native_tools = False

    def encode_completions(
        self,
        texts: list[str],
        stop: tuple[str, ...] = (),
        prefill: str = "",
        calls: bool = False,
    ) -> tuple[tuple[int, ...], ...]:
        return tuple(
            (*map(ord, text), *([] if text.endswith(tuple(stop)) else [0])) for text in texts
        )

    def decode(self, ids: tuple[int, ...], prefill: str = "", calls: bool = False) -> str:
        return "".join(map(chr, filter(None, ids)))


def episode(*texts: str, expert: str | None = "b7;", format_ok: bool = True) -> Episode:
    """An episode whose steps wrote these texts after the prompt "?"."""
    made = [Generation(text, (1,), (0.0,), (63,)) for text in texts]
    parts = {"similarity": 0.5, "format": 1.0}
    steps = tuple(
        Step((), one, "", i, 0.5, parts, format_ok, None, None, expert)
        for i, one in enumerate(made)
    )
    return Episode("p", 0, "srl", "expert", "step", steps, None, None, group=0)


def by_hand(batch: Batch, temperature: float) -> Tensor:
    """log π of "b7;" is −3 in all without a thought, −1.5 after "x", −30 after "y"."""
    known = {"b7;": -3.0, "(x)b7;": -1.5, "(y)b7;": -30.0}
    texts = ["".join(map(chr, ids)) for ids in batch.completions]
    assert sorted(texts) == sorted(known), "equal rows are scored once"
    assert set(batch.prompts) == {(63,)}, "the prompt is shared"
    rows = torch.zeros(len(texts), 6)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text) - 3] = -100.0  # the thought's own tokens do not count
        row[len(text) - 1] = known[text]
    return rows


def test_a_thought_is_worth_what_it_adds_to_the_experts_step_per_token() -> None:
    measure = LogLikelihood(Brackets(), Characters(), by_hand)
    texts = ("(x)a1;", "(x)b7;", "(y)b7;", "b7;", "()b7;")
    (found,) = measure.rewarded([episode(*texts)], Sampling())
    # (−1.5 − −3) / 3; the same whatever was done then; (−30 + 3) / 3 = −9, clipped; no thought.
    assert [step.reward for step in found.steps] == [0.5, 0.5, -1.0, 0.0, 0.0]
    assert found.steps[0].reward_parts == {"similarity": 0.5, "format": 1.0, "log-likelihood": 0.5}


def test_what_is_not_measured_keeps_its_reward() -> None:
    def nothing(batch: Batch, temperature: float) -> Tensor:
        raise AssertionError("there is nothing to score")

    measure = LogLikelihood(Brackets(), Characters(), nothing)
    broken, after = episode("(x", format_ok=False), episode("(x)a1;", expert=None)
    failed = episode("(x)a1;")
    failed = replace(failed, steps=(replace(failed.steps[0], failure={"type": "X"}),))
    given = [broken, after, failed]
    assert measure.rewarded(given, Sampling()) == given


def test_the_whole_thought_and_its_tags_are_context() -> None:
    seen = list[tuple[str, str]]()

    def note(batch: Batch, temperature: float) -> Tensor:
        for row in zip(batch.prompts, batch.completions, strict=True):
            seen.append(tuple("".join(map(chr, ids)) for ids in row))  # type: ignore[arg-type]
        assert temperature == 0.7
        # Each token is worth its place, and the step is the last four: "b7;" and the end.
        return torch.arange(24.0).expand(len(batch.prompts), 24) / -100

    measure = LogLikelihood(ThinkTags(), Characters(), note)
    given = episode("<think>b7;</think>\nno", expert="b7;")
    (found,) = measure.rewarded([given], Sampling(temperature=0.7))
    assert found.steps[0].reward == pytest.approx(-0.03)  # it begins 3 places later
    assert seen == [("?", "<think>b7;</think>\nb7;\0"), ("?", "<think></think>\nb7;\0")]


def test_a_format_that_hides_the_action_is_refused() -> None:
    class Upper(Brackets):
        def render(self, step: object) -> str:
            return "B7;"

    measure = LogLikelihood(Upper(), Characters(), by_hand)
    with pytest.raises(BadOption, match="writes an action as it is; got Upper"):
        measure.rewarded([episode("(x)a1;")], Sampling())


def test_a_model_gives_the_log_probs_of_its_own_tokens() -> None:
    policy = TransformersPolicy(base(), TOKENIZER, seed=0)

    measure = LogLikelihood(thinking.Halves(), policy, model_score(policy))
    step = episode("cdxx", expert="bbbb")
    prompt = tuple(policy.encode_many([[{"role": "user", "content": "b#"}]])[0])
    generation = replace(step.steps[0].generation, prompt_ids=prompt)
    step = replace(step, steps=(replace(step.steps[0], generation=generation),))
    (found,) = measure.rewarded([step], Sampling())
    b, c, d = (TOKENIZER.convert_tokens_to_ids(letter) for letter in "bcd")
    end = policy.encode_completions(["b"])[0][1:]

    def log_prob(context: tuple[int, ...]) -> float:
        ids = torch.tensor([[*context, b, b, b, b, *end]], device=policy.device)
        table = torch.log_softmax(policy.model(ids).logits[0], -1).detach()
        places = range(len(context) - 1, ids.shape[1] - 1)
        return math.fsum(float(table[place, ids[0, place + 1]]) for place in places)

    expected = (log_prob((*prompt, c, d)) - log_prob(prompt)) / (4 + len(end))
    assert found.steps[0].reward == pytest.approx(expected, abs=1e-5)


def test_a_run_is_rewarded_by_it_and_counts_its_positions(tmp_path: Path) -> None:
    save_base(tmp_path / "base")
    tree = settings(tmp_path / "base", tmp_path / "run")
    tree["env"] = {"id": thinking.__file__}
    tree["train"]["objective"] |= {"measure": "log-likelihood", "min_std": 0.0}
    tree["budget"]["updates"] = 2
    tree["log"]["rollouts_every"] = 1
    train(make_config(tree))
    rows = updates(tmp_path / "run")
    assert all(row["tokens/likelihood"] > 0 for row in rows)
    assert rows[0]["groups/trained"] > 0
    steps = [step for row in lines(tmp_path / "run", "rollouts") for step in row["steps"]]
    assert steps
    for step in steps:
        assert step["reward"] == step["reward_parts"]["log-likelihood"]
        assert -1.0 <= step["reward"] <= 1.0


def test_a_measure_that_does_not_exist_is_refused_before_anything_is_loaded(
    tmp_path: Path,
) -> None:
    tree = settings(save_base(tmp_path / "base"), tmp_path / "run")
    tree["train"]["objective"] |= {"measure": "number"}
    with pytest.raises(UnknownName, match="Did you mean 'numbers'"):
        check_inputs(make_config(tree))
    tree["train"]["objective"] |= {"measure": "numbers"}
    check_inputs(make_config(tree))


def test_only_reward_mode_srl_can_use_it(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="needs reward_mode 'srl'; got 'hybrid'"):
        GRPO(reward_mode="hybrid", measure="log-likelihood")
    assert not GRPO(reward_mode="rlvr", measure="log-likelihood").request(True).model_measure
    request = GRPO(reward_mode="srl", measure="log-likelihood").request(True)
    assert request.model_measure
    assert "measure" not in request.options
