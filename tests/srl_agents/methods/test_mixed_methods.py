"""Methods with expert rows: the formulas by hand, and whole runs that are off, resumed or learn."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srl_agents.collection.collector import beginning
from srl_agents.methods.mixed.auxiliary import AuxiliaryObjective
from srl_agents.methods.mixed.buffer import Buffer
from srl_agents.methods.mixed.luffy import LUFFY
from srl_agents.methods.mixed.prefix_rft import PREFIX_RFT, Cosine
from srl_agents.methods.mixed.rl_plus import RL_PLUS
from srl_agents.methods.mixed.superrl import SUPERRL
from srl_agents.methods.prefix import ProblemStats, given_steps
from srl_agents.methods.shipped import get_method
from srl_agents.methods.stages import Starts
from srl_agents.methods.starts import StartPoint, StartResult
from srl_agents.objectives.base import Scores
from srl_agents.runs.checkpoint import checkpoints, load_state
from srl_agents.runs.config import make_config
from srl_agents.runs.settings import merged
from srl_agents.training.preview import Preview
from srl_agents.training.progress import Progress
from srl_agents.training.run import train
from srl_env.errors import BadOption, UnknownName
from tests.srl_agents import locks
from tests.srl_agents.letters import LETTERS, left_behind, lines, settings, updates

METHODS = ("luffy", "rl-plus", "prefix-rft", "superrl", "relift")


def scores(probs: list[float], expert: list[bool], advantage: float, **more: Any) -> Scores:
    logprobs = torch.tensor([probs], dtype=torch.float64).log().requires_grad_()
    mask = torch.ones(1, len(probs), dtype=torch.bool)
    advantages = torch.tensor([advantage], dtype=torch.float64)
    return Scores(logprobs, mask, advantages, expert=torch.tensor([expert]), **more)


def slope(objective: Any, given: Scores) -> list[list[float]]:
    """The gradient of each term with respect to the log-probs."""
    return [
        torch.autograd.grad(term.sum(), given.logprobs, retain_graph=True)[0][0].tolist()
        for term in objective.loss_terms(given)
    ]


# Formulas


def test_luffy_learns_unlikely_expert_tokens_faster_than_likely_ones() -> None:
    own, expert = slope(LUFFY, scores([0.1, 0.9, 0.5], [True, True, False], advantage=2.0))
    assert own == pytest.approx([0, 0, -2])  # GRPO: −A·∇log π on the policy's own
    # f' · π = 0.1·π / (π + 0.1)²: 0.25 at π = 0.1 and 0.09 at 0.9; times A = 2 and the weight 1/8.
    assert expert == pytest.approx([-0.0625, -0.0225, 0])


def test_rl_plus_bounds_the_ratio_by_the_old_policy() -> None:
    old = torch.tensor([[0.2, 0.5]], dtype=torch.float64).log()
    own, expert = slope(RL_PLUS, scores([0.75, 0.5], [True, False], advantage=1.0, old=old))
    assert own == pytest.approx([0, -1])
    # 2 · 0.75 / ((0.2 + 1) / 2 + 0.2) = 1.875, times (1 − 0.75)^0.5 = 0.5, times 1/8.
    assert expert == pytest.approx([-0.1171875, 0])


def test_prefix_rft_learns_the_most_uncertain_fifth_of_a_prefix() -> None:
    entropy = torch.tensor([[0.1, 0.9, 0.2, 0.3, 0.4, 5.0]])
    given = scores([0.5] * 6, [True] * 5 + [False], advantage=-0.5, entropy=entropy)
    own, prefix = slope(PREFIX_RFT, given)
    assert own == pytest.approx([0, 0, 0, 0, 0, 0.5])
    assert prefix == pytest.approx([0, 0.25, 0, 0, 0, 0])  # times 1/2


def test_prefix_rft_gives_less_of_the_solution_along_a_cosine() -> None:
    schedule, stats, generator = Cosine(), ProblemStats(), np.random.default_rng(0)
    found = [schedule.fraction(at, stats, generator) for at in (0.0, 0.5, 1.0)]
    assert found == pytest.approx([0.95, 0.5, 0.05])
    third = schedule.fraction(1 / 3, stats, generator)  # cos 60° = 1/2: 0.05 + 0.9 · 0.75
    assert third == pytest.approx(0.725)
    assert [given_steps(fraction, 4) for fraction in (*found, third)] == [3, 2, 0, 2]


def test_superrl_imitates_with_plain_likelihood() -> None:
    own, expert = slope(SUPERRL, scores([0.1, 0.5], [True, False], advantage=3.0))
    assert own == pytest.approx([0, -3])
    assert expert == pytest.approx([-1, 0])
    assert [term.when for term in SUPERRL.terms] == ["any-correct", "all-failed"]


# Buffer


def result(*correct: bool) -> StartResult:
    return StartResult(tuple(map(float, correct)), correct, len(set(correct)) > 1)


def held(**settings: Any) -> Buffer:
    problems = locks.Locks(experts=3).problems
    return Buffer(problems, Starts(), (), settings=AuxiliaryObjective(**settings))


def test_relift_holds_problems_of_which_every_episode_was_rejected() -> None:
    buffer = held(held=2)
    for problem, correct in ((2, (False, True)), (1, (False, False)), (1, (False,)), (3, (False,))):
        buffer.record(StartPoint(problem), result(*correct))
    buffer.record(StartPoint(0), result())  # only infrastructure failures: no verdict
    assert buffer.problems == [1]  # problem 3 has no expert
    assert not buffer.due(1)
    buffer.record(StartPoint(0), result(False, False))
    assert buffer.due(1)
    assert buffer.draw(2) == [StartPoint(1, k) for k in range(4)] + [
        StartPoint(0, k) for k in range(4)
    ]
    assert buffer.problems == []


def test_a_buffer_may_be_used_every_few_updates_with_what_it_holds() -> None:
    buffer = held(held=8, every=3, holds="any-correct", at="prefix")
    assert not buffer.due(3)
    buffer.record(StartPoint(2), result(False, True))
    assert [buffer.due(update) for update in (1, 2, 3, 6)] == [False, False, True, True]


# Whole runs


def configured(tree: dict[str, Any], out: Path, method: str, **changes: Any) -> Any:
    return make_config(merged(merged(tree, {"out": str(out), "method": method}), changes))


OFF: dict[str, dict[str, Any]] = {
    "luffy": {"objective": {"rows": {"demonstration": "off"}}},
    "rl-plus": {"objective": {"rows": {"demonstration": "off"}}},
    "superrl": {"objective": {"rows": {"demonstration": "off"}, "terms": [{}]}},
    "prefix-rft": {
        "objective": {"rows": {"continued": 0}, "scale": "std"},
        "starts": {"prefix": "off"},
    },
    "relift": {"auxiliary": "off"},
}


@pytest.fixture(scope="module")
def rlvr(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("rlvr") / "run"
    train(configured(settings(base, folder), folder, "rlvr"))
    return left_behind(folder)


@pytest.mark.parametrize("method", METHODS)
def test_without_its_parts_a_method_is_rlvr_to_the_bit(
    tree: dict[str, Any], tmp_path: Path, method: str, rlvr: dict[str, Any]
) -> None:
    train(configured(tree, tmp_path / "off", method, stages={"rlvr": OFF[method]}))
    assert left_behind(tmp_path / "off") == rlvr


def lock_tree(tree: dict[str, Any], **env: Any) -> dict[str, Any]:
    """A short run on locks: four letters, one a step."""
    return merged(
        tree,
        {
            "env": {"id": locks.__file__, "options": env},
            "train": {"batch": 4, "lr": 1e-2, "objective": {"max_tokens": 1, "group_size": 4}},
            "stages": {"rlvr": {"auxiliary": {"held": 2, "lr": 1e-2}}},
        },
    )


def of(method: str, tree: dict[str, Any]) -> dict[str, Any]:
    """The settings without what the method does not have."""
    return tree if method == "relift" else {**tree, "stages": {}}


def interrupted_at(update: int) -> Callable[[Progress], None]:
    def interrupt(progress: Progress) -> None:
        if progress.update == update:
            signal.raise_signal(signal.SIGINT)

    return interrupt


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_ends_as_the_uninterrupted_one(
    tree: dict[str, Any], tmp_path: Path, method: str
) -> None:
    whole, parts, tree = tmp_path / "whole", tmp_path / "parts", of(method, lock_tree(tree))
    train(configured(tree, whole, method))
    train(configured(tree, parts, method), on_progress=interrupted_at(3))
    train(configured(tree, parts, method), resume=True)
    assert left_behind(parts) == left_behind(whole)


def test_a_buffer_is_part_of_a_checkpoint(tree: dict[str, Any], tmp_path: Path) -> None:
    tree = merged(lock_tree(tree), {"stages": {"rlvr": {"auxiliary": {"held": 64}}}})
    train(configured(tree, tmp_path / "run", "relift"))
    state = load_state(checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert sorted(state.counters["buffer"]) == [0, 1, 2, 3]
    assert updates(tmp_path / "run")[-1]["auxiliary/held"] == 4


def test_relift_takes_a_step_as_soon_as_enough_problems_are_held(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    config = configured(lock_tree(tree), tmp_path / "run", "relift", log={"warn_after": 1})
    looks = list[Preview]()
    assert train(config, on_preview=looks.append).warnings == ()  # the steps are what it learns
    assert not any("too hard" in advice for advice in looks[0].advice)
    first = updates(tmp_path / "run")[0]
    assert first["auxiliary/loss"] > 1.5  # a guess among eight tokens: log 8 = 2.1
    assert first["auxiliary/held"] < 4
    assert first["tokens/train"] > 0


@pytest.mark.parametrize("method", ["luffy", "rl-plus"])
def test_groups_of_failures_learn_from_the_demonstration(
    tree: dict[str, Any], tmp_path: Path, method: str
) -> None:
    train(configured(of(method, lock_tree(tree)), tmp_path / "run", method))
    for line in updates(tmp_path / "run"):
        assert line["demonstrations"] == 4
        assert line["demonstrations/rejected"] == 0
        assert line["groups/trained"] >= 3
        assert line["sampler_gap"] < 1e-4
        assert line["reward"] == line["success"]  # of the policy's own episodes


def test_experts_that_the_verifier_rejects_and_problems_without_one_have_own_rows(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    tree = of("superrl", lock_tree(tree, experts=3, wrong=1))
    train(configured(merged(tree, {"budget": {"updates": 1}}), tmp_path / "run", "superrl"))
    (line,) = updates(tmp_path / "run")
    rejected, lacking = line["demonstrations/rejected"], line["groups/sampled"]
    assert line["demonstrations"] - rejected >= line["groups/trained"]
    assert rejected > 0
    assert lacking > line["demonstrations"]


def test_prefix_rft_starts_half_of_each_group_after_a_prefix(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    changes = {"log": {"rollouts_every": 1}, "train": {"objective": {"group_size": 8}}}
    tree = merged(of("prefix-rft", lock_tree(tree)), changes)
    train(configured(tree, tmp_path / "run", "prefix-rft"))
    first = [line for line in lines(tmp_path / "run", "rollouts") if line["update"] == 1]
    given = [line["start_step"] for line in first]
    assert given == [0, 0, 0, 0, 3, 3, 3, 3] * 2  # 95 % of four steps


def test_prefix_rft_continues_the_beginning_of_whole_solutions(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    objective = {"group_size": 6, "granularity": "solution", "max_tokens": 4}
    changes = {"log": {"rollouts_every": 1}, "train": {"objective": objective}}
    tree = merged(of("prefix-rft", lock_tree(tree)), changes)
    train(configured(tree, tmp_path / "run", "prefix-rft"))
    first = [line for line in lines(tmp_path / "run", "rollouts") if line["update"] == 1]
    texts = [(line["steps"][0]["generation"]["text"], line["problem_id"]) for line in first]
    words = {letter: (LETTERS * 2)[LETTERS.index(letter) :][:3] for letter in LETTERS}
    begun = [text.startswith(words[letter]) for text, letter in texts]
    assert sum(begun) >= 4 * 2  # of the 16 that are logged, all groups' plain episodes come first
    assert all("loss" in line for line in updates(tmp_path / "run") if line["groups/trained"])


def test_the_beginning_of_a_text_ends_before_a_space() -> None:
    assert beginning("one two three", 0.7) == "one two"
    assert beginning("one two three", 0.6) == "one"  # "one two" without the space after it
    assert beginning("abcd", 0.95) == "abc"
    assert beginning("abcd", 0.1) == ""


@pytest.mark.parametrize("method", METHODS)
def test_data_without_demonstrations_is_refused_before_anything_is_loaded(
    tree: dict[str, Any], tmp_path: Path, method: str
) -> None:
    with pytest.raises(BadOption, match=f"method '{method}' must have problems with expert"):
        train(configured(of(method, lock_tree(tree, experts=0)), tmp_path / "run", method))
    assert not (tmp_path / "run").exists()


def test_the_second_objective_is_set_in_toml(tree: dict[str, Any], tmp_path: Path) -> None:
    def stage(**auxiliary: Any) -> Any:
        changes = {"stages": {"rlvr": {"auxiliary": auxiliary}}}
        config = configured(tree, tmp_path, "rlvr", **changes)
        return config.resolved_method.stages[0]

    assert stage(every=5).auxiliary == AuxiliaryObjective(every=5)
    assert stage(every=5).needs == {"demonstrations", "verifier"}
    whole = stage(at="problem", objective={"granularity": "solution"})
    assert whole.auxiliary.objective.granularity == "solution"
    with pytest.raises(UnknownName, match="Did you mean 'stages.rlvr.auxiliary.every'"):
        stage(evry=3)
    with pytest.raises(BadOption, match="auxiliary: a step is demonstrated after each expert"):
        stage(at="problem")
    relift = get_method("relift").stages[0]
    assert stage(held=128, lr=5e-6).auxiliary == relift.auxiliary


@pytest.mark.parametrize("method", METHODS)
def test_a_method_written_out_as_stages_is_the_same_method(
    tree: dict[str, Any], tmp_path: Path, method: str
) -> None:
    shipped = get_method(method)
    written = json.loads(json.dumps([asdict(stage) for stage in shipped.stages]))
    given = {**tree, "train": {}, "out": str(tmp_path), "method": written}
    assert make_config(given).resolved_method.stages == shipped.stages


# Learning


SEEDS = (20, 21, 22)  # no setting was chosen on them


def opened(base: Path, out: Path, method: str, seed: int, steps: int) -> float:
    """The fraction of locks that the policy opens in the last five updates of a run.

    steps: of a lock; longer ones have a larger budget, and a smaller learning rate.
    """
    tokens, lr = {4: (60_000, 5e-3), 6: (200_000, 3e-3)}[steps]
    changes = {
        "seed": seed,
        "env": {"options": {"steps": steps}},
        "budget": {"updates": None, "tokens": tokens},
        "train": {"batch": 8, "lr": lr, "objective": {"group_size": 8}},
        "log": {"rollouts_every": 0, "kl_every": 0},
    }
    tree = merged(of(method, lock_tree(settings(base, out))), changes)
    train(configured(tree, out, method))
    return float(np.mean([line["success"] for line in updates(out)[-5:]]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "methods", "gain"),
    [(4, ("prefix-rft", "superrl", "relift"), 0.1), (6, ("luffy", "rl-plus"), 0.3)],
)
def test_methods_open_locks_that_rlvr_does_not_at_the_same_cost(
    base: Path, tmp_path: Path, steps: int, methods: tuple[str, ...], gain: float
) -> None:
    found = {
        method: [opened(base, tmp_path / f"{method} {n}", method, n, steps) for n in SEEDS]
        for method in ("rlvr", *methods)
    }
    print(found)
    for method in methods:
        assert np.mean(found[method]) > np.mean(found["rlvr"]) + gain, found
