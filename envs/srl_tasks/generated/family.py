"""What the generated families share: an endless stream of problems in three disjoint splits.

A family subclasses ``GeneratedSource`` with two methods. ``open`` draws the opening of a problem,
e.g. the values it begins with, and ``write`` makes a whole ``Problem`` from it. The hash of the
opening decides the split of all problems that begin with it, and the source draws openings until
one is in the split asked for. An opening holds only what renaming and shuffling do not change. So
no problem is in two splits, not even in disguise, whatever the seeds, sizes and indices.

The environment half, ``GeneratedEnv``, adds the step checker. A problem lists every correct step
(a *fact*) with the facts it needs; a step is legal if they were all stated before.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, UnknownName
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
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
    """The split of an opening, by its hash: 80 : 10 : 10.

    A test problem takes ten of these on average, so this is faster than ``srl_env.data.split_of``.
    """
    digest = hashlib.blake2b(f"{family}\0{opening}".encode(), digest_size=8).digest()
    tenth = int.from_bytes(digest) % 10
    return "train" if tenth < 8 else "dev" if tenth == 8 else "test"


class EndlessSource(ABC):
    """Problem ``i`` of a split, made again whenever it is asked for.

    split: "train", "dev" or "test". max_problems: the source holds the first so many problems of
    the stream. name: the beginning of all ids, "NAME/INDEX".
    """

    split: Split
    max_problems: int

    def check_arguments(self) -> None:
        """Raises ``BadOption`` for a split or a size that cannot work."""
        if self.split not in get_args(Split):
            raise BadOption(f"split must be 'train', 'dev' or 'test'; got {self.split!r}")
        if not isinstance(self.max_problems, int) or self.max_problems < 1:
            raise BadOption(f"max_problems must be at least 1; got {self.max_problems!r}")

    @property
    @abstractmethod
    def name(self) -> str:
        """What the problems are, and their split."""

    @abstractmethod
    def make(self, index: int) -> Problem:
        """Problem number ``index``, which exists."""

    def __len__(self) -> int:
        return self.max_problems

    def __getitem__(self, index: int) -> Problem:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has problems 0 … {len(self) - 1}; got {index}")
        return self.make(index)

    def index_of(self, problem_id: str) -> int:
        """The index at the end of an id of this source; ``UnknownName`` for any other id."""
        prefix, _, index = problem_id.rpartition("/")
        if prefix != self.name or not index.isdecimal() or int(index) >= len(self):
            raise UnknownName("problem", problem_id, (f"{self.name}/0 … {len(self) - 1}",))
        return int(index)


@dataclass(frozen=True)
class GeneratedSource(EndlessSource, Generic[Opening]):
    """A (family, split, difficulty) stream.

    difficulty: a number, or a (lowest, highest) pair; ``limits`` is the range of the family.
    Ids are "family/split/difficulty/index", e.g. "modular_chain/train/7/123".
    """

    family: ClassVar[str]
    limits: ClassVar[tuple[int, int]]

    difficulty: Difficulty
    split: Split = "train"
    max_problems: int = NOMINAL_SIZE

    def __post_init__(self) -> None:
        object.__setattr__(self, "difficulty", _as_range(self.difficulty, self.limits))
        self.check_arguments()

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
        """How these problems differ from the family's default ones; "" by default."""
        return ""

    def make(self, index: int) -> Problem:
        """Problem number ``index``."""
        problem_id = f"{self.name}/{index}"
        rng = random.Random(derive_seed(problem_id))  # its single draws are cheaper than NumPy's
        level = rng.randint(*self.levels)
        for _ in range(MAX_DRAWS):
            opening = self.open(rng, level)
            if split_of_opening(self.family, repr(opening)) == self.split:
                return self.write(rng, level, opening, problem_id)
        raise BadOption(
            f"difficulty must have problems in split {self.split!r}; got {level} of {self.family}, "
            "which has none. Fix: another difficulty"
        )

    @abstractmethod
    def open(self, rng: random.Random, level: int) -> Opening:
        """The random opening of a problem of that difficulty: small, with a faithful repr."""

    @abstractmethod
    def write(self, rng: random.Random, level: int, opening: Opening, problem_id: str) -> Problem:
        """A random problem of that difficulty with that opening, solved by an expert."""

    def solved(
        self,
        problem_id: str,
        prompt: str,
        answer: str,
        steps: Sequence[ExpertStep],
        **metadata: Any,
    ) -> Problem:
        """The problem with one expert, whose name is the family's."""
        experts = (ExpertTrajectory(tuple(steps), self.family),)
        return Problem(problem_id, prompt, answer, experts, metadata)


PromptForm = Literal["bare", "chat"]


def prompt_options(form: PromptForm, rules: str) -> dict[str, Any]:
    """The options of ``ReasoningEnv`` for how problems are shown and steps are written.

    form: "bare" for models trained from scratch: problem and actions alone, a thought in round
    brackets. "chat" for chat models: instructions with the rules, and an optional thought in think
    tags. rules: explain the notation.
    """
    if form == "bare":
        return {"format": Brackets(), "style": PromptStyle.bare()}
    if form == "chat":
        return {"format": ThinkTags(require_thought=False), "style": PromptStyle(note=rules)}
    raise UnknownName("prompt", str(form), get_args(PromptForm))


class GeneratedEnv(ReasoningEnv):
    """A ``ReasoningEnv`` with a step checker: its problems list their correct steps."""

    def fact(self, action: str) -> str:
        """The fact that an action states, as the problem lists it."""
        return action

    def legal(self, problem: Problem, actions: Sequence[str], action: str) -> bool:
        """Whether an action states a new fact, after all the facts it needs.

        ``problem.metadata["facts"]`` maps each fact to those it needs. "slips" maps an expert's
        wrong statement to the fact it stands for, so that later steps may use it.
        """
        facts = problem.metadata["facts"]
        slips = {
            self.fact(wrong): self.fact(correct)
            for wrong, correct in problem.metadata.get("slips", {}).items()
        }
        stated = {slips.get(said, said) for said in map(self.fact, actions)}
        fact = self.fact(action)
        return fact in facts and fact not in stated and stated.issuperset(facts[fact])


def _as_range(difficulty: Difficulty, limits: tuple[int, int]) -> tuple[int, int]:
    """The difficulty as (lowest, highest), checked against the limits of the family."""
    pair = tuple(difficulty) if isinstance(difficulty, Sequence) else (difficulty, difficulty)
    if (
        len(pair) == 2
        and all(isinstance(level, int) for level in pair)
        and limits[0] <= pair[0] <= pair[1] <= limits[1]
    ):
        return pair[0], pair[1]
    raise BadOption(
        f"difficulty must be a number or a (lowest, highest) pair within {limits[0]} … {limits[1]};"
        f" got {difficulty!r}"
    )


# -- variables modulo 10, shared by chains and graphs -------------------------------------------

LETTERS = "abcdefghijklmnopqrst"


class Equations:
    """Variables with values modulo 10, each given or defined from two others.

    names: letters, one for each variable. values: "f5" for each variable so far. statements: what
    the problem says of each: "f5", or "m:g-f". facts: what each correct step needs.
    """

    def __init__(self, names: Sequence[str], given: Sequence[int]) -> None:
        self.names, self.given = names, len(given)
        self.values = [f"{name}{value}" for name, value in zip(names, given, strict=False)]
        self.statements = self.values.copy()
        self.facts: dict[str, list[str]] = {}

    def define(self, operation: str, left: int, right: int) -> ExpertStep:
        """Defines the next variable; returns the expert's step that computes it."""
        name, values = self.names[len(self.values)], self.values
        a, b = int(values[left][1]), int(values[right][1])
        value = a + b if operation == "+" else a - b if operation == "-" else a * b
        step = ExpertStep(
            f"{name}{value % 10};", thought=f"{name}:{values[left]}{operation}{values[right]}"
        )
        self.facts[step.action] = self._needed({left, right})
        self.statements.append(f"{name}:{self.names[left]}{operation}{self.names[right]}")
        self.values.append(step.action[:-1])
        return step

    def ask(self, asked: Sequence[int]) -> tuple[str, str, ExpertStep]:
        """The question, its answer, and the last step, for the variables of these numbers."""
        question = "".join(self.names[i] for i in asked)
        answer = "".join(self.values[i] for i in asked)
        self.facts[f"#{answer};"] = self._needed(asked)
        return f"{','.join(self.statements)}?{question}>", answer, ExpertStep(f"#{answer};")

    def _needed(self, variables: Iterable[int]) -> list[str]:
        return [f"{self.values[i]};" for i in variables if i >= self.given]
