"""What a budget in tokens counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from srl_agents.models.small import build
from srl_agents.nn.score import make_decoder
from srl_agents.objectives import GRPO, NLL, Objective
from srl_agents.objectives.batch import Batch, TrainingBatches
from srl_agents.runs.config import OptimizerConfig, make_config
from srl_agents.training.learner import Learner
from srl_agents.training.positions import (
    TRAINED,
    Positions,
    pass_positions,
    sampling_positions,
)
from srl_agents.training.run import train
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step
from tests.srl_agents import thinking
from tests.srl_agents.letters import TOKENIZER, save_base, settings, updates


def test_a_prompt_that_begins_another_counts_once() -> None:
    # (1, 2, 3) holds both copies of (1, 2): 3 positions; (4,) is 1. Completions are always own.
    prompts = [(1, 2), (1, 2), (1, 2, 3), (4,)]
    assert pass_positions(prompts, [(5,), (5, 6), (5, 6, 7), (5, 6, 7, 8)]) == 3 + 1 + 10


def test_prompts_that_part_ways_count_apart() -> None:
    assert pass_positions([(1, 2, 3), (1, 2, 4)], [(), ()]) == 6


def test_a_pass_over_nothing_counts_nothing() -> None:
    assert pass_positions([], []) == 0


def episode(*generations: Generation) -> Episode:
    """An episode whose steps are these generations."""
    steps = tuple(
        Step((), generation, "", number, 0.0, {}, True, None, None)
        for number, generation in enumerate(generations)
    )
    return Episode("p", 0, "rlvr", "policy", "step", steps, None, None, group=0)


def test_sampling_counts_a_groups_prompt_once_and_all_that_was_sampled() -> None:
    # The second turn's prompt (1, 2, 7, 3) continues the first's (1, 2): 4 positions. 2 + 1 + 3
    # tokens were sampled.
    first, other = (Generation("", ids, (), (1, 2)) for ids in ((7, 9), (8,)))
    second = Generation("", (5, 5, 5), (), (1, 2, 7, 3))
    assert sampling_positions([episode(first, second), episode(other)]) == 4 + 6


def test_each_phase_is_counted_until_it_is_taken() -> None:
    positions = Positions()
    positions.add("teacher", 10)
    positions.add("train", 10, TRAINED)
    positions.add("train", 1, TRAINED)
    assert positions.take() == {"teacher": 10, "train": 33}
    assert positions.take() == {}


BATCH = Batch(
    ((3, 4), (3, 4), (3, 4, 5)),
    ((6, 7), (6,), (7, 7, 7)),
    torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64),
    torch.full((3,), 1 / 6, dtype=torch.float64),
    ((-1.0, -1.0), (-1.0,), (-1.0, -1.0, -1.0)),
)
PASS = 3 + 6


@pytest.mark.parametrize("micro_batch", [1, 1000])
@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (NLL(), {"train": 3 * PASS}),
        (GRPO(), {"train": 3 * PASS}),
        (GRPO(passes=2), {"old": PASS, "train": 6 * PASS}),
        (GRPO(kl=0.1), {"reference": PASS, "train": 3 * PASS}),
    ],
    ids=["demonstrations", "on policy", "two passes", "kl"],
)
def test_an_update_counts_three_for_what_it_trains_on_and_one_for_what_it_scores(
    objective: Objective, expected: dict[str, int], micro_batch: int
) -> None:
    model = build("llama-1m", TOKENIZER, seed=0)
    chosen = OptimizerConfig(micro_batch_tokens=micro_batch)
    learner = Learner(model, chosen, reference=make_decoder(model))
    learner.update(TrainingBatches((BATCH,)), objective, lr=1e-4)
    assert learner.positions.take() == expected


def run(tmp_path: Path, name: str, **changes: Any) -> list[dict[str, Any]]:
    """The updates of a short run on letters."""
    tree = settings(save_base(tmp_path / "base"), tmp_path / name)
    tree |= {"budget": {"updates": 2}, "log": {"tensorboard": False, "kl_every": 0}} | changes
    return updates(train(make_config(tree)).folder)


def test_fine_tuning_counts_its_demonstrations(tmp_path: Path) -> None:
    # A batch of 8 has both steps of all four problems. The prompt "a#" begins "a#aaaa": 6
    # positions. A completion is 16 characters of empty thinking, 4 letters and the end: 21.
    rows = run(tmp_path, "sft", method="sft", train={"batch": 8})
    each = 4 * 6 + 8 * 21
    assert [row["tokens"] for row in rows] == [3 * each, 6 * each]


def test_the_log_has_the_phases_of_each_update_and_their_sum(tmp_path: Path) -> None:
    rows, total = run(tmp_path, "srl"), 0.0
    for row in rows:
        phases = {name: row[name] for name in row if name.startswith("tokens/")}
        assert set(phases) == {"tokens/sample", "tokens/train"}
        total += sum(phases.values())
        assert row["tokens"] == total
    assert all(row["seconds"] > 0 for row in rows)


def test_the_count_does_not_depend_on_micro_batches(tmp_path: Path) -> None:
    (first, *_), (second, *_) = (
        run(tmp_path, f"by-{size}", optimizer={"micro_batch_tokens": size}) for size in (1, 4096)
    )
    names = ("tokens", "tokens/sample", "tokens/train")
    assert [first[name] for name in names] == [second[name] for name in names]


def test_a_budget_in_tokens_ends_a_run_when_it_is_used_up(tmp_path: Path) -> None:
    rows = run(tmp_path, "whole", budget={"updates": 4})
    used = [row["tokens"] for row in rows]
    again = run(tmp_path, "bounded", budget={"tokens": int(used[1])})
    assert [row["tokens"] for row in again] == used[:2]


def test_what_a_preview_scores_is_no_part_of_the_budget(tmp_path: Path) -> None:
    tree = settings(save_base(tmp_path / "base"), tmp_path / "run")
    tree |= {"env": {"id": thinking.__file__}, "budget": {"updates": 1}}
    tree["train"]["objective"] |= {"measure": "log-likelihood", "min_std": 0.0}
    plain = updates(train(make_config(tree)).folder)
    again = make_config({**tree, "out": str(tmp_path / "again")})
    previewed = updates(train(again, on_preview=lambda _: None).folder)
    assert plain[0]["tokens/likelihood"] > 0
    assert [row["tokens"] for row in previewed] == [row["tokens"] for row in plain]
