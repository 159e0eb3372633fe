"""Running means and means over runs, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from srl_agents.view.curves import Series, StageChange, band, series, stage_changes


def line(*values: float, stages: str = "", noisy: bool = True) -> Series:
    names = tuple(stages) or ("srl",) * len(values)
    return Series(np.arange(1.0, len(values) + 1), np.array(values, float), names, noisy)


def test_one_run_gives_the_mean_of_five_neighbours() -> None:
    found = band([line(0, 1, 2, 3, 4, 5)])
    # Two on each side, fewer at the ends: (0+1+2)/3, (0+…+3)/4, (0+…+4)/5, (1+…+5)/5, …
    assert found.middle.tolist() == [1.0, 1.5, 2.0, 3.0, 3.5, 4.0]
    assert found.x.tolist() == [1, 2, 3, 4, 5, 6]
    assert (found.low <= found.middle).all()
    assert (found.middle <= found.high).all()
    assert found.low[2] >= 0
    assert found.high[2] <= 4


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = band([line(0.5, 0.5, 0.5)])
    assert found.low.tolist() == found.high.tolist() == [0.5, 0.5, 0.5]


def test_a_window_never_reaches_into_another_stage() -> None:
    found = band([line(0, 0, 0, 1, 1, 1, stages="aaabbb")])
    assert found.middle.tolist() == [0, 0, 0, 1, 1, 1]


def test_what_is_not_noisy_stays_as_it_is() -> None:
    found = band([line(0, 1, 0, noisy=False)])
    assert found.middle.tolist() == found.low.tolist() == [0, 1, 0]
    assert found.over == ""


def test_several_runs_give_their_mean_where_all_are_under_way() -> None:
    long = Series(np.array([0.0, 10.0]), np.array([0.0, 1.0]), ("", ""), noisy=False)
    short = Series(np.array([2.0, 6.0]), np.array([0.6, 0.6]), ("", ""), noisy=False)
    found = band([long, short])
    assert (found.x[0], found.x[-1]) == (2.0, 6.0)
    assert found.middle[0] == pytest.approx((0.2 + 0.6) / 2)
    assert found.middle[-1] == pytest.approx(0.6)
    assert (found.low[0], found.high[0]) == (pytest.approx(0.2), pytest.approx(0.6))
    assert found.over == "2 runs"


def test_many_updates_are_given_at_sixty_places() -> None:
    assert len(band([line(*range(1000))]).x) == 60


def test_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        band([])


def test_updates_without_the_number_are_left_out() -> None:
    updates = [
        {"update": 1, "reward": 0.5},
        {"update": 2},
        {"update": 3, "reward": float("nan")},
        {"update": 4, "reward": None},
        {"update": 5, "reward": 1.0, "stage": "rlvr"},
    ]
    found = series(updates, "reward", "update")
    assert found is not None
    assert (found.x.tolist(), found.y.tolist(), found.stages) == ([1, 5], [0.5, 1.0], ("", "rlvr"))
    assert series(updates, "success", "update") is None
    assert series(updates, "reward", "tokens") is None


def staged(*stages: str, start: int = 1) -> list[dict[str, object]]:
    return [{"update": i, "stage": stage} for i, stage in enumerate(stages, start)]


def test_a_change_of_stage_lies_half_way_between_two_updates_of_each_run() -> None:
    runs = [staged("srl", "srl", "rlvr"), staged("srl", "rlvr", "rlvr"), staged("rlvr")]
    assert stage_changes(runs, "update") == [StageChange("srl → rlvr", (2.5, 1.5))]


def test_every_change_of_stage_has_its_own_label() -> None:
    labels = [change.label for change in stage_changes([staged("a", "b", "b", "a")], "update")]
    assert labels == ["a → b", "b → a"]


def test_updates_without_a_stage_or_without_the_axis_change_nothing() -> None:
    assert stage_changes([[{"update": 1}, *staged("srl", start=2)]], "update") == []
    assert stage_changes([staged("srl", "rlvr")], "tokens") == []


@pytest.mark.parametrize(
    ("places", "parts"),
    [
        ((), [(0, 4)]),
        ((2.5,), [(0, 2), (2, 4)]),
        ((2.4, 2.6), [(0, 2), (2, 4)]),
        ((1.5, 2.5), [(0, 4)]),  # the runs change at different places
        ((9.0,), [(0, 4)]),  # behind the end of this curve
    ],
)
def test_a_curve_is_cut_where_all_its_runs_change_their_stage(
    places: tuple[float, ...], parts: list[tuple[int, int]]
) -> None:
    changes = [StageChange("srl → rlvr", places)] if places else []
    found = band([line(1, 2, 3, 4, noisy=False)], changes)
    assert [(part.start, part.stop) for part in found.pieces] == parts
