"""Chat templates of many forms: the text is the same in fine-tuning, sampling and evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from srl_agents.collection.demonstrations import demonstrations
from srl_agents.methods.starts import StartPoint
from srl_agents.models.small import build, character_tokenizer
from srl_agents.nn.sample.stops import Stops, TokenTexts
from srl_agents.objectives import NLL
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.chat_template import set_arguments
from srl_agents.policies.tokens import PromptEncoder, _warn_of_joined_messages
from srl_agents.policies.trained import load_policy
from srl_agents.runs.config import ModelConfig, make_config
from srl_agents.runs.settings import with_overrides
from srl_env.errors import BadOption
from srl_env.policy import Generation, Sampling
from srl_env.problem import ExpertStep
from srl_env.testing import CountingEnv
from srl_env.text.format import CompletionFormat, ParsedStep, ThinkTags
from srl_env.text.prompt import Message

LETTERS = "".join(map(chr, range(32, 127))) + "\n"
TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<end>\n{% endfor %}"
PLAIN = TURNS + "{% if add_generation_prompt %}[assistant]{% endif %}"
OPENS = PLAIN.replace("[assistant]{%", "[assistant]<think>\n{%")
REFUSES = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + PLAIN
)
DROPS = PLAIN.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
SWITCHED = PLAIN.replace(
    "[assistant]{%", "[assistant]{% if enable_thinking | default(true) %}<think>\n{% endif %}{%"
)
TASK: list[Message] = [
    {"role": "system", "content": "Count."},
    {"role": "user", "content": "From 1?"},
]


def tokenizer_with(template: str | None, special: tuple[str, ...] = ("<end>",)) -> Any:
    tokenizer = character_tokenizer(LETTERS)
    tokenizer.add_tokens(list(special), special_tokens=True)
    tokenizer.chat_template = template
    return tokenizer


def policy_with(tokenizer: Any) -> TransformersPolicy:
    return TransformersPolicy(build("lfm2-0.3m", tokenizer, seed=0), tokenizer)


def prompt(encoder: PromptEncoder, tokenizer: Any) -> str:
    return str(tokenizer.decode(encoder.encode_many([TASK])[0]))


def read(encoder: PromptEncoder, ids: tuple[int, ...], form: CompletionFormat) -> ParsedStep:
    sampling = Sampling().for_format(form, "step")
    made = encoder.generation((), ids, (0.0,) * len(ids), "stop", sampling)
    assert len(made.token_ids) == len(made.logprobs)
    return form.parse(made.text)


@pytest.mark.parametrize("tags", [(), ("<think>", "</think>")])
@pytest.mark.parametrize("template", [PLAIN, OPENS, REFUSES, None])
@pytest.mark.parametrize("form", [ThinkTags(), ThinkTags(False), ThinkTags(one_line=True)])
def test_what_fine_tuning_teaches_is_read_as_well_formed(
    form: ThinkTags, template: str | None, tags: tuple[str, ...]
) -> None:
    tokenizer = tokenizer_with(template, ("<end>", *tags))
    encoder = PromptEncoder(tokenizer)
    steps = [ExpertStep("2\n" if form.one_line else "2", thought="one\nmore"), ExpertStep("3")]
    for step in steps:
        (ids,) = encoder.encode_completions([form.render(step)], form.stop)
        parsed = read(encoder, ids, form)
        assert (parsed.ok, parsed.action) == (True, step.action.strip())
        assert (parsed.thought or "").strip() == (step.thought or "")
        written = f"{prompt(encoder, tokenizer)}{tokenizer.decode(list(ids))}"
        assert written.count("<think>") <= 1


def test_a_template_that_opens_the_thought_needs_no_second_tag() -> None:
    tokenizer = tokenizer_with(OPENS)
    encoder = PromptEncoder(tokenizer)
    assert prompt(encoder, tokenizer).endswith("[assistant]<think>\n")
    sampled = tuple(tokenizer.encode("one more</think>\n2<end>"))
    assert read(encoder, sampled, ThinkTags()) == ParsedStep("one more", "2", True)
    policy = policy_with(tokenizer)
    (made,) = policy.generate([TASK], Sampling(max_tokens=3))
    assert made.text.startswith("<think>\n")  # type: ignore[union-attr]


def test_the_line_after_the_thought_ends_a_step_where_the_template_opened_it() -> None:
    tokenizer = tokenizer_with(OPENS)
    stops = Stops((), ("\n",), TokenTexts(tokenizer, len(tokenizer)), "<think>\n")
    ids = torch.tensor([tokenizer.encode("a\nb</think>\n\n2 = 2\nc")])
    lengths = range(1, ids.shape[1] + 1)
    ends = [bool(stops.ended(ids[:, n - 1], ids[:, :n])) for n in lengths]
    assert ends.index(True) == len("a\nb</think>\n\n2 = 2")


def test_an_engine_that_was_not_given_the_stop_string_is_cut_after_the_thought() -> None:
    encoder = PromptEncoder(tokenizer := tokenizer_with(PLAIN))
    ids = tuple(tokenizer.encode("<think>a\nb</think>2\n3\n4"))
    sampling = Sampling().for_format(ThinkTags(one_line=True), "step")
    made = encoder.generation((), ids, tuple(range(len(ids))), "length", sampling)
    assert (made.text, made.finish_reason) == ("<think>a\nb</think>2\n", "stop")
    assert len(made.token_ids) == len(made.logprobs) == len("<think>a\nb</think>2\n")


@pytest.mark.parametrize("template", [REFUSES, DROPS])
def test_without_a_system_role_its_text_is_before_the_first_question(template: str) -> None:
    encoder = PromptEncoder(tokenizer := tokenizer_with(template))
    assert prompt(encoder, tokenizer) == "[user]Count.\n\nFrom 1?<end>\n[assistant]"


def test_a_turn_ends_with_the_templates_token_and_not_with_the_end_of_text() -> None:
    tokenizer = tokenizer_with(PLAIN)
    end = tokenizer.convert_tokens_to_ids("<end>")
    policy = policy_with(tokenizer)
    assert {end, tokenizer.eos_token_id} <= policy.stop_ids
    batch = demonstrations(CountingEnv(), policy, [StartPoint(0)], NLL().request, seed=0)
    assert batch.completions[0][-1] == end
    assert "<end>" not in PromptEncoder(tokenizer).decode(batch.completions[0])
    assert PromptEncoder(tokenizer_with(None)).end == (tokenizer.eos_token_id,)
    silent = tokenizer_with(PLAIN.replace("<end>", ""))
    assert PromptEncoder(silent).end == (tokenizer.eos_token_id,)


def test_arguments_of_the_template_are_kept_with_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = tokenizer_with(SWITCHED)
    policy = policy_with(tokenizer)
    assert prompt(PromptEncoder(tokenizer), tokenizer).endswith("[assistant]<think>\n")
    policy.save(tmp_path / "model")
    off = TransformersPolicy.from_pretrained(
        tmp_path / "model", device="cpu", chat_template_kwargs={"enable_thinking": False}
    )
    assert off.tokenizer.decode(off.encode(TASK)).endswith("[assistant]")
    off.save(tmp_path / "off")
    again = TransformersPolicy.from_pretrained(tmp_path / "off", device="cpu")
    assert again.encode(TASK) == off.encode(TASK)
    set_arguments(tokenizer, None)
    assert prompt(PromptEncoder(tokenizer), tokenizer).endswith("<think>\n")


def test_arguments_of_the_template_are_a_setting_of_a_run(tmp_path: Path) -> None:
    policy_with(tokenizer_with(SWITCHED)).save(tmp_path)
    tree = {
        "out": "x", "env": {"id": "e"}, "model": {"path": str(tmp_path)}, "budget": {"updates": 1},
    }  # fmt: skip
    config = make_config(with_overrides(tree, ["model.chat_template_kwargs.enable_thinking=false"]))
    assert ModelConfig(path="m").chat_template_kwargs is None
    policy = load_policy(config.model, 0, None)
    assert policy.tokenizer.decode(policy.encode(TASK)).endswith("[assistant]")


@pytest.mark.parametrize("template", [PLAIN, OPENS])
@pytest.mark.parametrize("prefill", ["<think>\n", "<think>\nSo, ", "<think></think>\n"])
def test_a_prefill_is_context_in_fine_tuning_and_sampling(template: str, prefill: str) -> None:
    encoder = PromptEncoder(tokenizer := tokenizer_with(template))
    form = ThinkTags(one_line=True, prefill=prefill)
    sampling = Sampling().for_format(form, "step")
    (prompt_ids,) = encoder.encode_many([TASK], sampling.prefill)
    prompt_text = tokenizer.decode(prompt_ids)
    assert prompt_text.count("<think>") == 1
    (ids,) = encoder.encode_completions(
        [form.render(ExpertStep("2 = 2", thought="a\nb"))], (), sampling.prefill
    )
    made = encoder.generation(prompt_ids, ids, (0.0,) * len(ids), "stop", sampling)
    assert tokenizer.decode([*prompt_ids, *ids]).endswith(f"{made.text}<end>")
    assert form.parse(made.text).ok
    assert form.parse(made.text).action == "2 = 2"


def test_a_sampled_completion_begins_with_the_prefill() -> None:
    tokenizer = tokenizer_with(PLAIN)
    policy = policy_with(tokenizer)
    sampling = Sampling(max_tokens=4).for_format(ThinkTags(prefill="<think>\n"), "solution")
    (made,) = policy.generate([TASK], sampling)
    assert isinstance(made, Generation)
    assert made.text.startswith("<think>\n")
    assert tokenizer.decode(list(made.prompt_ids)).endswith("[assistant]<think>\n")
    assert 1 <= len(made.token_ids) <= 4


def test_a_prefill_starts_with_the_opening_tag() -> None:
    with pytest.raises(BadOption, match="prefill must start with <think>"):
        ThinkTags(prefill="So")


def test_a_template_that_fails_is_one_line_before_anything_is_sampled() -> None:
    with pytest.raises(BadOption, match=r"chat template must render a question; it fails: no"):
        policy_with(tokenizer_with("{{ raise_exception('no') }}"))
    with pytest.raises(BadOption, match=r"Fix: repair chat_template"):
        policy_with(tokenizer_with("{% if %}"))


def test_a_chat_prompt_without_a_template_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _warn_of_joined_messages.cache_clear()
    encoder = PromptEncoder(tokenizer_with(None))
    encoder.encode_many([TASK[1:]])
    assert not caplog.records
    encoder.encode_many([TASK])
    encoder.encode_many([[TASK[0], {"role": "user", "content": "From 2?"}]])
    (record,) = caplog.records
    assert record.getMessage().startswith("the tokenizer has no chat template")
