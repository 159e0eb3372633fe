"""Evaluation of scripted policies whose scores are known by hand."""

from __future__ import annotations

import gc
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from itertools import count, pairwise
from math import isnan, nan
from pathlib import Path
from threading import Barrier, Lock

import pytest
from rich.console import Console

from srl_agents.cli.tables import evaluation_table
from srl_agents.evaluation.batch_size import ROUND_S, BatchSize, next_rows
from srl_agents.evaluation.episodes import EpisodeLog
from srl_agents.evaluation.evaluator import evaluate
from srl_agents.evaluation.plan import Plan, choose_problems, taken_split
from srl_agents.evaluation.scoring import EvalResult, Scores, score_gains
from srl_agents.evaluation.statistics import Estimate
from srl_agents.runs import episode_rows
from srl_agents.runs.evaluation import EvalSettings
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName, UserError, VerifierTimeout
from srl_env.policy import Generation, Sampling
from srl_env.problem import Problem
from srl_env.rollout import Episode, Step
from srl_env.seeding import stream
from srl_env.testing import CountingEnv, CountingVerifier, FailingVerifier, ScriptedPolicy
from srl_env.text.prompt import Messages
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
    """Says "say 1" at every step when greedy; sampled, every second time, nothing like it."""

    def __init__(self) -> None:
        self.asked = Counter[str]()

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        return [Generation(self._text(str(messages), sampling)) for messages in batch]

    def _text(self, shown: str, sampling: Sampling) -> str:
        self.asked[shown] += sampling.temperature > 0
        second = sampling.temperature > 0 and self.asked[shown] % 2 == 0
        return f"<think></think>{'zzzzz' if second else 'say 1'}"


class Coin:
    """Right on the first ``right`` of every 8 sampled rollouts, and never when greedy."""

    def __init__(self, right: int) -> None:
        self.right, self.calls = right, list[float]()
        self.asked, self.lock = Counter[str](), Lock()

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        self.calls.append(sampling.temperature)
        with self.lock:
            return [Generation(self._text(messages, sampling)) for messages in batch]

    def _text(self, messages: Messages, sampling: Sampling) -> str:
        shown = messages[-1]["content"]
        target = int(shown.partition("Count to ")[2][0])
        good = sampling.temperature > 0 and self.asked[shown] % 8 < self.right
        self.asked[shown] += sampling.temperature > 0
        return f"<think></think>the sum={sum(range(target + 1)) if good else 0}!"


SMALL = EvalSettings(problems=3, rollouts=8, ks=(1, 4))


def test_the_expert_is_correct_everywhere() -> None:
    result = evaluate(Oracle(), CountingEnv, EvalSettings(rollouts=2, similarity=True))
    assert set(result.scores) == {
        "pass@1", "pass@2", "greedy", "similarity", "sampled_similarity", "legal",
        "legal_and_correct", "format", "steps", "truncated",
    }  # fmt: skip
    for name in result.scores.keys() - {"steps", "truncated"}:
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


def test_two_of_eight_correct_give_pass_at_4_by_hand() -> None:
    result = evaluate(Coin(2), CountingEnv, SMALL)
    assert result.scores["pass@1"] == (0.25, 0.25, 0.25)
    # 1 - C(6, 4) / C(8, 4) = 1 - 15 / 70
    assert result.scores["pass@4"] == pytest.approx((1 - 15 / 70,) * 3)
    assert result.scores["greedy"] == (0.0, 0.0, 0.0)


def test_an_answer_without_the_steps_is_correct_but_not_legal() -> None:
    result = evaluate(Coin(8), CountingEnv, SMALL)
    assert result.scores["pass@1"] == (1.0, 1.0, 1.0)
    assert result.scores["legal"] == (0.0, 0.0, 0.0)
    assert result.scores["legal_and_correct"] == (0.0, 0.0, 0.0)


def test_a_correct_end_after_an_illegal_step_is_not_legal_and_correct() -> None:
    result = evaluate(LosesCount(), CountingEnv, SMALL)
    assert result.scores["pass@1"] == (1.0, 1.0, 1.0)
    assert result.scores["legal_and_correct"] == (0.0, 0.0, 0.0)
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
    plan = Plan(range(2), EvalSettings(rollouts=3, ks=(1, 2), greedy=False))
    made = Scores(plan)
    for number, one in enumerate([good, bad, failed, failed, failed, good]):
        made.add("sampled", number, one)
    scores = made.table()
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
    assert choose_problems(source, EvalSettings(problems=50)) == range(3)
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


class Draws:
    """Ends an episode, or says a number, by the seed it is given; tells a clock how long it takes.

    died_after: the rows after which its process is killed (an exception is all that is seen of it).
    """

    def __init__(self, seconds_a_row: float = 0.0, died_after: int = 10**9) -> None:
        self.seconds_a_row, self.left = seconds_a_row, died_after
        self.now = 0.0
        self.seeds = list[int]()
        self.before_each = list[Callable[[], None]]()

    def clock(self) -> float:
        return self.now

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        for call in self.before_each:
            call()
        self.left -= len(batch)
        if self.left < 0:
            raise KeyboardInterrupt
        self.now += self.seconds_a_row * len(batch)
        self.seeds += sampling.seeds
        return [Generation(self._text(seed)) for seed in sampling.seeds]

    def _text(self, seed: int) -> str:
        random = stream("draws", seed)
        said = f"sum={random.integers(9)}!" if random.random() < 0.2 else f"say {random.random()}"
        return f"<think></think>{said}"


ENDLESS = partial(CountingEnv, max_steps=30)
DRAWN = EvalSettings(problems=3, rollouts=8)


def killed(policy: Draws, path: Path) -> None:
    """Evaluates until the policy dies; what a kill at that moment would leave is left."""
    folder, left = path.parent / "running", path.parent / "left"
    folder.mkdir()
    policy.before_each = [lambda: shutil.copytree(folder, left, dirs_exist_ok=True)]
    file = EpisodeLog(folder / path.name)
    with pytest.raises(KeyboardInterrupt):
        evaluate(policy, ENDLESS, DRAWN, episodes=file, clock=policy.clock)
    shutil.copytree(left, path.parent, dirs_exist_ok=True)


def text(log: Path) -> bytes:
    return (log / "000000.jsonl").read_bytes()


@pytest.mark.parametrize("seconds_a_row", [0.0, 4.0, 100.0])
@pytest.mark.parametrize("died_after", [0, 1, 7, 40, 100])
def test_a_killed_evaluation_ends_as_one_that_was_not_and_asks_little_again(
    tmp_path: Path, died_after: int, seconds_a_row: float
) -> None:
    whole, path = tmp_path / "whole", tmp_path / "episodes"
    alone = Draws()
    expected = evaluate(alone, ENDLESS, DRAWN, episodes=EpisodeLog(whole))
    dies = Draws(seconds_a_row, died_after)
    killed(dies, path)
    resumed = Draws()
    found = evaluate(resumed, ENDLESS, DRAWN, episodes=EpisodeLog(path))
    assert found.scores == expected.scores
    assert text(path) == text(whole)
    assert sorted({*dies.seeds, *resumed.seeds}) == sorted(alone.seeds)
    assert not (tmp_path / "unfinished.json").exists()
    if seconds_a_row == 4.0:  # each round takes at least ten seconds after the first, and is saved
        assert len(dies.seeds) + len(resumed.seeds) - len(alone.seeds) <= 8
    # Nothing is left to run: a policy that always fails is never asked.
    again = evaluate(Draws(died_after=0), ENDLESS, DRAWN, episodes=EpisodeLog(path))
    assert again.scores == expected.scores


def test_a_line_that_a_kill_truncated_is_run_again(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "episodes"
    evaluate(Draws(), ENDLESS, DRAWN, episodes=EpisodeLog(whole))
    data = text(whole)
    path.mkdir()
    (path / "000000.jsonl").write_bytes(data[: len(data) * 2 // 3])
    evaluate(Draws(), ENDLESS, DRAWN, episodes=EpisodeLog(path))
    assert text(path) == data


def test_what_is_finished_is_on_disk_before_the_policy_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "episodes"
    policy, finished = Draws(4.0), list[int]()
    found = list[tuple[int, float]]()

    def look() -> None:
        lines = text(path).count(b"\n") if path.exists() else 0
        assert lines == (finished[-1] if finished else 0)
        found.append((lines, policy.now))

    policy.before_each = [look]
    evaluate(
        policy,
        ENDLESS,
        DRAWN.model_copy(update={"rollouts": 100}),
        episodes=EpisodeLog(path),
        on_progress=lambda done, _: finished.append(done),
        clock=policy.clock,
    )
    # One row takes 4 s: after 4, the first round of 4 takes 16, which is neither short nor long.
    rounds = [after - before for (_, before), (_, after) in pairwise(found)]
    assert rounds[:3] == [4.0, 16.0, 16.0]
    assert max(rounds) <= ROUND_S


@pytest.mark.parametrize(
    ("rows", "seconds", "cost_ratio", "following"),
    [
        (1, 0.1, 0.0, 4),  # fast: four times as many
        (64, 7.5, 1.0, 256),
        (1, 8.0, 0.0, 2),  # nothing to compare with: try
        (4, 20.0, 1.0, 4),  # a row costs what it did
        (4, 20.0, 0.5, 8),  # more rows at hardly more time
        (4, 60.0, 0.3, 16),
        (8, 31.0, 1.0, 4),  # too long, and as long for each row
        (1, 300.0, 1.0, 1),
    ],
)
def test_rows_are_added_while_that_costs_little(
    rows: int, seconds: float, cost_ratio: float, following: int
) -> None:
    assert next_rows(rows, seconds, cost_ratio) == following


def test_the_batch_size_settles_where_a_round_is_neither_short_nor_long() -> None:
    def settled(seconds: Callable[[int], float]) -> int:
        size = BatchSize(512)
        for _ in range(20):
            size.update(size.rows, seconds(size.rows))
        return size.rows

    assert settled(lambda rows: 0.001 * rows) == 512
    assert settled(lambda rows: 8.0 * rows) == 2  # a processor: 16 s
    assert settled(lambda rows: 50.0 * rows) == 1
    assert settled(lambda rows: 60.0 + 0.01 * rows) == 512  # a GPU: many rows take as long as one
    partly = BatchSize(512)
    partly.update(3, 1.0)  # the last episodes: says nothing of a full round
    assert partly.rows == 1


@pytest.mark.parametrize("begun", [None, 0, 75])
def test_no_more_episodes_are_in_memory_than_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: int | None
) -> None:
    monkeypatch.setattr(episode_rows, "PART", 16)
    one = CountingEnv().problems[0]
    source = ListSource([replace(one, id=f"{n}") for n in range(60)], "many")
    settings = EvalSettings(problems=60, rollouts=2, greedy=False, at_once=4)
    path, alive, calls = tmp_path / "episodes", list[int](), count()

    def make() -> CountingEnv:
        env = CountingEnv()
        env.problems = source
        return env

    def look(done: int, total: int) -> None:
        if next(calls) % 12 == 0:  # looking takes a while
            alive.append(sum(type(one) is Episode for one in gc.get_objects()))
        if begun and done >= begun and not path.with_name("stopped").exists():
            path.with_name("stopped").touch()
            raise KeyboardInterrupt

    def run() -> EvalResult:
        log = None if begun is None else EpisodeLog(path)
        return evaluate(Coin(1), make, settings, episodes=log, on_progress=look)

    whole = evaluate(Coin(1), make, settings)
    before = sum(type(one) is Episode for one in gc.get_objects())
    if begun:
        with pytest.raises(KeyboardInterrupt):
            run()
    found = run()
    assert found.episodes == 120
    assert found.problem_ids == whole.problem_ids
    assert max(alive) - before <= 2 * 4
    if begun is not None:
        assert len(list(path.glob("*.parquet"))) == 7
        assert EpisodeLog(path).count == 120


def test_a_torch_generator_is_seeded_and_given_back() -> None:
    torch = pytest.importorskip("torch")

    class Drawing(Oracle):
        def __init__(self) -> None:
            self.generator = torch.Generator().manual_seed(5)
            self.seen = list[int]()

        def act(self, envs: Sequence[ReasoningEnv]) -> list[Generation]:
            self.seen.append(int(torch.randint(10**9, (1,), generator=self.generator)))
            return super().act(envs)

    first, second = Drawing(), Drawing()
    expected = torch.randint(10**9, (1,), generator=torch.Generator().manual_seed(5))
    second.generator.manual_seed(99)
    for policy in (first, second):
        evaluate(policy, CountingEnv, SMALL)
    assert first.seen == second.seen
    assert torch.randint(10**9, (1,), generator=first.generator) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problems": 0}, "problems.* greater than or equal to 1; got 0"),
        ({"rollouts": 0}, "rollouts.* greater than or equal to 1; got 0"),
        ({"rollouts": 4, "ks": (8,)}, r"ks: pass@k needs k of at most rollouts, 4; got \[8\]"),
        ({"temperature": 0.0}, "temperature.* greater than 0; got 0.0"),
        ({"granularity": "token"}, "granularity.* 'step' or 'solution'; got 'token'"),
        ({"rolouts": 4}, "Did you mean 'rollouts'"),
        ({"temperature": float("nan")}, "temperature.* finite number; got nan"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EvalSettings(**settings)  # type: ignore[arg-type]


def test_pass_at_k_is_reported_for_powers_of_two_by_default() -> None:
    assert EvalSettings(rollouts=8).ks == (1, 2, 4, 8)
    assert EvalSettings(rollouts=6).ks == (1, 2, 4)


class Waiting(Coin):
    """One that may be asked from several threads, and waits until two have."""

    concurrent = True

    def __init__(self, right: int) -> None:
        super().__init__(right)
        self.together, self.waiting = Barrier(2, timeout=30), count()

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        if next(self.waiting) < 2:
            self.together.wait()
        return super().generate(batch, sampling)


def test_threads_side_by_side_give_the_same_result_and_can_be_resumed(
    tmp_path: Path,
) -> None:
    settings = EvalSettings(problems=2, rollouts=8, greedy=False, at_once=8)
    alone = evaluate(Coin(4), CountingEnv, settings)
    both = settings.model_copy(update={"parallel": 2})
    seen: list[tuple[int, int]] = []
    file = EpisodeLog(tmp_path / "episodes")
    found = evaluate(
        Waiting(4), CountingEnv, both, episodes=file, on_progress=lambda *at: seen.append(at)
    )
    assert found.scores == alone.scores
    assert (seen[0], seen[-1]) == ((0, 16), (16, 16))
    assert seen == sorted(seen)
    again = EpisodeLog(tmp_path / "episodes")
    assert evaluate(Waiting(4), CountingEnv, both, episodes=again).scores == alone.scores


def test_an_error_in_one_thread_ends_the_others() -> None:
    class Broken(Coin):
        concurrent = True

        def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
            raise BadOption("no")

    settings = EvalSettings(problems=3, rollouts=8, at_once=8, parallel=2)
    with pytest.raises(BadOption, match="no"):
        evaluate(Broken(4), CountingEnv, settings)


def test_threads_side_by_side_draw_the_seeds_of_one_alone() -> None:
    class Concurrent(Draws):
        concurrent = True

    alone, together = Draws(), Concurrent()
    evaluate(alone, ENDLESS, DRAWN)
    evaluate(together, ENDLESS, DRAWN.model_copy(update={"parallel": 3}))
    assert sorted(together.seeds) == sorted(alone.seeds)
    assert len(set(alone.seeds)) == len(alone.seeds)


def test_a_split_that_an_environment_does_not_take_is_none(tmp_path: Path) -> None:
    assert taken_split("srl/ModularChain-v0", {}, "dev") == "dev"
    assert taken_split("srl/ModularChain-v0", {"split": "train"}, "dev") == "dev"
    assert taken_split("srl/ModularChain-v0", {}, None) is None
    file = tmp_path / "splitless.py"
    file.write_text("from srl_env.testing import CountingEnv\nclass Splitless(CountingEnv): ...\n")
    assert taken_split(str(file), {}, "dev") is None
    with pytest.raises(UnknownName, match="Did you mean 'difficulty'"):
        taken_split("srl/ModularChain-v0", {"dificulty": 3}, "dev")


SOME_SPLITS = """
from srl_env.data import ListSource
from srl_env.testing import CountingEnv
from srl_env.testing.fakes import counting_problem


class SomeSplits(CountingEnv):
    def __init__(self, *, split="train", targets=(2, 3, 4)):
        super().__init__()
        chosen = [counting_problem(t) for t in targets if split in ("train", "all") or t == 4]
        self.problems = ListSource(chosen if split != "dev" else [], f"some/{split}")
"""


def test_a_split_without_problems_names_those_that_have_some(tmp_path: Path) -> None:
    file = tmp_path / "some_splits.py"
    file.write_text(SOME_SPLITS)
    assert taken_split(str(file), {}, "test") == "test"
    having = r"a split with problems: 'train' \(3\), 'test' \(1\), 'all' \(3\)$"
    with pytest.raises(BadOption, match=f"got 'dev' of .*{having}"):
        taken_split(str(file), {}, "dev")
    with pytest.raises(BadOption, match=r"'test' .* a split with problems: 'train' \(1\), 'all'"):
        taken_split(str(file), {"targets": [3]}, "test")
    with pytest.raises(BadOption, match="which has none, nor has any other split"):
        taken_split(str(file), {"targets": []}, "test")
    shipped = {"repos": ["tillbook"], "max_difficulty": 0.0}
    with pytest.raises(BadOption, match="got 'test' of srl/SWE-v0, which has none, nor has any"):
        taken_split("srl/SWE-v0", shipped, "test")


def test_parts_side_by_side_need_a_policy_that_allows_it() -> None:
    with pytest.raises(BadOption, match="parallel=2 needs a policy that several threads"):
        evaluate(Coin(1), CountingEnv, EvalSettings(parallel=2))
