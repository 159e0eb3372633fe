"""``srl/ModularChain-v0``: chains of definitions modulo 10, small enough to train from scratch.

The problems and their expert are in ``ModularChainSource``; the environment adds the form of
the completions and the verifier. ``ALPHABET`` is every character that any of it can show.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.seeding import derive_seed
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
    for: ``f5,g6,m:g-f,j:f+m,a:j-m?mja>`` asks for m, j and a. A blind guess at the three digits
    is right once in a thousand times.

    **Observation.** The problem and behind it the actions so far, with nothing in between:
    ``f5,g6,m:g-f,j:f+m,a:j-m?mja>m1;j6;``. There is no system prompt.
    ``prompt="chat"`` adds instructions that a chat model can follow, and shows an action a line.

    **Action.** ``(m:g6-f5)m1;``: a private thought in brackets, which may be left out and never
    enters the history, then a step that ends with a semicolon: one variable and its value. The
    last action is the answer line, ``#m1j6a5;``, the asked variables in the order asked.

    **Expert.** One step for each definition, in order, with its thought, then the answer line
    without one: ``difficulty`` + 1 steps.

    **Reward.** By the reward mode; "srl" compares the actions without their thoughts.

    **Episode end.** After the expert's last step (continuation "expert") or the first answer
    line (continuation "policy"); cut off after ``max_steps``.

    **Info.** That of ``ReasoningEnv``. ``legal`` is True for the right value of a variable
    whose inputs were all given or rightly stated and that was not rightly stated yet, in any
    order, and for the right answer line once the three were stated. The verdict is right for
    exactly the right answer line.

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
        noise: float = 0.0,
        hide_thoughts: bool = False,
        demonstrated: int | None = None,
        prompt: PromptForm = "bare",
        **options: Any,
    ) -> None:
        """The arguments are those of ``ModularChainSource``; options: of ``ReasoningEnv``.

        Where not all problems are demonstrated, the reward mode is "rlvr" unless one is given.
        """
        source = ModularChainSource(
            difficulty, split, max_problems, operations, noise, hide_thoughts, demonstrated
        )
        defaults: dict[str, Any] = prompt_options(prompt, RULES)
        if demonstrated is not None:
            defaults["reward_mode"] = "rlvr"
        super().__init__(source, ExactVerifier(marker="#"), **defaults | options)


class Opening(NamedTuple):
    """How a chain begins: the two given values, and the operations of its definitions."""

    given: tuple[int, ...]
    operations: str


@dataclass(frozen=True)
class ModularChainSource(GeneratedSource[Opening]):
    """Chains of ``difficulty`` definitions with one expert each.

    operations: those that definitions may use, out of "+-*".
    noise: the share of the expert's steps, the answer line apart, that state a wrong value. It
    is a slip of the pen: the thought, the later steps and the answer stay right. It is not legal.
    hide_thoughts: the expert's thoughts are not recorded, as where only outlines exist.
    demonstrated: the first so many problems have the expert, the others the answer alone; None
    for all. None of these three changes which problem an index stands for.
    """

    family: ClassVar[str] = "modular_chain"
    limits: ClassVar[tuple[int, int]] = (1, len(LETTERS) - 2)

    operations: str = "+-"
    noise: float = 0.0
    hide_thoughts: bool = False
    demonstrated: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.operations or set(self.operations) - set(OPERATIONS):
            raise BadOption(
                f"operations is some of {OPERATIONS!r}, at least one; got {self.operations!r}"
            )
        if not 0.0 <= self.noise <= 1.0:
            raise BadOption(f"noise is a share, between 0 and 1; got {self.noise!r}")
        if self.demonstrated is not None and self.demonstrated < 0:
            raise BadOption(f"demonstrated is at least 0, or None; got {self.demonstrated!r}")

    def __getitem__(self, index: int) -> Problem:
        problem = super().__getitem__(index)
        shown = self.demonstrated is None or index < self.demonstrated
        return problem if shown else replace(problem, trajectories=())

    @property
    def variant(self) -> str:
        """The operations, where they are not + and -."""
        return "" if self.operations == "+-" else f"({self.operations})"

    def open(self, rng: random.Random, level: int) -> Opening:
        """Two values and ``level`` operations."""
        operations = "".join(rng.choices(self.operations, k=level))
        return Opening(tuple(rng.choices(range(10), k=2)), operations)

    def write(self, rng: random.Random, level: int, opening: Opening, problem_id: str) -> Problem:
        """The chain, solved in the order of its definitions."""
        names = rng.sample(LETTERS, level + 2)
        said = [f"{name}{value}" for name, value in zip(names, opening.given, strict=False)]
        prompt = said.copy()
        facts: dict[str, list[str]] = {}
        steps: list[ExpertStep] = []
        for before, operation in enumerate(opening.operations, 1):
            pair = [before, int(rng.random() * before)]
            left, right = pair if rng.random() < 0.5 else reversed(pair)
            name = names[before + 1]
            said.append(f"{name}{calculate(operation, said[left], said[right])}")
            prompt.append(f"{name}:{names[left]}{operation}{names[right]}")
            facts[f"{said[-1]};"] = [f"{said[i]};" for i in pair if i > 1]
            thought = f"{name}:{said[left]}{operation}{said[right]}"
            steps.append(
                ExpertStep(f"{said[-1]};", thought=None if self.hide_thoughts else thought)
            )
        slips = self._slip(steps, problem_id) if self.noise else {}
        asked = sorted(rng.sample(range(max(0, level - 3), level + 2), 3))
        answer = "".join(said[i] for i in asked)
        facts[f"#{answer};"] = [f"{said[i]};" for i in asked if i > 1]
        steps.append(ExpertStep(f"#{answer};"))
        return Problem(
            id=problem_id,
            prompt=f"{','.join(prompt)}?{''.join(names[i] for i in asked)}>",
            answer=answer,
            trajectories=(ExpertTrajectory(tuple(steps), self.family),),
            metadata={"difficulty": level, "facts": facts, "slips": slips},
        )

    def _slip(self, steps: list[ExpertStep], problem_id: str) -> dict[str, str]:
        """Replaces a share of the steps in place by wrong ones; returns wrong → right actions.

        Draws from a stream of its own, so that noise changes nothing else of the problem.
        """
        rng, slips = random.Random(derive_seed("noise", problem_id)), {}
        for position, step in enumerate(steps):
            if rng.random() < self.noise:
                name, value = step.action[0], int(step.action[1])
                wrong = f"{name}{(value + rng.randint(1, 9)) % 10};"
                slips[wrong] = step.action
                steps[position] = ExpertStep(wrong, thought=step.thought)
        return slips
