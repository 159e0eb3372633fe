"""What the stock cost, in whole cents."""

from __future__ import annotations

from dataclasses import dataclass

from stockroom.codes import clean_code
from stockroom.errors import NotEnough, StockroomError
from stockroom.units import check_positive

METHODS = ("fifo", "lifo", "average")


@dataclass(frozen=True)
class Layer:
    """Units that were bought together. cost: of all of them."""

    quantity: int
    cost: int


class Valuation:
    """Layers of each item, oldest first.

    method: "fifo" sells the oldest units first, "lifo" the newest; "average" joins all layers.
    """

    def __init__(self, method: str = "fifo") -> None:
        if method not in METHODS:
            raise StockroomError(f"no method {method!r}")
        self.method = method
        self._layers: dict[str, list[Layer]] = {}
        self._sold: dict[str, int] = {}
        self.spent = 0
        self.cost_of_sales = 0

    def buy(self, code: str, quantity: int, price: int, fee: int = 0) -> None:
        """Adds units at a price each; fee: of the whole purchase."""
        code = clean_code(code)
        cost = check_positive(quantity) * price + fee
        layers = self._layers.setdefault(code, [])
        layers.append(Layer(quantity, cost))
        if self.method == "average":
            layers[:] = [joined(layers)]
        self.spent += cost

    def sell(self, code: str, quantity: int) -> int:
        """The cost of units that are sold. Raises NotEnough."""
        code = clean_code(code)
        quantity = check_positive(quantity)
        if quantity > self.quantity(code):
            raise NotEnough(code, quantity, self.quantity(code))
        layers = self._layers[code]
        left, cost = quantity, 0
        while left:
            place = -1 if self.method == "lifo" else 0
            layer = layers.pop(place)
            taken, rest = split_layer(layer, min(left, layer.quantity))
            if rest.quantity:
                layers.insert(len(layers) if place else 0, rest)
            left -= taken.quantity
            cost += taken.cost
        self._sold[code] = self.sold(code) + quantity
        self.cost_of_sales += cost
        return cost

    def take_back(self, code: str, quantity: int, cost: int) -> None:
        """Undoes a sale: the units come back at what they cost, to be sold next.

        Raises NotEnough for more than were sold.
        """
        code = clean_code(code)
        quantity = check_positive(quantity)
        if quantity > self.sold(code):
            raise NotEnough(code, quantity, self.sold(code))
        layers = self._layers.setdefault(code, [])
        layers.insert(len(layers) if self.method == "lifo" else 0, Layer(quantity, cost))
        if self.method == "average":
            layers[:] = [joined(layers)]
        self._sold[code] -= quantity
        self.cost_of_sales -= cost

    def quantity(self, code: str) -> int:
        """How many units of an item are there."""
        return sum(layer.quantity for layer in self._layers.get(clean_code(code), []))

    def sold(self, code: str) -> int:
        """How many units of an item were sold."""
        return self._sold.get(clean_code(code), 0)

    def value(self, code: str | None = None) -> int:
        """What the units that are there cost; of all items by default."""
        codes = list(self._layers) if code is None else [clean_code(code)]
        return sum(layer.cost for each in codes for layer in self._layers.get(each, []))

    def unit_cost(self, code: str) -> int:
        """What the next unit costs, rounded to cents; 0 where there is none."""
        layers = self._layers.get(clean_code(code), [])
        if not layers:
            return 0
        layer = layers[-1] if self.method == "lifo" else layers[0]
        return rounded_share(layer.cost, 1, layer.quantity)

    def margin(self, code: str, price: int) -> int:
        """What is earned on the next unit at a price, in tenths of a per cent of the price."""
        return rounded_share(1000 * (price - self.unit_cost(code)), 1, price) if price else 0


def joined(layers: list[Layer]) -> Layer:
    """All layers as one."""
    return Layer(sum(layer.quantity for layer in layers), sum(layer.cost for layer in layers))


def split_layer(layer: Layer, quantity: int) -> tuple[Layer, Layer]:
    """A part of a layer and what is left; their costs add up to the whole."""
    cost = rounded_share(layer.cost, quantity, layer.quantity)
    return Layer(quantity, cost), Layer(layer.quantity - quantity, layer.cost - cost)


def rounded_share(amount: int, part: int, whole: int) -> int:
    """amount · part / whole, halves rounded away from zero."""
    number = 2 * abs(amount) * part + whole
    share = number // (2 * whole)
    return share if amount >= 0 else -share
