"""What every generated family promises: disjoint splits, streams without overlap, stable ids."""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass
from typing import ClassVar

import pytest

import srl_env
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem, ProblemSource
from srl_tasks.generated.column_arithmetic import ColumnArithmeticSource
from srl_tasks.generated.definition_graph import DefinitionGraphSource
from srl_tasks.generated.family import GeneratedSource, Split, split_of_opening
from srl_tasks.generated.modular_chain import ModularChainEnv, ModularChainSource
from srl_tasks.generated.word_problem import WordProblemSource

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
FAMILIES: tuple[type[GeneratedSource], ...] = (
    ModularChainSource,
    DefinitionGraphSource,
    ColumnArithmeticSource,
    WordProblemSource,
)
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.family)


@dataclass(frozen=True)
class Coins(GeneratedSource[int]):
    """The smallest family: a coin that always shows the same side."""

    family: ClassVar[str] = "coins"
    limits: ClassVar[tuple[int, int]] = (1, 3)

    def open(self, rng: random.Random, level: int) -> int:
        return 0

    def write(self, rng: random.Random, level: int, opening: int, problem_id: str) -> Problem:
        return Problem(problem_id, f"{level}: {opening} and {rng.randrange(1000)}")


@each_family
@pytest.mark.parametrize("level", [1, 2])
def test_the_splits_of_a_family_share_no_problem_even_where_there_are_few(
    family: type[GeneratedSource], level: int
) -> None:
    prompts = [{family(level, split)[i].prompt for i in range(300)} for split in SPLITS]
    train, dev, test = prompts
    assert not train & dev
    assert not train & test
    assert not dev & test


def test_four_fifths_of_openings_are_for_training_and_a_tenth_each_for_dev_and_test() -> None:
    splits = [split_of_opening("family", str(i)) for i in range(10_000)]
    shares = [splits.count(split) / 10_000 for split in SPLITS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.015)


def test_renaming_the_variables_of_a_chain_does_not_take_it_to_another_split() -> None:
    def nameless(problem: Problem) -> str:
        names: list[str] = []
        out = ""
        for character in problem.prompt:
            if character.isalpha() and character not in names:
                names.append(character)
            out += str(names.index(character)) + "." if character.isalpha() else character
        return out

    chains = [{nameless(ModularChainSource(1, split)[i]) for i in range(400)} for split in SPLITS]
    assert not chains[0] & chains[1]
    assert not chains[0] & chains[2]
    assert not chains[1] & chains[2]


def test_exchanging_the_operands_does_not_take_a_sum_to_another_split() -> None:
    train = {ColumnArithmeticSource(2)[i].prompt for i in range(2000)}
    test = {ColumnArithmeticSource(2, "test")[i].prompt.rstrip("=") for i in range(300)}
    swapped = {"+".join(reversed(prompt.split("+"))) + "=" for prompt in test}
    assert not train & swapped


@each_family
def test_an_index_always_stands_for_the_same_problem(family: type[GeneratedSource]) -> None:
    copies = pickle.loads(pickle.dumps(family((2, 4))))
    assert [family((2, 4))[i] for i in range(20)] == [copies[i] for i in range(20)]


@each_family
def test_indices_stand_for_different_problems(family: type[GeneratedSource]) -> None:
    assert len({family(6)[i].prompt for i in range(300)}) == 300


@each_family
def test_seeds_42_and_43_share_no_problem(family: type[GeneratedSource]) -> None:
    """The problems of 300 episodes each, drawn as an environment draws them."""
    from srl_env.seeding import stream

    def drawn(seed: int) -> set[str]:
        source = family(6)
        rngs = (stream("Env", source.name, seed, episode) for episode in range(300))
        return {source[int(rng.integers(len(source)))].prompt for rng in rngs}

    assert not drawn(42) & drawn(43)


def test_an_environment_reset_with_seeds_42_and_43_shows_different_problems() -> None:
    env = ModularChainEnv()

    def shown(seed: int) -> list[str]:
        first = env.reset(seed=seed)[0]
        return [first, *(env.reset()[0] for _ in range(100))]

    assert not set(shown(42)) & set(shown(43))
    assert shown(42) == shown(42)


@each_family
def test_a_range_of_difficulty_gives_problems_of_every_level(family: type[GeneratedSource]) -> None:
    levels = [family((2, 4))[i].metadata["difficulty"] for i in range(100)]
    assert {level: levels.count(level) > 15 for level in levels} == {2: True, 3: True, 4: True}


@each_family
def test_an_id_leads_back_to_its_index(family: type[GeneratedSource]) -> None:
    for source in (family(3), family((1, 3), "dev")):
        assert source.index_of(source[123].id) == 123


def test_an_id_says_family_split_difficulty_and_index() -> None:
    assert ModularChainSource(7)[123].id == "modular_chain/train/7/123"
    assert ModularChainSource((1, 3), "test")[4].id == "modular_chain/test/1-3/4"
    assert ModularChainSource(7, operations="+*")[0].id == "modular_chain(+*)/train/7/0"
    assert ColumnArithmeticSource(7, operation="*")[0].id == "column_arithmetic(*)/train/7/0"


@pytest.mark.parametrize(
    "problem_id",
    [
        "modular_chain/test/7/0",
        "modular_chain/train/6/0",
        "modular_chain/train/7/10",
        "modular_chain/train/7/-1",
        "modular_chain/train/7/",
        "modular_chain/train/7",
        "7",
        "",
    ],
)
def test_an_id_of_another_source_is_an_error_that_shows_the_right_form(problem_id: str) -> None:
    source = ModularChainSource(7, max_problems=10)
    with pytest.raises(UnknownName, match=r"modular_chain/train/7/0 … 9"):
        source.index_of(problem_id)


def test_max_problems_keeps_exactly_the_first_problems() -> None:
    few, many = ModularChainSource(7, max_problems=3), ModularChainSource(7)
    assert len(few) == 3
    assert [few[i] for i in range(3)] == [many[i] for i in range(3)]
    with pytest.raises(IndexError, match="has problems 0 … 2; got 3"):
        few[3]
    with pytest.raises(IndexError, match="got -1"):
        few[-1]


@pytest.mark.parametrize("difficulty", [0, 19, (3, 2), (0, 3), (1, 2, 3), (1,), "7", 2.0])
def test_an_impossible_difficulty_is_an_error_that_names_the_limits(difficulty: object) -> None:
    with pytest.raises(BadOption, match=r"within 1 … 18; got"):
        ModularChainSource(difficulty)  # type: ignore[arg-type]


def test_a_list_from_a_configuration_file_is_as_good_as_a_pair() -> None:
    assert ModularChainSource([1, 3]) == ModularChainSource((1, 3))
    assert ModularChainSource((7, 7)) == ModularChainSource(7)


def test_wrong_splits_and_sizes_are_errors() -> None:
    with pytest.raises(BadOption, match="split must be 'train', 'dev' or 'test'; got 'valid'"):
        ModularChainSource(7, "valid")  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="max_problems must be at least 1; got 0"):
        ModularChainSource(7, max_problems=0)


def test_a_split_without_any_problem_is_an_error_and_no_endless_search() -> None:
    owner = split_of_opening("coins", "0")
    assert Coins(1, owner)[0].prompt.startswith("1: 0 and ")
    other = next(split for split in SPLITS if split != owner)
    with pytest.raises(BadOption, match="must have problems in split 'dev'; got 1 of coins"):
        Coins(1, other)[0]


@each_family
def test_families_are_problem_sources(family: type[GeneratedSource]) -> None:
    assert isinstance(family(3), ProblemSource)


@pytest.mark.parametrize("name", ["ModularChain", "DefinitionGraph", "ColumnArithmetic"])
def test_a_chat_prompt_explains_the_notation_and_keeps_problem_and_steps(name: str) -> None:
    bare, chat = (srl_env.make(f"srl/{name}-v0", prompt=form) for form in ("bare", "chat"))
    for env in (bare, chat):
        env.reset(seed=5, options={"start_step": 1})
    assert bare.unwrapped.problem == chat.unwrapped.problem
    system, user = chat.reset(seed=5, options={"start_step": 1})[1]["messages"]
    assert "semicolon" in system["content"]
    assert bare.unwrapped.problem.prompt in user["content"]
    *_, info = chat.step(chat.unwrapped.expert_completion())
    assert (info["legal"], info["format_ok"]) == (True, True)
    assert srl_env.check_env(chat, hostile=50).passed
    with pytest.raises(UnknownName, match="no prompt 'chatty'. Did you mean 'chat'"):
        srl_env.make(f"srl/{name}-v0", prompt="chatty")
