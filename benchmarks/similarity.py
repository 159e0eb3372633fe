"""How fast ``step_similarity`` is against difflib and cydifflib, by length and kind of pair.

Run: ``python benchmarks/similarity.py`` (about a minute). All three are timed in turn on the
same pairs, in processor time of this thread, the best of several runs each; the table shows
medians over the pairs. A pair is a step and its expert's, made of one of two sorts of text:

- prose: words of English length and letter frequency, with numbers and signs between them
- letters: any of 27 characters, equally often, which no step looks like and which is
  hardest to be fast on: difflib has few equal characters to follow there

and alike to one of three degrees: 97 % and 85 % of the characters kept, or unrelated.
"""

from __future__ import annotations

import difflib
import random
import statistics
import string
import time
from collections.abc import Callable

import cydifflib

from srl_env.rewards import step_similarity

LENGTHS = (12, 60, 120, 400, 1300)
DEGREES = {"97 % alike": 0.97, "85 % alike": 0.85, "unrelated": 0.0}
PAIRS = 5
LETTERS = string.ascii_lowercase + " "
ENGLISH = "eeeeeeetttttaaaaooooiiiinnnnssshhhrrrddllcummwwffggyyppbbvk"


def main() -> None:
    """Prints the table."""
    print(f"medians over {PAIRS} pairs, processor time\n")
    print(
        f"{'text':8}{'length':>7}  {'pair':12}{'difflib':>12}{'cydifflib':>12}{'ours':>12}", end=""
    )
    print(f"{'× difflib':>12}{'× cydifflib':>13}")
    rng = random.Random(0)
    for sort, make in (("prose", prose), ("letters", letters)):
        for length in LENGTHS:
            for degree, kept in DEGREES.items():
                pairs = [pair(make, length, kept, rng) for _ in range(PAIRS)]
                print(f"{sort:8}{length:7}  {degree:12}{row(pairs)}", flush=True)


def row(pairs: list[tuple[str, str]]) -> str:
    """Medians of the three times and of the two ratios."""
    times = [
        [seconds(function, *texts) for function in (by_difflib, by_cydifflib, step_similarity)]
        for texts in pairs
    ]
    medians = [statistics.median(column) * 1e6 for column in zip(*times, strict=True)]
    ratios = [statistics.median(t[i] / t[2] for t in times) for i in (0, 1)]
    cells = "".join(f"{us:9.1f} µs" for us in medians)
    return f"{cells}{ratios[0]:12.1f}{ratios[1]:13.1f}"


def seconds(function: Callable[[str, str], float], action: str, expert: str) -> float:
    """The least time per call over seven rounds, each long enough for the clock (2 ms)."""
    calls = 1
    while (spent := round_s(function, action, expert, calls)) < 0.002:
        calls *= 4 if spent < 0.0005 else 2
    return min(round_s(function, action, expert, calls) for _ in range(7)) / calls


def round_s(function: Callable[[str, str], float], action: str, expert: str, calls: int) -> float:
    """Processor time of so many calls."""
    start = time.thread_time()
    for _ in range(calls):
        function(action, expert)
    return time.thread_time() - start


def by_difflib(action: str, expert: str) -> float:
    """The published measure, from the standard library."""
    return difflib.SequenceMatcher(None, action, expert, autojunk=False).ratio()


def by_cydifflib(action: str, expert: str) -> float:
    """The same, from cydifflib."""
    return float(cydifflib.SequenceMatcher(None, action, expert, autojunk=False).ratio())


def pair(
    make: Callable[[int, random.Random], str], length: int, kept: float, rng: random.Random
) -> tuple[str, str]:
    """An action and an expert's, both about ``length`` long; kept 0: unrelated."""
    expert = make(length, rng)
    if not kept:
        return make(length, rng), expert
    return "".join(c if rng.random() < kept else rng.choice(LETTERS) for c in expert), expert


def prose(length: int, rng: random.Random) -> str:
    """Words drawn from a vocabulary of 400, some of them numbers or signs."""
    vocabulary = ["".join(rng.choices(ENGLISH, k=rng.randint(1, 9))) for _ in range(320)]
    vocabulary += [str(rng.randint(1, 999)) for _ in range(50)] + ["=", "+", "*", "/", "$"] * 6
    return " ".join(rng.choices(vocabulary, k=length))[:length].strip()


def letters(length: int, rng: random.Random) -> str:
    """Any characters, equally often."""
    return "".join(rng.choices(LETTERS, k=length)).strip()


if __name__ == "__main__":
    main()
