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
from srl_env.rollout import EnvPool, Episode, Start, rollout, sampled_turns
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
    env = pool.take(1)[0]
    episodes = rollout(pool, _Expert(policy.native_tools), starts)
    return [_encoded(episode, policy, env, sampling) for episode in episodes]


class _Expert:
    """Writes the expert's steps, with the thoughts that are recorded, and then empty actions."""

    def __init__(self, native_tools: bool) -> None:
        self.native_tools = native_tools

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


def _encoded(
    episode: Episode, policy: TransformersPolicy, env: ReasoningEnv, sampling: Sampling
) -> Episode:
    """The episode's expert steps, with token ids."""
    native = env.native_format if policy.native_tools and episode.granularity == "step" else None
    how = sampling.for_format(env.format, episode.granularity, native is not None)
    steps = [step for step in episode.steps if step.expert_action is not None]
    if not steps:
        return replace(episode, steps=())
    texts = [step.generation.text for step in steps]
    shown = texts
    if native is not None:
        shown = [
            text.removesuffix(step.action) + natively_written(native, policy, step.action)
            for step, text in zip(steps, texts, strict=True)
        ]
    completions = policy.encode_completions(shown, how.stop, how.prefill, native is not None)
    made = [
        replace(step, generation=Generation(text, ids))
        for step, text, ids in zip(steps, texts, completions, strict=True)
    ]
    turns = [sampled_turns(env, episode.continuation, made[:count]) for count in range(len(made))]
    messages = [step.messages for step in steps]
    prompts = policy.encode_many(messages, how.prefill, how.tools, turns)
    found = (
        replace(step, generation=replace(step.generation, prompt_ids=tuple(prompt)))
        for step, prompt in zip(made, prompts, strict=True)
    )
    return replace(episode, steps=tuple(found))


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
    if not env.native_tools or env.native_format is None:
        return step
    return replace(step, action=natively_written(env.native_format, policy, step.action))


def natively_written(format: ToolFormat, policy: TransformersPolicy, action: str) -> str:
    """An action as the model's chat template writes it; the same if it is no call."""
    call = format.call_of(action)
    return action if call is None else policy.write_call(call, format.tools)
