"""From episodes to groups and batches, with numbers worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srl_agents.objectives import GRPO
from srl_agents.objectives.batch import unanimous
from srl_agents.objectives.groups import Signal, groups_of, outcomes, reward_std
from srl_agents.objectives.metrics import group_metrics
from srl_agents.objectives.requests import Collected
from srl_agents.objectives.sampled import optimizer_steps
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step

FAILURE = {"type": "VerifierTimeout", "message": "too late"}


def step(reward: float, index: int = 0, ids: tuple[int, ...] = (5,), **changes: Any) -> Step:
    generation = Generation("x", ids, tuple(-0.5 for _ in ids), (1, 2, index))
    options: dict[str, Any] = {"format_ok": True, "legal": None, "failure": None, **changes}
    return Step((), generation, "x", index, reward, {}, **options)


def episode(
    group: int,
    *steps: Step,
    continuation: str = "expert",
    granularity: str = "step",
    **changes: Any,
) -> Episode:
    options: dict[str, Any] = {"verdict": None, "failure": None, **changes}
    return Episode(
        "p",
        0,
        "srl",
        continuation,  # type: ignore[arg-type]
        granularity,  # type: ignore[arg-type]
        steps,
        group=group,
        **options,
    )


def rewards(episodes: list[Episode]) -> list[list[float]]:
    return [[member.reward for member in group.members] for group in groups_of(episodes)]


def test_with_the_experts_continuation_each_step_is_compared_with_the_same_step() -> None:
    episodes = [
        episode(0, step(0.1, 0), step(0.5, 1)),
        episode(0, step(0.3, 0), step(0.9, 1)),
        episode(1, step(1.0, 0), step(0.0, 1)),
        episode(1, step(0.0, 0), step(0.0, 1)),
    ]
    assert rewards(episodes) == [[0.1, 0.3], [0.5, 0.9], [1.0, 0.0], [0.0, 0.0]]


def test_with_the_policys_continuation_episodes_are_compared_by_their_totals() -> None:
    episodes = [
        episode(0, step(0.0, 0), step(1.0, 1), continuation="policy"),
        episode(0, step(0.0, 0), continuation="policy"),
    ]
    assert rewards(episodes) == [[1.0, 0.0]]
    assert groups_of(episodes)[0].std == 0.5


def test_episodes_can_be_compared_by_their_totals_under_the_experts_continuation_too() -> None:
    episodes = [
        episode(0, step(0.1, 0), step(0.5, 1)),
        episode(0, step(0.3, 0), step(0.9, 1)),
    ]
    (group,) = groups_of(episodes, "episode")
    assert [member.reward for member in group.members] == pytest.approx([0.6, 1.2])
    assert group.many_steps


def test_steps_can_be_compared_under_the_policys_continuation_too() -> None:
    episodes = [episode(0, step(0.0, 0), step(r, 1), continuation="policy") for r in (1.0, 0.5)]
    first, second = groups_of(episodes, "step")
    assert [member.reward for member in first.members] == [0.0, 0.0]
    assert [member.reward for member in second.members] == [1.0, 0.5]
    assert not second.many_steps


def truncated(reward: float, index: int = 0, ids: tuple[int, ...] = (5,)) -> Step:
    cut = step(reward, index, ids, format_ok=False)
    return replace(cut, generation=replace(cut.generation, finish_reason="length"))


def test_a_masked_completion_counts_in_its_group_and_is_not_trained_on() -> None:
    objective = GRPO(scale="none", mask_truncated=True)
    episodes = [
        episode(0, truncated(0.0, ids=(7, 8))),
        episode(0, step(1.0)),
        episode(0, step(0.5)),
    ]
    (group,) = objective.groups(episodes)
    assert [member.reward for member in group.members] == [0.0, 1.0, 0.5]
    assert group.std_in_format == 0.25
    batch = objective.make_batch([group], 4)
    assert batch.completions == ((5,), (5,))
    assert batch.advantages.tolist() == [0.5, 0.0]
    assert batch.weights.tolist() == [0.5, 0.5]
    assert group_metrics([group], 1, 0.0)["masked_completions"] == 1.0
    assert "masked_completions" not in group_metrics(groups_of(episodes), 1, 0.0)


def test_of_an_episode_only_the_truncated_step_is_masked() -> None:
    objective = GRPO(mask_truncated=True)
    cut = [step(0.0, 0), truncated(0.0, 1)]
    episodes = [
        episode(0, *cut, continuation="policy"),
        episode(0, step(1.0), continuation="policy"),
    ]
    (group,) = objective.groups(episodes)
    assert [len(member.steps) for member in group.members] == [1, 1]


def test_groups_whose_completions_are_all_masked_are_not_trained_on() -> None:
    objective = GRPO(mask_truncated=True)
    groups = objective.groups([episode(0, truncated(r)) for r in (0.0, 1.0)])
    assert objective.training_batches(Collected(1, 0.0, [], groups), 1, 4) is None


def test_a_failed_step_leaves_its_group_and_the_others_stay() -> None:
    failed = step(math.nan, 0, failure=FAILURE)
    episodes = [episode(0, step(r)) for r in (0.0, 1.0)] + [episode(0, failed, failure=FAILURE)]
    assert rewards(episodes) == [[0.0, 1.0]]


def test_a_failed_episode_leaves_its_group() -> None:
    bad = episode(0, step(0.0), step(math.nan, 1), continuation="policy", failure=FAILURE)
    good = [episode(0, step(r), continuation="policy") for r in (0.0, 1.0)]
    assert rewards([bad, *good]) == [[0.0, 1.0]]


def test_fewer_than_two_comparable_members_are_no_group() -> None:
    failed = step(math.nan, 0, failure=FAILURE)
    assert groups_of([episode(0, step(1.0)), episode(0, failed, failure=FAILURE)]) == []
    assert groups_of([]) == []


def test_stds_with_and_without_format_failures() -> None:
    broken = step(-1.0, format_ok=False)
    episodes = [episode(0, broken), *[episode(0, step(r)) for r in (0.4, 0.6)]]
    (group,) = groups_of(episodes)
    # Mean 0, squares 1 + 0.16 + 0.36; without the failure ±0.1 about 0.5.
    assert group.std == pytest.approx(math.sqrt(1.52 / 3))
    assert group.std_in_format == pytest.approx(0.1)


def test_a_group_without_any_well_formed_member_has_no_std_in_format() -> None:
    episodes = [episode(g, step(-1.0, format_ok=False)) for g in (0, 0, 1, 1)]
    assert [group.std_in_format for group in groups_of(episodes)] == [0.0, 0.0]


def test_every_token_of_an_episode_shares_its_advantage_and_its_mean() -> None:
    episodes = [
        episode(0, step(0.0, 0, (5, 6)), step(1.0, 1, (7, 8)), continuation="policy"),
        episode(0, step(0.0, 0, (9,)), continuation="policy"),
    ]
    batch = GRPO(scale="none").make_batch(groups_of(episodes), 4)
    assert batch.completions == ((5, 6), (7, 8), (9,))
    assert batch.prompts == ((1, 2, 0), (1, 2, 1), (1, 2, 0))
    assert batch.advantages.tolist() == [0.5, 0.5, -0.5]
    # Two sequences, of 4 tokens and of 1: each token weighs 1/2 of 1/4, and of 1.
    assert batch.weights.tolist() == [0.125, 0.125, 0.5]
    assert batch.sampler_logprobs == ((-0.5, -0.5), (-0.5, -0.5), (-0.5,))
    assert batch.tokens == 5


def test_a_completion_without_tokens_counts_for_the_baseline_alone() -> None:
    episodes = [episode(0, step(0.0, ids=())), episode(0, step(1.0))]
    batch = GRPO(scale="none").make_batch(groups_of(episodes), 4)
    assert batch.completions == ((5,),)
    assert batch.advantages.tolist() == [0.5]
    assert batch.weights.tolist() == [1.0]


@pytest.mark.parametrize(
    ("continuation", "granularity", "tokens"),
    [("policy", "step", 40), ("policy", "solution", 10), ("expert", "step", 10)],
)
def test_constant_aggregation_divides_by_the_tokens_that_a_sequence_may_have(
    continuation: str, granularity: str, tokens: int
) -> None:
    episodes = [
        episode(0, step(r), continuation=continuation, granularity=granularity) for r in (0.0, 1.0)
    ]
    objective = GRPO(aggregation="constant", max_tokens=10)
    batch = objective.make_batch(groups_of(episodes), max_steps=4)
    # Two sequences; an episode of four steps may have 4 · 10 tokens, all others 10.
    assert batch.weights.tolist() == [1 / (2 * tokens)] * 2


def test_unanimous_are_the_completions_that_a_whole_group_wrote_alike() -> None:
    episodes = [
        episode(0, step(1.0, 0, (5, 6)), step(0.1, 1, (7,))),
        episode(0, step(1.0, 0, (5, 6)), step(0.2, 1, (8,))),
        episode(1, step(0.3, 0, (9,)), step(0.4, 1, (5,)), continuation="policy"),
        episode(1, step(0.3, 0, (9,)), step(0.4, 1, (5,)), continuation="policy"),
        episode(2, step(0.3, 0, (9,)), step(0.4, 1, (5,)), continuation="policy"),
        episode(2, step(0.3, 0, (9,)), continuation="policy"),
    ]
    found = unanimous(groups_of(episodes))
    assert found is not None
    assert found.completions == ((5, 6), (9,), (5,))
    assert found.prompts == ((1, 2, 0), (1, 2, 0), (1, 2, 1))
    assert found.sampler_logprobs == ((-0.5, -0.5), (-0.5,), (-0.5,))
    assert unanimous(groups_of(episodes[-2:])) is None


def collected(episodes: list[Episode], batch: int = 8) -> Collected:
    return Collected(batch, 1e-4, episodes, groups_of(episodes))


def test_signals_say_what_happened_to_each_step() -> None:
    episodes = [episode(0, step(0.0)), episode(0, step(1.0))]
    episodes += [episode(1, step(0.5)), episode(1, step(0.5))]
    episodes += [episode(2, step(0.0)), episode(2, step(0.4))]
    found = GRPO(scale="none").signals(collected(episodes, batch=1))
    assert [found[number, 0] for number in range(6)] == [
        Signal(-0.5, 0.5, "trained"),
        Signal(0.5, 0.5, "trained"),
        Signal(0.0, 0.0, "zero_std"),
        Signal(0.0, 0.0, "zero_std"),
        Signal(pytest.approx(-0.2), pytest.approx(0.2), "unused"),
        Signal(pytest.approx(0.2), pytest.approx(0.2), "unused"),
    ]


def test_a_failed_step_has_no_signal() -> None:
    failed = step(math.nan, 0, failure=FAILURE)
    episodes = [episode(0, step(r)) for r in (0.0, 1.0)] + [episode(0, failed, failure=FAILURE)]
    assert GRPO().signals(collected(episodes)).keys() == {(0, 0), (1, 0)}
    assert GRPO().signals(collected([])) == {}


def test_the_std_must_exceed_the_threshold() -> None:
    groups = groups_of([episode(g, step(r)) for g in (0, 1) for r in (0.0, 1.0)])
    assert outcomes(groups, min_std=0.5, batch=8) == ["zero_std", "zero_std"]
    assert outcomes(groups, min_std=0.49, batch=8) == ["trained", "trained"]


@given(st.floats(-1, 1), st.integers(0, 64))
def test_equal_rewards_have_exactly_no_std(reward: float, size: int) -> None:
    assert reward_std([reward] * size) == 0.0


def test_one_format_failure_swamps_seven_close_similarities() -> None:
    close = [0.50, 0.52, 0.54, 0.50, 0.52, 0.54, 0.52]
    assert reward_std([-1, *close]) == pytest.approx(0.503, abs=1e-3)
    assert reward_std(close) == pytest.approx(0.0151, abs=1e-4)
    assert reward_std([0, 1]) == 0.5  # of the population


@pytest.mark.parametrize(
    ("trained", "batch", "minibatches", "steps"),
    [
        (32, 32, 1, (1, 1.0)),
        (8, 32, 1, (1, 0.25)),
        (32, 32, 4, (4, 1.0)),
        (16, 32, 4, (4, 0.5)),
        (3, 32, 4, (3, 0.125)),  # three groups of the eight that a whole step has: 3 · 1/8
        (1, 32, 4, (1, 0.125)),
        (2, 2, 4, (2, 1.0)),  # no more steps than groups
        (1, 2, 4, (1, 1.0)),
    ],
)
def test_an_updates_steps_count_as_the_fraction_of_the_batch_that_is_trained(
    trained: int, batch: int, minibatches: int, steps: tuple[int, float]
) -> None:
    found = optimizer_steps(trained, batch, minibatches)
    assert found == steps
    assert found[0] * found[1] == min(minibatches, batch) * trained / batch
