"""What is recorded of an expert's way, beside what built tasks show (``test_builder.py``)."""

from __future__ import annotations

import fractions
import sys
from typing import cast

import pytest

from srl_env.swe.builder.expert import Repair, solve, without_home
from srl_env.swe.tools import Workbench
from srl_env.text.tool_calls import ToolCall


def test_a_traceback_through_the_standard_library_does_not_tell_where_that_lies() -> None:
    line = f'  File "{fractions.__file__}", line 372, in reverse\n'
    usual = f"/usr/lib/python3.{sys.version_info.minor}/fractions.py"
    assert without_home(line) == f'  File "{usual}", line 372, in reverse\n'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '    """Half."""\n    return 2\n',
            '    """A third."""\n    return 3\n',
            "`return 2` must be `return 3`",
        ),
        ('    """Half."""\n', '    """A third."""\n', '`"""Half."""` must be `"""A third."""`'),
        ("    return 2\n", "    # as agreed\n    return 2\n", "`# as agreed` is missing"),
        (
            "    a = 1  # one\n    return 2\n",
            "    a = 1  # two\n    return 3\n",
            "`return 2` must be `return 3`",
        ),
    ],
)
def test_a_cause_is_a_line_of_code_where_the_change_has_one(old: str, new: str, said: str) -> None:
    class Bench:
        def call(self, call: ToolCall) -> str:
            return "./a.py:1:def f():\nThe file a.py has been edited."

    repair = Repair(None, {"a.py": f"def f():\n{new}"})
    files = {"a.py": f"def f():\n{old}"}
    steps = solve(cast(Workbench, Bench()), [repair], files, ())
    assert any(said in (step.thought or "") for step in steps)
