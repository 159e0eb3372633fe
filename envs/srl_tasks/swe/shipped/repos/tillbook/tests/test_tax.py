from fractions import Fraction

import pytest

from tillbook.errors import AmountError, UnknownRate
from tillbook.money import Money
from tillbook.tax import TaxTable, add_tax, included_tax, standard_table


def euros(minor):
    return Money(minor, "EUR")


def test_tax_is_put_on_top():
    assert add_tax(euros(1000), 19) == euros(1190)
    assert add_tax(euros(1000), Fraction(11, 2)) == euros(1055)


def test_tax_inside_a_price_is_found():
    assert included_tax(euros(1190), 19) == euros(190)
    assert included_tax(euros(1070), 7) == euros(70)
    assert included_tax(euros(1000), 0) == euros(0)


def test_each_category_has_its_rate():
    table = standard_table()
    assert table.rate("food") == 7
    assert table.rate("books") == 7
    assert table.rate("furniture") == 19
    assert table.rate("postage") == 0


def test_an_exempt_category_is_not_taxed_even_with_a_rate():
    table = TaxTable({"books": 7}, exempt=frozenset({"books"}))
    assert table.rate("books") == 0


def test_a_category_without_rate_or_default_is_unknown():
    with pytest.raises(UnknownRate, match="'toys'"):
        TaxTable({"food": 7}).rate("toys")


def test_a_default_of_zero_is_a_default():
    assert TaxTable({"food": 7}, default=0).rate("toys") == 0


def test_negative_rates_are_refused():
    with pytest.raises(AmountError, match="food"):
        TaxTable({"food": -7})
    assert TaxTable({"food": 0}).rate("food") == 0


def test_tax_of_a_category():
    assert standard_table().tax(euros(999), "food") == euros(70)


def test_the_summary_lists_taxed_categories_by_tax():
    nets = {"food": euros(1000), "postage": euros(500), "tools": euros(1000)}
    assert standard_table().summary(nets) == [
        ("tools", euros(1000), euros(190)),
        ("food", euros(1000), euros(70)),
    ]


def test_equal_taxes_are_listed_by_name():
    nets = {"food": euros(1000), "books": euros(1000)}
    assert [row[0] for row in standard_table().summary(nets)] == ["books", "food"]
