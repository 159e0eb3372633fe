"""Expert steps as completions to imitate: the batch of supervised fine-tuning.

Prompts are those the environment makes, so that a model is fine-tuned in the very context it
will be sampled in. In "outline" form the expert's thoughts are left out, whether recorded or
not: a model fine-tuned on it learns to act without thinking, which is the point of comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from srl_agents.methods.stages import NLL
from srl_agents.methods.starts import StartPoint
from srl_agents.objectives.groups import Batch
from srl_agents.objectives.loss import completion_weights
from srl_agents.policies import TransformersPolicy
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.problem import ExpertStep
from srl_env.seeding import derive_seed
from srl_env.text.prompt import Messages


def demonstrations(
    env: ReasoningEnv,
    policy: TransformersPolicy,
    points: Sequence[StartPoint],
    objective: NLL,
    seed: int,
) -> Batch:
    """The expert's completion at each start point, each with its share of the loss.

    seed: of which trajectory is shown where a problem has several.
    Raises BadOption where "reasoning" is asked for and an expert's thoughts are not recorded.
    """
    pairs = [
        _demonstration(env, point, objective, derive_seed("trajectory", seed, number))
        for number, point in enumerate(points)
    ]
    shown, written = zip(*pairs, strict=True)
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


def _demonstration(
    env: ReasoningEnv, point: StartPoint, objective: NLL, seed: int
) -> tuple[Messages, str]:
    """What the policy is shown at a point, and what the expert would write."""
    _, info = env.reset(
        seed=seed,
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
    if all(step.thought is None for step in env.expert_steps):
        raise BadOption(
            f"the expert of problem {env.problem.id!r} recorded no thoughts; fine-tune on"
            " objective.demonstration = 'outline', or on data that has them"
        )
    return env.expert_completion()
