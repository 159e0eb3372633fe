"""``srl/DefinitionGraph-v0``: shuffled definitions, with many correct orders of steps.

A chain leaves no choice of the next step. Here a policy may find correct solutions that differ from
the expert's, so outcome rewards can find more than imitation.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from srl_env.problem import Problem
from srl_env.verifiers import ExactVerifier
from srl_tasks.generated.family import (
    LETTERS,
    NOMINAL_SIZE,
    Difficulty,
    Equations,
    GeneratedEnv,
    GeneratedSource,
    PromptForm,
    Split,
    prompt_options,
)

GIVEN = 3
ALPHABET = string.digits + LETTERS + "+-,:?>();#"

RULES = """\
Letters are variables, whose values are digits. d4 says that d is 4. c:a-d says that c is a - d, \
and all calculations are modulo 10, so that 2 - 5 is 7. Definitions stand in any order, and not \
all are needed. After the question mark stand the variables that are asked for.
A step states the value of one variable that can be calculated now, as a letter, a digit and a \
semicolon: c3;
The last step is a #, then the variables that are asked for with their values, in the order \
asked, and a semicolon.
For b:c+d,d4,c:a-d,a7,e:b+b,f3?bc> the steps are c3; then b7; then #b7c3;"""


class DefinitionGraphEnv(GeneratedEnv):
    """Values modulo 10, defined in any order, not all of them needed; say what some are.

    **Task.** Three values are given and variables are defined from two others each, all in
    shuffled order. Up to three variables are asked for. ``difficulty`` definitions are needed
    for them; half as many again (rounded down) are not: ``b:c+d,d4,c:a-d,a7,e:b+b,f3?bc>``
    asks for b and c, and needs neither e nor f.

    **Observation.** The problem followed directly by the actions so far.
    There is no system prompt.
    ``prompt="chat"`` adds instructions for chat models, and shows one action per line.

    **Action.** ``(c:a7-d4)c3;``: an optional private thought in brackets, which never enters
    the history, then a step that ends with a semicolon: one variable and its value. The
    last action is the answer line, ``#b7c3;``, the asked variables in the order asked.

    **Expert.** Computes the needed definitions in one of the many possible orders, chosen at
    random, then writes the answer line: ``difficulty`` + 1 steps.

    **Reward.** By the reward mode. In "srl" a correct step that is not the expert's is rewarded by
    its similarity alone; in "rlvr" every correct order is worth the same.

    **Episode end.** After the expert's last step (continuation "expert") or the first answer
    line (continuation "policy"); truncated after ``max_steps``.

    **Info.** That of ``ReasoningEnv``. ``legal`` is True for the correct value of a variable
    whose inputs are all given or correctly stated, if it was not correctly stated before. The order
    does not matter, nor whether it is needed. The correct answer line is legal once its variables
    were stated. The verdict is correct for exactly that line.

    **Data.** Generated (``srl_tasks.generated``), no licence needed; splits are disjoint, also
    under renaming and shuffling.

    **Versions.** v0: first.
    """

    def __init__(
        self,
        *,
        difficulty: Difficulty = 6,
        split: Split = "train",
        max_problems: int = NOMINAL_SIZE,
        prompt: PromptForm = "bare",
        **options: Any,
    ) -> None:
        """The arguments are those of ``GeneratedSource``; options: of ``ReasoningEnv``."""
        source = DefinitionGraphSource(difficulty, split, max_problems)
        defaults: dict[str, Any] = prompt_options(prompt, RULES)
        super().__init__(source, ExactVerifier(marker="#"), **defaults | options)


class Opening(NamedTuple):
    """How a graph begins: the three given values, sorted, and how many definitions add."""

    given: tuple[int, ...]
    sums: int


class Definition(NamedTuple):
    """A variable as an operation on two others, all named by their numbers."""

    name: int
    operation: str
    left: int
    right: int


@dataclass(frozen=True)
class DefinitionGraphSource(GeneratedSource[Opening]):
    """Graphs in which ``difficulty`` definitions are needed, with one expert each."""

    family: ClassVar[str] = "definition_graph"
    limits: ClassVar[tuple[int, int]] = (1, (len(LETTERS) - GIVEN) * 2 // 3)

    def open(self, rng: random.Random, level: int) -> Opening:
        """Three values, and the number of sums among all the definitions."""
        given = tuple(sorted(rng.choices(range(10), k=GIVEN)))
        return Opening(given, rng.getrandbits(level + level // 2).bit_count())

    def write(self, rng: random.Random, level: int, opening: Opening, problem_id: str) -> Problem:
        """The graph, shuffled, solved in a random correct order."""
        definitions = _definitions(rng, level, opening.sums)
        equations = Equations(rng.sample(LETTERS, GIVEN + len(definitions)), opening.given)
        steps = {
            name: equations.define(operation, left, right)
            for name, operation, left, right in definitions
        }
        asked = _asked(rng, level)
        rng.shuffle(equations.statements)
        prompt, answer, last = equations.ask(asked)
        order = [steps[chosen.name] for chosen in _right_order(rng, definitions[:level])]
        facts = equations.facts
        return self.solved(
            problem_id, prompt, answer, [*order, last], difficulty=level, facts=facts
        )


def _definitions(rng: random.Random, level: int, sums: int) -> list[Definition]:
    """``level`` needed definitions, then ``level // 2`` others, each after its inputs.

    Backwards, each needed definition but the last becomes a random free input of a later one, so
    that the last one needs them all.
    """
    count = level + level // 2
    places = [[_any_earlier(rng, min(i, level)) for _ in "lr"] for i in range(count)]
    free: list[tuple[int, int]] = []
    for i in reversed(range(level)):
        if free:
            user, side = free.pop(int(rng.random() * len(free)))
            places[user][side] = GIVEN + i
        free += [(i, 0), (i, 1)]
    operations = ["+"] * sums + ["-"] * (count - sums)
    rng.shuffle(operations)
    return [
        Definition(GIVEN + i, operation, left, right)
        for i, (operation, (left, right)) in enumerate(zip(operations, places, strict=True))
    ]


def _any_earlier(rng: random.Random, defined: int) -> int:
    """A given variable half of the time, which allows more orders; else any earlier one."""
    return int(rng.random() * (GIVEN if rng.random() < 0.5 else GIVEN + defined))


def _asked(rng: random.Random, level: int) -> list[int]:
    """The last needed variable and up to two other needed ones, shuffled."""
    asked = [GIVEN + i for i in rng.sample(range(level - 1), min(2, level - 1))]
    asked.append(GIVEN + level - 1)
    rng.shuffle(asked)
    return asked


def _right_order(rng: random.Random, definitions: list[Definition]) -> Iterator[Definition]:
    """The definitions in a random order in which the inputs of each are known."""
    known, waiting = set(range(GIVEN)), definitions
    while waiting:
        ready = [d for d in waiting if d.left in known and d.right in known]
        chosen = ready[int(rng.random() * len(ready))]
        yield chosen
        known.add(chosen.name)
        waiting = [d for d in waiting if d is not chosen]
