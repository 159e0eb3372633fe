"""Evaluations looked at again: rescored, rated, monitored; worked out on the sample of GSM8K."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from srl_agents.cli.main import app
from srl_agents.evaluation.difficulty import BANDS, rate
from srl_agents.evaluation.episodes import EpisodeLog
from srl_agents.evaluation.evaluator import evaluate
from srl_agents.evaluation.folder import SavedEvaluation, open_evaluation
from srl_agents.evaluation.monitors import Sample, coherence, little_work, monitor, repeats, skipped
from srl_agents.evaluation.plan import split_maker
from srl_agents.evaluation.rescore import Changes, Judged, measure_again, rescore
from srl_agents.runs.evaluation import EvalSettings
from srl_agents.runs.problem_file import indices_of, read_problem_ids
from srl_env.data.sources.listed import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadData, BadOption, PolicyFailure, UnknownName
from srl_env.policy import Generation
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.rollout import Episode, Step
from srl_env.verifiers import ExactVerifier

ENV, SPLIT, SAMPLE = "srl/GSM8K-v0", "train", {"source": "sample"}
Text = Callable[[ReasoningEnv, int], str | PolicyFailure]


class Scripted:
    """Writes what a function says, given the environment and its place: problem · 4 + copy."""

    def __init__(self, text: Text) -> None:
        self.text, self.places = text, dict[int, int]()
        self.begun = count()

    def act(self, envs: Sequence[ReasoningEnv]) -> list[Any]:
        made = []
        for env in envs:
            if env.step_index == 0:
                self.places[id(env)] = next(self.begun)
            text = self.text(env, self.places[id(env)])
            made.append(text if isinstance(text, PolicyFailure) else Generation(text))
        return made


def one_shot(env: ReasoningEnv, place: int) -> str:
    """The answer alone, without work; of the second problem it is right once only."""
    good = place // 4 != 1 or place == 4
    return f"<think></think>#### {env.problem.answer if good else '-77'}"


def evaluation(folder: Path, text: Text, **settings: Any) -> SavedEvaluation:
    """Four rollouts of three problems, saved as ``srl-env eval`` does, and opened again."""
    given = {"problems": 3, "rollouts": 4, "greedy": False, **settings}
    how = EvalSettings(**given)
    record = {
        "policy": "scripted",
        "env": ENV,
        "arguments": SAMPLE,
        "split": SPLIT,
        "settings": how.model_dump(),
    }
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(record))
    maker = split_maker(ENV, SAMPLE, SPLIT)
    evaluate(Scripted(text), maker, how, episodes=EpisodeLog(folder / "episodes"))
    return open_evaluation(folder)


def changes_of(judged: Iterable[Judged]) -> Changes:
    changes = Changes()
    for each in judged:
        changes.add(*each)
    return changes


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, arguments)])


# -- rescore ----------------------------------------------------------------------------------


def test_another_mode_gives_the_rewards_that_the_recording_would_have_had(tmp_path: Path) -> None:
    saved = evaluation(tmp_path / "eval", lambda env, _: env.expert_completion())
    judged = list(rescore(saved, reward_mode="srl"))
    planned, before, episodes = zip(*judged, strict=True)
    assert list(zip(planned, before, strict=True)) == list(saved.episodes())
    assert all(step.reward == 1.0 for e in episodes for step in e.steps)
    assert {e.reward_mode for e in episodes} == {"srl"}
    changes = changes_of(judged)
    assert list(changes.after) == [1.0] * 12
    assert [[s.generation for s in e.steps] for e in episodes] == [
        [s.generation for s in e.steps] for e in before
    ]
    assert changes.changed == {}


def test_another_verifier_judges_what_was_written_where_it_ended(tmp_path: Path) -> None:
    def thousands(env: ReasoningEnv, place: int) -> str:
        return f"<think></think>#### {env.problem.answer}{'.0' if place % 4 else ''}"

    saved = evaluation(tmp_path / "eval", thousands)
    assert all(e.correct for _, e in saved.episodes())
    judged = list(rescore(saved, verifier=ExactVerifier("####")))
    assert [e.correct for _, _, e in judged] == [True, False, False, False] * 3
    assert changes_of(judged).changed == {"correct → wrong": 9}
    # A marker that is never written: the episode ends where it ended, and is wrong, not failed.
    unseen = rescore(saved, verifier=ExactVerifier("§"))
    assert [(e.correct, e.failure) for _, _, e in unseen] == [(False, None)] * 12


def test_what_the_policy_did_not_finish_fails_again_and_is_not_wrong(tmp_path: Path) -> None:
    def breaks(env: ReasoningEnv, _: int) -> str | PolicyFailure:
        if env.step_index == 1:
            return PolicyFailure("the server is gone")
        return env.expert_completion()

    saved = evaluation(tmp_path / "eval", breaks)
    episodes = [episode for _, _, episode in rescore(saved, reward_mode="srl")]
    assert all(e.correct is None and len(e.steps) == 1 for e in episodes)
    assert episodes[0].failure == {"type": "PolicyFailure", "message": "the server is gone"}


def test_measures_are_compared_on_the_same_steps(tmp_path: Path) -> None:
    def wrong_number(env: ReasoningEnv, place: int) -> str:
        step = env.expert_completion()
        return step if place % 2 else step.replace(env.problem.answer or "", "77")

    saved = evaluation(tmp_path / "eval", wrong_number)
    found = measure_again(saved, ["characters", "numbers"])
    assert [found.correct[n] for n in range(4)] == [False, True, False, True]
    ends = [s for s in found.steps if "####" in s.action]
    assert {s.values["numbers"] for s in ends if found.correct[s.episode]} == {1.0}
    assert {s.values["numbers"] for s in ends if not found.correct[s.episode]} == {0.0}
    assert all(s.values["characters"] > 0.5 for s in found.steps)
    assert found.auc("numbers") == found.auc("characters") == 1.0
    written = tmp_path / "steps"
    arguments = ("--measure", "characters", "--measure", "numbers", "--out", written)
    result = run("rescore", tmp_path / "eval", *arguments)
    assert result.exit_code == 0, result.output
    assert "characters and numbers disagree most" in result.output
    rows = (written / "steps.jsonl").read_text().splitlines()
    assert len(rows) == len(found.steps)
    wrong = run("rescore", tmp_path / "eval", "--measure", "number")
    assert "Did you mean 'numbers'" in wrong.output
    wrong = run("rescore", tmp_path / "eval", "--measure", "accepts")
    assert "needs an environment that checks steps" in wrong.output


def test_rescored_by_a_coin_equal_completions_draw_apart_and_the_same_again(
    tmp_path: Path,
) -> None:
    saved = evaluation(tmp_path / "eval", lambda *_: "<think></think>#### 1", rollouts=200)
    judged = rescore(saved, reward_mode="random")
    rewards = {planned.number: episode.total_reward for planned, _, episode in judged}
    for begin in (0, 200, 400):
        assert 70 < sum(rewards[begin + copy] for copy in range(200)) < 130
    file = tmp_path / "eval" / "episodes/000000.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[200:]))  # two of three
    again = list(rescore(open_evaluation(tmp_path / "eval"), reward_mode="random"))
    assert len(again) == 400
    assert all(episode.total_reward == rewards[planned.number] for planned, _, episode in again)


def test_a_rescoring_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    saved = evaluation(tmp_path / "eval", one_shot)
    with pytest.raises(BadOption, match="a reward mode, a verifier, or both; got neither"):
        rescore(saved)


def test_rescore_writes_an_evaluation_that_can_be_opened(tmp_path: Path) -> None:
    evaluation(tmp_path / "eval", one_shot)
    result = run("rescore", tmp_path / "eval", "--verifier", "exact", "--reward-mode", "format")
    assert result.exit_code == 0, result.output
    assert "reward of a step" in result.output
    again = open_evaluation(tmp_path / "eval-rescored")
    assert again.record["rescored"]["reward_mode"] == "format"
    assert {e.reward_mode for _, e in again.episodes()} == {"format"}
    found = json.loads((tmp_path / "eval-rescored" / "result.json").read_text())
    assert found["episodes"] == 12
    assert run("rescore", tmp_path / "eval", "--verifier", "exact").exit_code == 2
    wrong = run("rescore", tmp_path / "eval", "--reward-mode", "frmat")
    assert "Did you mean 'format'" in wrong.output
    assert "no verifier 'nope'" in run("rescore", tmp_path / "eval", "--verifier", "nope").output
    assert (
        "--reward-mode, --verifier, or --measure; got none"
        in run("rescore", tmp_path / "eval").output
    )


# -- difficulty -------------------------------------------------------------------------------


def test_problems_are_rated_by_how_often_they_were_solved(tmp_path: Path) -> None:
    found = rate(evaluation(tmp_path / "eval", one_shot), hard_below=0.5)
    bands = [BANDS[band] for band in found.bands]
    rated = list(zip(found.rollouts, found.correct, bands, found.pass_rates, strict=True))
    assert rated == [(4, 4, "easy", 1.0), (4, 1, "hard", 0.25), (4, 4, "easy", 1.0)]
    assert found.source == "gsm8k-sample/train"


@pytest.mark.parametrize(
    ("right", "failed", "band"),
    [(0, 0, "unsolved"), (1, 0, "medium"), (1, 2, "medium"), (3, 0, "easy"), (0, 4, "unknown")],
)
def test_failed_rollouts_do_not_count(tmp_path: Path, right: int, failed: int, band: str) -> None:
    def text(env: ReasoningEnv, place: int) -> str | PolicyFailure:
        if place >= 4 - failed:
            return PolicyFailure("gone")
        return f"<think></think>#### {env.problem.answer if place < right else '-77'}"

    found = rate(evaluation(tmp_path / "eval", text, problems=1))
    assert (found.rollouts, found.correct, found.bands) == (4 - failed, right, BANDS.index(band))
    assert isnan(found.pass_rates[0]) is (band == "unknown")


def test_difficulty_writes_what_training_reads(tmp_path: Path) -> None:
    saved, out = evaluation(tmp_path / "eval", one_shot), tmp_path / "hard.json"
    command = ("difficulty", tmp_path / "eval", "--hard-below", 0.5, "-b", "hard", "-o", out)
    assert run(*command).exit_code == 0
    source = saved.make_env().problems
    hard = list(rate(saved, hard_below=0.5).ids_of(["hard"]))
    assert read_problem_ids(out) == hard
    assert [source[i].id for i in indices_of(out, source)] == sorted(hard, key=source.index_of)
    assert run(*command).exit_code == 2
    assert run(*command, "--force").exit_code == 0
    nothing = run("difficulty", tmp_path / "eval", "-b", "unsolved", "-o", tmp_path / "x.json")
    assert "no problem is unsolved" in nothing.output


def test_impossible_bands_and_bounds_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no band 'hrd'. Did you mean 'hard'"):
        rate(evaluation(tmp_path / "one", one_shot)).of(["hrd"])
    with pytest.raises(BadOption, match="0 ≤ hard_below ≤ easy_from ≤ 1"):
        rate(evaluation(tmp_path / "eval", one_shot), hard_below=0.9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file or directory"),
        ("{", "must be JSON"),
        ('{"problems": []}', "with at least one id"),
        ("[1]", "or a list of ids"),
        ('["there is none"]', "no problem .there is none..*It must be in here"),
    ],
)
def test_a_file_of_problems_that_cannot_be_used_is_an_error(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "ids.json"
    if text is not None:
        path.write_text(text)
    source = ListSource((Problem("a", "?"),), "here")
    with pytest.raises(BadData, match=message):
        indices_of(path, source)


# -- monitors ---------------------------------------------------------------------------------

EXPERT = Problem(
    "p",
    "A shop has 4 rows of 6 rolls and sells 5.",
    "19",
    (
        ExpertTrajectory(
            tuple(map(ExpertStep, ("There are 4*6 = 24 rolls.", "24-5 = 19 are left.", "#### 19")))
        ),
    ),
)


def sample(*actions: str, right: bool = True, text: str | None = None, **more: Any) -> Sample:
    """An episode of the problem above, with these actions."""
    steps = tuple(
        Step((), Generation(text or action), action, i, 0.0, {}, True, None, None)
        for i, action in enumerate(actions)
    )
    verdict = {"correct": right, "answer": None}
    episode = Episode("p", 0, "rlvr", "policy", "step", steps, verdict, None, 0)
    return Sample(replace(episode, **more), EXPERT, ExactVerifier("####").extract)


def test_an_action_or_an_answer_given_twice_is_a_repetition() -> None:
    assert repeats(sample("a", "b", "#### 19")) == 0
    assert repeats(sample("a", "b", "a ", "#### 19")) == 1
    assert repeats(sample("so #### 19", "#### 19")) == 1
    assert repeats(sample("no #### 18", "#### 19")) == 0
    assert repeats(sample()) == 0


def test_little_work_is_a_quarter_of_the_experts_text() -> None:
    # the expert's steps have 25 + 19 + 7 = 51 characters
    assert little_work(sample("#### 19")) == 1
    assert little_work(sample("24-5", "#### 19")) == 1
    assert little_work(sample("24-5 = 19", "#### 19")) == 0
    assert little_work(sample("#### 19", text="<think>24 less 5 is 19</think>#### 19")) == 0
    assert little_work(sample("#### 19", right=False)) is None


def test_skipped_are_the_experts_steps_that_no_action_is_like() -> None:
    assert skipped(sample("There are 4*6 = 24 rolls.", "24-5 = 19 are left.", "#### 19")) == 0
    assert skipped(sample("There are 24 rolls.", "#### 19")) == 0.5
    assert skipped(sample("#### 19")) == 1
    assert skipped(sample("There are 24 rolls.", start_step=1)) == 1
    assert skipped(sample("#### 19", right=False)) is None
    whole = "There are 4*6 = 24 rolls.\n24-5 = 19 are left.\n#### 19"
    assert skipped(sample(whole, granularity="solution")) == 0


def test_coherent_actions_take_up_what_the_one_before_brought_in() -> None:
    assert coherence(sample("4*6 = 24", "24-5 = 19", "#### 19")) == 1
    assert coherence(sample("4*6 = 24", "7+8 = 15", "#### 15")) == 0.5
    assert coherence(sample("4 6", "5")) is None  # nothing new was brought in
    assert coherence(sample("24", start_step=1)) is None


def test_monitors_are_means_over_the_rollouts_of_each_problem(tmp_path: Path) -> None:
    saved = evaluation(tmp_path / "eval", one_shot)
    found = monitor(saved)
    assert found["little work"] == (1.0, 1.0, 1.0)
    assert found["repeats"] == (0.0, 0.0, 0.0)
    assert found["skipped"] == (1.0, 1.0, 1.0)
    assert "correct but illegal" not in found  # there is no step checker
    assert "coherence, correct" not in found  # one action has none before it


def test_monitor_shows_evaluations_side_by_side(tmp_path: Path) -> None:
    evaluation(tmp_path / "a", one_shot)
    evaluation(tmp_path / "b", lambda env, _: env.expert_completion())
    result = run("monitor", tmp_path / "a", tmp_path / "b", "--json")
    numbers = json.loads(result.output)
    assert numbers[str(tmp_path / "a")]["little work"]["value"] == 1
    assert numbers[str(tmp_path / "b")]["little work"]["value"] == 0
    assert numbers[str(tmp_path / "b")]["skipped"]["value"] == 0
    assert "signs of shortcuts" in run("monitor", tmp_path / "a").output


# -- what is saved ----------------------------------------------------------------------------


def test_a_folder_without_an_evaluation_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="got no settings.json in it"):
        open_evaluation(tmp_path)
    saved = evaluation(tmp_path / "eval", one_shot)
    (saved.folder / "episodes/000000.jsonl").write_text("")
    with pytest.raises(BadData, match="no problem has all its episodes yet"):
        open_evaluation(saved.folder)


def test_opening_leaves_an_unfinished_file_as_it_is(tmp_path: Path) -> None:
    saved = evaluation(tmp_path / "eval", one_shot)
    path = saved.folder / "episodes/000000.jsonl"
    half = path.read_bytes()[:-100]
    path.write_bytes(half)
    again = open_evaluation(saved.folder)
    assert (saved.count(), again.count()) == (12, 8)  # of the third problem one is cut off
    assert path.read_bytes() == half


def test_episodes_of_problems_that_have_changed_are_neither_judged_nor_resumed(
    tmp_path: Path,
) -> None:
    rows = [
        {"prompt": f"{a} + 1 =", "steps": [f"#### {a + 1}"], "answer": f"{a + 1}"} for a in (1, 2)
    ]
    lines = [json.dumps(row) for row in rows]
    path, folder = tmp_path / "problems.jsonl", tmp_path / "eval"
    path.write_text("\n".join(lines))
    given = ("-m", "expert", "-e", f"steps:{path}", "--split", "all", "-r", 1, "-o", folder)
    assert run("eval", *given).exit_code == 0
    path.write_text("\n".join(lines[::-1]))
    for command in (("rescore", folder, "--reward-mode", "srl"), ("eval", "--resume", folder)):
        result = run(*command)
        assert result.exit_code == 2
        assert "whose problems have changed since" in result.output
