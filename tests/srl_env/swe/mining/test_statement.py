"""What a commit's message says of its fault."""

from __future__ import annotations

import pytest

from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.script import Outcome
from srl_env.swe.mining.statement import described, write_statement


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("feat(core): support abstract collections (#5)", "Support abstract collections"),
        ("fix: `mean` of no numbers fails", "`mean` of no numbers fails"),
        ("Sums of long lists are not corre… (#5)\n\n…ctly rounded", None),
        ("Sums are rounded\n\n* Added unit tests of sums", "Sums are rounded"),
        ("Change `juxt` to return a tuple as discussed in #23", "Change `juxt` to return a tuple"),
        ("Sort what comes in", "Sort what comes in"),
        ("Raise where the length is wrong. Fixes #2.", "Raise where the length is wrong."),
        ("Support empty lists\n\nthx", "Support empty lists"),
        ("Fix it", ""),
    ],
)
def test_kinds_chores_and_cut_titles(message: str, said: str | None) -> None:
    expected = "Sums of long lists are not correctly rounded" if said is None else said
    assert described(message, {}, []) == expected


def test_what_a_message_says_of_the_code_after_the_commit_is_a_quotation() -> None:
    message = "Choices hold for each item\n\nThe list was compared.\n\nItems are compared now."
    assert described(message, {}, []) == (
        "Choices hold for each item\n\nThe change that is asked for, in its author's words:\n\n"
        "> The list was compared.\n>\n> Items are compared now."
    )
    issue = {"7": "Choices of lists\n\nThey never hold."}
    assert described("Fix #7\n\nItems are compared now.", issue, []) == issue["7"]


def test_examples_come_with_both_results() -> None:
    shown = [
        Reproduction(f"print({n})", "", Outcome("1\n", ""), Outcome("", "KeyError: 2"))
        for n in (3, 4)
    ]
    text = write_statement("It fails.", shown, "not shown", "not shown")
    assert text.startswith(
        "It fails.\n\nTo reproduce:\n\n```python\nprint(3)\n```\n\nActual result:"
    )
    assert "Another example:\n\n```python\nprint(4)\n```" in text
    assert text.count("```\nKeyError: 2\n```") == text.count("```\n1\n```") == 2
    assert "not shown" not in text


def test_without_a_script_the_code_of_a_test_is_shown_without_addresses() -> None:
    text = write_statement("It fails.", [], "total(basket)", "TypeError: <Basket at 0x7f01>")
    assert "check of this behaviour fails:\n\n```python\ntotal(basket)\n```" in text
    assert text.endswith("It ends with:\n\n```\nTypeError: <Basket>\n```\n")
    shown = Reproduction("print(total([]))\n", "total", Outcome("0\n", ""), Outcome("None\n", ""))
    assert write_statement("", [shown], "", "").startswith("`total` does not do what it should\n")
    assert "It ends with" not in write_statement("It fails.", [], "", "TypeError")
