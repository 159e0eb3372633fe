"""The sample problems that ship: every calculation and every answer is worked out again."""

from __future__ import annotations

import cmath
import itertools
import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[3] / "envs/srl_tasks/recorded/samples"
# Numbers that a question gives in words (half, three, weekdays, one and a half times), that are
# units (60, 100, 1000, 12 months), or that a step rounds down to (18 full boxes).
IN_WORDS = {"1", "1.5", "2", "3", "4", "5", "7", "10", "12", "18", "60", "100", "1000"}


def rows(name: str) -> list[dict[str, str]]:
    lines = (SAMPLES / name).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


GSM8K = rows("gsm8k.jsonl")
NUMBERED = rows("numbered_solutions.jsonl")


def short(row: dict[str, str]) -> str:
    return re.sub(r"\W+", "-", row["question"])[:40]


def calculate(expression: str) -> Fraction:
    """The exact value of an expression of numbers and + - * / alone."""
    assert re.fullmatch(r"[0-9.+*/-]+", expression)
    exact = re.sub(r"[0-9.]+", lambda number: f"Fraction('{number[0]}')", expression)
    return Fraction(eval(exact))


def test_there_are_some_fifty_different_problems_of_each_form() -> None:
    for sample in (GSM8K, NUMBERED):
        assert 50 <= len(sample) == len({row["question"] for row in sample}) <= 60


@pytest.mark.parametrize("row", GSM8K, ids=short)
def test_every_calculation_of_a_gsm8k_sample_is_right_and_the_last_is_the_answer(
    row: dict[str, str],
) -> None:
    *steps, final = row["answer"].split("\n")
    result = ""
    for step in steps:
        if "<<" not in step:
            continue
        for shown, expression, result, after in re.findall(
            r"([0-9][0-9.+*/-]*) = \$?<<([^=>]*)=([^=>]*)>>([0-9.]*[0-9])", step
        ):
            assert shown == expression
            assert calculate(expression) == Fraction(result) == Fraction(after)
        assert step.count("<<") == len(re.findall(r"\d = \$?<<[^=>]*=[^=>]*>>\d", step)) == 1
    assert len(steps) >= 2
    assert final == f"#### {result}"


@pytest.mark.parametrize("row", GSM8K, ids=short)
def test_a_gsm8k_sample_calculates_with_numbers_it_was_given_or_found(row: dict[str, str]) -> None:
    known = {Fraction(n) for n in re.findall(r"\d+(?:\.\d+)?", row["question"])}
    known |= set(map(Fraction, IN_WORDS))
    for expression, result in re.findall(r"<<([^=]*)=([^>]*)>>", row["answer"]):
        assert {Fraction(n) for n in re.findall(r"[0-9.]+", expression)} <= known
        known.add(Fraction(result))


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def is_prime(n: int) -> bool:
    return n > 1 and divisors(n) == [1, n]


def integral(f: Callable[[float], float], low: float, high: float) -> float:
    """Simpson's rule with a thousand strips."""
    h = (high - low) / 1000
    odd = sum(f(low + i * h) for i in range(1, 1000, 2))
    even = sum(f(low + i * h) for i in range(2, 1000, 2))
    return h / 3 * (f(low) + 4 * odd + 2 * even + f(high))


def roots(f: Callable[[float], float], low: float, high: float) -> list[float]:
    """Where a function changes its sign, by bisection of 10,000 strips."""
    found = []
    h = (high - low) / 10_000
    for a in (low + i * h for i in range(10_000)):
        b = a + h
        if f(a) * f(b) <= 0 and f(a) != 0:
            for _ in range(60):
                middle = (a + b) / 2
                a, b = (middle, b) if f(a) * f(middle) > 0 else (a, middle)
            found.append(a)
    return found


def largest(f: Callable[[float], float], low: float, high: float) -> float:
    return max(f(low + i * (high - low) / 100_000) for i in range(100_001))


def area(*points: tuple[float, float]) -> float:
    """Of a polygon, by the shoelace formula."""
    pairs = itertools.pairwise([*points, points[0]])
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)) / 2


def paths(to: tuple[int, int], via: tuple[int, int]) -> int:
    """Lattice paths from the origin, counted one by one."""
    count = 0
    for rights in itertools.combinations(range(sum(to)), to[0]):
        x = [sum(r < i for r in rights) for i in range(sum(to) + 1)]
        count += (via[0], sum(via)) in zip(x, range(sum(to) + 1), strict=True)
    return count


def tripled_sequence() -> int:
    a = 2
    for _ in range(7):
        a = 3 * a - 2
    return a


def spread_committees() -> int:
    people = "mmmmmwwww"
    chosen = itertools.combinations(range(9), 4)
    return sum({people[i] for i in group} == {"m", "w"} for group in chosen)


def base_seven_digits(n: int) -> list[int]:
    return [] if n == 0 else [*base_seven_digits(n // 7), n % 7]


def coefficient(factors: list[dict[int, int]], power: int) -> int:
    """Of x to a power in a product of polynomials given as {power: coefficient}."""
    product = {0: 1}
    for factor in factors:
        longer: dict[int, int] = {}
        for (i, a), (j, b) in itertools.product(product.items(), factor.items()):
            longer[i + j] = longer.get(i + j, 0) + a * b
        product = longer
    return product.get(power, 0)


THREE_DICE = list(itertools.product(range(1, 7), repeat=3))
TWO_DICE = list(itertools.product(range(1, 7), repeat=2))

EQUALLY_LIKELY = [f"A{ball}" for ball in "rrbbb"] + [f"B{ball}" for ball in "rrrrb"]


BELOW_ZERO = [x / 4 for x in range(-40, 41) if x != -8 and (x / 4 - 1) / (x / 4 + 2) <= 0]

# The beginning of each question, and its answer found in another way.
ANSWERS: dict[str, Callable[[], float | str]] = {
    "What is the remainder when $7^{100}$": lambda: 7**100 % 13,
    "How many positive divisors of $720$": lambda: sum(d % 6 == 0 for d in divisors(720)),
    "Find the sum of all integers $n$ for": lambda: sum(
        n for n in range(-50, 60) if is_prime(n * n - 10 * n + 21)
    ),
    "Three fair six-sided dice": lambda: sum(len({*t}) == 3 for t in THREE_DICE) / 216,
    "What is the smallest positive integer with": lambda: next(
        n for n in itertools.count(1) if len(divisors(n)) == 12
    ),
    "Solve $\\log_2 x": lambda: sum(
        roots(lambda x: math.log2(x) + math.log2(x - 6) - 4, 6.001, 50)
    ),
    "A triangle has sides $13$, $14$ and $15$": lambda: 2 * area((0, 0), (14, 0), (5, 12)) / 42,
    "A right triangle has legs $6$ and $8$": lambda: 2 * area((0, 0), (6, 0), (0, 8)) / 10,
    "Compute $\\sum_{k=1}^{99}": lambda: float(
        sum(Fraction(1, k * (k + 1)) for k in range(1, 100))
    ),
    "In how many different ways can the letters": lambda: len({*itertools.permutations("LEVEL")}),
    "Find the smallest value of $x": lambda: -largest(lambda x: -x - 9 / x, 1, 9),
    "Find the range of $f(x)": lambda: str(
        [f([x * x - 4 * x + 7 for x in range(6)]) for f in (min, max)]
    ),
    "Find the sum of all real solutions of $|2x": lambda: sum(
        roots(lambda x: abs(2 * x - 3) - x - 6, -100.001, 100)
    ),
    "What are the last two digits of $3": lambda: 3**2024 % 100,
    "Let $r$ and $s$ be the roots": lambda: sum(
        root**3 for root in ((5 + 13**0.5) / 2, (5 - 13**0.5) / 2)
    ),
    "A sequence has $a_1 = 2$": tripled_sequence,
    "A convex polygon has $54$": lambda: next(n for n in range(3, 99) if math.comb(n, 2) - n == 54),
    "How many of the integers from $1$ to $1000$": lambda: sum(
        (n % 3 == 0) != (n % 5 == 0) for n in range(1, 1001)
    ),
    "Find the absolute value of the complex": lambda: abs((3 + 4j) ** 2 / (1 - 2j)),
    "Write $\\sqrt{7 + 4\\sqrt{3}}$": lambda: math.sqrt(7 + 4 * math.sqrt(3)),
    # (3, 1, 5) is on the plane, and the way there is (2, -1, 2), at right angles to the plane.
    "What is the distance from the point": lambda: math.dist((1, 2, 3), (3, 1, 5)),
    "A chord of a circle of radius $13$": lambda: math.dist((5, 12), (5, -12)),
    "Real numbers satisfy $x + y = 7$": lambda: next(
        abs(x - (7 - x)) for x in range(8) if x * x + (7 - x) ** 2 == 29
    ),
    "A path on the integer grid": lambda: paths((5, 4), (2, 2)),
    "A committee of $4$": spread_committees,
    "Find the sum of the digits of $2023$": lambda: sum(base_seven_digits(2023)),
    "Find the greatest common divisor": lambda: math.gcd(2**12 - 1, 2**18 - 1),
    "With how many zeros does $125!$": lambda: (
        len(str(math.factorial(125))) - len(str(math.factorial(125)).rstrip("0"))
    ),
    "Two fair six-sided dice": lambda: sum(map(max, TWO_DICE)) / 36,
    "A rectangle has its base on the $x$-axis": lambda: largest(
        lambda x: 2 * x * (12 - x * x), 0, 3
    ),
    "Evaluate $\\int_0^{\\pi} x": lambda: integral(lambda x: x * math.sin(x), 0, math.pi),
    "Evaluate $\\lim_{x \\to 0}": lambda: (1 - math.cos(4e-4)) / 1e-8,
    "Find the exact value of $\\sin 15": lambda: math.sin(math.radians(15)),
    "Find the sum of all solutions of $\\cos 2x": lambda: (
        sum(roots(lambda x: 0.5 - math.sin(x), 0, 6)) + 3 * math.pi / 2
    ),
    "Find the sum of the infinite series": lambda: sum(0.1 / 5**k for k in range(50)),
    "In an arithmetic sequence": lambda: sum(range(17 - 12, 17 - 12 + 80, 4)),
    "Compute the determinant": lambda: 2 * 3 * 4 - 2 * 1 * 1 - 1 * 1 * 4,
    "Solve the inequality": lambda: f"({BELOW_ZERO[0] - 0.25:g}, {BELOW_ZERO[-1]:g}]",
    # The remainder is a line through (1, p(1)) = (1, 3) and (-1, p(-1)) = (-1, -1).
    "Find the remainder when $x^{11}": lambda: f"{(3 + 1) // 2}x + {(3 - 1) // 2}",
    "How many integer solutions has $x + y + z": lambda: sum(
        x + y + z == 10 for x, y, z in itertools.product(range(1, 11), range(2, 11), range(3, 11))
    ),
    "How many pairs $(x, y)$": lambda: sum(
        3 * x + 5 * y == 100 for x in range(1, 100) for y in range(1, 100)
    ),
    "Find the smallest positive integer that leaves": lambda: next(
        n for n in itertools.count(1) if (n % 4, n % 5, n % 7) == (1, 2, 4)
    ),
    # With height h the diagonals meet at 3/8 of it from the shorter side: 6 * 3/8 h / 2 = 9.
    "A trapezoid has parallel sides $6$ and $10$": lambda: area((0, 0), (10, 0), (6, 8), (0, 8)),
    "A cube is inscribed in a sphere": lambda: next(
        a**3 for a in roots(lambda a: math.dist((0, 0, 0), (a, a, a)) - 6, 0.001, 9)
    ),
    "A cone has base radius $3$": lambda: integral(
        lambda s: 2 * math.pi * 3 * s / math.hypot(3, 4), 0, math.hypot(3, 4)
    ),
    "Box A holds $2$ red": lambda: (
        sum(ball == "Br" for ball in EQUALLY_LIKELY)
        / sum(ball.endswith("r") for ball in EQUALLY_LIKELY)
    ),
    # f(1/2) = 3/2 - 2 f(2) by the second equation; the first must then hold.
    "A function satisfies $f(x)": lambda: next(
        f for f in range(-99, 99) if f + 2 * (1.5 - 2 * f) == 6
    ),
    "Find the coefficient of $x^3$": lambda: coefficient([{1: 2, 0: -1}] * 5, 3),
    "Find the constant term of": lambda: coefficient([{2: 1, -1: 1}] * 9, 0),
    "In triangle $ABC$ we have": lambda: roots(
        lambda d: _angle_at_a(d) - _angle_at_a(10) / 2, 0.1, 9.9
    )[0],
    "How many four-digit palindromes": lambda: sum(
        n % 9 == 0 and str(n) == str(n)[::-1] for n in range(1000, 10_000)
    ),
    "A point is chosen uniformly": lambda: (
        integral(lambda x: 2 * math.sqrt(max(0.0, 1 - x * x)), -1, 1) / 4
    ),
    "Find all pairs $(x, y)$": lambda: "".join(
        str((x, y))
        for x, y in itertools.combinations(range(1, 200), 2)
        if Fraction(1, x) + Fraction(1, y) == Fraction(1, 3)
    ),
}


def _angle_at_a(d: float) -> float:
    """The angle BAD with B at 0, C at 10, D at d, AB = 8, AC = 12."""
    x = (64 - 144 + 100) / 20
    a = complex(x, math.sqrt(64 - x * x))
    return abs(cmath.phase((0 - a) / (d - a)))


def value_of(latex: str) -> float:
    """The number that a LaTeX answer stands for."""
    text = re.sub(r"\\frac\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}\{([^{}]*)\}", r"((\1)/(\2))", latex)
    text = re.sub(r"\\sqrt\{([^{}]*)\}", r"math.sqrt(\1)", text).replace(r"\pi", "math.pi")
    text = re.sub(r"(?<=\d)(?=math)", "*", text)
    assert re.fullmatch(r"(?:[0-9().+*/ -]|math\.sqrt|math\.pi)+", text)
    return float(eval(text))


@pytest.mark.parametrize("row", NUMBERED, ids=short)
def test_the_answer_of_a_numbered_sample_is_found_in_another_way(row: dict[str, str]) -> None:
    [check] = [check for start, check in ANSWERS.items() if row["question"].startswith(start)]
    found = check()
    boxed = row["deepseek_attempt"].rpartition(r"\boxed{")[2].rpartition("}")[0]
    assert row["solution"] == boxed
    if isinstance(found, str):
        assert boxed == found
    else:
        assert value_of(boxed) == pytest.approx(found, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("row", NUMBERED, ids=short)
def test_a_numbered_sample_has_titled_steps_in_order_and_one_box_at_the_end(
    row: dict[str, str],
) -> None:
    steps = row["deepseek_attempt"].split("\n")
    assert len(steps) >= 2
    for number, step in enumerate(steps, 1):
        assert re.match(rf"{number}\. \*\*[^*]+\*\* \S", step)
    assert [r"\boxed" in step for step in steps] == [False] * (len(steps) - 1) + [True]


def test_every_check_belongs_to_a_sample() -> None:
    assert len(ANSWERS) == len(NUMBERED)
