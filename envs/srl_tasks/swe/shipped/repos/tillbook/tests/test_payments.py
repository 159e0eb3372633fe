from datetime import date

import pytest

from tillbook.errors import AmountError, CurrencyMismatch, InvoiceError
from tillbook.money import Money
from tillbook.payments import Account, Payment

TODAY = date(2024, 5, 2)


def euros(minor):
    return Money(minor, "EUR")


def make_account():
    made = Account("EUR")
    made.charge("B", date(2024, 5, 1), euros(500))
    made.charge("A", date(2024, 4, 1), euros(300))
    made.charge("C", date(2024, 6, 1), euros(200))
    return made


def open_amounts(account):
    return [(item.number, item.open_amount().minor) for item in account.open_items()]


def test_open_invoices_are_ordered_by_due_date():
    account = make_account()
    assert open_amounts(account) == [("A", 300), ("B", 500), ("C", 200)]
    assert account.balance() == euros(1000)


def test_the_oldest_invoice_is_paid_first():
    account = make_account()
    assert account.receive(Payment(TODAY, euros(400))) == ["A"]
    assert open_amounts(account) == [("B", 400), ("C", 200)]


def test_the_invoice_a_payment_names_comes_first():
    account = make_account()
    assert account.receive(Payment(TODAY, euros(250), "C")) == ["C"]
    assert open_amounts(account) == [("A", 250), ("B", 500)]


def test_a_payment_settles_several_invoices():
    account = make_account()
    assert account.receive(Payment(TODAY, euros(800))) == ["A", "B"]
    assert account.balance() == euros(200)


def test_what_is_left_over_is_credit():
    account = make_account()
    account.receive(Payment(TODAY, euros(1200)))
    assert account.credit == euros(200)
    assert account.balance() == euros(-200)
    assert account.open_items() == []


def test_credit_is_used_for_the_next_invoice():
    account = make_account()
    account.receive(Payment(TODAY, euros(1200)))
    account.charge("D", date(2024, 7, 1), euros(150))
    assert account.credit == euros(50)
    account.charge("E", date(2024, 7, 1), euros(150))
    assert account.credit == euros(0)
    assert open_amounts(account) == [("E", 100)]


@pytest.mark.parametrize("minor", [0, -5])
def test_a_payment_is_positive(minor):
    account = make_account()
    with pytest.raises(AmountError, match="positive"):
        account.receive(Payment(TODAY, euros(minor)))


def test_an_unknown_reference_is_refused():
    account = make_account()
    with pytest.raises(InvoiceError, match="no invoice Z"):
        account.receive(Payment(TODAY, euros(5), "Z"))


def test_an_invoice_is_charged_once():
    account = make_account()
    with pytest.raises(InvoiceError, match="already"):
        account.charge("A", TODAY, euros(1))


def test_a_charge_is_in_the_currency_of_the_account():
    account = make_account()
    with pytest.raises(CurrencyMismatch):
        account.charge("D", TODAY, Money(1, "USD"))


def test_an_invoice_is_overdue_after_its_due_date():
    account = make_account()
    assert [item.number for item in account.overdue(date(2024, 5, 1))] == ["A"]
    assert [item.number for item in account.overdue(date(2024, 5, 2))] == ["A", "B"]


def test_a_settled_invoice_is_not_overdue():
    account = make_account()
    account.receive(Payment(TODAY, euros(300)))
    assert [item.number for item in account.overdue(TODAY)] == ["B"]
