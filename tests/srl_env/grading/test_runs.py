"""What runs of oracle cases come to."""

from __future__ import annotations

from typing import Any

import pytest

from srl_env.grading import OracleCase
from srl_env.grading.judges.encoding import to_json
from srl_env.grading.runs import wrong_results
from srl_env.grading.values import canonical


@pytest.mark.parametrize(
    ("expected", "found", "wrong"),
    [
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 2, 3], [1, 0, 0], 2),
        ((1, "a"), (1.0, "a"), 1),
        ([1, 2, 3], [1, 2], 1),
        ([1, 2], (1, 2), 1),
        ({"a": 1, "b": 2}, {"b": 0, "a": 0}, 2),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, 1),
        ([], [1], 1),
        ("abc", "xyz", 1),
        (float("nan"), float("nan"), 0),
    ],
)
def test_the_wrong_results_of_a_case_are_its_items_that_differ(
    expected: Any, found: Any, wrong: int
) -> None:
    case = OracleCase("case", "", "call()", expected)
    assert wrong_results(case, {"value": to_json(found)}) == wrong


@pytest.mark.parametrize("answer", [{}, {"raised": "KeyError"}, {"value": {"no": "value"}}])
def test_a_case_without_a_value_is_one_wrong_result(answer: dict[str, Any]) -> None:
    assert wrong_results(OracleCase("case", "", "call()", [1, 2]), answer) == 1


def test_a_case_that_must_raise_is_wrong_once_where_it_does_not() -> None:
    case = OracleCase("case", "", "call()", raises="ValueError")
    assert wrong_results(case, {"raised": "ValueError"}) == 0
    assert wrong_results(case, {"raised": "KeyError"}) == 1
    assert wrong_results(case, {"value": [1, 2]}) == 1


EQUAL = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1, 2, 3}, {3, 2, 1}),
    ({frozenset({1, 2}): float("nan")}, {frozenset({2, 1}): float("nan")}),
]
UNEQUAL = [
    (1, 1.0), (1, True), (0.0, -0.0), ([1], (1,)), ({1}, frozenset({1})), ([1, 2], [2, 1]),
    ("1", 1), (b"a", "a"), ({}, set()), (["a,b"], ["a", "b"]), ({"a": [1]}, {"a": [[1]]}),
    (None, ""),
]  # fmt: skip


def test_values_are_the_same_in_type_and_content_whatever_order_a_set_has() -> None:
    for one, other in EQUAL:
        assert canonical(to_json(one)) == canonical(to_json(other))
    for one, other in UNEQUAL:
        assert canonical(to_json(one)) != canonical(to_json(other))
