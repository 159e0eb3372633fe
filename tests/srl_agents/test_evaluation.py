"""Evaluation of scripted policies whose scores are known by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from math import isnan, nan
from pathlib import Path
from threading import Barrier

import pytest
from rich.console import Console

from srl_agents.console import evaluation_table
from srl_agents.episodes import EpisodeFile
from srl_agents.evaluation import EvalSettings, choose_problems, evaluate, taken_split
from srl_agents.policies.request_seeds import RequestSeeds
from srl_agents.scoring import EvalResult, score_episodes, score_gains
from srl_agents.statistics import Estimate
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData, BadOption, UnknownName, VerifierTimeout
from srl_env.policy import Generation, Messages, Sampling
from srl_env.problem import Problem
from srl_env.rollout import Episode, Step
from srl_env.testing import CountingEnv, CountingVerifier, FailingVerifier, ScriptedPolicy
from srl_env.verifiers import Verdict


class Oracle:
    """Takes the expert's step, except where ``slip`` says otherwise."""

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
        return [Generation(self.text(env)) for env in envs]

    def text(self, env: ReasoningEnv) -> str:
        return env.expert_completion()


class LosesCount(Oracle):
    """Skips the second number, and is right all the same."""

    def text(self, env: ReasoningEnv) -> str:
        if env.step_index == 1:
            return "<think></think>say 9"
        return env.expert_completion()


class Wavering:
    """Says "say 1" at every step when greedy; sampled, in every second row, nothing like it."""

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        said = ("say 1", "zzzzz" if sampling.temperature else "say 1")
        return [Generation(f"<think></think>{said[i % 2]}") for i in range(len(batch))]


class Coin:
    """Right on the first ``right`` of every 8 sampled rollouts, and never when greedy."""

    def __init__(self, right: int) -> None:
        self.right, self.calls = right, list[float]()

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        self.calls.append(sampling.temperature)
        return [Generation(self._text(i, m, sampling)) for i, m in enumerate(batch)]

    def _text(self, place: int, messages: Messages, sampling: Sampling) -> str:
        shown = messages[-1]["content"]
        target = int(shown.partition("Count to ")[2][0])
        good = sampling.temperature > 0 and place % 8 < self.right
        return f"<think></think>the sum={sum(range(target + 1)) if good else 0}!"


SMALL = EvalSettings(problems=3, rollouts=8, ks=(1, 4))


def test_the_expert_is_right_everywhere() -> None:
    result = evaluate(Oracle(), CountingEnv, EvalSettings(rollouts=2, similarity=True))
    assert set(result.scores) == {
        "pass@1", "pass@2", "greedy", "similarity", "sampled_similarity", "legal",
        "legal_and_right", "format", "steps", "cut",
    }  # fmt: skip
    for name in result.scores.keys() - {"steps", "cut"}:
        assert result.scores[name] == (1.0, 1.0, 1.0)
    assert result.scores["steps"] == (3.0, 4.0, 5.0)
    assert (result.episodes, result.failures) == (3 * 6, {})


def test_gains_are_paired_differences_on_the_same_problems() -> None:
    before, after = (evaluate(Coin(right), CountingEnv, SMALL) for right in (2, 6))
    gains = score_gains(before, after)
    assert gains["pass@1"] == Estimate(0.5, 0.5, 0.5)  # equal on every problem
    assert gains["greedy"].value == 0.0
    other = evaluate(Coin(2), CountingEnv, EvalSettings(problems=2))
    with pytest.raises(BadOption, match="same problems"):
        score_gains(before, other)


def test_two_of_eight_right_give_pass_at_4_by_hand() -> None:
    result = evaluate(Coin(2), CountingEnv, SMALL)
    assert result.scores["pass@1"] == (0.25, 0.25, 0.25)
    # 1 - C(6, 4) / C(8, 4) = 1 - 15 / 70
    assert result.scores["pass@4"] == pytest.approx((1 - 15 / 70,) * 3)
    assert result.scores["greedy"] == (0.0, 0.0, 0.0)


def test_an_answer_without_the_steps_is_right_but_not_legal() -> None:
    result = evaluate(Coin(8), CountingEnv, SMALL)
    assert result.scores["pass@1"] == (1.0, 1.0, 1.0)
    assert result.scores["legal"] == (0.0, 0.0, 0.0)
    assert result.scores["legal_and_right"] == (0.0, 0.0, 0.0)


def test_a_right_end_after_an_illegal_step_is_not_legal_and_right() -> None:
    result = evaluate(LosesCount(), CountingEnv, SMALL)
    assert result.scores["pass@1"] == (1.0, 1.0, 1.0)
    assert result.scores["legal_and_right"] == (0.0, 0.0, 0.0)
    # Count to 2: say 1, say 9, sum. The slip makes what follows it illegal too.
    assert result.scores["legal"] == pytest.approx((1 / 3, 1 / 4, 1 / 5))


def test_similarity_is_measured_greedily_and_sampled() -> None:
    result = evaluate(Wavering(), CountingEnv, EvalSettings(rollouts=2, similarity=True))
    greedy, sampled = result.scores["similarity"], result.scores["sampled_similarity"]
    assert all(value > 0.4 for value in greedy)
    assert sampled == pytest.approx([value / 2 for value in greedy])


def test_similarity_is_measured_after_the_experts_own_steps() -> None:
    result = evaluate(LosesCount(), CountingEnv, EvalSettings(rollouts=1, similarity=True))
    # "say 9" against "say 2": 2·4/10. The steps after it start from the expert's history.
    assert result.scores["similarity"] == pytest.approx(
        ((1 + 0.8 + 1) / 3, (2 + 0.8 + 1) / 4, (3 + 0.8 + 1) / 5)
    )


def test_failures_are_counted_apart_and_never_score_0() -> None:
    result = evaluate(Coin(2), lambda: CountingEnv(verifier=FailingVerifier()), SMALL)
    assert result.failures == {"VerifierTimeout": 3 * 9}
    assert result.scores == {}
    assert result.to_json()["estimates"] == {}


@dataclass(frozen=True)
class Trapped(CountingVerifier):
    """Times out on "the trap"; all else is right."""

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        if actions[-1] == "the trap":
            raise VerifierTimeout("no verdict within 5 s")
        return Verdict(True)


def test_a_text_that_a_verifier_cannot_judge_counts_as_wrong_and_raises_no_score() -> None:
    trap, right = (f"<think></think>the {word}" for word in ("trap", "sum=3!"))
    policy, verifier = ScriptedPolicy([trap, right, trap, trap]), Trapped()
    settings = EvalSettings(problems=1, rollouts=4, greedy=False)
    result = evaluate(policy, lambda: CountingEnv(verifier=verifier, max_steps=1), settings)
    assert result.scores["pass@1"] == (0.25,)
    assert (result.policy_faults, result.failures, result.episodes) == (3, {}, 4)
    assert EvalResult.from_json(result.to_json()) == result
    printed = StringIO()
    Console(file=printed, width=100).print(evaluation_table(result))
    assert re.search(r"policy faults +│ +3 │ of 4 episodes", printed.getvalue())


def test_a_rollout_that_failed_leaves_its_problem_with_one_fewer() -> None:
    good, bad, failed = episode(True), episode(False), episode(None)
    scores = score_episodes({"sampled": [[good, bad, failed], [failed, failed, good]]}, (1, 2))
    assert scores["pass@1"] == (0.5, 1.0)
    assert scores["pass@2"][0] == 1.0
    assert isnan(scores["pass@2"][1])


def episode(correct: bool | None) -> Episode:
    step = Step((), Generation("x"), "x", 0, 0.0, {}, True, None, None)
    return Episode(
        problem_id="p",
        start_step=0,
        reward_mode="rlvr",
        continuation="policy",
        granularity="step",
        steps=(step,),
        verdict=None if correct is None else {"correct": correct, "answer": None},
        failure={"type": "WorldFailure", "message": ""} if correct is None else None,
        group=0,
    )


def test_a_dense_reward_is_not_accuracy() -> None:
    result = evaluate(Coin(0), CountingEnv, EvalSettings(rollouts=1, similarity=True))
    assert result.scores["similarity"][0] > 0
    assert result.scores["pass@1"] == (0.0, 0.0, 0.0)


def test_greedy_rollouts_are_made_at_temperature_0() -> None:
    coin = Coin(1)
    evaluate(coin, CountingEnv, EvalSettings(rollouts=8, temperature=0.7))
    assert set(coin.calls) == {0.7, 0.0}


def test_problems_are_drawn_without_repeats_and_alike_for_every_policy() -> None:
    source = CountingEnv().problems
    two = EvalSettings(problems=2)
    assert choose_problems(source, EvalSettings(problems=50)) == [0, 1, 2]
    assert len(set(choose_problems(source, two))) == 2
    assert choose_problems(source, two) == choose_problems(source, two)
    draws = {tuple(choose_problems(source, EvalSettings(problems=2, seed=s))) for s in range(20)}
    assert len(draws) == 3


def test_small_parts_give_the_same_result_as_one() -> None:
    whole = evaluate(Oracle(), CountingEnv, SMALL)
    parts = evaluate(Oracle(), CountingEnv, EvalSettings(problems=3, ks=(1, 4), at_once=8))
    assert whole.scores == parts.scores
    assert whole.problem_ids == parts.problem_ids == ("count-2", "count-3", "count-4")


def test_results_survive_json_with_their_missing_scores() -> None:
    result = EvalResult("p", "e", "s", ("a", "b"), {"pass@2": (0.5, nan)}, 4, {}, {}, 1.0)
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    back = EvalResult.from_json(data)
    assert data["estimates"]["pass@2"]["value"] == 0.5
    assert back.scores["pass@2"][0] == 0.5
    assert isnan(back.scores["pass@2"][1])


def test_progress_counts_every_episode() -> None:
    seen = list[tuple[int, int]]()
    evaluate(Oracle(), CountingEnv, SMALL, on_progress=lambda *counts: seen.append(counts))
    assert seen[0] == (0, 27)
    assert seen[-1] == (27, 27)
    assert seen == sorted(seen)


class Dies(Oracle):
    """Is interrupted at its n-th call."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return super().act(envs)


def test_a_stopped_evaluation_goes_on_where_it_was(tmp_path: Path) -> None:
    path, settings = tmp_path / "episodes.jsonl", EvalSettings(rollouts=2, at_once=2)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Dies(9), CountingEnv, settings, episodes=EpisodeFile(path))
    written = path.read_bytes()
    assert written.count(b"\n") == 4  # two of three problems, two rollouts each
    path.write_bytes(written + written[: len(written) // 3])  # killed while writing
    result = evaluate(Oracle(), CountingEnv, settings, episodes=EpisodeFile(path))
    assert result.scores == evaluate(Oracle(), CountingEnv, settings).scores
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == result.episodes == 9
    # Nothing is left to run: a policy that always fails is never asked.
    again = evaluate(Dies(0), CountingEnv, settings, episodes=EpisodeFile(path))
    assert again.scores == result.scores


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    path.write_text('{"some": "data"}\n')
    with pytest.raises(BadData, match=r"episodes\.jsonl:1: not an episode"):
        EpisodeFile(path)
    assert path.read_text() == '{"some": "data"}\n'


def test_a_torch_generator_is_seeded_and_given_back() -> None:
    torch = pytest.importorskip("torch")

    class Draws(Oracle):
        def __init__(self) -> None:
            self.generator = torch.Generator().manual_seed(5)
            self.seen = list[int]()

        def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
            self.seen.append(int(torch.randint(10**9, (1,), generator=self.generator)))
            return super().act(envs)

    first, second = Draws(), Draws()
    expected = torch.randint(10**9, (1,), generator=torch.Generator().manual_seed(5))
    second.generator.manual_seed(99)
    for policy in (first, second):
        evaluate(policy, CountingEnv, SMALL)
    assert first.seen == second.seen
    assert torch.randint(10**9, (1,), generator=first.generator) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problems": 0}, "problems is at least 1; got 0"),
        ({"rollouts": 0}, "rollouts is at least 1"),
        ({"rollouts": 4, "ks": (8,)}, r"1 ≤ k ≤ rollouts; got k of \(8,\) with 4"),
        ({"temperature": 0.0}, "temperature is above 0"),
        ({"temperature": float("nan")}, "temperature is above 0 and finite; got nan"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        EvalSettings(**settings)  # type: ignore[arg-type]


def test_pass_at_k_is_reported_for_powers_of_two_by_default() -> None:
    assert EvalSettings(rollouts=8).ks == (1, 2, 4, 8)
    assert EvalSettings(rollouts=6).ks == (1, 2, 4)


class Waiting(Coin):
    """One that may be asked from several threads, and knows how many did at once."""

    concurrent = True

    def __init__(self, right: int) -> None:
        super().__init__(right)
        self.together = Barrier(2, timeout=30)

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        self.together.wait()
        return super().generate(batch, sampling)


def test_parts_run_side_by_side_give_the_same_result_and_can_be_gone_on_from(
    tmp_path: Path,
) -> None:
    settings = EvalSettings(problems=2, rollouts=8, greedy=False, at_once=8)
    alone = evaluate(Coin(4), CountingEnv, settings)
    both = replace(settings, parallel=2)
    seen: list[tuple[int, int]] = []
    file = EpisodeFile(tmp_path / "episodes.jsonl")
    found = evaluate(
        Waiting(4), CountingEnv, both, episodes=file, on_progress=lambda *at: seen.append(at)
    )
    assert found.scores == alone.scores
    assert (seen[0], seen[-1]) == ((0, 16), (16, 16))
    assert seen == sorted(seen)
    again = EpisodeFile(tmp_path / "episodes.jsonl")
    assert evaluate(Waiting(4), CountingEnv, both, episodes=again).scores == alone.scores


def test_an_error_in_one_part_ends_the_others_before_they_begin() -> None:
    class Broken(Coin):
        concurrent = True

        def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
            raise BadOption("no")

    settings = EvalSettings(problems=3, rollouts=8, at_once=8, parallel=2)
    with pytest.raises(BadOption, match="no"):
        evaluate(Broken(4), CountingEnv, settings)


def test_parts_side_by_side_draw_the_seeds_of_parts_one_after_another() -> None:
    class Seeded(Coin):
        concurrent = True

        def __init__(self) -> None:
            super().__init__(4)
            self.generator = RequestSeeds(0, "test")
            self.drawn: list[tuple[int, ...]] = []

        def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
            self.drawn.append(tuple(self.generator.next() for _ in batch))
            return super().generate(batch, sampling)

    settings = EvalSettings(problems=3, rollouts=8, at_once=8)
    alone, together = Seeded(), Seeded()
    evaluate(alone, CountingEnv, settings)
    evaluate(together, CountingEnv, replace(settings, parallel=3))
    assert sorted(together.drawn) == sorted(alone.drawn)
    assert len(set(alone.drawn)) == len(alone.drawn)
    assert together.generator.get_state() == (0, 0)


def test_a_split_that_an_environment_does_not_take_is_none(tmp_path: Path) -> None:
    assert taken_split("srl/ModularChain-v0", {}, "dev") == "dev"
    assert taken_split("srl/ModularChain-v0", {"split": "train"}, "dev") == "dev"
    assert taken_split("srl/ModularChain-v0", {}, None) is None
    file = tmp_path / "splitless.py"
    file.write_text("from srl_env.testing import CountingEnv\nclass Splitless(CountingEnv): ...\n")
    assert taken_split(str(file), {}, "dev") is None
    with pytest.raises(UnknownName, match="Did you mean 'difficulty'"):
        taken_split("srl/ModularChain-v0", {"dificulty": 3}, "dev")


def test_parts_side_by_side_need_a_policy_that_allows_it() -> None:
    with pytest.raises(BadOption, match="parallel=2 needs a policy that several threads"):
        evaluate(Coin(1), CountingEnv, EvalSettings(parallel=2))
