"""``srl/WordProblem-v0``: arithmetic about who has how many, in English sentences.

The sentences are made from templates, so that a language model meets the arithmetic of the other
families in a familiar form. The expert computes one person after the other.
"""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from srl_env.errors import BadOption
from srl_env.problem import ExpertStep, Problem
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers import NumericVerifier
from srl_tasks.generated.family import (
    NOMINAL_SIZE,
    Difficulty,
    GeneratedEnv,
    GeneratedSource,
    Split,
)

LARGEST = 500
FEWEST_FOR_ALL_KINDS = 10

ANSWER_NOTE = "The last step is the answer alone: a line with #### and the number."
SENTENCE_NOTE = "Each step is a sentence with one calculation, as in: Ben has 12 + 5 = 17 coins."

PEOPLE = (
    "Ada", "Ben", "Cleo", "Dan", "Elif", "Finn", "Gita", "Hugo", "Iris", "Jon", "Kira", "Leo",
    "Mara", "Nils", "Olga", "Pablo", "Quinn", "Rosa", "Sam", "Tara", "Uma", "Vera", "Wes",
    "Xenia", "Yara", "Zeno",
)  # fmt: skip
THINGS = (
    "marbles", "stamps", "coins", "shells", "stickers", "apples", "pencils", "buttons", "beads",
    "cards", "postcards", "badges", "balloons", "candles", "walnuts", "pebbles",
)  # fmt: skip
WORDINGS = {
    "more": (
        "{name} has {number} more {things} than {base}.",
        "{base} needs {number} more {things} to have as many as {name}.",
    ),
    "fewer": (
        "{name} has {number} fewer {things} than {base}.",
        "{base} has {number} more {things} than {name}.",
    ),
    "times": (
        "{name} has {number} times as many {things} as {base}.",
        "For each of the {things} that {base} has, {name} has {number}.",
    ),
    "part": (
        "{name} has {fraction} as many {things} as {base}.",
        "{base} has {number} times as many {things} as {name}.",
    ),
    "sum": (
        "{name} has as many {things} as {base} and {other} together.",
        "{base} and {other} together have as many {things} as {name}.",
    ),
}
SIGNS = {"more": "+", "fewer": "-", "times": "*", "part": "/", "sum": "+"}
KINDS = tuple(WORDINGS)
FRACTIONS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth"}
CALCULATE: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
}


class WordProblemEnv(GeneratedEnv):
    """Work out in sentences how many of something people have.

    **Task.** "Ada has 12 coins. Ben has 5 more coins than Ada. Cleo has 3 times as many coins
    as Ben. How many coins do Cleo and Ada have together?" Each person's amount follows from the
    one before, sometimes from an earlier one too. ``difficulty`` is the number of calculations.
    No amount but a total is above ``largest``.

    **Observation.** The problem and the solution so far, as ``srl_env.text.prompt`` lays them out.

    **Action.** ``<think>…</think>`` and one sentence: "Ben has 12 + 5 = 17 coins." A question
    about two people takes one more, "Together they have 51 + 12 = 63 coins." or "The difference
    is 51 - 12 = 39 coins."; the last action is the answer, "#### 63". With ``answer_line=False``
    there is no such line, and the sentence about whom the question asks is the last action.

    **Expert.** One sentence for each calculation, with the problem's sentence as its thought, then
    the answer: ``difficulty`` + 1 steps, or ``difficulty`` without the line.

    **Reward.** By the reward mode; "srl" compares the actions without their thoughts.

    **Episode end.** After the expert's last step (continuation "expert") or the first action
    with "####" (continuation "policy"); truncated after ``max_steps``. With
    ``answer_line=False``, after the first action with "=" that has the asked name before it.

    **Info.** That of ``ReasoningEnv``. ``legal`` is True for a sentence that gives a person
    (or pair) the correct amount, if all amounts it follows from are given or correctly stated, and
    it was not correctly stated before. It reads the name before "has" (or "together",
    "difference"), the last number, and whether an equation in the sentence holds. Other words do
    not matter. The correct answer is legal once the last amount was stated. The verdict compares
    numbers.

    **Data.** Generated (``srl_tasks.generated``), no licence needed; splits are disjoint, also
    under exchange of names, things and wordings.

    **Versions.** v0: first.
    """

    def __init__(
        self,
        *,
        difficulty: Difficulty = 4,
        split: Split = "train",
        max_problems: int = NOMINAL_SIZE,
        largest: int = LARGEST,
        answer_line: bool = True,
        **options: Any,
    ) -> None:
        """The arguments are those of ``WordProblemSource``; options: of ``ReasoningEnv``."""
        source = WordProblemSource(difficulty, split, max_problems, largest, answer_line)
        self._answer_line = answer_line
        note, marker = (ANSWER_NOTE, "####") if answer_line else (SENTENCE_NOTE, "=")
        defaults: dict[str, Any] = {"style": PromptStyle(note=note)}
        super().__init__(source, NumericVerifier(marker), **defaults | options)

    def is_final(self, action: str) -> bool:
        """Whether an action states the answer; without a line for it, by the asked name."""
        if self._answer_line or not super().is_final(action):
            return super().is_final(action)
        *_, last = self.problem.metadata["facts"]
        return last.partition("=")[0] in action.partition("=")[0].lower().split()

    def fact(self, action: str) -> str:
        """ "ben=17" for "Ben has 12 + 5 = 17 coins."; the text itself if it states no fact."""
        return sentence_fact(action)


class Relation(NamedTuple):
    """How a person's amount follows from that of the person before.

    number: what is added, subtracted, multiplied with or divided by; for "sum" the number of
    the other person.
    """

    kind: str
    number: int


class Opening(NamedTuple):
    """How a story begins: the first amount, the first relation, and what is asked.

    asked: "one" (the last person's amount), "together" or "difference" (of the last and
    another).
    """

    first: int
    relation: Relation
    asked: str


class Cast(NamedTuple):
    """Who has how many of what; person 0 is the one whose amount is given."""

    names: Sequence[str]
    amounts: Sequence[int]
    things: str

    def has(self, who: int) -> str:
        """The amount of a person in a sentence."""
        return f"{self.names[who]} has {self.amounts[who]} {self.things}."

    def fact(self, who: int) -> str:
        """The amount of a person as ``sentence_fact`` reads it."""
        return f"{self.names[who].lower()}={self.amounts[who]}"


@dataclass(frozen=True)
class WordProblemSource(GeneratedSource[Opening]):
    """Stories with ``difficulty`` calculations and one expert each.

    largest: the largest amount in a problem, apart from totals. answer_line: whether the last step
    is the answer alone; otherwise the sentence about whom the question asks is the last.
    """

    family: ClassVar[str] = "word_problem"
    limits: ClassVar[tuple[int, int]] = (1, len(PEOPLE) - 1)

    largest: int = LARGEST
    answer_line: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.largest) is not int or self.largest < FEWEST_FOR_ALL_KINDS:
            raise BadOption(
                f"largest must be a whole number of at least {FEWEST_FOR_ALL_KINDS}; got"
                f" {self.largest!r}"
            )

    @property
    def variant(self) -> str:
        """The largest amount and the form of the answer, unless they are the defaults."""
        parts = [str(self.largest)] * (self.largest != LARGEST)
        parts += ["sentences"] * (not self.answer_line)
        return f"({','.join(parts)})" if parts else ""

    def open(self, rng: random.Random, level: int) -> Opening:
        """An amount, a relation, and a question; with one calculation only about one person."""
        first = rng.randint(2, min(40, self.largest))
        asked = "one" if level == 1 else rng.choice(("one", "together", "difference"))
        return Opening(first, _next_relation(rng, [first], self.largest), asked)

    def write(self, rng: random.Random, level: int, opening: Opening, problem_id: str) -> Problem:
        """The story with random names, things and wordings, solved person by person."""
        count = level - (opening.asked != "one")
        relations, amounts = _relations(rng, opening, count, self.largest)
        cast = Cast(rng.sample(PEOPLE, len(amounts)), amounts, rng.choice(THINGS))
        sentences = [cast.has(0)]
        steps: list[ExpertStep] = []
        facts: dict[str, list[str]] = {}
        for who, relation in enumerate(relations, 1):
            grounds = _grounds(relation, who)
            sentences.append(_sentence(rng, relation, who, cast))
            thought = " ".join((sentences[-1], *(cast.has(i) for i in grounds)))
            equation = _equation(relation, amounts, who)
            steps.append(
                ExpertStep(f"{cast.names[who]} has {equation} {cast.things}.", thought=thought)
            )
            facts[cast.fact(who)] = [cast.fact(i) for i in grounds if i]
        question, answer = _ask(rng, opening.asked, cast, steps, facts)
        if self.answer_line:
            _state(answer, question, steps, facts)
        prompt = " ".join((*sentences, question))
        return self.solved(problem_id, prompt, str(answer), steps, difficulty=level, facts=facts)


def sentence_fact(sentence: str) -> str:
    """ "ben=17" for "Ben has 12 + 5 = 17 coins."; the stripped text if it states no fact.

    The name is the word before "has", or "together" or "difference". The amount is the last
    number. A sentence with a wrong equation states no fact.
    """
    who = _WHO.search(sentence)
    numbers = _NUMBER.findall(sentence)
    if who is None or not numbers or not all(map(_holds, _EQUATION.findall(sentence))):
        return sentence.strip()
    return f"{(who[1] or who[2]).lower()}={numbers[-1]}"


_WHO = re.compile(r"\b(?:(\w{1,20}) has\b|(together|difference)\b)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,9}")
_EQUATION = re.compile(r"\b([0-9]{1,9}) ?([-+*/]) ?([0-9]{1,9}) ?= ?([0-9]{1,9})\b")


def _holds(equation: tuple[str, str, str, str]) -> bool:
    left, sign, right, amount = equation
    if sign == "/":
        return int(right) > 0 and int(left) == int(right) * int(amount)
    return CALCULATE[sign](int(left), int(right)) == int(amount)


def _relations(
    rng: random.Random, opening: Opening, count: int, largest: int
) -> tuple[list[Relation], list[int]]:
    """``count`` relations, the opening's first, and the amounts of all count + 1 persons."""
    relations, amounts = [opening.relation], [opening.first]
    amounts.append(_amount(opening.relation, amounts))
    while len(relations) < count:
        relations.append(_next_relation(rng, amounts, largest))
        amounts.append(_amount(relations[-1], amounts))
    return relations, amounts


def _next_relation(rng: random.Random, amounts: Sequence[int], largest: int) -> Relation:
    """A random relation to the last of ``amounts`` that gives between 2 and ``largest``."""
    while True:
        kind = rng.choice(KINDS)
        if kind == "sum" and len(amounts) == 1:
            continue
        if kind == "sum":
            number = rng.randrange(len(amounts) - 1)
        else:
            number = rng.randint(2, 5 if kind in ("times", "part") else 30)
        if kind == "part" and amounts[-1] % number:
            continue
        if 2 <= _amount(Relation(kind, number), amounts) <= largest:
            return Relation(kind, number)


def _amount(relation: Relation, amounts: Sequence[int]) -> int:
    """What the next person has."""
    kind, number = relation
    return CALCULATE[SIGNS[kind]](amounts[-1], amounts[number] if kind == "sum" else number)


def _grounds(relation: Relation, who: int) -> tuple[int, ...]:
    """The persons from whose amounts that of person ``who`` follows."""
    return (who - 1, relation.number) if relation.kind == "sum" else (who - 1,)


def _equation(relation: Relation, amounts: Sequence[int], who: int) -> str:
    """ "12 + 5 = 17", the calculation for person ``who``."""
    kind, number = relation
    right = amounts[number] if kind == "sum" else number
    return f"{amounts[who - 1]} {SIGNS[kind]} {right} = {amounts[who]}"


def _sentence(rng: random.Random, relation: Relation, who: int, cast: Cast) -> str:
    """What the problem says of person ``who``, in one of its wordings."""
    kind, number = relation
    return rng.choice(WORDINGS[kind]).format(
        name=cast.names[who],
        base=cast.names[who - 1],
        other=cast.names[number] if kind == "sum" else "",
        number=number,
        fraction=FRACTIONS.get(number),
        things=cast.things,
    )


def _ask(
    rng: random.Random, asked: str, cast: Cast, steps: list[ExpertStep], facts: dict[str, list[str]]
) -> tuple[str, int]:
    """The question and its answer; adds the steps and facts that lead to it."""
    last = len(cast.names) - 1
    if asked == "one":
        question = f"How many {cast.things} does {cast.names[last]} have?"
        answer = cast.amounts[last]
    else:
        other = rng.choice([i for i in range(last) if cast.amounts[i] != cast.amounts[last]])
        high, low = sorted((last, other), key=cast.amounts.__getitem__, reverse=True)
        question, action, answer = _compare(asked, cast, high, low)
        steps.append(ExpertStep(action, thought=f"{question} {cast.has(high)} {cast.has(low)}"))
        facts[f"{asked}={answer}"] = [cast.fact(i) for i in (high, low) if i]
    return question, answer


def _state(
    answer: int, question: str, steps: list[ExpertStep], facts: dict[str, list[str]]
) -> None:
    """Adds the line with the answer, which follows from the last fact."""
    *_, last = facts
    steps.append(ExpertStep(f"#### {answer}", thought=question))
    facts[f"#### {answer}"] = [last]


def _compare(asked: str, cast: Cast, high: int, low: int) -> tuple[str, str, int]:
    """The question about two persons, the sentence that answers it, and the answer."""
    more, less = cast.amounts[high], cast.amounts[low]
    if asked == "together":
        question = (
            f"How many {cast.things} do {cast.names[high]} and {cast.names[low]} have together?"
        )
        answer = more + less
        return question, f"Together they have {more} + {less} = {answer} {cast.things}.", answer
    question = f"How many more {cast.things} does {cast.names[high]} have than {cast.names[low]}?"
    answer = more - less
    return question, f"The difference is {more} - {less} = {answer} {cast.things}.", answer
