import pytest

from stockroom.errors import NotEnough, QuantityError, StockroomError, UnknownOrder
from stockroom.ledger import Movement
from stockroom.stock import Stock


def make_stock():
    stock = Stock()
    stock.receive("a-1", 10, "x")
    stock.receive("A 1", 5, "y")
    stock.receive("b", 4)
    stock.reserve("first", "a-1", 6)
    return stock


def numbers(stock, code):
    return stock.on_hand(code), stock.reserved(code), stock.available(code)


def test_what_is_there():
    stock = make_stock()
    assert numbers(stock, "a_1") == (15, 6, 9)
    assert numbers(stock, "b") == (4, 0, 4)
    assert numbers(stock, "c") == (0, 0, 0)
    assert stock.shelves_of("a-1") == {"X": 10, "Y": 5}
    assert stock.on_shelf("b") == 4
    assert stock.codes() == ["A-1", "B"]


def test_returned_units():
    stock = make_stock()
    assert stock.give_back("b", 2) == Movement("return", "B", 2, "DOCK")
    assert numbers(stock, "b") == (6, 0, 6)


def test_scrapping():
    stock = make_stock()
    stock.scrap("a-1", 3, "y")
    assert numbers(stock, "a-1") == (12, 6, 6)
    assert stock.shelves_of("a-1") == {"X": 10, "Y": 2}
    assert stock.ledger.total("a-1") == 12


@pytest.mark.parametrize(("quantity", "shelf"), [(10, "x"), (6, "y"), (1, "z")])
def test_more_than_can_be_scrapped(quantity, shelf):
    with pytest.raises(NotEnough):
        make_stock().scrap("a-1", quantity, shelf)


def test_moving():
    stock = make_stock()
    assert stock.move("a-1", 4, "x", " q ") == Movement("move", "A-1", 4, "Q")
    assert stock.shelves_of("a-1") == {"Q": 4, "X": 6, "Y": 5}
    assert stock.on_hand("a-1") == 15


def test_moving_what_is_not_there():
    with pytest.raises(NotEnough) as caught:
        make_stock().move("a-1", 6, "y", "x")
    assert (caught.value.code, caught.value.wanted, caught.value.there) == ("A-1", 6, 5)


@pytest.mark.parametrize(("counted", "difference"), [(10, 0), (12, 2), (7, -3)])
def test_counting(counted, difference):
    stock = make_stock()
    assert stock.count("a-1", counted, "x") == difference
    assert stock.on_hand("a-1") == 15 + difference
    assert stock.on_shelf("a-1", "x") == counted
    assert stock.ledger.total("a-1") == 15 + difference


def test_a_count_below_what_is_reserved():
    stock = make_stock()
    with pytest.raises(StockroomError):
        stock.count("a-1", 0, "x")
    assert stock.on_hand("a-1") == 15


def test_reserving():
    stock = make_stock()
    assert stock.reserve("first", "a-1", 2) == 8
    assert stock.reserve("second", "a-1", 7) == 7
    assert numbers(stock, "a-1") == (15, 15, 0)
    assert stock.orders() == ["first", "second"]


def test_more_than_is_available():
    stock = make_stock()
    with pytest.raises(NotEnough) as caught:
        stock.reserve("second", "a-1", 10)
    assert str(caught.value) == "A-1: 10 wanted, 9 there"
    assert stock.orders() == ["first"]


def test_releasing_an_item():
    stock = make_stock()
    stock.reserve("first", "b", 1)
    assert stock.release("first", "a 1") == 6
    assert numbers(stock, "a-1") == (15, 0, 15)
    assert stock.orders() == ["first"]
    assert stock.release("first", "c") == 0


def test_releasing_an_order():
    stock = make_stock()
    stock.reserve("first", "b", 1)
    assert stock.release("first") == 7
    assert numbers(stock, "b") == (4, 0, 4)
    assert stock.orders() == []


def test_shipping_takes_from_the_fullest_shelf():
    stock = make_stock()
    stock.reserve("first", "a-1", 6)
    stock.day = 3
    assert stock.ship("first") == [
        Movement("ship", "A-1", 10, "X", 3),
        Movement("ship", "A-1", 2, "Y", 3),
    ]
    assert numbers(stock, "a-1") == (3, 0, 3)
    assert stock.shelves_of("a-1") == {"Y": 3}
    assert stock.orders() == []
    assert stock.ledger.used("a-1", 3, 3) == 12


def test_a_nearly_empty_shelf_is_left_for_later():
    stock = make_stock()
    stock.move("b", 1, "dock", "a")
    stock.reserve("second", "b", 2)
    assert stock.ship("second") == [Movement("ship", "B", 2, "DOCK")]


def test_shipping_everything():
    stock = make_stock()
    stock.reserve("second", "b", 4)
    stock.ship("second")
    assert stock.codes() == ["A-1"]
    stock.release("first")
    stock.reserve("third", "a-1", 15)
    assert len(stock.ship("third")) == 2
    assert stock.codes() == []


@pytest.mark.parametrize("act", [Stock.release, Stock.ship])
def test_unknown_orders(act):
    with pytest.raises(UnknownOrder):
        act(make_stock(), "none")


@pytest.mark.parametrize("quantity", [0, -2])
def test_quantities_must_be_positive(quantity):
    stock = make_stock()
    for act in (stock.receive, stock.give_back, stock.scrap):
        with pytest.raises(QuantityError):
            act("b", quantity)
    with pytest.raises(QuantityError):
        stock.reserve("o", "b", quantity)


def test_the_ledger_agrees():
    stock = make_stock()
    stock.ship("first")
    stock.give_back("a-1", 1, "x")
    stock.count("b", 3)
    assert [stock.ledger.total(code) for code in ("a-1", "b")] == [
        stock.on_hand("a-1"),
        stock.on_hand("b"),
    ]
    assert stock.on_hand("a-1") == 10
