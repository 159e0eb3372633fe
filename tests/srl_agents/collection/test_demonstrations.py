"""Expert steps as token ids to imitate, in the prompts they will be sampled in."""

from __future__ import annotations

from typing import Any

import pytest

import srl_env
from srl_agents.collection.demonstrations import demonstrations
from srl_agents.methods.starts import StartPoint
from srl_agents.models.small import build, character_tokenizer
from srl_agents.objectives import NLL
from srl_agents.objectives.batch import Batch
from srl_agents.policies import TransformersPolicy
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.testing import CountingEnv
from srl_tasks.generated.modular_chain import ALPHABET


@pytest.fixture(scope="module")
def policy() -> TransformersPolicy:
    tokenizer = character_tokenizer(ALPHABET + "\n <>/=!.CSTADFKWPYLH&\"'_-" + "uvwxyz")
    return TransformersPolicy(build("lfm2-0.3m", tokenizer, seed=0), tokenizer)


def chain(**options: Any) -> ReasoningEnv:
    env = srl_env.make("srl/ModularChain-v0", difficulty=2, max_problems=3, **options)
    assert isinstance(env.unwrapped, ReasoningEnv)
    return env.unwrapped


def texts(policy: TransformersPolicy, batch: Batch) -> list[tuple[str, str]]:
    return [
        (policy.tokenizer.decode(prompt), policy.tokenizer.decode(completion))
        for prompt, completion in zip(batch.prompts, batch.completions, strict=True)
    ]


POINTS = [StartPoint(0, k) for k in range(3)]


def test_the_outline_is_the_experts_actions_without_thinking(policy: TransformersPolicy) -> None:
    env = chain()
    found = texts(policy, demonstrations(env, policy, POINTS, NLL().request, seed=0))
    problem = env.problems[0]
    actions = problem.trajectories[0].actions
    assert [completion for _, completion in found] == list(actions)
    assert found[2][0] == problem.prompt + actions[0] + actions[1]


def test_reasoning_has_the_experts_thoughts_where_they_are_recorded(
    policy: TransformersPolicy,
) -> None:
    env = chain()
    batch = demonstrations(env, policy, POINTS, NLL(demonstration="reasoning").request, seed=0)
    steps = env.problems[0].trajectories[0].steps
    expected = [env.format.render(step) for step in steps]
    assert [completion for _, completion in texts(policy, batch)] == expected
    assert expected[0].startswith("(")


def test_reasoning_needs_recorded_thoughts(policy: TransformersPolicy) -> None:
    with pytest.raises(BadOption, match=r"must have recorded thoughts.*'outline'"):
        demonstrations(
            chain(hide_thoughts=True),
            policy,
            POINTS,
            NLL(demonstration="reasoning").request,
            seed=0,
        )


def test_a_stop_string_ends_a_step_and_else_the_end_token_does(policy: TransformersPolicy) -> None:
    end = policy.tokenizer.eos_token_id
    stopped = demonstrations(chain(), policy, POINTS, NLL().request, seed=0)
    assert all(completion[-1] != end for completion in stopped.completions)
    ended = demonstrations(CountingEnv(), policy, POINTS, NLL().request, seed=0)
    assert all(completion[-1] == end for completion in ended.completions)


def test_a_whole_solution_is_the_rest_of_the_outline(policy: TransformersPolicy) -> None:
    env, objective = chain(), NLL(granularity="solution").request
    batch = demonstrations(env, policy, [StartPoint(1)], objective, seed=0)
    ((prompt, completion),) = texts(policy, batch)
    problem = env.problems[1]
    assert prompt == problem.prompt
    assert completion == "".join(problem.trajectories[0].actions) + "<eos>"


def test_every_demonstrated_token_weighs_the_same(policy: TransformersPolicy) -> None:
    batch = demonstrations(chain(), policy, POINTS, NLL().request, seed=0)
    assert batch.weights.tolist() == pytest.approx([1 / batch.tokens] * 3)


def test_prompts_are_those_of_sampling(policy: TransformersPolicy) -> None:
    env = chain()
    batch = demonstrations(env, policy, POINTS, NLL().request, seed=0)
    _, info = env.reset(seed=3, options={"problem": 0, "start_step": 2, "reward_mode": "rlvr"})
    assert list(batch.prompts[2]) == policy.encode(info["messages"])
