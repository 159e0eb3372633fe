import pytest

from stockroom.errors import NotEnough, QuantityError, StockroomError
from stockroom.valuation import Layer, Valuation, joined, rounded_share, split_layer


def bought(method):
    value = Valuation(method)
    value.buy("a", 10, 100)
    value.buy("A", 10, 200, 50)
    value.buy("b", 3, 7)
    return value


@pytest.mark.parametrize(
    ("method", "costs"),
    [("fifo", [500, 1525, 1025]), ("lifo", [1025, 1525, 500]), ("average", [763, 1525, 762])],
)
def test_the_cost_of_what_is_sold(method, costs):
    value = bought(method)
    assert [value.sell("a", quantity) for quantity in (5, 10, 5)] == costs
    assert value.value("a") == 0
    assert value.quantity("a") == 0


def test_fifo_adds_up():
    value = bought("fifo")
    total = sum(value.sell("a", 1) for _ in range(20))
    assert total == 3050
    assert value.cost_of_sales == 3050
    assert value.sold("A") == 20
    assert value.value() == 21


@pytest.mark.parametrize(("method", "cost"), [("fifo", 100), ("lifo", 205), ("average", 153)])
def test_the_next_unit(method, cost):
    assert bought(method).unit_cost("a") == cost
    assert bought(method).unit_cost("z") == 0


@pytest.mark.parametrize(("method", "cost"), [("fifo", 400), ("lifo", 820), ("average", 610)])
def test_taking_a_sale_back(method, cost):
    value = bought(method)
    assert value.sell("a", 4) == cost
    value.take_back("a", 4, cost)
    assert (value.sold("a"), value.cost_of_sales) == (0, 0)
    assert value.value("a") == 3050
    assert value.sell("a", 8) == 2 * cost


def test_more_than_was_sold_cannot_come_back():
    value = bought("fifo")
    value.sell("a", 2)
    with pytest.raises(NotEnough):
        value.take_back("a", 3, 300)


def test_more_than_is_there_cannot_be_sold():
    value = bought("fifo")
    with pytest.raises(NotEnough):
        value.sell("b", 4)
    with pytest.raises(NotEnough):
        value.sell("c", 1)
    assert value.quantity("b") == 3


def test_unknown_method():
    with pytest.raises(StockroomError):
        Valuation("best")


@pytest.mark.parametrize("quantity", [0, -1])
def test_quantities_must_be_positive(quantity):
    with pytest.raises(QuantityError):
        bought("fifo").buy("a", quantity, 5)
    with pytest.raises(QuantityError):
        bought("fifo").sell("a", quantity)


def test_fees_and_totals():
    value = bought("average")
    assert value.spent == 3071
    assert value.value() == 3071
    assert value.value("b") == 21


@pytest.mark.parametrize(
    ("price", "margin"), [(200, 500), (100, 0), (80, -250), (300, 667), (0, 0)]
)
def test_margins(price, margin):
    assert bought("fifo").margin("a", price) == margin


def test_layers():
    assert joined([Layer(1, 10), Layer(3, 5)]) == Layer(4, 15)
    assert split_layer(Layer(3, 100), 1) == (Layer(1, 33), Layer(2, 67))
    assert split_layer(Layer(4, 10), 1) == (Layer(1, 3), Layer(3, 7))


@pytest.mark.parametrize(
    ("amount", "part", "whole", "share"),
    [(10, 1, 4, 3), (10, 3, 4, 8), (9, 1, 3, 3), (-10, 1, 4, -3), (0, 1, 2, 0)],
)
def test_shares(amount, part, whole, share):
    assert rounded_share(amount, part, whole) == share
