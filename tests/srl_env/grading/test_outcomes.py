"""When a test passes: the table of docs/grading.md, and tests with subtests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from srl_env.grading import GradingTask, Trust, grade, validate_controls
from srl_env.grading.xfail import expects_failure
from srl_env.sandbox import Limits, Sandbox, Snapshot
from tests.srl_env.grading.conftest import FAULTY, FILE, GOLD, patch

PAGE = Path(__file__).parents[3] / "docs" / "grading.md"
EMPTY = Snapshot((), ())


def rows() -> list[list[str]]:
    """The table: mark, body, pytest's word, whether it passes in SWE-bench and here."""
    lines = PAGE.read_text().partition("| mark |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines]


def written(number: int, mark: str, body: str) -> str:
    """A row as a test, its name ending in the row's number."""
    decorator = f"@{mark}\n" if mark and mark != "unittest.TestCase" else ""
    needed = "subtests" if "subtests" in body else ""
    if not mark.startswith("unittest"):
        return f"{decorator}def test_{number}({needed}):\n    {body}\n"
    method = f"{decorator}def test_{number}(self):\n    {body}\n".replace("\n", "\n    ")
    return f"class TestRow(unittest.TestCase):\n    {method}\n"


def test_the_table_of_the_documentation_holds(
    sandbox: Sandbox, task: GradingTask, tmp_path: Path
) -> None:
    table = rows()
    assert len(table) == 17
    files = {
        f"tests/test_row_{number}.py": f"import pytest\nimport unittest\n\n"
        f"{written(number, mark, body)}"
        for number, (mark, body, *_) in enumerate(table)
    }
    tests = {
        number: f"{path}::{'TestRow::' if 'class ' in text else ''}test_{number}"
        for number, (path, text) in enumerate(files.items())
    }
    task = replace(
        task, trust="inprocess", hidden={path: text.encode() for path, text in files.items()},
        fail_to_pass=tuple(tests.values()), pass_to_pass=(),
    )  # fmt: skip
    result = grade(sandbox, task, EMPTY)
    assert result.clean, result.tamper
    found = {number: result.fail_to_pass[test] for number, test in tests.items()}
    assert found == {number: row[4] == "yes" for number, row in enumerate(table)}
    logged = log_of(tmp_path, files)
    for number, (_, _, word, there, _) in enumerate(table):
        if word != "–":
            assert logged[number] == word
            # PASSED and XFAIL pass; XPASS is a word that SWE-bench's parsers do not know
            assert (there == "yes") == (word in ("PASSED", "XFAIL"))


def log_of(folder: Path, files: dict[str, str]) -> dict[int, str]:
    """The word for each row in what plain pytest prints of these files."""
    for path, text in files.items():
        (folder / "logged" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "logged" / path).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--color=no", "tests"],
        cwd=folder / "logged",
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    words = re.findall(
        r"test_(\d+) (PASSED|FAILED|SKIPPED|XFAIL|XPASS|ERROR)\b", done.stdout + done.stderr
    )
    return {int(number): word for number, word in words}


CASES = """
import unittest
from shop.prices import parse, total

class TestTotal(unittest.TestCase):
    def test_subtests(self):
        for prices, off, want in [([1, 2], 0, 3), ([4], 0, 4), ([10, 20], 0.5, 15), ([], 0.5, 0)]:
            with self.subTest(prices=prices, off=off):
                self.assertEqual(total(prices, off), want)

    def test_no_discount(self):
        with self.subTest("none"):
            self.assertEqual(total([1, 2]), 3)

def test_fixture(subtests):
    with subtests.test("whole"):
        assert parse("2") == 200
    with subtests.test("half"):
        assert total([10, 20], 0.5) == 15

def test_many(subtests):
    for number in range(200):
        with subtests.test(number=number):
            assert total([number]) == number
"""
NAMES = ("TestTotal::test_subtests", "TestTotal::test_no_discount", "test_fixture", "test_many")


@pytest.fixture
def with_subtests(task: GradingTask) -> GradingTask:
    """The discount, seen by one subtest of four and by one of two."""
    ids = [f"{FILE}::{name}" for name in NAMES]
    return replace(
        task, trust="inprocess", hidden={FILE: CASES.encode()},
        fail_to_pass=(ids[0], ids[2]), pass_to_pass=(ids[1], ids[3]), controls=2,
        limits=Limits(output_keep_bytes=16_000),
    )  # fmt: skip


def test_a_test_passes_if_it_and_all_its_subtests_do(
    sandbox: Sandbox, with_subtests: GradingTask
) -> None:
    right = grade(sandbox, with_subtests, patch({"shop/prices.py": GOLD}))
    assert right.resolved, right
    wrong = grade(sandbox, with_subtests, EMPTY)
    assert wrong.clean
    assert not any(wrong.fail_to_pass.values())
    assert all(wrong.pass_to_pass.values())


def test_a_change_that_is_wrong_in_one_subtest_only_is_not_right(
    sandbox: Sandbox, with_subtests: GradingTask
) -> None:
    nearly = GOLD.replace("return sum", "if not prices: return None\n    return sum")
    result = grade(sandbox, with_subtests, patch({"shop/prices.py": nearly}))
    assert not result.resolved
    assert result.clean
    assert {test.rpartition("::")[2]: held for test, held in result.fail_to_pass.items()} == {
        "test_subtests": False,
        "test_fixture": True,
    }
    all_wrong = patch({"shop/prices.py": FAULTY.replace("return sum(prices)", "return -1")})
    failed = grade(sandbox, with_subtests, all_wrong)  # its 200 records would not fit
    assert failed.clean
    assert not any([*failed.fail_to_pass.values(), *failed.pass_to_pass.values()])


ALWAYS_EQUAL = """
class Equal(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = float.__hash__
def total(prices, discount=0.0):
    return Equal(sum(prices))
"""


@pytest.mark.parametrize(("trust", "resolved"), [("inprocess", True), ("controlled", False)])
def test_controls_judge_subtests(
    sandbox: Sandbox, with_subtests: GradingTask, trust: Trust, resolved: bool
) -> None:
    task = replace(with_subtests, trust=trust)
    gold = patch({"shop/prices.py": GOLD})
    assert validate_controls(sandbox, task, gold, rounds=1) == ()
    assert grade(sandbox, task, gold).resolved
    forged = patch({"shop/prices.py": FAULTY + ALWAYS_EQUAL})
    assert grade(sandbox, task, forged).resolved is resolved


def test_a_test_that_is_expected_to_fail_cannot_be_controlled(
    sandbox: Sandbox, task: GradingTask
) -> None:
    test = "import pytest\n@pytest.mark.xfail\ndef test_known():\n    assert 1 == 2\n"
    known = f"{FILE}::test_known"
    task = replace(
        task, trust="controlled", hidden={FILE: test.encode()}, fail_to_pass=(known,),
        pass_to_pass=(), controls=2,
    )  # fmt: skip
    said = validate_controls(sandbox, task, EMPTY, rounds=1)
    assert said == (f"{known} passes although its expectation was changed",)


MARKS = """
import pytest, unittest
known = pytest.mark.xfail

@pytest.mark.xfail(reason="x")
def test_marked(): pass
def test_plain(): pytest.xfail()
@known
def test_by_another_name(): pass
@pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.xfail)])
def test_parameter(x): pass
class TestA(unittest.TestCase):
    @unittest.expectedFailure
    def test_case(self): pass
    def test_other(self): pass
class TestB:
    pytestmark = [pytest.mark.slow, pytest.mark.xfail]
    def test_inside(self):
        pytestmark = 1
    class TestC:
        async def test_below(self): pass
if True:
    @pytest.mark.xfail
    def test_in_a_block(): pass
"""


def test_a_mark_must_stand_in_the_test_s_own_file() -> None:
    marked = {
        "test_marked": True,
        "test_plain": False,
        "test_by_another_name": False,
        "test_parameter[1]": True,
        "test_parameter[a::b[2]]": True,
        "TestA::test_case": True,
        "TestA::test_other": False,
        "TestB::test_inside": True,
        "TestB::TestC::test_below": True,
        "test_in_a_block": True,
        "test_marked::test_marked": False,
    }
    found = {name: expects_failure(f"t.py::{name}", MARKS.encode()) for name in marked}
    assert found == marked
    module = "import pytest\npytestmark: object = pytest.mark.xfail(reason='x')\ndef test(): pass\n"
    assert expects_failure("t.py::test", module.encode())
