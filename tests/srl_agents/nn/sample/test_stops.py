"""Where a completion ends, token by token."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from srl_agents.models.small import bpe_tokenizer, character_tokenizer
from srl_agents.nn.sample.stops import Stops, TokenTexts


def first_end(stops: Stops, ids: list[int]) -> int | None:
    """How many tokens are written when the completion ends; None if it does not."""
    for made in range(1, len(ids) + 1):
        written = torch.tensor([ids[:made]])
        if bool(stops.ended(written[:, -1], written)[0]):
            return made
    return None


def stops_of(tokenizer: Any, *strings: str, tokens: tuple[int, ...] = ()) -> Stops:
    return Stops(tokens, strings, TokenTexts(tokenizer, len(tokenizer)))


@pytest.mark.parametrize(
    ("text", "strings", "expected"),
    [
        ("abc;d", [";"], 4),
        ("abc;d", ["c;d"], 5),
        ("abcbc", ["bc", "abc"], 3),
        ("aaab", ["aab"], 4),
        ("abc", [";"], None),
        ("abc", [], None),
        ("a\n\nb", ["\n\n"], 3),
    ],
)
def test_a_string_ends_the_text_where_it_is_complete(
    text: str, strings: list[str], expected: int | None
) -> None:
    tokenizer = character_tokenizer("abcd;\n")
    assert first_end(stops_of(tokenizer, *strings), tokenizer.encode(text)) == expected


def test_a_token_ends_the_text_whatever_the_strings() -> None:
    tokenizer = character_tokenizer("abc;")
    ids = [*tokenizer.encode("ab"), tokenizer.eos_token_id, *tokenizer.encode(";")]
    assert first_end(stops_of(tokenizer, ";", tokens=(tokenizer.eos_token_id,)), ids) == 3


def test_a_string_inside_a_token_ends_the_text() -> None:
    tokenizer = bpe_tokenizer([";!"] * 9, 262)
    ids = tokenizer.encode("a;!")
    assert len(ids) == 2
    assert first_end(stops_of(tokenizer, ";"), ids) == 2


@pytest.mark.parametrize("stop", ["é", "漢", "😀!"])
def test_a_character_spread_over_tokens_ends_the_text_with_its_last_byte(stop: str) -> None:
    tokenizer = bpe_tokenizer(["plain"], 260)
    ids = tokenizer.encode(f"x{stop}y")
    assert first_end(stops_of(tokenizer, stop), ids) == len(ids) - 1


def test_other_characters_with_the_same_first_bytes_end_nothing() -> None:
    tokenizer = bpe_tokenizer(["plain"], 260)
    assert first_end(stops_of(tokenizer, "😀"), tokenizer.encode("x😁y")) is None


def test_spaces_at_word_beginnings_count() -> None:
    vocabulary = {"<unk>": 0, "▁a": 1, "▁b": 2, "a": 3}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.decoder = decoders.Metaspace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    assert first_end(stops_of(tokenizer, " b"), [1, 1, 2, 1]) == 3


def test_special_tokens_between_do_not_hide_a_string() -> None:
    tokenizer = character_tokenizer("abc;")
    a, b = tokenizer.encode("ab")
    ids = [a, *[tokenizer.pad_token_id] * 9, b]
    assert first_end(stops_of(tokenizer, "ab"), ids) == len(ids)
