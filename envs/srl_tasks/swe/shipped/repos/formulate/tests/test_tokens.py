import pytest

from formulate.errors import SyntaxFault
from formulate.tokens import Token, tokenize


def kinds(source):
    return [(token.kind, token.text) for token in tokenize(source)[:-1]]


def test_an_empty_text_has_only_an_end():
    assert tokenize("") == [Token("end", "", 0)]
    assert tokenize("  ") == [Token("end", "", 2)]


def test_tokens_know_where_they_begin():
    assert [token.position for token in tokenize("ab + 1")] == [0, 3, 5, 6]


@pytest.mark.parametrize("text", ["0", "12", "1.5", ".5", "1.", "2e3", "2E-3", "1.5e+10"])
def test_numbers_are_one_token(text):
    assert kinds(text) == [("number", text)]


def test_an_exponent_needs_digits():
    assert kinds("2e") == [("number", "2"), ("name", "e")]
    assert kinds("2e+") == [("number", "2"), ("name", "e"), ("operator", "+")]


def test_a_second_point_begins_another_number():
    assert kinds("1.2.3") == [("number", "1.2"), ("number", ".3")]


def test_texts_stand_in_either_quote():
    assert kinds("'a b'") == [("text", "a b")]
    assert kinds('"it\'s"') == [("text", "it's")]
    assert kinds("''") == [("text", "")]


def test_a_doubled_quote_stands_for_one():
    assert kinds("'it''s'") == [("text", "it's")]
    assert kinds("''''") == [("text", "'")]


def test_a_text_must_be_closed():
    with pytest.raises(SyntaxFault, match="not closed at position 4"):
        tokenize("a & 'b")


def test_names_may_hold_dots_digits_and_underscores():
    assert kinds("order.net_2") == [("name", "order.net_2")]
    assert kinds("_x") == [("name", "_x")]


def test_a_name_does_not_end_with_a_dot():
    with pytest.raises(SyntaxFault, match="ends with a dot"):
        tokenize("order.")


def test_words_are_known_in_any_case():
    assert kinds("AND not True") == [("word", "and"), ("word", "not"), ("word", "true")]
    assert kinds("android") == [("name", "android")]


def test_longer_operators_are_preferred():
    assert kinds("a<=b") == [("name", "a"), ("operator", "<="), ("name", "b")]


def test_brackets_and_commas_are_punctuation():
    assert kinds("(,)") == [("punctuation", "("), ("punctuation", ","), ("punctuation", ")")]


@pytest.mark.parametrize("text", ["#", "a $ b", "a = b", "."])
def test_other_characters_are_refused(text):
    with pytest.raises(SyntaxFault, match="unexpected character"):
        tokenize(text)


def test_the_fault_knows_its_position():
    with pytest.raises(SyntaxFault) as caught:
        tokenize("a $ b")
    assert caught.value.position == 2
