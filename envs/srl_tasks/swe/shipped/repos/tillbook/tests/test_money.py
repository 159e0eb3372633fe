from fractions import Fraction

import pytest

from tillbook.errors import AmountError, CurrencyMismatch
from tillbook.money import Money, exponent_of, parse_money, round_half_away, total_of


def euros(minor):
    return Money(minor, "EUR")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Fraction(5, 2), 3),
        (Fraction(-5, 2), -3),
        (Fraction(9, 4), 2),
        (Fraction(-9, 4), -2),
        (Fraction(11, 4), 3),
        (Fraction(0), 0),
        (Fraction(7), 7),
    ],
)
def test_halves_are_rounded_away_from_zero(value, expected):
    assert round_half_away(value) == expected


def test_yen_have_no_cents_and_dinars_have_three_digits():
    assert exponent_of("JPY") == 0
    assert exponent_of("KWD") == 3
    assert exponent_of("EUR") == 2


def test_amounts_are_added_and_subtracted():
    assert euros(150) + euros(275) == euros(425)
    assert euros(150) - euros(275) == euros(-125)
    assert -euros(30) == euros(-30)


def test_different_currencies_cannot_be_combined():
    with pytest.raises(CurrencyMismatch, match="EUR and USD"):
        euros(1) + Money(1, "USD")
    with pytest.raises(CurrencyMismatch):
        euros(1) - Money(1, "USD")
    with pytest.raises(CurrencyMismatch):
        _ = euros(1) < Money(2, "USD")


def test_amounts_are_compared():
    assert euros(1) < euros(2)
    assert not euros(2) < euros(2)
    assert euros(2) <= euros(2)
    assert not euros(3) <= euros(2)


def test_zero_and_negative_are_told_apart():
    assert euros(0).is_zero()
    assert not euros(0).is_negative()
    assert euros(-1).is_negative()
    assert not euros(-1).is_zero()
    assert not euros(1).is_negative()


def test_a_product_is_rounded_to_whole_cents():
    assert euros(333).times(Fraction(1, 2)) == euros(167)
    assert euros(333).times(3) == euros(999)


def test_a_percentage_of_an_amount():
    assert euros(1999).percent(19) == euros(380)
    assert euros(200).percent(Fraction(15, 2)) == euros(15)


def test_split_parts_differ_by_one_cent_at_most():
    assert [part.minor for part in euros(1000).split(3)] == [334, 333, 333]
    assert [part.minor for part in euros(-1001).split(3)] == [-334, -334, -333]


def test_one_part_is_the_whole_amount():
    assert euros(77).split(1) == [euros(77)]


def test_no_parts_are_refused():
    with pytest.raises(AmountError, match="0 parts"):
        euros(10).split(0)


def test_shares_add_up_to_the_amount():
    shares = euros(100).allocate([1, 2, 4])
    assert [share.minor for share in shares] == [15, 28, 57]
    assert sum(share.minor for share in shares) == 100


def test_nothing_goes_to_a_share_without_weight():
    assert [share.minor for share in euros(5).allocate([0, 1, 1])] == [0, 3, 2]


def test_weights_must_be_positive():
    with pytest.raises(AmountError):
        euros(5).allocate([0, 0])
    with pytest.raises(AmountError):
        euros(5).allocate([3, -1])


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Money(123450, "EUR"), "1,234.50 EUR"),
        (Money(5, "EUR"), "0.05 EUR"),
        (Money(-1999, "USD"), "-19.99 USD"),
        (Money(1200, "JPY"), "1,200 JPY"),
        (Money(1500, "KWD"), "1.500 KWD"),
    ],
)
def test_an_amount_is_written_with_its_code(amount, text):
    assert amount.text() == text


def test_a_known_symbol_stands_before_the_number():
    assert Money(-1999, "USD").text(symbol=True) == "-$19.99"
    assert Money(80000, "JPY").text(symbol=True) == "¥80,000"
    assert Money(100, "CHF").text(symbol=True) == "1.00 CHF"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", Money(1200, "EUR")),
        ("12.5", Money(1250, "EUR")),
        ("1,234.50", Money(123450, "EUR")),
        (" -0.07 ", Money(-7, "EUR")),
        ("$3.20", Money(320, "USD")),
        ("3.20 usd", Money(320, "USD")),
        ("-¥15", Money(-15, "JPY")),
        ("1.250 KWD", Money(1250, "KWD")),
    ],
)
def test_amounts_are_read(text, expected):
    assert parse_money(text) == expected


def test_the_given_currency_is_used_where_the_text_names_none():
    assert parse_money("15", "JPY") == Money(15, "JPY")


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "12,34", "--5", "5 euros"])
def test_other_texts_are_refused(text):
    with pytest.raises(AmountError, match="not an amount"):
        parse_money(text)


def test_too_many_digits_are_refused():
    with pytest.raises(AmountError, match="2 digits"):
        parse_money("1.005")
    with pytest.raises(AmountError, match="0 digits"):
        parse_money("1.5 JPY")


def test_a_sum_of_nothing_is_zero_of_the_currency():
    assert total_of([], "USD") == Money(0, "USD")
    assert total_of([euros(1), euros(2), euros(3)], "USD") == euros(6)
