"""Tools through the chat template: what the model sees, calls read back, histories of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from srl_agents.collection.demonstrations import demonstrations, expert_episodes
from srl_agents.collection.likelihood import LogLikelihood
from srl_agents.methods.starts import StartPoint
from srl_agents.models.small import build
from srl_agents.nn.sample.sampler import Completion
from srl_agents.objectives import NLL
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.request_seeds import RequestSeeds
from srl_agents.policies.tokens import PromptEncoder
from srl_agents.policies.vllm.engine import VLLMPolicy
from srl_agents.training.retokenization import drift_fraction
from srl_env import make
from srl_env.environment import ReasoningEnv
from srl_env.policy import Generation, Policy, Sampling
from srl_env.rollout import EnvPool, Episode, Start, Step, rollout
from srl_env.text.format import CompletionFormat
from srl_env.text.prompt import Message
from srl_env.text.tool import Parameter, Tool
from srl_env.text.tool_calls import ToolCalls
from srl_env.text.tools import JsonCalls, call_text
from tests.srl_agents.policies.tool_templates import (
    LETTERS,
    SPECIAL,
    character_tokenizer,
    tool_tokenizer,
)

FAMILIES = tuple(SPECIAL)
ADD = Tool("add", "Adds.", {"a": Parameter("integer"), "to": Parameter("string")})
ADD_CALL = ("add", {"a": 7, "to": 'x"<y'})
QUESTION: list[Message] = [{"role": "user", "content": "What?"}]


def shop(**options: Any) -> ReasoningEnv:
    env = make("srl/ToolShop-v0", difficulty=1, **options).unwrapped
    assert isinstance(env, ReasoningEnv)
    return env


class Scripted:
    """A sampler whose completions are these texts, one a turn, each with log-probs of 0."""

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self.tokenizer, self.texts, self.prompts = tokenizer, list(texts), list[list[int]]()
        self.generator = torch.Generator()

    def sample(self, prompts: Sequence[list[int]], sampling: Sampling) -> list[Completion]:
        self.prompts += prompts
        ids = tuple(self.tokenizer.encode(self.texts.pop(0), add_special_tokens=False))
        return [Completion(ids, (0.0,) * len(ids), "stop") for _ in prompts]


def scripted(tokenizer: Any, texts: Sequence[str]) -> tuple[TransformersPolicy, Scripted]:
    policy = TransformersPolicy(build("lfm2-0.3m", tokenizer, seed=0), tokenizer)
    sampler = Scripted(tokenizer, texts)
    policy.sampler = sampler  # type: ignore[assignment]
    return policy, sampler


def play(policy: Policy, env: ReasoningEnv, **options: Any) -> Episode:
    pool = EnvPool(lambda: env)
    (episode,) = rollout(pool, policy, [Start({"continuation": "policy", **options}, seed=0)])
    return episode


def expert_calls(env: ReasoningEnv, policy: TransformersPolicy) -> list[str]:
    """The calls of the expert of seed 0, as the template writes them."""
    env.reset(seed=0)
    assert isinstance(env.format, JsonCalls)
    calls = [env.format.call_of(step.action) for step in env.expert_steps]
    return [policy.write_call(call, env.format.tools) for call in calls if call]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_that_a_template_writes_is_read_as_the_same_call(family: str) -> None:
    encoder = PromptEncoder(tokenizer := tool_tokenizer(family))
    written = encoder.write_call(ADD_CALL, (ADD,))
    form = JsonCalls.of(ADD)
    for thought in ("", "<think>so</think>\n"):
        (ids,) = encoder.encode_completions([thought + written], (), "", calls=True)
        made = encoder.generation((), ids, (0.0,) * len(ids), "stop", Sampling(tools=(ADD,)))
        parsed = form.parse(made.text)
        assert parsed.ok, (made.text, parsed)
        assert parsed.action == call_text(*ADD_CALL)
        assert parsed.thought == ("so" if thought else None)
    (prompt,) = encoder.encode_many([QUESTION], tools=(ADD,))
    assert "Adds." in tokenizer.decode(prompt)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_malformed_call_is_a_wrong_action_and_not_a_failure(family: str) -> None:
    encoder = PromptEncoder(tokenizer := tool_tokenizer(family))
    written = encoder.write_call(("add", {"a": 7, "to": "here"}), (ADD,))
    for text in (written[:-6], written.replace("add", "sub"), written.replace("7", "seven"), "7"):
        ids = tuple(tokenizer.encode(text, add_special_tokens=False))
        made = encoder.generation((), ids, (0.0,) * len(ids), "length", Sampling(tools=(ADD,)))
        assert not JsonCalls.of(ADD).parse(made.text).ok


def test_a_template_that_shows_no_tools_is_not_given_any() -> None:
    silent = tool_tokenizer("qwen")
    silent.chat_template = (
        "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}A:{% endif %}"
    )
    policy, sampler = scripted(silent, ["nothing"] * 24)
    assert not policy.native_tools
    episode = play(policy, shop())
    assert "You have these tools" in silent.decode(sampler.prompts[0])
    assert {message["role"] for step in episode.steps for message in step.messages} == {
        "system", "user", "assistant",
    }  # fmt: skip
    assert drift_fraction([episode]) == 0.0
    off = shop(format={"name": "tool-calls", "native": False})
    native, sampler = scripted(tool_tokenizer("qwen"), ["nothing"] * 24)
    play(native, off)
    assert "# Tools" not in native.tokenizer.decode(sampler.prompts[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_history_grows_by_ids_and_is_never_rendered_again(family: str) -> None:
    tokenizer, env = tool_tokenizer(family), shop()
    policy, _ = scripted(tokenizer, [])
    end = tokenizer.decode(policy._prompts.tool_use.end)  # type: ignore[union-attr]
    calls = expert_calls(env, policy)
    # A thought, which a template drops; a turn that is no call; turns with and without their end.
    texts = [f"<think>hm</think>\n{calls[0]}{end}", "I wonder.", calls[1], calls[2] + end]
    policy, sampler = scripted(tokenizer, texts)
    episode = play(policy, env)
    assert [step.format_ok for step in episode.steps] == [True, False, True, True]
    assert episode.correct
    assert drift_fraction([episode]) == 0.0
    for (before, after), text in zip(
        zip(sampler.prompts, sampler.prompts[1:], strict=False), texts, strict=False
    ):
        sampled = tokenizer.encode(text, add_special_tokens=False)
        assert after[: len(before) + len(sampled)] == [*before, *sampled]
        added = tokenizer.decode(after[len(before) + len(sampled) :])
        assert added.count(end) <= 2 - text.endswith(end)  # the turn's, and the answer's
        assert text.endswith(end) or added.startswith(
            ("<|im_end|>", "<|e", "<|call|>", "</s>", "<｜end")
        )
    observed = env.history[0].observation
    assert observed is not None
    assert observed in tokenizer.decode(sampler.prompts[1])
    assert "hm" in tokenizer.decode(sampler.prompts[3])


def test_a_stable_history_has_the_ids_of_its_rendering() -> None:
    tokenizer, env = tool_tokenizer("qwen"), shop()
    policy, _ = scripted(tokenizer, [])
    texts = [f"{call}<|im_end|>" for call in expert_calls(env, policy)]
    policy, sampler = scripted(tokenizer, texts)
    episode = play(policy, env)
    how = Sampling().for_format(env.format, "step", native=True)
    for step, prompt in zip(episode.steps, sampler.prompts, strict=True):
        assert policy.encode_many([list(step.messages)], "", how.tools) == [prompt]
    roles = [message["role"] for message in episode.steps[-1].messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]


def test_an_experts_prefix_is_rendered_once_and_then_grows() -> None:
    tokenizer, env = tool_tokenizer("qwen"), shop()
    policy, _ = scripted(tokenizer, [])
    calls = expert_calls(env, policy)
    texts = [f"<think>mine</think>\n{calls[1]}", f"<think>mine</think>\n{calls[2]}<|im_end|>"]
    policy, sampler = scripted(tokenizer, texts)
    episode = play(policy, env, start_step=1)
    assert episode.correct
    first, second = sampler.prompts
    sampled = tokenizer.encode(texts[0], add_special_tokens=False)
    assert second[: len(first) + len(sampled)] == [*first, *sampled]
    batch = demonstrations(env, policy, [StartPoint(episode.problem_id, 1)], NLL().request, seed=0)
    assert list(batch.prompts[0]) == first  # fine-tuning, training and evaluation see the same
    assert tokenizer.decode(batch.completions[0]) == calls[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_fine_tuning_teaches_the_call_of_the_template_and_its_end(family: str) -> None:
    tokenizer, env = tool_tokenizer(family), shop()
    policy, _ = scripted(tokenizer, [])
    env.reset(seed=0)
    point = StartPoint(env.problem.id, 0)
    request = NLL(demonstration="reasoning").request
    batch = demonstrations(env, policy, [point], request, seed=0)
    sampling = policy._prompts.native(Sampling().for_format(env.format, "step", native=True))
    (ids,) = batch.completions
    made = policy._prompts.generation((), ids, (0.0,) * len(ids), "stop", sampling)
    parsed = env.format.parse(made.text)
    assert (parsed.ok, parsed.action) == (True, env.expert_action)
    assert parsed.thought == env.expert_steps[0].thought
    end = policy._prompts.tool_use.end  # type: ignore[union-attr]
    stopped = sampling.stop and tokenizer.decode(ids).endswith(sampling.stop)
    assert stopped or ids[-1] == end[-1]


def test_a_shortened_history_keeps_the_ids_of_the_turns_that_it_shows() -> None:
    tokenizer, env = tool_tokenizer("qwen"), shop()
    policy, _ = scripted(tokenizer, [])
    texts = [f"<think>{n}</think>\n{call}" for n, call in enumerate(expert_calls(env, policy))]
    env.style = replace(env.style, last_turns=1)
    policy, sampler = scripted(tokenizer, texts)
    play(policy, env)
    last = tokenizer.decode(sampler.prompts[2])
    assert texts[1] in last
    assert texts[0] not in last


def test_the_tools_of_repository_tasks_are_schemas_whose_calls_are_read_back() -> None:
    form = ToolCalls()
    assert isinstance(form, CompletionFormat)
    for family in FAMILIES:
        encoder = PromptEncoder(tool_tokenizer(family))
        calls: list[tuple[str, dict[str, Any]]] = [
            ("bash", {"command": "ls -la | grep '<x>'"}),
            ("str_replace_editor", {"command": "view", "path": "a.py", "view_range": [1, 5]}),
            ("submit", {}),
        ]
        for call in calls:
            written = encoder.write_call(call, form.tools)
            (ids,) = encoder.encode_completions([written], calls=True)
            how = Sampling(tools=form.tools)
            made = encoder.generation((), ids, (0.0,) * len(ids), "stop", how)
            assert form.call_of(form.parse(made.text).action) == call, (family, made.text)


def test_without_a_template_turns_are_joined_as_they_were_sampled() -> None:
    tokenizer = character_tokenizer(LETTERS)
    encoder = PromptEncoder(tokenizer)
    chat: list[Message] = [*QUESTION, {"role": "assistant", "content": "b"}, *QUESTION]
    turn = tuple(tokenizer.encode("a b"))
    (ids,) = encoder.encode_many([chat], turns=[(turn,)])
    assert tokenizer.decode(ids) == "What?a bWhat?"


def test_an_experts_episode_grows_by_ids_as_the_policys_does() -> None:
    tokenizer, env = tool_tokenizer("mistral"), shop()
    policy, _ = scripted(tokenizer, [])
    start = Start({"continuation": "policy", "reward_mode": "rlvr"}, seed=0)
    (episode,) = expert_episodes(EnvPool(lambda: env), policy, [start], Sampling())
    assert episode.correct
    assert drift_fraction([episode]) == 0.0
    written = [tokenizer.decode(list(step.generation.token_ids)) for step in episode.steps]
    assert all("[TOOL_CALLS][{" in text for text in written)
    thought = env.expert_steps[0].thought
    assert thought is not None
    assert thought in tokenizer.decode(list(episode.steps[1].generation.prompt_ids))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_likelihood_of_a_call_is_that_of_what_the_template_writes(family: str) -> None:
    tokenizer, env = tool_tokenizer(family), shop()
    policy, _ = scripted(tokenizer, [])
    written = expert_calls(env, policy)[0]
    action = env.expert_steps[0].action
    step = Step((), Generation("", (1,), (0.0,), (2,)), "", 0, 0.0, {}, True, None, None, action)
    measure = LogLikelihood(env.format, policy, lambda batch, _: torch.zeros(1))
    _, ids, split = measure._row(step, Sampling().for_format(env.format, "step"), "so")
    assert tokenizer.decode(list(ids[split:])).startswith(written)
    assert "so" in tokenizer.decode(list(ids[:split]))


class FakeLLM:
    """vLLM's engine as far as ``VLLMPolicy`` uses it: token ids in, scripted ids out."""

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self.scripted = Scripted(tokenizer, texts)

    def generate(self, requests: list[Any], params: list[Any], **_: Any) -> list[Any]:
        prompts = [request["prompt_token_ids"] for request in requests]
        return [self._output(each) for each in self.scripted.sample(prompts, Sampling())]

    def _output(self, made: Completion) -> Any:
        logprobs = [{token: SimpleNamespace(logprob=-1.0)} for token in made.token_ids]
        fields = {"token_ids": made.token_ids, "logprobs": logprobs, "finish_reason": "stop"}
        return SimpleNamespace(outputs=[SimpleNamespace(**fields)])


def test_vllm_in_this_process_gets_histories_of_token_ids() -> None:
    tokenizer, env = tool_tokenizer("llama"), shop()
    policy, _ = scripted(tokenizer, [])
    texts = [f"<think>hm</think>\n{call}<|eot_id|>" for call in expert_calls(env, policy)]
    engine = object.__new__(VLLMPolicy)  # without loading vllm
    engine.llm, engine.tokenizer = FakeLLM(tokenizer, texts), tokenizer
    engine._lora = None
    engine.generator, engine._prompts = RequestSeeds(0, "vllm request"), PromptEncoder(tokenizer)
    engine.max_model_len, engine._stop_ids = 8192, []
    engine._make_params = lambda **options: options
    assert engine.native_tools
    episode = play(engine, env)
    assert episode.correct
    assert drift_fraction([episode]) == 0.0
    last = tokenizer.decode(engine.llm.scripted.prompts[2])
    assert all(text in last for text in texts[:2])
