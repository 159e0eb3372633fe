"""Which sentences of a model's statement are kept: those that the example's runs back."""

from __future__ import annotations

import pytest

from srl_env.swe.builder.author.sentences import backed_words, is_backed
from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.script import Outcome

SCRIPT = "from shop.prices import total\n\nprint(total([10, 20], 0.5))\n"
VALUE = Reproduction(SCRIPT, "total", Outcome("15.0\n", ""), Outcome("45.0\n", ""))
RAISES = Reproduction(
    SCRIPT, "total", Outcome("15.0\n", ""), Outcome("", "shop.errors.PriceError: no price")
)
ACCEPTS = Reproduction(SCRIPT, "total", RAISES.actual, VALUE.actual)


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (VALUE, "`total([10, 20], 0.5)` returns `45.0`."),
        (VALUE, "It should be `15.0`, but I get `45.0`."),
        (VALUE, "With shop, the example prints 45.0 instead of 15.0."),
        (VALUE, "The example prints `45.0` and not `15.0`."),
        (VALUE, "The result of `total` is wrong: the expected output is `15.0`."),
        (VALUE, "Instead of the expected `15.0`, `total` gives `45.0`."),
        (RAISES, "`total([10, 20], 0.5)` raises `PriceError`, it should return `15.0`."),
        (RAISES, "PriceError from `total`"),
        (RAISES, "The call fails with `no price`."),
        (ACCEPTS, "It should raise `PriceError`, but it prints `45.0`."),
        (ACCEPTS, "`total` does not raise `PriceError`."),
        (VALUE, "`total` does not return the correct result."),
        (VALUE, "`45.0` is not the expected output."),
    ],
)
def test_what_was_run_may_be_said(shown: Reproduction, sentence: str) -> None:
    assert is_backed(sentence, "shop", shown)


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (VALUE, "`total([10, 20], 0.5)` returns `15.0`."),  # what is expected
        (VALUE, "It should be `45.0`, but I get `15.0`."),
        (VALUE, "The example prints `15.0` instead of `45.0`."),
        (VALUE, "The example does not print `45.0`."),
        (VALUE, "The result of `total` is `5.0`."),  # a part of a number
        (VALUE, "It returns `10`."),  # an argument
        (VALUE, "`total([40], 0.25)` returns `50.0`."),  # not run
        (VALUE, "`total` raises an exception."),
        (VALUE, "It worked in version 1.2 of shop."),
        (VALUE, "`total` adds the discount to the sum."),
        (VALUE, "The fault is in `shop/prices.py`."),
        (VALUE, "`total` is wrong since 1 - discount became 1 + discount."),
        (VALUE, "The result is wrong."),  # no evidence
        (VALUE, "`total` returns the correct result."),
        (VALUE, "`total` gives the expected output."),
        (VALUE, "`45.0` is correct."),
        (VALUE, "`15.0` is wrong."),
        (VALUE, "`45.0` is not wrong."),
        (ACCEPTS, "`total` should not raise an exception."),
        (RAISES, "`total` does not raise an exception."),
        (VALUE, "`total` returns `45.0` 🙂."),
        (VALUE, "`total` returns `45.0`\u202e."),
        (RAISES, "It should raise `PriceError`."),
        (RAISES, "`total` raises `KeyError`."),
        (ACCEPTS, "`total` raises `PriceError`."),
    ],
)
def test_what_was_not_run_may_not(shown: Reproduction, sentence: str) -> None:
    assert not is_backed(sentence, "shop", shown)


def test_sentences_are_dropped_one_by_one() -> None:
    text = """<think>What happened?</think>
# `total` returns a wrong result

With shop, `total([10, 20], 0.5)` returns 45.0. The discount is added.
It should return `15.0`.

```python
print("a block is no sentence")
```
"""
    words = backed_words(text, "shop", VALUE)
    assert words.title == "`total` returns a wrong result"
    assert words.opening == (
        "With shop, `total([10, 20], 0.5)` returns 45.0. It should return `15.0`."
    )
    assert words.dropped == 1


@pytest.mark.parametrize("text", ["", "\n\n", "I cannot help with that.", "`" * 500, "x" * 9_999])
def test_a_text_that_says_nothing_leaves_nothing(text: str) -> None:
    words = backed_words(text, "shop", VALUE)
    assert (words.title, words.opening) == ("", "")
