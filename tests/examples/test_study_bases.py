"""The committed base models of the comparison, and how their texts become token trees."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import srl_env
from examples.study import bases
from examples.study.bases import BASES, CALLS, FOLDER, fault, save
from examples.study.text_base import (
    Encoded,
    TextRecipe,
    encoded,
    piece_tokenizer,
    solved,
    train_base,
    tree_of,
)
from srl_agents.models import build
from srl_agents.policies import TransformersPolicy
from srl_env.policy import Sampling

COMMITTED = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
TINY = TextRecipe(
    "srl/WordProblem-v0", {"difficulty": [1, 2], "largest": 20}, updates=2, problems=6, rows=2
)


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_base_is_that_of_its_recipe_and_has_its_hash(name: str) -> None:
    assert name in BASES
    assert fault(name) is None


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_base_loads_and_writes(name: str) -> None:
    recipe = json.loads((FOLDER / name / "recipe.json").read_text())["recipe"]
    env_id = (
        recipe.get("env")
        or {
            "modular_chain": "srl/ModularChain-v0",
            "definition_graph": "srl/DefinitionGraph-v0",
        }[recipe["family"]]
    )
    env = srl_env.make(env_id).unwrapped
    _, info = env.reset(seed=0)
    policy = TransformersPolicy.from_pretrained(FOLDER / name)
    assert sum(p.numel() for p in policy.model.parameters()) < 350_000
    (made,) = policy.generate([info["messages"]], Sampling(1.0, 4).for_format(env.format, "step"))
    assert made.token_ids


def test_seeds_are_all_that_differs_between_the_bases_of_a_family() -> None:
    families: dict[str, set[str]] = {}
    for name, recipe in BASES.items():
        family = name.rpartition("-")[0]
        families.setdefault(family, set()).add(json.dumps(asdict(replace(recipe, seed=0))))
    assert {family: len(recipes) for family, recipes in families.items()} == dict.fromkeys(
        ("chains", "graphs", "stories", "orders"), 1
    )
    assert len({json.dumps(asdict(recipe)) for recipe in BASES.values()}) == 16


def test_other_weights_another_recipe_and_a_missing_base_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "FOLDER", tmp_path)
    monkeypatch.setitem(BASES, "tiny", TINY)
    assert "missing" in str(fault("tiny"))
    save("tiny", *train_base(TINY), tmp_path / "tiny")
    assert fault("tiny") is None
    monkeypatch.setitem(BASES, "tiny", replace(TINY, seed=1))
    assert "another recipe" in str(fault("tiny"))
    monkeypatch.setitem(BASES, "tiny", TINY)
    weights = tmp_path / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    assert "its weights are not" in str(fault("tiny"))


@pytest.mark.parametrize(
    ("env_id", "pieces"),
    [("srl/WordProblem-v0", TINY.pieces), ("srl/ToolShop-v0", CALLS)],
)
def test_every_step_continues_the_tokens_of_the_whole_solution(env_id: str, pieces: str) -> None:
    env = srl_env.make(env_id, difficulty=3).unwrapped
    texts = [solved(env, index) for index in range(3)]
    tokenizer = piece_tokenizer(texts, pieces)
    policy = TransformersPolicy(build("lfm2-0.3m", tokenizer, 0), tokenizer)
    for text in texts:
        found = encoded(policy, env, text)
        joined = "".join(message["content"] for message in text.messages[-1])
        assert tokenizer.decode(found.prefix) == joined
        for (start, ids), messages, completion in zip(
            found.steps, text.messages, text.completions, strict=True
        ):
            shown = "".join(message["content"] for message in messages)
            assert tokenizer.decode(found.prefix[:start]) == shown
            assert tokenizer.decode(ids, skip_special_tokens=True) == completion


def test_a_call_is_a_few_tokens() -> None:
    env = srl_env.make("srl/ToolShop-v0", difficulty=2).unwrapped
    texts = [solved(env, index) for index in range(3)]
    tokenizer = piece_tokenizer(texts, CALLS)
    action = env.problems[0].trajectories[0].steps[0].action  # type: ignore[index]
    shown = [tokenizer.decode([token]) for token in tokenizer(action)["input_ids"]]
    assert "".join(shown) == action
    assert len(shown) == 4


def test_a_step_begins_where_its_prompt_ends_and_positions_jump_after_a_clause() -> None:
    ends = np.zeros(10, np.bool_)
    ends[9] = True
    solution = Encoded([1, 2, 9, 3, 4], [(2, (5, 9, 6)), (5, (7,))])
    plain = tree_of(np.random.default_rng(0), [solution], ends, 0)
    assert plain.prefix_positions is not None
    assert plain.continuation_positions is not None
    assert plain.prefix_positions.tolist() == [[0, 1, 2, 3, 4]]
    assert plain.continuation_positions[0].tolist() == [2, 3, 4]
    assert plain.continuation_positions[1, 0] == 5
    assert plain.score_continuation is not None
    assert plain.score_continuation.tolist() == [[True] * 3, [True, False, False]]
    jumped = tree_of(np.random.default_rng(1), [solution] * 50, ends, 9)
    assert jumped.prefix_positions is not None
    gaps = jumped.prefix_positions.diff(dim=1)
    assert (gaps[:, [0, 1, 3]] == 1).all()
    assert gaps[:, 2].min() >= 1
    assert gaps[:, 2].max() > 1
