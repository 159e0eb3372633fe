"""Chat templates that render earlier turns otherwise than they were sampled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from srl_agents.models.small import bpe_tokenizer, build, character_tokenizer
from srl_agents.objectives import GRPO
from srl_agents.objectives.groups import groups_of
from srl_agents.runs.config import make_config
from srl_agents.training.packing import micro_batches
from srl_agents.training.retokenization import Drift, drift_fraction, find_drifts
from srl_agents.training.run import train
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step
from srl_env.text.prompt import Message

EOS_ID = 1  # of a character_tokenizer
ASCII = "".join(map(chr, range(32, 127))) + "\n"
PLAIN = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TRIMMING = PLAIN.replace("m.content", "m.content | trim")
# As Qwen3's does: thinking stays only behind the last message of the user, where it may be empty.
STRIPPING = (
    "{% set last = messages | map(attribute='role') | list | length - 1 %}"
    "{% for m in messages %}<|{{ m.role }}|>\n"
    "{% if m.role == 'assistant' and '</think>' in m.content %}"
    "{% if loop.index0 > last %}{{ m.content }}"
    "{% else %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}{% endif %}"
    "{% else %}{{ m.content }}{% endif %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
EMPTYING = STRIPPING.replace("{{ m.content.split", "<think>\n\n</think>\n\n{{ m.content.split")
FIRST, SECOND = "<think>a or b?</think>\nlook at b", "<think>so c</think>\ntake c"


def tokenizer_with(template: str) -> Any:
    tokenizer = character_tokenizer(ASCII)
    tokenizer.chat_template = template
    return tokenizer


def conversation(
    tokenizer: Any, *turns: str, kept: tuple[str, ...] | None = None, end: tuple[int, ...] = ()
) -> Episode:
    """An episode in which these turns were sampled; kept: what the history shows of them; end:
    the token that ended each."""
    messages: list[Message] = [{"role": "user", "content": "What now?"}]
    steps = []
    for index, (text, shown) in enumerate(zip(turns, kept or turns, strict=True)):
        prompt = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        ids = (*tokenizer.encode(text, add_special_tokens=False), *end)
        generation = Generation(text, ids, tuple(-1.0 for _ in ids), tuple(prompt))
        steps.append(Step(tuple(messages), generation, shown, index, 0.5, {}, True, None, None))
        messages = [
            *messages,
            {"role": "assistant", "content": shown},
            {"role": "user", "content": f"answer {index}"},
        ]
    return Episode("p", 0, "rlvr", "policy", "step", tuple(steps), None, None, 0)


def drifts(episode: Episode, tokenizer: Any) -> list[Drift]:
    return list(find_drifts(episode, tokenizer))


def test_a_template_that_shows_turns_as_they_were_sampled_has_no_drift() -> None:
    tokenizer = tokenizer_with(PLAIN)
    episode = conversation(tokenizer, FIRST, SECOND, "done")
    assert drifts(episode, tokenizer) == []
    assert drift_fraction([episode]) == 0.0


@pytest.mark.parametrize("template", [STRIPPING, EMPTYING], ids=["removed", "emptied"])
def test_thinking_that_the_template_removes_is_named_with_its_turn(template: str) -> None:
    tokenizer = tokenizer_with(template)
    episode = conversation(tokenizer, FIRST, SECOND, "done")
    found = drifts(episode, tokenizer)
    reason = "the chat template removed the thinking of the turn before"
    assert [(drift.turn, drift.reason) for drift in found] == [(2, reason), (3, reason)]
    assert drift_fraction([episode]) == 1.0


def test_the_first_token_that_differs_is_reported_with_both_texts() -> None:
    tokenizer = tokenizer_with(STRIPPING)
    episode = conversation(tokenizer, FIRST, "done")
    (drift,) = drifts(episode, tokenizer)
    assert drift.at == len("<|user|>\nWhat now?<|end|>\n<|assistant|>\n")
    assert drift.sampled == FIRST
    assert drift.shown.startswith("look at b<|end|>\n<|user|>")
    assert str(drift).startswith(
        "turn 2: the chat template removed the thinking of the turn before (token 40: "
        "'<think>a or b?</think>\\nlook at b' before, 'look at b<|end|>"
    )


def test_only_the_turn_that_thought_drifts() -> None:
    tokenizer = tokenizer_with(STRIPPING)
    episode = conversation(tokenizer, "look at a", "look at b", SECOND, "done")
    assert [drift.turn for drift in drifts(episode, tokenizer)] == [4]
    assert drift_fraction([episode]) == pytest.approx(1 / 3)


def test_a_history_of_actions_alone_differs_from_a_template_that_strips() -> None:
    tokenizer = tokenizer_with(PLAIN)
    episode = conversation(tokenizer, FIRST, "done", kept=("look at b", "done"))
    (drift,) = drifts(episode, tokenizer)
    assert drift.reason == "the history shows the action of the turn before without its thinking"
    episode = conversation(tokenizer, FIRST, "done", kept=("wait", "done"))
    (drift,) = drifts(episode, tokenizer)
    assert drift.reason == "the history shows a different text than the sampled one"


def test_white_space_that_a_template_trims_is_drift_too() -> None:
    tokenizer = tokenizer_with(TRIMMING)
    (drift,) = drifts(conversation(tokenizer, "look at b \n", "done"), tokenizer)
    assert drift.reason == "the chat template changed white space"


@pytest.mark.parametrize(
    ("template", "text", "reason"),
    [
        (STRIPPING, FIRST, "the chat template removed the thinking of the turn before"),
        (EMPTYING, FIRST, "the chat template removed the thinking of the turn before"),
        (TRIMMING, "look at b \n", "the chat template changed white space"),
        (PLAIN, FIRST, "the chat template closes the turn before with a different token"),
    ],
    ids=["removed", "emptied", "trimmed", "closed"],
)
def test_the_token_that_ended_a_turn_hides_no_reason(template: str, text: str, reason: str) -> None:
    """The template closes turns with another one."""
    tokenizer = tokenizer_with(template)
    (drift,) = drifts(conversation(tokenizer, text, "done", end=(EOS_ID,)), tokenizer)
    assert drift.reason == reason
    assert drift.sampled.endswith(tokenizer.eos_token)


def test_the_same_text_in_other_tokens_is_drift_too() -> None:
    tokenizer = bpe_tokenizer(["look at that, look at that"] * 9, vocab_size=300)
    tokenizer.chat_template = PLAIN
    episode = conversation(tokenizer, "look at that", "done")
    assert drifts(episode, tokenizer) == []
    first = episode.steps[0]
    letters = tuple(id for c in "look at that" for id in tokenizer.encode(c))
    assert letters != first.generation.token_ids
    sampled = replace(first, generation=replace(first.generation, token_ids=letters))
    (drift,) = drifts(replace(episode, steps=(sampled, episode.steps[1])), tokenizer)
    assert drift.reason == "the same text has different tokens"


def test_an_earlier_message_that_is_rendered_differently_is_not_the_turn() -> None:
    tokenizer = tokenizer_with("{{ messages | length }}:" + PLAIN)
    (drift,) = drifts(conversation(tokenizer, "look", "done"), tokenizer)
    assert drift.reason == "the chat template renders an earlier message differently"
    assert drift.at == 0


def test_steps_that_are_no_conversation_cannot_drift() -> None:
    tokenizer = tokenizer_with(STRIPPING)
    episode = conversation(tokenizer, FIRST, "done")
    assert drift_fraction([replace(episode, continuation="expert")]) is None
    first, second = episode.steps
    listed = replace(second, messages=({"role": "user", "content": "What now? So far: b"},))
    assert drift_fraction([replace(episode, steps=(first, listed))]) is None
    assert drifts(replace(episode, steps=(first, listed)), tokenizer) == []


@pytest.mark.parametrize(("template", "goes_on"), [(PLAIN, True), (STRIPPING, False)])
def test_a_turn_is_trained_on_in_the_context_it_was_sampled_in_whether_the_next_drifts_or_not(
    template: str, goes_on: bool
) -> None:
    """A drifted turn shares what agrees; what nobody sampled is context, and has no loss."""
    tokenizer = tokenizer_with(template)
    first = conversation(tokenizer, FIRST, SECOND)
    other = replace(first, steps=tuple(replace(step, reward=0.0) for step in first.steps))
    batch = GRPO().make_batch(groups_of([first, other]), 2)
    sampled = [step.generation for episode in (first, other) for step in episode.steps]
    assert batch.prompts == tuple(generation.prompt_ids for generation in sampled)
    assert batch.completions == tuple(generation.token_ids for generation in sampled)
    (micro,) = micro_batches(batch.prompts, batch.completions, 10_000)
    (prefix,) = micro.prefixes
    spoken = sampled[0].prompt_ids + sampled[0].token_ids
    assert (tuple(prefix[: len(spoken)]) == spoken) == goes_on
    for continuation, row in zip(micro.continuations, micro.rows, strict=True):
        context = tuple(micro.prefixes[continuation.prefix][: continuation.start])
        assert (context, continuation.ids) == (batch.prompts[row], batch.completions[row])


def test_a_run_logs_each_reason_once(tmp_path: Path) -> None:
    shop = Path(__file__).parents[3] / "examples/tool_environment.py"
    tokenizer = tokenizer_with(PLAIN.replace("{{ m.content }}", "({{ m.role }}) {{ m.content }}"))
    config = transformers.LlamaConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    build(config, tokenizer, seed=0).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    tree = {
        "out": str(tmp_path / "run"),
        "env": {"id": str(shop)},
        "model": {"path": str(tmp_path / "base"), "device": "cpu", "threads": 1},
        "method": "rlvr",
        "budget": {"updates": 2},
        "train": {
            "batch": 2,
            "objective": {"max_tokens": 4, "max_steps": 3, "group_size": 2, "max_groups": 1.0},
        },
        "log": {"tensorboard": False, "kl_every": 0},
    }
    train(make_config(tree))
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    reported = [line["reason"] for line in lines if line.get("event") == "drift"]
    assert len(reported) == len({reason.partition(" (token")[0] for reason in reported}) >= 1
    assert all(reason.startswith(("turn 2: ", "turn 3: ")) for reason in reported)
    assert [line["drift_fraction"] for line in lines if "event" not in line] == [1.0, 1.0]
