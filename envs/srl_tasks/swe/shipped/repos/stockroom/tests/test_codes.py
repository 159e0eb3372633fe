import pytest

from stockroom.codes import (
    character_value,
    check_digit,
    clean_code,
    family,
    is_valid,
    sort_key,
    with_check_digit,
)
from stockroom.errors import CodeError


@pytest.mark.parametrize(
    ("code", "cleaned"),
    [
        ("ab-1", "AB-1"),
        (" a b  c ", "A-B-C"),
        ("x_1/2.3", "X-1-2-3"),
        ("-a--b-", "A-B"),
        ("7", "7"),
    ],
)
def test_codes_are_cleaned(code, cleaned):
    assert clean_code(code) == cleaned


@pytest.mark.parametrize("code", ["", "--", "a+b", "ä", "a#"])
def test_what_is_no_code(code):
    with pytest.raises(CodeError):
        clean_code(code)


@pytest.mark.parametrize(
    ("code", "digit"), [("0", 0), ("1", 7), ("12", 3), ("A", 0), ("bolt-m8", 3)]
)
def test_check_digits(code, digit):
    assert check_digit(code) == digit


def test_values_of_characters():
    assert [character_value(c) for c in "09AZ"] == [0, 9, 10, 35]


@pytest.mark.parametrize("code", ["1", "bolt-m8", "A B", "x-9-9"])
def test_a_code_with_its_digit_is_valid(code):
    assert is_valid(with_check_digit(code))


@pytest.mark.parametrize("code", ["1-8", "7", "bolt-m8-0", "", "A-B"])
def test_codes_without_their_digit(code):
    assert not is_valid(code)


def test_families():
    assert family("a b c") == "A"
    assert family("a b c", 2) == "A-B"
    assert family("a", 3) == "A"


def test_codes_are_sorted_with_numbers_as_numbers():
    codes = ["B-2", "A-10", "A-9", "10", "A", "9-Z"]
    assert sorted(codes, key=sort_key) == ["9-Z", "10", "A", "A-9", "A-10", "B-2"]
