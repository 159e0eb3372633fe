"""What runs of oracle cases come to."""

from __future__ import annotations

from typing import Any

import pytest

from srl_env.grading import OracleCase
from srl_env.grading.judges.encoding import to_json
from srl_env.grading.runs import wrong_results


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
