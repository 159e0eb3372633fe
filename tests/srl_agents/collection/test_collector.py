"""Sampling until the batch is full of groups that carry a signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from srl_agents.collection.collector import Collector
from srl_agents.collection.runners import LocalRollouts
from srl_agents.methods.bread import Rescue
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartPoint, StartResult, StartSampler
from srl_agents.objectives import GRPO
from srl_agents.objectives.requests import Collected
from srl_env.policy import Generation, Sampling
from srl_env.rollout import EnvPool
from srl_env.testing import CountingEnv
from srl_env.text.prompt import Messages

OBJECTIVE = GRPO(reward_mode="srl", max_steps=1, group_size=2, max_groups=4.0)


class Cycling:
    """Says "say 1" in the right form, and every so many completions nothing in any form."""

    def __init__(self, wrong_every: int) -> None:
        self.wrong_every, self.said = wrong_every, 0

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        return [self._next() for _ in batch]

    def _next(self) -> Generation:
        self.said += 1
        wrong = self.wrong_every and self.said % self.wrong_every == 0
        text = "" if wrong else "<think></think>say 1"
        return Generation(text, (1,), (-0.5,), (2,))


def collected(
    policy: Cycling, batch: int = 4, objective: GRPO = OBJECTIVE, starts: StartSampler | None = None
) -> Collected:
    collector = Collector(LocalRollouts(EnvPool(CountingEnv), policy), seed=0)
    return objective.collect(collector.source(starts or sampler(), batch, "train", 1))


def sampler(revisit: float = 1.0) -> StartSampler:
    return StartSampler(CountingEnv().problems, Starts("prefix", revisit=revisit), ())


def test_a_batch_of_informative_groups_needs_no_refill() -> None:
    found = collected(Cycling(wrong_every=2))
    assert (len(found.trained), len(found.groups), len(found.episodes)) == (4, 4, 8)
    assert found.informative_fraction == 1.0


def test_uninformative_groups_are_replaced_by_further_ones() -> None:
    found = collected(Cycling(wrong_every=4))  # one of two groups has two rewards
    assert len(found.trained) == 4
    assert 7 <= len(found.groups) <= 9
    assert all(group.std > 0 for group in found.trained)


def test_the_cap_ends_a_search_that_finds_nothing() -> None:
    found = collected(Cycling(wrong_every=0))
    assert (len(found.trained), len(found.groups)) == (0, 16)


def test_a_cap_of_one_never_refills() -> None:
    objective = GRPO(reward_mode="srl", max_steps=1, group_size=2, max_groups=1.0)
    assert len(collected(Cycling(wrong_every=4), objective=objective).groups) == 4


def test_a_schedule_tries_all_its_prefixes_where_nothing_refills() -> None:
    objective = GRPO(group_size=2, max_groups=1.0)
    starts = StartSampler(CountingEnv().problems, Starts(prefix=Rescue()), ())
    found = collected(Cycling(wrong_every=1), 3, objective, starts)
    tried = [
        (start.options["problem"], start.options["start_step"]) for start in found.starts.values()
    ]
    three, four, five = (
        [(0, 0), (0, 1), (0, 2)],
        [(1, 0), (1, 2), (1, 3)],
        [(2, 0), (2, 2), (2, 3), (2, 4)],
    )
    assert sorted(tried) == [*three, *four, *five]  # halves of 3, 4 and 5 steps


def test_the_filter_is_by_deviation_not_by_difference() -> None:
    strict = GRPO(reward_mode="srl", max_steps=1, group_size=2, max_groups=1.0, min_std=1.01)
    assert collected(Cycling(wrong_every=2), objective=strict).trained == []


def test_the_sampler_receives_rewards_verdicts_and_whether_a_group_had_a_signal() -> None:
    received: list[tuple[StartPoint, StartResult]] = []

    class Recording(StartSampler):
        def record(self, point: StartPoint, result: StartResult) -> None:
            received.append((point, result))
            super().record(point, result)

    starts = Recording(CountingEnv().problems, Starts("prefix", revisit=0.5), ())
    found = collected(Cycling(wrong_every=4), starts=starts)
    for group, (_, result) in zip(found.groups, received, strict=True):
        assert result.rewards == tuple(member.reward for member in group.members)
        assert result.informative == (group.std > 0)
        assert result.correct in ((), (False, False))  # a verdict where the episode ended
    assert starts.without_signal == {point for point, result in received if not result.informative}
    assert starts.without_signal


def seeds(update: int) -> list[int | None]:
    seen: list[int | None] = []

    class Noting(CountingEnv):
        def reset(self, **options: object):  # type: ignore[no-untyped-def, override]
            seen.append(options["seed"])  # type: ignore[arg-type]
            return super().reset(**options)  # type: ignore[arg-type]

    make: Callable[[], CountingEnv] = Noting
    collector = Collector(LocalRollouts(EnvPool(make), Cycling(2)), seed=0)
    OBJECTIVE.collect(collector.source(sampler(), 2, "train", update))
    return seen


def test_copies_of_a_start_share_a_seed_and_nothing_else_does() -> None:
    first, second = seeds(1), seeds(2)
    assert first == seeds(1)
    assert first[0] == first[1]
    assert len({*first, *second}) == 4


def test_time_is_split_between_policy_and_environment() -> None:
    found = collected(Cycling(2))
    assert found.seconds_sampling > 0
    assert found.seconds_environment > 0
    metrics = found.metrics()
    assert metrics["tokens_per_s/sample"] == found.tokens / found.seconds_sampling
