"""Expert steps as completions: the batch of supervised fine-tuning, and rows of groups.

Prompts are those of the environment, so that a model is fine-tuned in the context in which it
samples. Without thoughts, a model learns to act without thinking: that is the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from srl_agents.methods.starts import StartPoint
from srl_agents.objectives.batch import Batch
from srl_agents.objectives.loss import completion_weights
from srl_agents.objectives.requests import DemonstrationRequest
from srl_agents.policies import TransformersPolicy
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.policy import Generation, Sampling
from srl_env.problem import ExpertStep
from srl_env.rollout import EnvPool, Episode, Start, rollout
from srl_env.seeding import derive_seed
from srl_env.text.format import ToolFormat
from srl_env.text.prompt import Messages


def demonstrations(
    env: ReasoningEnv,
    policy: TransformersPolicy,
    points: Sequence[StartPoint],
    request: DemonstrationRequest,
    seed: int,
) -> Batch:
    """The expert's completion at each start point, each with its weight in the loss.

    seed: chooses a trajectory if a problem has several. Raises BadOption if thoughts are requested
    and an expert's thoughts are not recorded.
    """
    pairs = [
        _demonstration(env, policy, point, request, derive_seed("trajectory", seed, number))
        for number, point in enumerate(points)
    ]
    messages, texts = zip(*pairs, strict=True)
    how = Sampling().for_format(env.format, request.granularity, env.native_tools)
    prompts = tuple(tuple(ids) for ids in policy.encode_many(messages, how.prefill, how.tools))
    stop = env.format.stop if request.granularity == "step" else ()
    completions = policy.encode_completions(texts, stop, how.prefill, env.native_tools)
    lengths = torch.tensor([len(ids) for ids in completions])
    weights = completion_weights(lengths, torch.arange(len(points)), request.aggregation)
    return Batch(prompts, completions, torch.ones(len(points)), weights)


def expert_episodes(
    pool: EnvPool, policy: TransformersPolicy, starts: Sequence[Start], sampling: Sampling
) -> list[Episode]:
    """The expert's episode from each start, judged by the verifier.

    Token ids are those that would be sampled; log-probs are empty, as nothing was. After its last
    step an expert writes nothing more.
    """
    if not starts:
        return []
    format = pool.take(1)[0].format
    return [
        _encoded(episode, policy, sampling.for_format(format, episode.granularity))
        for episode in rollout(pool, _Expert(), starts)
    ]


class _Expert:
    """Writes the expert's steps, with the thoughts that are recorded, and then empty actions."""

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
        """The next completion in each environment."""
        return [
            Generation(
                env.expert_completion()
                if env.step_index < len(env.expert_steps)
                else env.format.render(ExpertStep(""))
            )
            for env in envs
        ]


def _encoded(episode: Episode, policy: TransformersPolicy, how: Sampling) -> Episode:
    """The episode's expert steps, with token ids."""
    steps = [step for step in episode.steps if step.expert_action is not None]
    prompts = policy.encode_many([step.messages for step in steps], how.prefill)
    texts = [step.generation.text for step in steps]
    completions = policy.encode_completions(texts, how.stop, how.prefill) if texts else ()
    made = (
        replace(step, generation=Generation(text, ids, (), tuple(prompt)))
        for step, text, ids, prompt in zip(steps, texts, completions, prompts, strict=True)
    )
    return replace(episode, steps=tuple(made))


def _demonstration(
    env: ReasoningEnv,
    policy: TransformersPolicy,
    point: StartPoint,
    request: DemonstrationRequest,
    seed: int,
) -> tuple[Messages, str]:
    """The prompt at a point, and what the expert would write."""
    _, info = env.reset(
        seed=seed,
        options={
            "problem": point.problem,
            "start_step": point.start_step,
            "reward_mode": "srl",
            "continuation": "expert",
            "granularity": request.granularity,
            "native_tools": policy.native_tools,
        },
    )
    steps = env.expert_steps[env.step_index :]
    if request.granularity == "step":
        steps = steps[:1]
    outline = ExpertStep(env.style.join.join(step.action for step in steps))
    if not request.thoughts:
        return info["messages"], env.format.render(_native(env, policy, outline))
    if all(step.thought is None for step in env.expert_steps):
        raise BadOption(
            f"the expert of problem {env.problem.id!r} must have recorded thoughts; got none. Fix:"
            " set objective.demonstration = 'outline', or use data with thoughts"
        )
    if env.native_tools:
        return info["messages"], env.format.render(_native(env, policy, steps[0]))
    return info["messages"], env.expert_completion()


def _native(env: ReasoningEnv, policy: TransformersPolicy, step: ExpertStep) -> ExpertStep:
    """The step with its call as the model's chat template writes it, if tools are native."""
    format = env.format
    call = format.call_of(step.action) if isinstance(format, ToolFormat) else None
    if call is None or not env.native_tools or not isinstance(format, ToolFormat):
        return step
    return replace(step, action=policy.write_call(call, format.tools))
