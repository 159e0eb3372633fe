import pytest

from tillbook.discounts import (
    Tier,
    best_of,
    fixed_off,
    in_turn,
    percent_off,
    tiered,
    volume_rate,
)
from tillbook.errors import AmountError
from tillbook.money import Money

TIERS = [Tier(50, 10), Tier(10, 5), Tier(100, 15)]


def euros(minor):
    return Money(minor, "EUR")


def test_a_percentage_comes_off():
    assert percent_off(15)(euros(2000)) == euros(300)
    assert percent_off(0)(euros(2000)) == euros(0)
    assert percent_off(100)(euros(2000)) == euros(2000)


@pytest.mark.parametrize("rate", [-1, 101])
def test_a_percentage_is_from_0_to_100(rate):
    with pytest.raises(AmountError, match="0 to 100"):
        percent_off(rate)


def test_a_minimum_must_be_reached():
    rule = percent_off(10, at_least=euros(5000))
    assert rule(euros(4999)) == euros(0)
    assert rule(euros(5000)) == euros(500)


def test_a_fixed_amount_comes_off():
    assert fixed_off(euros(250))(euros(1000)) == euros(250)


def test_no_more_than_the_amount_comes_off():
    assert fixed_off(euros(2500))(euros(1000)) == euros(1000)


def test_nothing_comes_off_a_negative_amount():
    assert fixed_off(euros(100))(euros(-500)) == euros(0)
    assert percent_off(10)(euros(-500)) == euros(0)


def test_a_fixed_discount_cannot_be_negative():
    with pytest.raises(AmountError, match="negative"):
        fixed_off(euros(-1))
    assert fixed_off(euros(0))(euros(9)) == euros(0)


@pytest.mark.parametrize(
    ("quantity", "rate"), [(1, 0), (9, 0), (10, 5), (49, 5), (50, 10), (99, 10), (100, 15)]
)
def test_the_highest_tier_reached_counts(quantity, rate):
    assert volume_rate(quantity, TIERS) == rate


def test_a_tiered_discount_takes_off_its_percentage():
    assert tiered(60, TIERS)(euros(1000)) == euros(100)
    assert tiered(3, TIERS)(euros(1000)) == euros(0)


def test_the_best_rule_is_chosen_by_the_amount():
    rule = best_of([percent_off(10), fixed_off(euros(150))])
    assert rule(euros(1000)) == euros(150)
    assert rule(euros(2000)) == euros(200)
    assert best_of([])(euros(2000)) == euros(0)


def test_rules_in_turn_work_on_what_is_left():
    assert in_turn([percent_off(50), percent_off(50)])(euros(1000)) == euros(750)
    assert in_turn([fixed_off(euros(100)), percent_off(10)])(euros(1000)) == euros(190)
    assert in_turn([])(euros(1000)) == euros(0)
