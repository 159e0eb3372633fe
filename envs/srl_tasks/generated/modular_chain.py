"""``srl/ModularChain-v0``: chains of definitions modulo 10, small enough to train from scratch.

``ModularChainSource`` makes the problems and their expert. The environment adds the format of the
completions and the verifier. ``ALPHABET`` is every character that occurs in them.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, Problem
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

OPERATIONS = "+-*"
ALPHABET = string.digits + LETTERS + OPERATIONS + ",:?>();#"

RULES = """\
Letters are variables, whose values are digits. f5 says that f is 5. m:g-f says that m is g - f, \
and all calculations are modulo 10, so that 2 - 5 is 7. After the question mark stand the \
variables that are asked for.
A step states the value of one variable that can be calculated now, as a letter, a digit and a \
semicolon: m1;
The last step is a #, then the variables that are asked for with their values, in the order \
asked, and a semicolon.
For f5,g6,m:g-f,j:f+m,a:j-m?mja> the steps are m1; then j6; then a5; then #m1j6a5;"""


class ModularChainEnv(GeneratedEnv):
    """Values modulo 10, defined one from another; say what three of the last are.

    **Task.** Two values are given; then each of ``difficulty`` variables is defined from the
    variable before it and a random earlier one. Three of the last five variables are asked
    for: ``f5,g6,m:g-f,j:f+m,a:j-m?mja>`` asks for m, j and a. A blind guess of the three digits
    is correct once in a thousand times.

    **Observation.** The problem followed directly by the actions so far:
    ``f5,g6,m:g-f,j:f+m,a:j-m?mja>m1;j6;``. There is no system prompt.
    ``prompt="chat"`` adds instructions for chat models, and shows one action per line.

    **Action.** ``(m:g6-f5)m1;``: an optional private thought in brackets, which never enters
    the history, then a step that ends with a semicolon: one variable and its value. The
    last action is the answer line, ``#m1j6a5;``, the asked variables in the order asked.

    **Expert.** One step for each definition, in order, with its thought, then the answer line
    without one: ``difficulty`` + 1 steps.

    **Reward.** By the reward mode; "srl" compares the actions without their thoughts.

    **Episode end.** After the expert's last step (continuation "expert") or the first answer
    line (continuation "policy"); truncated after ``max_steps``.

    **Info.** That of ``ReasoningEnv``. ``legal`` is True for the correct value of a variable
    whose inputs are all given or correctly stated, if it was not correctly stated before, in any
    order. The correct answer line is legal once the three were stated. The verdict is correct for
    exactly that line.

    **Data.** Generated (``srl_tasks.generated``), no licence needed; splits are disjoint, also
    under renaming of the variables.

    **Versions.** v0: first.

    ```python
    env = srl_env.make("srl/ModularChain-v0", difficulty=7)
    ```
    """

    def __init__(
        self,
        *,
        difficulty: Difficulty = 7,
        split: Split = "train",
        max_problems: int = NOMINAL_SIZE,
        operations: str = "+-",
        prompt: PromptForm = "bare",
        **options: Any,
    ) -> None:
        """The arguments are those of ``ModularChainSource``; options: of ``ReasoningEnv``."""
        source = ModularChainSource(difficulty, split, max_problems, operations)
        defaults = prompt_options(prompt, RULES)
        super().__init__(source, ExactVerifier(marker="#"), **defaults | options)


class Opening(NamedTuple):
    """How a chain begins: the two given values, and the operations of its definitions."""

    given: tuple[int, ...]
    operations: str


@dataclass(frozen=True)
class ModularChainSource(GeneratedSource[Opening]):
    """Chains of ``difficulty`` definitions with one expert each.

    operations: those that definitions may use, out of "+-*".
    """

    family: ClassVar[str] = "modular_chain"
    limits: ClassVar[tuple[int, int]] = (1, len(LETTERS) - 2)

    operations: str = "+-"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.operations or set(self.operations) - set(OPERATIONS):
            raise BadOption(
                f"operations must be one or more of {OPERATIONS!r}; got {self.operations!r}"
            )

    @property
    def variant(self) -> str:
        """The operations, unless they are + and -."""
        return "" if self.operations == "+-" else f"({self.operations})"

    def open(self, rng: random.Random, level: int) -> Opening:
        """Two values and ``level`` operations."""
        operations = "".join(rng.choices(self.operations, k=level))
        return Opening(tuple(rng.choices(range(10), k=2)), operations)

    def write(self, rng: random.Random, level: int, opening: Opening, problem_id: str) -> Problem:
        """The chain, solved in the order of its definitions."""
        equations = Equations(rng.sample(LETTERS, level + 2), opening.given)
        steps: list[ExpertStep] = []
        for before, operation in enumerate(opening.operations, 1):
            pair = [before, int(rng.random() * before)]
            left, right = pair if rng.random() < 0.5 else reversed(pair)
            steps.append(equations.define(operation, left, right))
        asked = sorted(rng.sample(range(max(0, level - 3), level + 2), 3))
        prompt, answer, last = equations.ask(asked)
        facts = equations.facts
        return self.solved(
            problem_id, prompt, answer, [*steps, last], difficulty=level, facts=facts
        )
