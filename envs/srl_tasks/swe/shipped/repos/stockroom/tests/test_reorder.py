import pytest

from stockroom.errors import StockroomError
from stockroom.reorder import (
    Rule,
    ceiling,
    daily_use,
    days_left,
    economic_quantity,
    order_quantity,
    proposals,
)
from stockroom.stock import Stock
from stockroom.units import Packing


def make_stock():
    stock = Stock()
    stock.receive("a", 100)
    stock.receive("b", 5)
    for day in range(1, 11):
        stock.day = day
        stock.reserve(f"o{day}", "a", 4)
        stock.ship(f"o{day}")
    return stock


def test_use_of_a_day():
    stock = make_stock()
    assert daily_use(stock.ledger, "a", 10, 10) == 4.0
    assert daily_use(stock.ledger, "a", 10, 5) == 4.0
    assert daily_use(stock.ledger, "a", 10) == 40 / 11
    assert daily_use(stock.ledger, "b", 10) == 0


def test_returns_are_no_use():
    stock = make_stock()
    stock.give_back("a", 20)
    assert daily_use(stock.ledger, "a", 10, 10) == 2.0
    stock.give_back("a", 30)
    assert daily_use(stock.ledger, "a", 10, 10) == 0


def test_days_that_the_stock_lasts():
    stock = make_stock()
    assert days_left(stock, "a", 10) == 15
    assert days_left(stock, "b") is None
    stock.reserve("big", "a", 30)
    assert days_left(stock, "a", 10) == 7


@pytest.mark.parametrize(
    ("rule", "on_order", "quantity"),
    [
        (Rule("point", 5, 20), 0, 15),
        (Rule("point", 4, 20), 0, 0),
        (Rule("point", 5, 20), 1, 0),
        (Rule("point", 9, 20), 3, 12),
        (Rule("point", 5, 20, packing=Packing(6)), 0, 18),
        (Rule("point", 5, 20, packing=Packing(6, 2), unit="case"), 0, 24),
        (Rule("days"), 0, 0),
        (Rule("never"), 0, 0),
    ],
)
def test_quantities_of_an_item(rule, on_order, quantity):
    assert order_quantity(make_stock(), "b", rule, on_order) == quantity


@pytest.mark.parametrize(("cover", "quantity"), [(10, 0), (30, 50), (20, 13)])
def test_quantities_by_days(cover, quantity):
    assert order_quantity(make_stock(), "a", Rule("days", cover=cover)) == quantity


def test_proposals_for_all_items():
    rules = {
        "b": Rule("point", 5, 20),
        "A": Rule("days", cover=30, packing=Packing(12)),
        "c": Rule("point", 0, 3),
        "d": Rule("never"),
    }
    assert proposals(make_stock(), rules) == {"A": 60, "B": 15, "C": 3}
    assert proposals(make_stock(), rules, {"B": 9, "c": 1}) == {"A": 60}


@pytest.mark.parametrize(
    "rule", [Rule("often"), Rule("point", 5, 5), Rule("days", cover=0), Rule("point", 5)]
)
def test_rules_that_cannot_be_followed(rule):
    with pytest.raises(StockroomError):
        order_quantity(make_stock(), "a", rule)


@pytest.mark.parametrize(
    ("yearly", "order", "holding", "quantity"), [(1000, 10, 2, 100), (0, 10, 2, 1), (12, 5, 3, 6)]
)
def test_economic_quantities(yearly, order, holding, quantity):
    assert economic_quantity(yearly, order, holding) == quantity


def test_holding_must_cost_something():
    with pytest.raises(StockroomError):
        economic_quantity(10, 1, 0)


def test_ceilings():
    assert [ceiling(number) for number in (2.0, 2.1, 0.1 * 3 * 10, 0.0)] == [2, 3, 3, 0]
