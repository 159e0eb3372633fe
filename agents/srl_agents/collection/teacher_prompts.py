"""The prompts in which a teacher scores completions: the policy's own, with another hint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from srl_agents.objectives.base import Objective
from srl_agents.objectives.batch import TrainingBatches
from srl_agents.objectives.groups import Group
from srl_agents.objectives.requests import Collected
from srl_env.environment import ReasoningEnv
from srl_env.policy import Sampling
from srl_env.rollout import sampled_turns
from srl_env.text.hint import first_steps, with_hint
from srl_env.text.prompt import Messages
from srl_env.text.tool import Tool

Ids = tuple[int, ...]


class Encoder(Protocol):
    """What encodes prompts; ``TransformersPolicy`` is one."""

    @property
    def native_tools(self) -> bool:
        """Whether it takes tools."""

    def encode_many(
        self,
        batch: list[Messages],
        prefill: str = "",
        tools: tuple[Tool, ...] = (),
        turns: Sequence[Sequence[Sequence[int]]] = (),
    ) -> list[list[int]]:
        """The ids of each prompt, then prefill; tools and turns as in ``Sampling``."""


def with_teacher_prompts(
    data: TrainingBatches,
    collected: Collected,
    objective: Objective,
    envs: Mapping[str, ReasoningEnv],
    encoder: Encoder,
) -> TrainingBatches:
    """The batches with the teacher's prompts, as the objective asks; the same without a teacher.

    Without an expert, the teacher's prompt is the policy's.
    """
    request = objective.teacher_request
    if request is None:
        return data
    known = teacher_prompts(collected, request.hint, envs, encoder)
    batches = (
        objective.with_teacher(batch, tuple(known.get(ids, ids) for ids in batch.prompts))
        for batch in data.batches
    )
    return replace(data, batches=tuple(batches))


def teacher_prompts(
    collected: Collected, hint: float, envs: Mapping[str, ReasoningEnv], encoder: Encoder
) -> dict[Ids, Ids]:
    """{the ids of a prompt that was sampled in: those of the same prompt with this hint}.

    hint: the fraction of the expert's steps that it shows. Prompts that stay are not in it.
    """
    found: dict[Ids, Ids] = {}
    for name, env in envs.items():
        own = [group for group in collected.trained if collected.starts[group.start].env == name]
        found |= _teacher_prompts(own, collected, hint, env, encoder)
    return found


def _teacher_prompts(
    groups: Sequence[Group], collected: Collected, hint: float, env: ReasoningEnv, encoder: Encoder
) -> dict[Ids, Ids]:
    """The same for groups of one environment."""
    changed: dict[Ids, Messages] = {}
    turns: dict[Ids, tuple[Ids, ...]] = {}
    later: dict[Ids, Ids] = {}
    for group in groups:
        start = collected.starts[group.start]
        assert start.seed is not None, "the collector seeds every start"
        shown = float(start.options.get("hint", 0.0))
        if shown == hint:
            continue
        problem, steps = env.expert_of(start.seed, start.options)
        actions = [step.action for step in steps]
        now, then = first_steps(actions, shown), first_steps(actions, hint)
        for member in group.members:
            episode = collected.episodes[member.episode]
            for step in member.steps:
                ids = step.generation.prompt_ids
                later |= {part.prompt_ids: ids for part in step.generation.parts[1:]}
                before = [earlier for earlier in episode.steps if earlier.index < step.index]
                if ids not in changed:
                    changed[ids] = with_hint(env.style, step.messages, problem.prompt, then, now)
                    turns[ids] = sampled_turns(env, episode.continuation, before)
    if not changed:
        return {}
    native = encoder.native_tools and env.native_format is not None
    how = Sampling().for_format(env.format, "step", native)
    encoded = encoder.encode_many(
        list(changed.values()), how.prefill, how.tools, list(turns.values())
    )
    found = {ids: tuple(new) for ids, new in zip(changed, encoded, strict=True)}
    for ids in later:  # what was sampled after forced ids
        found[ids] = found[later[ids]] + ids[len(later[ids]) :]
    return found
