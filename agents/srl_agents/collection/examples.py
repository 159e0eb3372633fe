"""Expert steps written in an environment's format, for prompts at which a policy broke it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from srl_agents.collection.demonstrations import natively_written
from srl_agents.objectives.batch import Batch
from srl_agents.policies import TransformersPolicy
from srl_env.environment import ReasoningEnv
from srl_env.policy import Sampling
from srl_env.problem import ExpertStep
from srl_env.rollout import Episode, Step
from srl_env.text.format import CLOSE, OPEN


def examples(
    env: ReasoningEnv,
    policy: TransformersPolicy,
    samples: Sequence[tuple[Episode, Step]],
    room: int,
) -> Batch | None:
    """The expert's step, in the format, for the prompt of each sample; None if there are none.

    room: the most tokens of a sample that become the thought, if the format asks for a thought and
    the expert's is not recorded.
    """
    native = env.native_format if policy.native_tools else None
    found = [(s, text) for e, s in samples if (text := written(env, e, s, room)) is not None]
    if not found:
        return None
    texts = [text for _, text in found]
    if native is not None:
        texts = [
            text.removesuffix(action) + natively_written(native, policy, action)
            for (step, text) in found
            for action in [step.expert_action or ""]
        ]
    how = Sampling().for_format(env.format, "step", native is not None)
    completions = policy.encode_completions(texts, env.format.stop, how.prefill, native is not None)
    ones = torch.ones(len(found))
    return Batch(tuple(step.generation.prompt_ids for step, _ in found), completions, ones, ones)


def written(env: ReasoningEnv, episode: Episode, step: Step, room: int) -> str | None:
    """The expert's step at the place of a sample, in the format; None without an expert's step."""
    if step.expert_action is None:
        return None
    expert = _recorded(env, episode.problem_id, step)
    text = env.format.render(expert)
    if expert.thought is None and env.format.parse(text).thought == "":  # one is asked for
        own = env.format.render(replace(expert, thought=_own_words(env, step, room)))
        parsed = env.format.parse(own)
        if parsed.ok and parsed.action == env.format.parse(text).action:
            return own
    return text


def _recorded(env: ReasoningEnv, problem_id: str, step: Step) -> ExpertStep:
    """The expert's step with its thought, if that is recorded."""
    problem = env.problems[env.problems.index_of(problem_id)]
    for trajectory in problem.trajectories:
        for expert in trajectory.steps[step.index : step.index + 1]:
            if expert.action == step.expert_action:
                return expert
    assert step.expert_action is not None, "checked by the caller"
    return ExpertStep(step.expert_action)


def _own_words(env: ReasoningEnv, step: Step, room: int) -> str:
    """The beginning of what the policy wrote, without thinking tags, up to the end of a word."""
    text, tokens = step.generation.text, len(step.generation.token_ids)
    text = env.format.parse(text).action or text.replace(OPEN, "").replace(CLOSE, "").strip()
    if tokens > room:
        text = text[: len(text) * room // tokens].rpartition(" ")[0]
    return text.strip()
