"""The demo's base model: its data, its positions, its optimiser, its cache."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from examples.demo import base
from examples.demo.base import (
    Recipe,
    SolvedProblem,
    bare_tree,
    base_model,
    clause_starts,
    jumped_positions,
    problem_tree,
    problem_trees,
    train_base,
)
from examples.demo.muon import Muon, orthogonalized
from srl_agents.models.small import character_tokenizer
from srl_agents.nn.score import TokenScores, TokenTree
from srl_agents.policies import TransformersPolicy
from srl_env.policy import Sampling
from srl_tasks.generated.modular_chain import ALPHABET, ModularChainSource

TINY = Recipe(updates=2, rows=3, bare_rows=4, warmup=1)
TOKENIZER = character_tokenizer(ALPHABET)
PROBLEM = SolvedProblem(
    "f5,g6,m:g-f,j:f+m?gmj>", ("m1;", "j6;", "#g6m1j6;"), ("(m:g6-f5)m1;", "(j:f5+m1)j6;")
)


def encode(texts: list[str]) -> base.Ids:
    return np.array([TOKENIZER(text)["input_ids"] for text in texts])


def text(ids: torch.Tensor) -> str:
    return str(TOKENIZER.decode(ids))


def tree_of_problem(**changes: float) -> TokenTree:
    recipe = replace(TINY, largest_jump=0, **changes)  # type: ignore[arg-type]
    return problem_tree(np.random.default_rng(0), encode, [PROBLEM], recipe)


def test_clauses_begin_after_separators_and_at_the_question() -> None:
    (starts,) = clause_starts(["f5,g6,m:g-f?fgm>m1;#f5g6m1;"])
    assert [i for i, start in enumerate(starts) if start] == [0, 3, 6, 11, 16, 19]


def test_positions_jump_only_where_a_clause_begins_and_no_further_than_the_row_may() -> None:
    clauses = clause_starts(["f5,g6?fg>"] * 200)
    largest = np.repeat([0, 3], 100)
    steps = np.diff(jumped_positions(np.random.default_rng(0), clauses, largest), axis=1)
    assert (steps[:100] == 1).all()
    assert (steps[100:, ~clauses[0, 1:]] == 1).all()
    assert set(steps[100:, 2].tolist()) == {1, 2, 3, 4}


def test_a_problem_is_a_prefix_with_one_continuation_for_each_step() -> None:
    tree = tree_of_problem(out_of_turn=0.0)
    assert text(tree.prefix_ids[0]) == PROBLEM.prompt + "m1;j6;#g6m1j6;"
    assert [text(ids) for ids in tree.continuation_ids] == list(PROBLEM.steps)
    assert tree.continuation_start.tolist() == [22, 25]  # after the prompt; after "m1;" too


def test_without_jumps_a_continuation_goes_on_counting_where_it_leaves_the_prefix() -> None:
    tree = tree_of_problem(out_of_turn=0.0)
    assert tree.continuation_positions is not None
    assert tree.continuation_positions[1].tolist() == list(range(25, 37))


def test_the_answer_line_and_whole_steps_are_scored_and_nothing_else() -> None:
    tree = tree_of_problem(out_of_turn=0.0)
    assert text(tree.prefix_ids[0][tree.scored_prefix[0]]) == "#g6m1j6;"
    assert tree.scored_continuation.all()


def test_a_step_out_of_turn_comes_late_and_is_not_asked_which_variable_is_next() -> None:
    tree = tree_of_problem(out_of_turn=1.0)
    first, second = tree.continuation_start.tolist()
    assert first in (25, 28)
    assert second == 28
    assert text(tree.continuation_ids[0][tree.scored_continuation[0]]) == ":g6-f5)m1;"


def test_bare_steps_look_up_and_calculate_rightly() -> None:
    tree = bare_tree(np.random.default_rng(1), encode, replace(TINY, bare_rows=50))
    for ids, scored in zip(tree.prefix_ids, tree.scored_prefix, strict=True):
        given, steps, digits = text(ids)[:12], text(ids)[12:], ""
        assert len(steps) == 3 * 12
        for step in (steps[:12], steps[12:24], steps[24:]):
            left, x, sign, right, y, result = re.fullmatch(
                r"\(.:(.)(\d)([+-])(.)(\d)\).(\d);", step
            ).groups()  # type: ignore[union-attr]
            assert left + x in given
            assert right + y in given
            assert int(result) == (int(x) + int(f"{sign}{y}")) % 10
            digits += x + y + result
        assert text(ids[scored]) == digits


def test_problems_come_from_the_training_split_and_are_short() -> None:
    seen = list(islice(base._texts(ModularChainSource(2, "train"), seed=0), 20))
    dev = {ModularChainSource(2, "dev")[i].prompt for i in range(2000)}
    assert {len(problem.steps) for problem in seen} == {2}
    assert dev.isdisjoint(problem.prompt for problem in seen)


def bare_batches(monkeypatch: pytest.MonkeyPatch, bare_loss: float) -> int:
    """How many of 100 batches are bare where bare steps have this loss at once."""
    bare: list[TokenTree] = []

    def counted(*args: Any) -> TokenTree:
        bare.append(bare_tree(*args))
        return bare[-1]

    def loss(scores: TokenScores, tree: TokenTree) -> torch.Tensor:
        return 0 * scores.prefix_logprobs.sum() + 0 * scores.logprobs.sum() + bare_loss

    monkeypatch.setattr(base, "bare_tree", counted)
    monkeypatch.setattr(base, "mean_loss", loss)
    train_base(replace(TINY, updates=100, rows=1, bare_rows=1, lengths=(1,), weights=(1.0,)))
    return len(bare)


def test_the_better_bare_steps_go_the_fewer_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    guessing, known = (bare_batches(monkeypatch, loss) for loss in (2.3, 0.0))
    assert 55 <= guessing <= 85  # seven in ten
    assert known < 45  # the running mean falls by a tenth with each


def test_batches_of_problems_hold_one_length_each_and_every_length_comes() -> None:
    recipe = replace(TINY, lengths=(1, 3), weights=(0.5, 0.5))
    trees = islice(problem_trees(np.random.default_rng(0), encode, recipe), 20)
    steps = [len(tree.continuation_ids) / recipe.rows for tree in trees]
    assert set(steps) == {1, 3}


def test_muon_moves_singular_values_near_one() -> None:
    matrices = [torch.randn(6, 4, generator=torch.manual_seed(i)) for i in range(3)]
    values = torch.linalg.svdvals(orthogonalized(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_muon_steps_along_the_orthogonalized_gradient() -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    (weight * torch.tensor([[3.0, 0.0], [0.0, -0.5]])).sum().backward()
    Muon([weight], lr=0.1).step()
    step = weight.detach() / -0.1
    assert step[0, 1] == step[1, 0] == 0
    assert 0.6 < step[0, 0] < 1.3
    assert -1.3 < step[1, 1] < -0.6


def test_the_base_model_is_made_once_and_is_an_ordinary_checkpoint(tmp_path: Path) -> None:
    updates: list[int] = []
    first = base_model(TINY, tmp_path, lambda update, loss: updates.append(update))
    again = base_model(TINY, tmp_path, lambda update, loss: pytest.fail("it was made again"))
    assert first == again
    assert updates == [1, 2]
    policy = TransformersPolicy.from_pretrained(str(first))
    (made,) = policy.generate([[{"role": "user", "content": "f5"}]], Sampling(max_tokens=3))
    assert len(made.token_ids) <= 3


def test_another_recipe_is_another_model(tmp_path: Path) -> None:
    assert base_model(TINY, tmp_path) != base_model(replace(TINY, seed=1), tmp_path)


def test_equal_recipes_give_equal_weights() -> None:
    first, second = (train_base(TINY)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_recipe_learns() -> None:
    losses: list[float] = []
    recipe = replace(TINY, updates=40, rows=8, bare_rows=16, warmup=5, bare=0.0, lengths=(1,))
    record: Callable[[int, float], None] = lambda update, loss: losses.append(loss)  # noqa: E731
    train_base(replace(recipe, weights=(1.0,)), record)
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
