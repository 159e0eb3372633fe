import pytest

from stockroom.ledger import Ledger, Movement
from stockroom.report import (
    abc_classes,
    by_family,
    cell_text,
    columns,
    money,
    stock_table,
    turnover,
    value_table,
)
from stockroom.stock import Stock
from stockroom.units import Packing
from stockroom.valuation import Valuation


def make_stock():
    stock = Stock()
    stock.receive("bolt-10", 30, "a1")
    stock.receive("bolt-9", 7, "a2")
    stock.receive("nut-1", 12, "a1")
    stock.move("nut-1", 2, "a1", "b")
    stock.reserve("o", "nut 1", 5)
    return stock


def test_the_table():
    assert stock_table(make_stock(), {"NUT-1": Packing(6, 1), "BOLT-10": Packing(20, 100)}) == [
        "code     on hand          available  shelves",
        "BOLT-9   7 units                  7  A2 7",
        "BOLT-10  1 pack 10 units         30  A1 30",
        "NUT-1    2 packs                  7  A1 10, B 2",
    ]


def test_an_empty_table():
    assert stock_table(Stock()) == ["code  on hand  available  shelves"]


def test_families():
    assert by_family(make_stock()) == {"BOLT": 37, "NUT": 12}
    assert by_family(make_stock(), 2) == {"BOLT-9": 7, "BOLT-10": 30, "NUT-1": 12}


def test_turnover():
    ledger = Ledger()
    ledger.record(Movement("receive", "A", 10, day=1))
    ledger.record(Movement("ship", "A", 5, day=2))
    ledger.record(Movement("ship", "A", 2, day=4))
    assert turnover(ledger, "a", 1, 4) == round(7 / (23 / 4), 3)
    assert turnover(ledger, "a", 3, 3) == 0
    assert turnover(ledger, "b", 1, 4) == 0
    assert turnover(ledger, "a", 4, 3) == 0


def test_classes():
    values = {"a": 70, "b": 15, "c": 10, "d": 5}
    assert abc_classes(values) == {"a": "A", "b": "A", "c": "B", "d": "C"}
    assert abc_classes(values, 50, 90) == {"a": "A", "b": "B", "c": "B", "d": "C"}
    assert abc_classes({}) == {}


def test_values_in_lines():
    value = Valuation()
    value.buy("b", 2, 5)
    assert value_table(value, ["B"]) == [
        "code   units  value",
        "B          2   0.10",
        "total          0.10",
    ]


@pytest.mark.parametrize(
    ("cents", "text"),
    [(0, "0.00"), (5, "0.05"), (123450, "1,234.50"), (-99, "-0.99"), (-100000, "-1,000.00")],
)
def test_money(cents, text):
    assert money(cents) == text


def test_columns():
    assert columns([("a", "bb", "c"), ("aaa", "1", "-20")]) == ["a    bb  c", "aaa   1  -20"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [("12", "   12"), ("-3", "   -3"), ("a1", "a1   "), ("2 x", "2 x  "), ("", "     ")],
)
def test_cells(cell, text):
    assert cell_text(cell, 5) == text
