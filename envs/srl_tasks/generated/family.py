"""What the generated families share: an endless stream of problems in three disjoint splits.

A family subclasses ``GeneratedSource`` with two methods: ``open`` draws the opening of a
problem, e.g. the values it begins with, and ``write`` makes a whole ``Problem`` from it. A hash
of the opening says whether all problems that begin so belong to train, dev or test, and the
source draws openings until one falls into the split asked for. An opening holds what no
renaming or shuffling changes; so no problem of one split is in another, not even in disguise,
whatever the seeds, sizes and indices.

The environment half, ``GeneratedEnv``, adds the step checker: a problem lists every right step
(a *fact*) with the facts it needs, and a step is legal when all it needs was stated before.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import Problem
from srl_env.seeding import derive_seed
from srl_env.text.format import Brackets, ThinkTags
from srl_env.text.prompt import PromptStyle

Split = Literal["train", "dev", "test"]
Difficulty = int | Sequence[int]
"""A number, or the lowest and the highest of a range, from which each problem draws its own."""

NOMINAL_SIZE = 1_000_000_000
MAX_DRAWS = 10_000

Opening = TypeVar("Opening")


def split_of_opening(family: str, opening: str) -> Split:
    """The split that owns an opening, by its hash: 80 : 10 : 10.

    Not ``srl_env.data.split_of``, because a test problem takes ten of these on average.
    """
    digest = hashlib.blake2b(f"{family}\0{opening}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest) % 10
    return "train" if share < 8 else "dev" if share == 8 else "test"


@dataclass(frozen=True)
class GeneratedSource(ABC, Generic[Opening]):
    """Problem ``i`` of a (family, split, difficulty) stream, made anew whenever it is asked for.

    difficulty: a number, or a (lowest, highest) pair; ``limits`` says what the family allows.
    max_problems: the source holds exactly the first so many problems of the stream.
    Ids read "family/split/difficulty/index", e.g. "modular_chain/train/7/123".
    """

    family: ClassVar[str]
    limits: ClassVar[tuple[int, int]]

    difficulty: Difficulty
    split: Split = "train"
    max_problems: int = NOMINAL_SIZE

    def __post_init__(self) -> None:
        object.__setattr__(self, "difficulty", _as_range(self.difficulty, self.limits))
        if self.split not in get_args(Split):
            raise BadOption(f"split is 'train', 'dev' or 'test'; got {self.split!r}")
        if not isinstance(self.max_problems, int) or self.max_problems < 1:
            raise BadOption(f"max_problems is at least 1; got {self.max_problems!r}")

    @property
    def levels(self) -> tuple[int, int]:
        """The lowest and the highest difficulty of this source's problems."""
        low, high = self.difficulty  # type: ignore[misc]  # __post_init__ made it a pair
        return low, high

    @property
    def name(self) -> str:
        """Family, variant, split and difficulty, e.g. "modular_chain/train/7"."""
        low, high = self.levels
        level = str(low) if low == high else f"{low}-{high}"
        return f"{self.family}{self.variant}/{self.split}/{level}"

    @property
    def variant(self) -> str:
        """What sets these problems apart from the family's default ones; "" by default."""
        return ""

    def __len__(self) -> int:
        return self.max_problems

    def __getitem__(self, index: int) -> Problem:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has problems 0 … {len(self) - 1}; got {index}")
        problem_id = f"{self.name}/{index}"
        rng = random.Random(derive_seed(problem_id))  # its single draws are cheaper than NumPy's
        level = rng.randint(*self.levels)
        for _ in range(MAX_DRAWS):
            opening = self.open(rng, level)
            if split_of_opening(self.family, repr(opening)) == self.split:
                return self.write(rng, level, opening, problem_id)
        raise BadOption(
            f"no problem of {self.family} at difficulty {level} is in split {self.split!r}; "
            "choose another difficulty"
        )

    def index_of(self, problem_id: str) -> int:
        """The index that stands at the end of an id of this source."""
        prefix, _, index = problem_id.rpartition("/")
        if prefix != self.name or not index.isdecimal() or int(index) >= len(self):
            raise UnknownName("problem", problem_id, (f"{self.name}/0 … {len(self) - 1}",))
        return int(index)

    @abstractmethod
    def open(self, rng: random.Random, level: int) -> Opening:
        """The random opening of a problem of that difficulty: small, with a faithful repr."""

    @abstractmethod
    def write(self, rng: random.Random, level: int, opening: Opening, problem_id: str) -> Problem:
        """A random problem of that difficulty that begins so, solved by an expert."""


PromptForm = Literal["bare", "chat"]


def prompt_options(form: PromptForm, rules: str) -> dict[str, Any]:
    """The options of ``ReasoningEnv`` for how problems are shown and steps are written.

    form: "bare" for models trained from scratch: problem and actions alone, a thought in round
    brackets. "chat" for chat models: instructions with the rules, a thought in think tags, which
    may be left out. rules: of the notation, for people.
    """
    if form == "bare":
        return {"format": Brackets(), "style": PromptStyle.bare()}
    if form == "chat":
        return {"format": ThinkTags(require_thought=False), "style": PromptStyle(note=rules)}
    raise UnknownName("prompt", str(form), get_args(PromptForm))


class GeneratedEnv(ReasoningEnv):
    """A ``ReasoningEnv`` whose problems list their right steps, which makes a step checker."""

    def fact(self, action: str) -> str:
        """What an action states, in the form in which the problem lists its facts."""
        return action

    def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool:
        """Whether an action states a fact that is new and whose grounds were all stated.

        ``problem.metadata["facts"]`` maps each fact to those it needs; "slips" maps an expert's
        wrong statement to the fact it stands for, so that later steps may build on it.
        """
        facts, slips = problem.metadata["facts"], problem.metadata.get("slips", {})
        stated = {slips.get(said, said) for said in map(self.fact, actions)}
        fact = self.fact(action)
        return fact in facts and fact not in stated and stated.issuperset(facts[fact])


def _as_range(difficulty: Difficulty, limits: tuple[int, int]) -> tuple[int, int]:
    """The difficulty as (lowest, highest), checked against what the family allows."""
    pair = tuple(difficulty) if isinstance(difficulty, Sequence) else (difficulty, difficulty)
    if (
        len(pair) == 2
        and all(isinstance(level, int) for level in pair)
        and limits[0] <= pair[0] <= pair[1] <= limits[1]
    ):
        return pair[0], pair[1]
    raise BadOption(
        f"difficulty is a number or a (lowest, highest) pair within {limits[0]} … {limits[1]}; "
        f"got {difficulty!r}"
    )


LETTERS = "abcdefghijklmnopqrst"


def calculate(operation: str, left: str, right: str) -> int:
    """Two named values, "f5" and "g6", added, subtracted or multiplied modulo 10."""
    a, b = int(left[1]), int(right[1])
    if operation == "+":
        return (a + b) % 10
    return (a - b if operation == "-" else a * b) % 10
