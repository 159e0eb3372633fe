"""``srl/ColumnArithmetic-v0``: long addition and multiplication, column by column.

Both are one procedure, right to left. A column's sum is the sum of its digits, or of their
products, and the carry from before. Its last digit is written, the rest is the next carry.
Difficulty is the number of digits of each operand, so a model trained on short operands can be
tested on long ones.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, get_args

from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, Problem
from srl_env.verifiers import ExactVerifier
from srl_tasks.generated.family import (
    NOMINAL_SIZE,
    Difficulty,
    GeneratedEnv,
    GeneratedSource,
    PromptForm,
    Split,
    prompt_options,
)

Operation = Literal["+", "*"]
ALPHABET = string.digits + "+*=:r();#"
MAX_DIGITS = 100

RULES = """\
The result is worked out column by column, from the right. Columns are counted from the right, \
from 0.
A step states the column, its digit and the carry, as in 0:1r1; for column 0 with the digit 1 \
and the carry 1.
The last step is a #, then the whole result, and a semicolon.
For 4785+9316= the steps are 0:1r1; then 1:0r1; then 2:1r1; then 3:4r1; then #14101;"""


class ColumnArithmeticEnv(GeneratedEnv):
    """Add or multiply two long numbers, one column at a time.

    **Task.** ``4785+9316=``: two numbers of ``difficulty`` digits each; ``operation`` is "+" or
    "*". Columns are counted from the right, from 0. A sum has as many columns as its operands,
    a product twice as many; the last carry of a sum is its leading digit.

    **Observation.** The problem followed directly by the actions so far:
    ``4785+9316=0:1r1;1:0r1;``. There is no system prompt.
    ``prompt="chat"`` adds instructions for chat models, and shows one action per line.

    **Action.** ``(8+1+1=10)1:0r1;``: a private thought in brackets, which may be left out and
    never enters the history, then a step that ends with a semicolon: the column, its digit,
    and the carry, which may have several digits. The last action is the result, ``#14101;``.

    **Expert.** One step for each column, right to left, with its thought (in a product
    ``(4*9+1*6+2=44)``), then the result without one.

    **Reward.** By the reward mode; "srl" compares the actions without their thoughts.

    **Episode end.** After the expert's last step (continuation "expert") or the first result
    (continuation "policy"); truncated after ``max_steps``, by default twice the number of steps
    that the hardest problem needs.

    **Info.** That of ``ReasoningEnv``. ``legal`` is True for the correct digit and carry of the
    next column, and for the correct result once all columns were stated: there is one correct
    order. The verdict is correct for exactly the correct result.

    **Data.** Generated (``srl_tasks.generated``), no licence needed; splits are disjoint, also
    under exchange of the two operands.

    **Versions.** v0: first.
    """

    def __init__(
        self,
        *,
        difficulty: Difficulty = 4,
        split: Split = "train",
        max_problems: int = NOMINAL_SIZE,
        operation: Operation = "+",
        prompt: PromptForm = "bare",
        **options: Any,
    ) -> None:
        """The arguments are those of ``ColumnArithmeticSource``; options: of ``ReasoningEnv``."""
        source = ColumnArithmeticSource(difficulty, split, max_problems, operation)
        longest = source.columns(source.levels[1]) + 1
        defaults: dict[str, Any] = {
            **prompt_options(prompt, RULES),
            "max_steps": 2 * longest,
        }
        super().__init__(source, ExactVerifier(marker="#"), **defaults | options)


class Operands(NamedTuple):
    """The smaller and the larger of the two numbers."""

    smaller: int
    larger: int


class Column(NamedTuple):
    """One column worked out: ``terms`` as the expert thinks them, the digit and the carry."""

    terms: str
    digit: int
    carry: int


@dataclass(frozen=True)
class ColumnArithmeticSource(GeneratedSource[Operands]):
    """Pairs of numbers of ``difficulty`` digits, with one expert each; operation: "+" or "*"."""

    family: ClassVar[str] = "column_arithmetic"
    limits: ClassVar[tuple[int, int]] = (1, MAX_DIGITS)

    operation: Operation = "+"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.operation not in get_args(Operation):
            raise BadOption(f"operation must be '+' or '*'; got {self.operation!r}")

    @property
    def variant(self) -> str:
        """The operation, unless it is addition."""
        return "" if self.operation == "+" else f"({self.operation})"

    def columns(self, digits: int) -> int:
        """How many columns an expert works out for operands of so many digits."""
        return digits if self.operation == "+" else 2 * digits

    def open(self, rng: random.Random, level: int) -> Operands:
        """Two numbers of ``level`` digits, no leading zeros (but 0 itself has one digit)."""
        low, count = (10 ** (level - 1), 9 * 10 ** (level - 1)) if level > 1 else (0, 10)
        return Operands(*sorted((low + rng.randrange(count), low + rng.randrange(count))))

    def write(self, rng: random.Random, level: int, opening: Operands, problem_id: str) -> Problem:
        """The two numbers in a random order, and the columns of their sum or product."""
        left, right = opening if rng.random() < 0.5 else reversed(opening)
        add = self.operation == "+"
        answer = str(left + right if add else left * right)
        columns = _addition(str(left), str(right)) if add else _product(str(left), str(right))
        steps = [
            ExpertStep(f"{i}:{digit}r{carry};", thought=f"{terms}={10 * carry + digit}")
            for i, (terms, digit, carry) in enumerate(columns)
        ]
        steps.append(ExpertStep(f"#{answer};"))
        facts: dict[str, list[str]] = {steps[0].action: []}
        for before, step in pairwise(steps):
            facts[step.action] = [before.action]
        prompt = f"{left}{self.operation}{right}="
        return self.solved(problem_id, prompt, answer, steps, difficulty=level, facts=facts)


def _addition(left: str, right: str) -> Iterator[Column]:
    """The columns of a sum of two numbers of equally many digits, right to left."""
    carry = 0
    for a, b in zip(reversed(left), reversed(right), strict=True):
        before, total = carry, int(a) + int(b) + carry
        carry, digit = divmod(total, 10)
        yield Column(f"{a}+{b}+{before}", digit, carry)


def _product(left: str, right: str) -> Iterator[Column]:
    """The columns of a product of two numbers of equally many digits, right to left.

    Column k sums the products of all digit pairs whose places add up to k, and the carry.
    """
    a, b, carry = left[::-1], right[::-1], 0
    for k in range(2 * len(a)):
        places = range(max(0, k - len(b) + 1), min(k, len(a) - 1) + 1)
        terms = [f"{a[i]}*{b[k - i]}" for i in places]
        total = carry + sum(int(a[i]) * int(b[k - i]) for i in places)
        thought = "+".join((*terms, str(carry)))
        carry, digit = divmod(total, 10)
        yield Column(thought, digit, carry)
