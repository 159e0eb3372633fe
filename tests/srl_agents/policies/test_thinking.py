"""Thoughts that are closed after a limit: forced tokens are context, and nothing else changes."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from srl_agents.models.small import build, character_tokenizer
from srl_agents.objectives.batch import make_batch
from srl_agents.objectives.groups import Group, Member
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.servers.openai import OpenAIPolicy
from srl_agents.policies.thinking import sample_closing_thoughts
from srl_agents.policies.tokens import PromptEncoder
from srl_env.errors import BadOption
from srl_env.policy import Generation, Sampling
from srl_env.rollout import Step
from srl_env.text.format import ThinkTags
from srl_env.text.prompt import Message
from srl_env.text.registry import find_format
from srl_env.text.tool_calls import ToolCalls
from srl_env.text.tools import JsonCalls
from tests.srl_agents.policies.tool_templates import LETTERS, tool_tokenizer

QUESTION: list[Message] = [{"role": "user", "content": "What?"}]
CLOSING = "</think>\n"


def letters() -> Any:
    return character_tokenizer(LETTERS)


def only(policy: TransformersPolicy, letters: str) -> None:
    """Makes the model write these letters and nothing else."""
    head = policy.model.get_output_embeddings()
    barred = torch.full((head.out_features,), -1e4)
    barred[policy.tokenizer.encode(letters, add_special_tokens=False)] = 0.0
    head.register_forward_hook(lambda _, __, output: output + barred)


@pytest.mark.parametrize("seeds", [(), (3, 4)])
def test_an_open_thought_is_closed_after_the_limit_and_sampling_goes_on(
    seeds: tuple[int, ...],
) -> None:
    tokenizer = letters()
    policy = TransformersPolicy(build("lfm2-0.3m", tokenizer, seed=0), tokenizer)
    only(policy, "abcdef")
    form = ThinkTags(prefill="<think>", max_thinking_tokens=4)
    plain = Sampling(max_tokens=20, seeds=seeds)
    limited = plain.for_format(form, "step")
    policy.generator.manual_seed(5)
    free = policy.generate([QUESTION] * 2, replace(limited, max_thinking_tokens=None))
    policy.generator.manual_seed(5)
    made = policy.generate([QUESTION] * 2, limited)
    for one, before in zip(made, free, strict=True):
        assert isinstance(one, Generation)
        assert isinstance(before, Generation)
        assert one.forced == (4, 4 + len(CLOSING))
        assert one.token_ids[:4] == before.token_ids[:4]  # the random numbers are the same
        assert one.text[len("<think>") + 4 :].startswith(CLOSING)
        assert one.logprobs[4 : 4 + len(CLOSING)] == (0.0,) * len(CLOSING)
        assert one.length == len(one.token_ids) - len(CLOSING)
        # What was sampled has the log-probs of sampling after all that came before it.
        for part in one.parts:
            scored, _, _ = policy.logprobs([part.prompt_ids], [part.token_ids])
            assert torch.allclose(scored, torch.tensor([part.logprobs]), atol=1e-4)


@pytest.mark.parametrize(
    ("letter", "prefill", "forced"),
    [("a", "<think>", True), ("a", "<think>b</think>", False), ("a", "", False)],
)
def test_only_an_open_thought_is_closed(letter: str, prefill: str, forced: bool) -> None:
    tokenizer = letters()
    policy = TransformersPolicy(build("lfm2-0.3m", tokenizer, seed=0), tokenizer)
    only(policy, letter)
    how = Sampling(max_tokens=14, prefill=prefill, max_thinking_tokens=3, stop=("\n",))
    (made,) = policy.generate([QUESTION], replace(how, thoughts=True))
    assert isinstance(made, Generation)
    closing = CLOSING if forced else ""
    assert made.text == f"{prefill}aaa{closing}" + "a" * (11 - len(closing))
    assert made.finish_reason == "length"


class Engine:
    """Continues each prompt by the rest of its script, as an engine that is not looked at."""

    def __init__(self, tokenizer: Any, encoder: PromptEncoder, scripts: Sequence[str]) -> None:
        self.tokenizer, self.encoder, self.scripts = tokenizer, encoder, list(scripts)
        self.calls: list[tuple[int, Sampling]] = []

    def sample(self, prompts: Sequence[Sequence[int]], how: Sampling) -> list[Generation]:
        self.calls.append((len(prompts), how))
        made = []
        for prompt in prompts:
            number, _, written = self.tokenizer.decode(list(prompt)).partition(":")
            thought = written.replace(CLOSING, "") if "|" in self.scripts[int(number)] else written
            rest = self.scripts[int(number)].replace("|", "")[len(thought) :]
            ids = tuple(self.tokenizer.encode(rest, add_special_tokens=False))[: how.max_tokens]
            reason = "length" if len(ids) < len(rest) else "stop"
            given = (ids, (-1.0,) * len(ids), reason, how)
            made.append(self.encoder.generation(tuple(prompt), *given))  # type: ignore[arg-type]
        return made


def test_an_engine_samples_in_two_parts_with_the_same_result() -> None:
    encoder = PromptEncoder(tokenizer := letters())
    scripts = [
        "<think>abcdefghij|xy\nz",
        "<think>a</think>long\nz",
        "plain and much longer\nz",
        "short\n",
    ]
    engine = Engine(tokenizer, encoder, scripts)
    prompts = [tokenizer.encode(f"{number}:") for number in range(4)]
    how = Sampling(max_tokens=40, stop=("\n",), thoughts=True, seeds=(1, 2, 3, 4))
    how = replace(how, max_thinking_tokens=len("<think>abcdefghij"))
    made = sample_closing_thoughts(prompts, how, encoder, engine.sample, 1000)
    texts = [one.text for one in made if isinstance(one, Generation)]
    assert texts == [
        "<think>abcdefghij</think>\nxy\n",
        "<think>a</think>long\n",
        "plain and much longer\n",
        "short\n",
    ]
    first, *others = made
    assert isinstance(first, Generation)
    assert first.forced == (17, 17 + len(CLOSING))
    assert first.logprobs == (-1.0,) * 17 + (0.0,) * len(CLOSING) + (-1.0,) * 3
    assert first.prompt_ids == tuple(prompts[0])
    assert all(one.forced == (0, 0) for one in others if isinstance(one, Generation))
    assert [count for count, _ in engine.calls] == [4, 2, 1]
    seeds = [how.seeds for _, how in engine.calls]
    assert seeds[0] == (1, 2, 3, 4)
    assert not {*seeds[1], *seeds[2]} & {1, 2, 3, 4}


def test_forced_tokens_have_no_gradient_and_no_ratio() -> None:
    generation = Generation("t", (1, 2, 9, 9, 3), (-1.0, -2.0, 0.0, 0.0, -3.0), (7,), forced=(2, 4))
    other = Generation("u", (4, 5), (-1.0, -1.0), (7,))
    steps = [Step((), made, "a", 1, 1.0, {}, True, None, None) for made in (generation, other)]
    group = Group(0, tuple(Member(float(n), (step,)) for n, step in enumerate(steps)), False)
    batch = make_batch([group], torch.tensor([1.0, -1.0]), "sequence", 8)
    assert batch.prompts == ((7,), (7, 1, 2, 9, 9), (7,))
    assert batch.completions == ((1, 2), (3,), (4, 5))
    assert batch.sampler_logprobs == ((-1.0, -2.0), (-3.0,), (-1.0, -1.0))
    assert batch.advantages.tolist() == [1.0, 1.0, -1.0]
    assert batch.weights.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 4])  # 3 and 2 tokens
    assert batch.tokens == 5


def test_forced_tokens_survive_a_file_and_rows_without_any_are_as_they_were() -> None:
    made = Generation("t", (1, 2), (0.0, 0.0), (3,), forced=(0, 1))
    assert Generation.from_json(json.loads(json.dumps(made.to_json()))) == made
    plain = replace(made, forced=(0, 0))
    assert "forced" not in plain.to_json()
    assert Generation.from_json(json.loads(json.dumps(plain.to_json()))) == plain


@pytest.mark.parametrize("form", [ThinkTags, ToolCalls, lambda **o: JsonCalls((), **o)])
@pytest.mark.parametrize("limit", [0, -1, 2.5, True, "8"])
def test_a_limit_is_a_number_of_tokens(form: Any, limit: Any) -> None:
    with pytest.raises(BadOption, match="max_thinking_tokens must be a whole number"):
        form(max_thinking_tokens=limit)


def test_the_limit_is_an_option_of_the_format_in_every_place() -> None:
    chosen = find_format({"name": "think", "max_thinking_tokens": 64})
    assert Sampling().for_format(chosen, "step").max_thinking_tokens == 64
    assert Sampling().for_format(ThinkTags(), "step").max_thinking_tokens is None


def test_a_chat_server_refuses_the_limit_before_any_request() -> None:
    pytest.importorskip("openai")
    policy = OpenAIPolicy("m", base_url="http://localhost:9/v1")
    with pytest.raises(BadOption, match="cannot close a thought"):
        policy.generate([QUESTION], Sampling(max_thinking_tokens=8))
    policy.close()


def test_a_turn_whose_thought_was_closed_stays_in_the_history() -> None:
    tokenizer = tool_tokenizer("qwen")
    encoder = PromptEncoder(tokenizer)
    turn = tuple(tokenizer.encode(f"<think>a{CLOSING}b<|im_end|>"))
    chat: list[Message] = [*QUESTION, {"role": "assistant", "content": "b"}, *QUESTION]
    (ids,) = encoder.encode_many([copy.deepcopy(chat)], turns=[(turn,)])
    assert f"<think>a{CLOSING}b<|im_end|>\n<|im_start|>user" in tokenizer.decode(ids)
