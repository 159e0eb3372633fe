"""From episodes to groups and batches, with numbers worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from srl_agents.methods.stages import GRPO
from srl_agents.objectives.groups import Signal, agreed, groups_of, make_batch, signals
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


def test_deviations_with_and_without_format_failures() -> None:
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
    batch = make_batch(groups_of(episodes), GRPO(scale="none"), 4)
    assert batch.completions == ((5, 6), (7, 8), (9,))
    assert batch.prompts == ((1, 2, 0), (1, 2, 1), (1, 2, 0))
    assert batch.advantages.tolist() == [0.5, 0.5, -0.5]
    # Two sequences, of 4 tokens and of 1: each token weighs 1/2 of 1/4, and of 1.
    assert batch.weights.tolist() == [0.125, 0.125, 0.5]
    assert batch.sampler_logprobs == ((-0.5, -0.5), (-0.5, -0.5), (-0.5,))
    assert batch.tokens == 5


def test_a_completion_without_tokens_counts_for_the_baseline_alone() -> None:
    episodes = [episode(0, step(0.0, ids=())), episode(0, step(1.0))]
    batch = make_batch(groups_of(episodes), GRPO(scale="none"), 4)
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
    batch = make_batch(groups_of(episodes), objective, max_steps=4)
    # Two sequences; an episode of four steps may have 4 · 10 tokens, all others 10.
    assert batch.weights.tolist() == [1 / (2 * tokens)] * 2


def test_agreed_are_the_completions_that_a_whole_group_wrote_alike() -> None:
    episodes = [
        episode(0, step(1.0, 0, (5, 6)), step(0.1, 1, (7,))),
        episode(0, step(1.0, 0, (5, 6)), step(0.2, 1, (8,))),
        episode(1, step(0.3, 0, (9,)), step(0.4, 1, (5,)), continuation="policy"),
        episode(1, step(0.3, 0, (9,)), step(0.4, 1, (5,)), continuation="policy"),
        episode(2, step(0.3, 0, (9,)), step(0.4, 1, (5,)), continuation="policy"),
        episode(2, step(0.3, 0, (9,)), continuation="policy"),
    ]
    found = agreed(groups_of(episodes))
    assert found is not None
    assert found.completions == ((5, 6), (9,), (5,))
    assert found.prompts == ((1, 2, 0), (1, 2, 0), (1, 2, 1))
    assert found.sampler_logprobs == ((-0.5, -0.5), (-0.5,), (-0.5,))
    assert agreed(groups_of(episodes[-2:])) is None


def test_signals_say_what_became_of_each_step() -> None:
    episodes = [episode(0, step(0.0)), episode(0, step(1.0))]
    episodes += [episode(1, step(0.5)), episode(1, step(0.5))]
    episodes += [episode(2, step(0.0)), episode(2, step(0.4))]
    groups = groups_of(episodes)
    found = signals(groups, groups[:1], GRPO(scale="none"))
    assert [found[id(e.steps[0])] for e in episodes] == [
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
    found = signals(groups_of(episodes), [], GRPO())
    assert id(failed) not in found
    assert len(found) == 2
    assert signals([], [], GRPO()) == {}
