"""``srl/DefinitionGraph-v0``: shuffled definitions, many right orders, one of them shown.

A chain leaves no choice of the next step; here a policy may find right ways that no expert
showed, so outcome rewards have something to find beyond imitation.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.verifiers import ExactVerifier
from srl_tasks.generated.family import (
    LETTERS,
    NOMINAL_SIZE,
    Difficulty,
    GeneratedEnv,
    GeneratedSource,
    PromptForm,
    Split,
    calculate,
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

    **Observation.** The problem and behind it the actions so far, with nothing in between.
    There is no system prompt.
    ``prompt="chat"`` adds instructions that a chat model can follow, and shows an action a line.

    **Action.** ``(c:a7-d4)c3;``: a private thought in brackets, which may be left out and never
    enters the history, then a step that ends with a semicolon: one variable and its value. The
    last action is the answer line, ``#b7c3;``, the asked variables in the order asked.

    **Expert.** Takes the needed definitions in a random order in which each can be computed
    from what was said before, one of many, then writes the answer line: ``difficulty`` + 1
    steps.

    **Reward.** By the reward mode. In "srl" a right step that is not the expert's is paid by
    its likeness alone; in "rlvr" every right order is worth the same.

    **Episode end.** After the expert's last step (continuation "expert") or the first answer
    line (continuation "policy"); cut off after ``max_steps``.

    **Info.** That of ``ReasoningEnv``. ``legal`` is True for the right value of a variable
    whose inputs were all given or rightly stated and that was not rightly stated yet, in any
    order and whether it is needed or not, and for the right answer line once its variables
    were stated. The verdict is right for exactly the right answer line.

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
        """The graph, shuffled, solved in a random right order."""
        definitions = _definitions(rng, level, opening.sums)
        names = rng.sample(LETTERS, GIVEN + len(definitions))
        said = [f"{name}{value}" for name, value in zip(names, opening.given, strict=False)]
        for name, operation, left, right in definitions:
            said.append(f"{names[name]}{calculate(operation, said[left], said[right])}")
        asked = _asked(rng, level)
        answer = "".join(said[i] for i in asked)
        facts = {
            f"{said[name]};": [f"{said[i]};" for i in {left, right} if i >= GIVEN]
            for name, _, left, right in definitions
        }
        facts[f"#{answer};"] = [f"{said[i]};" for i in asked]
        statements = said[:GIVEN]
        for name, operation, left, right in definitions:
            statements.append(f"{names[name]}:{names[left]}{operation}{names[right]}")
        rng.shuffle(statements)
        steps = [
            ExpertStep(
                f"{said[name]};", thought=f"{names[name]}:{said[left]}{operation}{said[right]}"
            )
            for name, operation, left, right in _right_order(rng, definitions[:level])
        ]
        steps.append(ExpertStep(f"#{answer};"))
        return Problem(
            id=problem_id,
            prompt=f"{','.join(statements)}?{''.join(names[i] for i in asked)}>",
            answer=answer,
            trajectories=(ExpertTrajectory(tuple(steps), self.family),),
            metadata={"difficulty": level, "facts": facts},
        )


def _definitions(rng: random.Random, level: int, sums: int) -> list[Definition]:
    """``level`` needed definitions, then half as many others, in an order that computes.

    Going backwards, each needed one but the last takes a random free place in a later one, so
    that the last needs them all.
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
    """A given variable half of the time, which leaves more orders right; else any earlier one."""
    return int(rng.random() * (GIVEN if rng.random() < 0.5 else GIVEN + defined))


def _asked(rng: random.Random, level: int) -> list[int]:
    """The last needed variable and up to two other needed ones, shuffled."""
    asked = [GIVEN + i for i in rng.sample(range(level - 1), min(2, level - 1))]
    asked.append(GIVEN + level - 1)
    rng.shuffle(asked)
    return asked


def _right_order(rng: random.Random, definitions: list[Definition]) -> Iterator[Definition]:
    """Each time a random one of the definitions whose inputs are known."""
    known, waiting = set(range(GIVEN)), definitions
    while waiting:
        ready = [d for d in waiting if d.left in known and d.right in known]
        chosen = ready[int(rng.random() * len(ready))]
        yield chosen
        known.add(chosen.name)
        waiting = [d for d in waiting if d is not chosen]
