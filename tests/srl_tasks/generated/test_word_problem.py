"""Word problems: read back by an independent reader, and sentences of many forms checked."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest

from srl_env.data import ListSource
from srl_env.errors import BadOption
from srl_env.problem import Problem
from srl_tasks.generated.word_problem import (
    LARGEST,
    WORDINGS,
    WordProblemEnv,
    WordProblemSource,
    sentence_fact,
)

# Ada 12; Ben 12 + 5 = 17; Cleo 17 * 3 = 51; together with Ada 63.
PROBLEM = Problem(
    id="example",
    prompt=(
        "Ada has 12 coins. Ben has 5 more coins than Ada. Cleo has 3 times as many coins as Ben. "
        "How many coins do Cleo and Ada have together?"
    ),
    answer="63",
    metadata={
        "facts": {
            "ben=17": [],
            "cleo=51": ["ben=17"],
            "together=63": ["cleo=51"],
            "#### 63": ["together=63"],
        }
    },
)
NUMBER_OF = {"half": 2, "a third": 3, "a quarter": 4, "a fifth": 5}


def patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Each wording as a pattern that reads it back."""
    found = []
    for kind, wordings in WORDINGS.items():
        for wording in wordings:
            pattern = re.sub(r"\\\{(\w+)\\\}", r"\\{\1\\}", re.escape(wording))
            for slot, form in (
                ("name", r"(?P<name>[A-Z]\w+)"),
                ("base", r"(?P<base>[A-Z]\w+)"),
                ("other", r"(?P<other>[A-Z]\w+)"),
                ("number", r"(?P<number>\d+)"),
                ("fraction", r"(?P<fraction>half|a third|a quarter|a fifth)"),
                ("things", r"[a-z]+"),
            ):
                pattern = pattern.replace(r"\{" + slot + r"\}", form)
            found.append((kind, re.compile(pattern)))
    return found


def solve(prompt: str) -> tuple[dict[str, int], int]:
    """Everybody's amount, and the answer, from the words alone."""
    first, *sentences, question = re.split(r"(?<=[.?]) ", prompt)
    name, _, amount = first.partition(" has ")
    amounts = {name: int(amount.split()[0])}
    for sentence in sentences:
        amounts.update(_read(sentence, amounts))
    asked = [word.strip("?") for word in question.split() if word.strip("?") in amounts]
    if "together" in question:
        return amounts, amounts[asked[0]] + amounts[asked[1]]
    if "more" in question:
        return amounts, amounts[asked[0]] - amounts[asked[1]]
    return amounts, amounts[asked[0]]


def _read(sentence: str, amounts: dict[str, int]) -> dict[str, int]:
    """What a sentence adds, whichever way round it is said: the unknown person is the new one."""
    for kind, pattern in patterns():
        match = pattern.fullmatch(sentence)
        if match is None or match["base"] not in amounts or match["name"] in amounts:
            continue
        groups, base = match.groupdict(), amounts[match["base"]]
        number = int(groups.get("number") or NUMBER_OF.get(groups.get("fraction") or "", 0))
        if kind == "sum":
            return {match["name"]: base + amounts[match["other"]]}
        if kind == "part":
            assert base % number == 0
            return {match["name"]: base // number}
        result = {"more": base + number, "fewer": base - number, "times": base * number}[kind]
        return {match["name"]: result}
    raise AssertionError(sentence)


def test_the_expert_agrees_with_an_independent_reader_of_the_words() -> None:
    for index in range(300):
        problem = WordProblemSource((1, 12))[index]
        amounts, answer = solve(problem.prompt)
        assert problem.answer == str(answer)
        assert all(2 <= amount <= LARGEST for amount in amounts.values())
        *steps, last = problem.trajectories[0].actions
        assert last == f"#### {answer}"
        assert len(steps) == problem.metadata["difficulty"]
        for step, (name, amount) in zip(steps, list(amounts.items())[1:], strict=False):
            assert re.fullmatch(rf"{name} has \d+ [-+*/] \d+ = {amount} [a-z]+\.", step)


def test_equations_in_the_experts_sentences_hold() -> None:
    for index in range(200):
        *steps, _ = WordProblemSource(6)[index].trajectories[0].actions
        for step in steps:
            left, sign, right, amount = re.search(  # type: ignore[union-attr]
                r"(\d+) ([-+*/]) (\d+) = (\d+)", step
            ).groups()
            a, b = int(left), int(right)
            value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[sign]
            assert value == int(amount)


def test_all_kinds_of_relations_and_questions_occur() -> None:
    prompts = " ".join(WordProblemSource(6)[i].prompt for i in range(100))
    for words in ("more", "fewer", "times as many", "For each", "half", "together have", "needs"):
        assert words in prompts
    questions = [WordProblemSource(6)[i].prompt.rpartition(". ")[2] for i in range(100)]
    together = sum("together" in question for question in questions)
    difference = sum("more" in question for question in questions)
    assert min(together, difference, 100 - together - difference) > 15


def test_neighbours_never_have_the_same_amount() -> None:
    for index in range(100):
        amounts, _ = solve(WordProblemSource(8)[index].prompt)
        assert all(a != b for a, b in pairwise(amounts.values()))


@pytest.mark.parametrize(
    ("sentence", "fact"),
    [
        ("Ben has 12 + 5 = 17 coins.", "ben=17"),
        ("So Ben has 17 coins.", "ben=17"),
        ("ben has 12+5=17", "ben=17"),
        ("Because of that, Ben has 17.", "ben=17"),
        ("Together they have 51 + 12 = 63 coins.", "together=63"),
        ("The difference is 51 - 12 = 39 coins.", "difference=39"),
        ("Nils has 55 / 5 = 11 beads.", "nils=11"),
        ("Nils has 55 / 0 = 11 beads.", "Nils has 55 / 0 = 11 beads."),
        ("Ben has 12 + 5 = 18 coins.", "Ben has 12 + 5 = 18 coins."),
        ("Ben has many coins.", "Ben has many coins."),
        (" #### 63\n", "#### 63"),
        ("", ""),
        ("9" * 5000 + " has " + "1" * 5000, "9" * 5000 + " has " + "1" * 5000),
    ],
)
def test_a_sentence_is_read_for_who_has_how_many(sentence: str, fact: str) -> None:
    assert sentence_fact(sentence) == fact


@pytest.mark.parametrize(
    ("actions", "action", "legal"),
    [
        ([], "Ben has 12 + 5 = 17 coins.", True),
        ([], "Five more than 12 is 17, so Ben has 17 coins.", True),
        ([], "Ben has 12 + 5 = 18 coins.", False),
        ([], "Ben has 12 + 6 = 17 coins.", False),
        ([], "Cleo has 17 * 3 = 51 coins.", False),
        (["Ben has 17 coins."], "Cleo has 17 * 3 = 51 coins.", True),
        (["Ben has 18 coins."], "Cleo has 17 * 3 = 51 coins.", False),
        (["Ben has 17 coins."], "Ben has 12 + 5 = 17 coins.", False),
        ([], "Ada has 12 coins.", False),
        (["Ben has 17.", "Cleo has 51."], "Together they have 51 + 12 = 63 coins.", True),
        (["Ben has 17.", "Cleo has 51."], "#### 63", False),
        (["Ben has 17.", "Cleo has 51.", "Together: 63"], "#### 63", True),
        (["Ben has 17.", "Cleo has 51.", "Together: 63"], "#### 64", False),
    ],
)
def test_a_sentence_is_legal_if_it_is_right_new_and_its_grounds_are_known(
    actions: list[str], action: str, legal: bool
) -> None:
    assert WordProblemEnv().legal(PROBLEM, actions, action) is legal


def test_an_episode_is_played_in_sentences() -> None:
    env = WordProblemEnv(difficulty=3)
    observation, info = env.reset(options={"problem": 0})
    assert "Leo has 19 pencils." in observation
    observation, reward, *_, info = env.step(
        "<think>57, I think</think>Yara has 19 * 3 = 57 pencils."
    )
    assert (reward, info["legal"], info["format_ok"]) == (1.0, True, True)
    assert "Yara has 19 * 3 = 57 pencils." in observation
    assert "57, I think" not in observation


def test_no_amount_but_a_total_is_above_the_largest() -> None:
    source = WordProblemSource((1, 12), largest=20)
    assert source.name == "word_problem(20)/train/1-12"
    for index in range(200):
        amounts, _ = solve(source[index].prompt)
        assert all(2 <= amount <= 20 for amount in amounts.values())


@pytest.mark.parametrize("largest", [9, 20.0, True])
def test_a_largest_amount_that_cannot_work_is_refused(largest: Any) -> None:
    with pytest.raises(BadOption, match="largest must be a whole number of at least 10"):
        WordProblemSource(3, largest=largest)


def test_without_an_answer_line_the_experts_last_sentence_ends_a_solution() -> None:
    env = WordProblemEnv(difficulty=(1, 4), answer_line=False, format="lines")
    assert env.problems.name == "word_problem(sentences)/train/1-4"
    for index in range(40):
        problem = env.problems[index]
        env.reset(options={"problem": index, "reward_mode": "rlvr"})
        *_, answer = solve(problem.prompt)
        actions = problem.trajectories[0].actions
        assert len(actions) == problem.metadata["difficulty"]
        assert f"= {answer} " in actions[-1]
        for action in actions[:-1]:
            assert not env.step(action)[2]
        *_, ended, _, info = env.step(actions[-1])
        assert (ended, info["legal"], info["verdict"]["correct"]) == (True, True, True)


@pytest.mark.parametrize(
    ("action", "ends"),
    [
        ("Yara has 19 * 3 = 57 pencils.", True),
        ("So yara has 19 + 3 = 22.", True),  # wrong, and final
        ("Yara has 57 pencils.", False),
        ("Leo has 19 * 3 = 57, as Yara has.", False),
        ("Yaras have 19 * 3 = 57 pencils.", False),
    ],
)
def test_without_an_answer_line_the_asked_name_before_an_equation_ends_a_solution(
    action: str, ends: bool
) -> None:
    problem = Problem(
        id="asked",
        prompt="Leo has 19 pencils. Yara has 3 times as many pencils as Leo. How many has Yara?",
        answer="57",
        metadata={"facts": {"yara=57": []}},
    )
    env = WordProblemEnv(difficulty=1, answer_line=False, format="lines")
    env.problems = ListSource([problem], "asked")
    env.reset(options={"problem": 0, "reward_mode": "rlvr"})
    *_, ended, _, info = env.step(action)
    assert ended is ends
    assert (ended and info["verdict"]["correct"]) is (action == "Yara has 19 * 3 = 57 pencils.")
