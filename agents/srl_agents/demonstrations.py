"""Expert steps as completions to imitate: the batch of supervised fine-tuning.

Prompts are those the environment makes, so that a model is fine-tuned in the very context it
will be sampled in. In "outline" form the expert's thoughts are left out, whether recorded or
not: a model fine-tuned on it learns to act without thinking, which is the point of comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from srl_agents.groups import Batch
from srl_agents.loss import completion_weights
from srl_agents.methods import NLL
from srl_agents.policies import TransformersPolicy
from srl_agents.starts import StartPoint
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.policy import Messages
from srl_env.problem import ExpertStep


def demonstrations(
    env: ReasoningEnv, policy: TransformersPolicy, points: Sequence[StartPoint], objective: NLL
) -> Batch:
    """The expert's completion at each start point, each with its share of the loss.

    Raises BadOption where "reasoning" is asked for and a step has no thought.
    """
    shown, written = zip(*(_demonstration(env, point, objective) for point in points), strict=True)
    prompts = tuple(tuple(ids) for ids in policy.encode_many(shown))
    stop = env.format.stop if objective.granularity == "step" else ()
    completions = _completions(policy.tokenizer, written, stop)
    lengths = torch.tensor([len(ids) for ids in completions])
    weights = completion_weights(lengths, torch.arange(len(points)), objective.aggregation)
    return Batch(prompts, completions, torch.ones(len(points)), weights)


def _completions(
    tokenizer: Any, texts: Sequence[str], stop: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """Token ids of each text, with the end-of-text token unless a stop string ends it."""
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    end = tokenizer.eos_token_id
    return tuple(
        tuple(row) if end is None or text.endswith(tuple(stop)) else (*row, end)
        for row, text in zip(rows, texts, strict=True)
    )


def _demonstration(env: ReasoningEnv, point: StartPoint, objective: NLL) -> tuple[Messages, str]:
    """What the policy is shown at a point, and what the expert would write."""
    _, info = env.reset(
        seed=0,
        options={
            "problem": point.problem,
            "start_step": point.start_step,
            "reward_mode": "srl",
            "continuation": "expert",
            "granularity": objective.granularity,
        },
    )
    if objective.demonstration == "reasoning":
        return info["messages"], _with_thoughts(env)
    steps = env.expert_steps[env.step_index :]
    if objective.granularity == "step":
        steps = steps[:1]
    outline = env.style.join.join(step.action for step in steps)
    return info["messages"], env.format.render(ExpertStep(outline))


def _with_thoughts(env: ReasoningEnv) -> str:
    if env.expert_steps[env.step_index].thought is None:
        raise BadOption(
            f"problem {env.problem.id!r} has no thought for step {env.step_index + 1}; fine-tune on"
            " objective.demonstration = 'outline', or on data that records the expert's thoughts"
        )
    return env.expert_completion()
