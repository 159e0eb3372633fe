"""Bugs as a model writes them: what is read, and what is refused without running anything."""

from __future__ import annotations

import pytest

from srl_env.swe.builder.author.answer import Unusable, read_answer, read_bug
from srl_env.swe.builder.mutation import Mutation, mutated
from srl_env.swe.builder.source import Source
from tests.srl_env.swe.builder.conftest import PRICES

PATH = "shop/prices.py"
SOURCES = {PATH: Source(PRICES, PATH), "shop/empty.py": Source("", "shop/empty.py")}
OLD = "    return sum(prices) * (1 - discount)  # never negative"
NEW = OLD.replace("-", "+")
_DEF = "def total(prices, discount=0.0):"
EXAMPLE = "from shop.prices import total\n\nprint(total([10, 20], 0.5))\n"


def block(old: str, new: str, path: str = PATH) -> str:
    return f"{path}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


def answer(*blocks: str, fails: str = "AssertionError", example: str = EXAMPLE) -> str:
    return "\n".join([*blocks, f"FAILS WITH: {fails}\n", f"```python\n{example}```\n"])


def bug(text: str) -> Mutation:
    return read_bug("written_rule", read_answer(text), SOURCES, f"{PATH}:dearest")


def changed(text: str) -> str:
    source = mutated(SOURCES[PATH], bug(text))
    assert source is not None
    return source.text


def test_an_answer_is_read() -> None:
    text = f"<think>Which one? {block('a', 'b')}</think>\nHere:\n{answer(block(OLD, NEW))}"
    read = read_answer(text)
    assert [(one.path, one.old, one.new) for one in read.blocks] == [(PATH, f"{OLD}\n", f"{NEW}\n")]
    assert read.fails_with == ("AssertionError",)
    assert read.example == EXAMPLE
    assert changed(text) == PRICES.replace("1 - discount", "1 + discount")
    telling = EXAMPLE.replace("\n\n", "\n# adds the discount\n\n").replace("))", "))  # bug")
    assert read_answer(answer(block(OLD, NEW), example=telling)).example == EXAMPLE
    assert read_answer(answer(block(OLD, NEW), fails="KeyError, TypeError")).fails_with == (
        "KeyError",
        "TypeError",
    )


def test_blocks_between_fences_with_line_ends_of_another_system_are_read_too() -> None:
    fenced = answer(f"`./{PATH}`\n```python\n" + block(OLD, NEW).partition("\n")[2] + "```\n")
    assert changed(fenced.replace("\n", "\r\n")) == PRICES.replace("1 - disc", "1 + disc")


def test_several_blocks_are_one_bug_at_the_function_that_was_asked_for() -> None:
    most = "    return sorted(prices, reverse=True)[:count]"
    found = bug(answer(block(OLD, NEW), block(most, most.replace("count", "count + 1"))))
    assert [part.function for part in found.parts] == ["dearest", "total"]
    assert found.function == "dearest"
    assert found.kind == "written_rule"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I cannot do that.", "no blocks"),
        (answer(), "no blocks"),
        (answer(block(OLD, NEW).replace(">>>>>>> REPLACE", "")), "no blocks"),
        (answer(block(OLD, NEW) * 7), "too many blocks"),
        ("x" * 40_000, "too long"),
        (block(OLD, NEW), "does not say with what tests fail"),
        (answer(block(OLD, NEW), fails="NameError"), "crash that nobody would commit"),
        (block(OLD, NEW) + "FAILS WITH: KeyError", "no example"),
        (answer(block(OLD, NEW), example="print(\n"), "example is invalid"),
        (answer(block(OLD, NEW), example="total([1])\n"), "prints nothing"),
        (answer(block(OLD, NEW), example="import tests.x\nprint(1)\n"), "imports tests"),
        (answer(block(OLD, NEW), example="import a\nprint(a._total(1))\n"), "private names"),
        (answer(block(OLD, NEW), example="print('wrong sign')\n"), "names itself a fault"),
        (answer(block(OLD, NEW, "tests/test_prices.py")), "no source file"),
        (answer(block(OLD, NEW, "/etc/passwd")), "no source file"),
        (answer(block("    return 1", NEW)), "not exactly once"),
        (answer(block("prices", "costs")), "not exactly once"),
        (answer(block("", NEW)), "not exactly once"),
        (answer(block(OLD, OLD)), "changes nothing"),
        (answer(block(OLD, "    return (")), "invalid Python"),
        (answer(block(OLD, "    return\x00")), "invalid Python"),
        (answer(block(OLD, f"{NEW} and more")), "comments"),
        (answer(block('"""Prices."""', '"""Costs."""')), "comments or docstrings"),
        (answer(block(OLD, f"{NEW}\nLIMIT = 3")), "not inside functions"),
        (answer(block(OLD, f"{NEW}\n\n\ndef more():\n    return 1")), "adds, removes or renames"),
        (answer(block(_DEF, _DEF.replace("total", "totals"))), "adds, removes or renames"),
        (answer(block(OLD, f"    bug = 1\n{NEW}")), "names itself a fault"),
        (answer(block(OLD, f"    import os\n{NEW}")), "does what no fault does"),
        (answer(block(OLD, "    return eval('1')")), "does what no fault does"),
        (answer(block(OLD, "    x = 1\n" * 41 + NEW)), "too large"),
        (answer(block(OLD, "    return " + "(" * 500 + ")" * 500)), "invalid Python"),
    ],
)  # fmt: skip
def test_what_is_no_bug_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        bug(text)


def test_an_unknown_kind_of_text_never_raises_anything_else() -> None:
    whole = answer(block(OLD, NEW))
    for cut in range(0, len(whole), 3):
        for text in (whole[:cut], whole[cut:], whole[:cut] + "\ud800" + whole[cut:]):
            try:
                bug(text.encode("utf-8", "replace").decode())
            except Unusable:
                continue


def test_an_answer_of_many_openings_is_refused_at_once() -> None:
    with pytest.raises(Unusable, match="too many blocks"):
        read_answer(1_100 * "a\n<<<<<<< SEARCH\n=======\n")
