import pytest

from stockroom.errors import QuantityError
from stockroom.ledger import Ledger, Movement


def make_ledger():
    ledger = Ledger()
    ledger.record(Movement("receive", "A", 10, day=1))
    ledger.record(Movement("ship", "A", 4, day=3))
    ledger.record(Movement("return", "A", 1, day=5))
    ledger.record(Movement("receive", "B", 7, day=2))
    ledger.record(Movement("count", "A", -2, day=4))
    ledger.record(Movement("scrap", "B", 3, day=5))
    return ledger


@pytest.mark.parametrize(
    ("kind", "change"),
    [("receive", 5), ("return", 5), ("ship", -5), ("scrap", -5), ("move", 0), ("count", 5)],
)
def test_what_movements_add(kind, change):
    assert Movement(kind, "A", 5).change() == change


def test_totals():
    ledger = make_ledger()
    assert [ledger.total(code) for code in ("a", "B", "C")] == [5, 4, 0]
    assert ledger.codes() == ["A", "B"]
    assert ledger.last_day == 5
    assert len(ledger) == 6


def test_movements_are_in_the_order_of_days():
    assert [movement.day for movement in make_ledger()] == [1, 2, 3, 4, 5, 5]
    assert [movement.kind for movement in make_ledger()][-2:] == ["return", "scrap"]


@pytest.mark.parametrize(("day", "stock"), [(0, 0), (1, 10), (3, 6), (4, 4), (5, 5), (9, 5)])
def test_the_stock_on_a_day(day, stock):
    assert make_ledger().on_day("A", day) == stock


def test_movements_of_some_days():
    assert [m.code for m in make_ledger().between(2, 4)] == ["B", "A", "A"]
    assert [m.quantity for m in make_ledger().between(0, 9, "receive")] == [10, 7]


def test_what_was_used():
    ledger = make_ledger()
    assert ledger.used("A", 1, 4) == 4
    assert ledger.used("A", 1, 5) == 3
    assert ledger.used("B", 1, 5) == 0


def test_taking_back_the_last_movement():
    ledger = make_ledger()
    assert ledger.undo_last("b") == Movement("scrap", "B", 3, day=5)
    assert ledger.total("B") == 7
    assert ledger.undo_last("a") == Movement("return", "A", 1, day=5)
    assert ledger.total("A") == 4
    assert ledger.last_day == 4
    assert ledger.undo_last("c") is None
    assert len(ledger) == 4


def test_taking_back_everything():
    ledger = Ledger()
    ledger.record(Movement("receive", "A", 2, day=3))
    ledger.undo_last("A")
    assert (ledger.total("A"), ledger.last_day, list(ledger)) == (0, 0, [])


@pytest.mark.parametrize(
    ("kind", "quantity"), [("receive", 0), ("ship", -1), ("gift", 1), ("move", 0)]
)
def test_movements_that_cannot_be(kind, quantity):
    with pytest.raises(QuantityError):
        Ledger().record(Movement(kind, "A", quantity))


def test_a_count_that_changes_nothing_is_not_recorded():
    ledger = Ledger()
    ledger.record(Movement("count", "A", 0))
    assert len(ledger) == 0
