"""Oracle cases: read, recorded, shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from srl_env.errors import BadData
from srl_env.grading import OracleCase
from srl_env.swe.builder.cases import read_cases, recorded_cases, shown_expression
from srl_env.swe.builder.reproduction import case_script
from srl_env.swe.builder.script import names_in, written_script


def call(expression: str, of: str, kind: str = "int", shown: str = "") -> dict[str, str]:
    setup = f"from shop import {of}"
    return {"setup": setup, "expression": expression, "of": of, "kind": kind, "shown": shown}


def test_a_repositorys_own_cases_are_read(tmp_path: Path) -> None:
    (tmp_path / "oracle_cases.toml").write_text(
        '[[case]]\nname = "half"\nsetup = "from shop import total"\nexpression = "total([1])"\n'
    )
    (draft,) = read_cases(tmp_path)
    assert draft.case == OracleCase("half", "from shop import total", "total([1])")
    assert read_cases(tmp_path / "nowhere") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[case", "not TOML"),
        ('[[case]]\nname = "a"\n', r"number 1: 'expression' must be a text"),
        ('[[case]]\nname = 3\nexpression = "1"\n', r"number 1: 'name' must be a text"),
        ('[[case]]\nname = "a"\nexpression = "1"\nexpected = 1\n', r"keys are .*got 'expected'"),
        ('[[case]]\nname = "a"\nexpression = "1"\n' * 2, "two cases named 'a'"),
    ],
)
def test_bad_cases_are_reported_with_their_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "oracle_cases.toml").write_text(text)
    with pytest.raises(BadData, match=rf"oracle_cases\.toml.*{message}"):
        read_cases(tmp_path)


def test_recorded_calls_are_made_to_give_built_in_values() -> None:
    calls = [
        call("f(1)", "f"),
        call("g(1)", "g", "generator"),
        call("h(1)", "h", "Money", "yes"),
        call("k(1)", "k", "dict_keys"),
        call("m(1)", "m", "function"),
        call("n(1)", "n", "NoneType"),
    ]
    drafts = recorded_cases(calls)
    assert [draft.case.expression for draft in drafts] == [
        "f(1)",
        "list(itertools.islice(g(1), 1000))",
        "repr(h(1))",
        "list(k(1))",
        "n(1)",
    ]
    assert [draft.may_raise for draft in drafts] == [False, False, False, False, True]
    assert drafts[1].case.setup == "from shop import g\nimport itertools"


def test_of_many_calls_of_a_function_some_are_taken_from_short_to_long() -> None:
    drafts = recorded_cases([call(f"f({'1' * number})", "f") for number in range(1, 33)])
    assert [len(draft.case.expression) for draft in drafts] == [4, 8, 12, 16, 20, 24, 28, 32]


def test_an_iterator_is_shown_as_a_list() -> None:
    case = OracleCase("a", "", "list(itertools.islice(g(1), 1000))", [1, 2])
    assert shown_expression(case) == "list(g(1))"


def test_a_case_becomes_a_script_without_what_it_does_not_need() -> None:
    setup = (
        "import os\nfrom shop import Basket, total, unused\nimport itertools\n"
        "def other(): return unused()\n"
        "basket = Basket()\nbasket.add(1)\nspare = Basket()\n"
    )
    script = case_script(OracleCase("a", setup, "total(basket)", "12 €"))
    assert script == (
        "from shop import Basket, total\n\n"
        "basket = Basket()\nbasket.add(1)\nprint(repr(total(basket)))\n"
    )
    assert {"total", "basket", "add"} <= names_in(script)


def test_helpers_keep_their_text_and_are_checked() -> None:
    checked = []
    text = "x = 3\n\ndef helper(a):\n    # why\n    return  a+x\n"
    script = written_script(text, ["print(helper(1))"], lambda node: checked.append(node.lineno))
    assert script == "x = 3\n\ndef helper(a):\n    # why\n    return  a+x\n\nprint(helper(1))\n"
    assert checked == [3, 1]


def test_imports_are_merged_the_standard_library_first() -> None:
    text = "from shop import b\nfrom shop import a, c\nimport re, os\nfrom abc import ABC\n"
    script = written_script(text, ["print(a, b, c, re, ABC)"], lambda _: None)
    imports = "from abc import ABC\nimport re\nfrom shop import a, b, c\n\n"
    assert script == imports + "print(a, b, c, re, ABC)\n"
