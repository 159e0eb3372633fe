import pytest

from stockroom.errors import QuantityError
from stockroom.units import Packing, check_positive, counted, parse_quantity, spelled_quantity

SIX = Packing(6, 4)


@pytest.mark.parametrize(
    ("unit", "size"),
    [("", 1), ("unit", 1), ("pcs", 1), ("pack", 6), (" Packs ", 6), ("case", 24), ("cases", 24)],
)
def test_sizes(unit, size):
    assert SIX.units_of(unit) == size


def test_an_unknown_unit():
    with pytest.raises(QuantityError):
        SIX.units_of("box")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("5", 5),
        ("2 packs", 12),
        ("1 case 1 pack 1", 31),
        ("2cases", 48),
        ("1 case, 2 units", 26),
        ("-1 pack", -6),
    ],
)
def test_reading(text, units):
    assert parse_quantity(text, SIX) == units


@pytest.mark.parametrize("text", ["", "many", "3 boxes", "1 2x", "pack"])
def test_texts_that_are_no_quantity(text):
    with pytest.raises(QuantityError):
        parse_quantity(text, SIX)


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0 units"),
        (1, "1 unit"),
        (6, "1 pack"),
        (31, "1 case 1 pack 1 unit"),
        (50, "2 cases 2 units"),
        (-12, "-2 packs"),
    ],
)
def test_writing(units, text):
    assert spelled_quantity(units, SIX) == text


def test_without_packs():
    assert spelled_quantity(7, Packing()) == "7 units"
    assert spelled_quantity(7, Packing(1, 3)) == "2 cases 1 unit"
    assert spelled_quantity(7, Packing(3)) == "2 packs 1 unit"


@pytest.mark.parametrize(("units", "packs"), [(0, 0), (1, 1), (6, 1), (7, 2)])
def test_whole_packs(units, packs):
    assert SIX.whole(units) == packs


def test_whole_cases():
    assert SIX.whole(25, "case") == 2
    assert SIX.in_units(2, "case") == 48
    assert SIX.in_units(2) == 2


@pytest.mark.parametrize("quantity", [0, -1, True, 1.5, "2"])
def test_quantities_that_are_not_positive(quantity):
    with pytest.raises(QuantityError):
        check_positive(quantity)


def test_a_message_names_the_quantity():
    with pytest.raises(QuantityError) as caught:
        check_positive(0, "cover")
    assert str(caught.value) == "cover must be positive; got 0"
    assert check_positive(3) == 3


def test_nouns():
    assert [counted(n, "pack") for n in (0, 1, 2)] == ["0 packs", "1 pack", "2 packs"]
