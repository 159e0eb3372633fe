from fractions import Fraction

import pytest

from tillbook.errors import AmountError, UnknownRate
from tillbook.money import Money
from tillbook.rates import RateTable


def make_table():
    rates = RateTable("EUR")
    rates.set("EUR", "USD", "1.25")
    rates.set("EUR", "JPY", 160)
    rates.set("GBP", "EUR", "1.2")
    return rates


def test_a_currency_is_worth_itself():
    table = make_table()
    assert table.rate("USD", "USD") == 1
    assert table.rate("XXX", "XXX") == 1


def test_a_direct_rate_is_used():
    table = make_table()
    assert table.rate("EUR", "USD") == Fraction(5, 4)


def test_the_inverse_of_a_rate_is_known():
    table = make_table()
    assert table.rate("USD", "EUR") == Fraction(4, 5)


def test_other_rates_go_over_the_base():
    table = make_table()
    assert table.rate("GBP", "USD") == Fraction(3, 2)
    assert table.rate("USD", "JPY") == 128


def test_a_direct_rate_counts_more_than_the_way_over_the_base():
    table = make_table()
    table.set("USD", "JPY", 130)
    assert table.rate("USD", "JPY") == 130


def test_an_unknown_currency_has_no_rate():
    table = make_table()
    with pytest.raises(UnknownRate, match="USD to SEK"):
        table.rate("USD", "SEK")
    with pytest.raises(UnknownRate):
        table.rate("SEK", "USD")


@pytest.mark.parametrize("rate", ["0", "-1.5", 0])
def test_a_rate_must_be_positive(rate):
    table = make_table()
    with pytest.raises(AmountError, match="positive"):
        table.set("EUR", "SEK", rate)


def test_an_amount_is_converted():
    table = make_table()
    assert table.convert(Money(1000, "EUR"), "USD") == Money(1250, "USD")
    assert table.convert(Money(999, "GBP"), "EUR") == Money(1199, "EUR")


def test_conversion_minds_the_digits_of_both_currencies():
    table = make_table()
    assert table.convert(Money(1000, "EUR"), "JPY") == Money(1600, "JPY")
    assert table.convert(Money(1600, "JPY"), "EUR") == Money(1000, "EUR")


def test_the_fee_is_kept_back():
    rates = RateTable("EUR", fee_percent=2)
    rates.set("EUR", "USD", "1.25")
    assert rates.convert(Money(1000, "EUR"), "USD") == Money(1225, "USD")


def test_an_amount_in_its_own_currency_costs_no_fee():
    assert RateTable("EUR", fee_percent=2).convert(Money(5, "EUR"), "EUR") == Money(5, "EUR")


def test_known_currencies_are_listed_in_order():
    table = make_table()
    assert table.currencies() == ["EUR", "GBP", "JPY", "USD"]
    assert RateTable("CHF").currencies() == ["CHF"]
