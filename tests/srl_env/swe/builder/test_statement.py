"""Problem statements."""

from __future__ import annotations

from dataclasses import replace

from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.script import Outcome
from srl_env.swe.builder.statement import write_statement

SCRIPT = "from shop import total\n\nprint(total([10, 20], 0.5))\n"
WRONG = Reproduction(SCRIPT, "total", Outcome("15.0\n", ""), Outcome("30\n", ""))
RAISES = Reproduction(
    SCRIPT, "total", Outcome("15.0\n", ""), Outcome("", "shop.errors.Odd: no price")
)
ACCEPTS = Reproduction(SCRIPT, "total", Outcome("", "ValueError: x"), Outcome("", ""))


def test_what_was_called_what_came_back_and_what_is_right_are_there() -> None:
    text = write_statement("shop", [WRONG], "a", 0)
    assert f"```python\n{SCRIPT.strip()}\n```" in text
    assert text.index("```\n30\n```") < text.index("```\n15.0\n```")
    assert "`total`" in text.splitlines()[0]


def test_the_wording_varies_with_the_seed_and_nothing_else() -> None:
    assert write_statement("shop", [WRONG], "a", 1) == write_statement("shop", [WRONG], "a", 1)
    texts = {write_statement("shop", [WRONG], "a", seed) for seed in range(20)}
    assert len(texts) > 15


def test_every_sentence_beside_the_code_says_what_was_run() -> None:
    for seed in range(20):
        for shown, does, should in (
            (WRONG, "prints `30`", "print `15.0`"),
            (RAISES, "ends with `shop.errors.Odd: no price`", "print `15.0`"),
            (ACCEPTS, "prints nothing", "end with `ValueError: x`"),
        ):
            opening = write_statement("shop", [shown], "a", seed).splitlines()[2]
            assert does in opening
            assert should in opening


def test_exceptions_are_named_without_their_module() -> None:
    for seed in range(10):
        title = write_statement("shop", [RAISES], "a", seed).splitlines()[0]
        assert "Odd" in title
        assert "errors" not in title


def test_a_missing_exception_and_no_output_are_reported() -> None:
    text = write_statement("shop", [ACCEPTS], "a", 3)
    assert "```\n(nothing)\n```" in text
    assert "```\nValueError: x\n```" in text


def test_several_bugs_are_numbered() -> None:
    text = write_statement("shop", [WRONG, RAISES], "a", 0)
    assert "\n## 1. " in text
    assert "\n## 2. " in text


def test_what_the_documentation_says_comes_before_the_example() -> None:
    text = write_statement("shop", [replace(WRONG, documented="Adds up prices.")], "a", 0)
    assert text.splitlines()[4] == "The documentation of `total` says: Adds up prices."
    assert "documentation" not in write_statement("shop", [WRONG], "a", 0)
