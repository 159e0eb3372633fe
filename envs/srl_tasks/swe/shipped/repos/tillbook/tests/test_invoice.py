from datetime import date

import pytest

from tillbook.discounts import fixed_off, percent_off
from tillbook.errors import CurrencyMismatch, InvoiceError
from tillbook.invoice import Invoice, LineItem, next_number
from tillbook.money import Money
from tillbook.tax import standard_table


def euros(minor):
    return Money(minor, "EUR")


def make_invoice():
    made = Invoice("2024-0007", date(2024, 3, 1))
    made.add(LineItem("Desk", euros(24900), 2, "furniture"))
    made.add(LineItem("Coffee", euros(1250), 4, "food"))
    return made


def test_an_item_costs_price_times_quantity():
    assert LineItem("Pen", euros(120), 3).net() == euros(360)


def test_the_subtotal_is_the_sum_of_all_items():
    invoice = make_invoice()
    assert invoice.subtotal() == euros(54800)
    assert Invoice("2024-0001", date(2024, 1, 1), "USD").subtotal() == Money(0, "USD")


def test_an_item_seen_before_joins_the_earlier_one():
    invoice = make_invoice()
    invoice.add(LineItem("Coffee", euros(1250), 2, "food"))
    assert [(item.name, item.quantity) for item in invoice.items] == [("Desk", 2), ("Coffee", 6)]


def test_an_item_at_another_price_stands_on_its_own():
    invoice = make_invoice()
    invoice.add(LineItem("Coffee", euros(1300), 2, "food"))
    assert len(invoice.items) == 3


def test_a_quantity_is_at_least_one():
    invoice = make_invoice()
    with pytest.raises(InvoiceError, match="at least 1"):
        invoice.add(LineItem("Pen", euros(120), 0))


def test_another_currency_is_refused():
    invoice = make_invoice()
    with pytest.raises(CurrencyMismatch):
        invoice.add(LineItem("Pen", Money(120, "USD")))


def test_nothing_is_added_once_issued():
    invoice = make_invoice()
    invoice.issue()
    with pytest.raises(InvoiceError, match="is issued; nothing"):
        invoice.add(LineItem("Pen", euros(120)))


def test_an_invoice_is_issued_once():
    invoice = make_invoice()
    invoice.issue()
    assert invoice.issued
    with pytest.raises(InvoiceError, match="already"):
        invoice.issue()


def test_an_empty_invoice_is_not_issued():
    empty = Invoice("2024-0001", date(2024, 1, 1))
    with pytest.raises(InvoiceError, match="no items"):
        empty.issue()
    assert not empty.issued


def test_without_discount_nothing_comes_off():
    invoice = make_invoice()
    assert invoice.discount_amount() == euros(0)
    assert invoice.nets_by_category() == {"furniture": euros(49800), "food": euros(5000)}


def test_the_discount_is_shared_out_over_the_categories():
    invoice = make_invoice()
    invoice.discount = percent_off(10)
    assert invoice.discount_amount() == euros(5480)
    assert invoice.nets_by_category() == {"furniture": euros(44820), "food": euros(4500)}


def test_a_total_has_discount_and_tax():
    invoice = make_invoice()
    assert invoice.tax(standard_table()) == euros(9462 + 350)
    assert invoice.total(standard_table()) == euros(64612)
    invoice.discount = percent_off(10)
    assert invoice.total(standard_table()) == euros(58151)


def test_a_discount_of_everything_leaves_nothing_to_tax():
    invoice = make_invoice()
    invoice.discount = fixed_off(euros(99999))
    assert invoice.total(standard_table()) == euros(0)


@pytest.mark.parametrize(
    ("day", "terms", "due"),
    [
        (date(2024, 3, 1), 30, date(2024, 4, 1)),
        (date(2024, 3, 4), 14, date(2024, 3, 18)),
        (date(2024, 3, 4), 11, date(2024, 3, 15)),
        (date(2024, 3, 4), 12, date(2024, 3, 18)),
        (date(2024, 3, 3), 0, date(2024, 3, 4)),
    ],
)
def test_an_invoice_is_due_on_a_working_day(day, terms, due):
    assert Invoice("2024-0001", day, terms_days=terms).due_date() == due


def test_numbers_count_up_within_a_year():
    assert next_number("2024-0007", 2024) == "2024-0008"
    assert next_number("2024-9999", 2024) == "2024-10000"


def test_numbers_start_anew_each_year():
    assert next_number("2024-0007", 2025) == "2025-0001"


def test_numbers_do_not_go_back():
    with pytest.raises(InvoiceError, match="lies before"):
        next_number("2024-0007", 2023)


@pytest.mark.parametrize("number", ["2024-7", "24-0007", "2024/0007", ""])
def test_other_forms_are_no_invoice_numbers(number):
    with pytest.raises(InvoiceError, match="not an invoice number"):
        next_number(number, 2024)
