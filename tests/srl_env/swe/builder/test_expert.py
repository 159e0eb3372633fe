"""What is recorded of an expert's way, beside what built tasks show (``test_builder.py``)."""

from __future__ import annotations

import fractions
import re
import sys
from typing import cast

import pytest

from srl_env.swe.builder.expert import Repair, solve, without_home
from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.script import Outcome
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
        (
            "    return g(\n        1,\n        2\n    )\n",
            "    return g(\n        2,\n        1\n    )\n",
            "From line 3 of a.py on, 2 lines are in the wrong order.",
        ),
        (
            "    return g(\n        1\n    )\n",
            "    return g(\n        1,\n        b=2,\n    )\n",
            "At line 3 of a.py, `b=2` is missing.",
        ),
        (
            '    """Half.\n\n    As it is.\n    """\n    return 2\n',
            '    """Half.\n\n    As it was\n    before.\n    """\n    return 3\n',
            "`return 2` must be `return 3`",
        ),
        (
            "    if a:\n        b = 1\n        c = 2\n",
            "    if a:\n        pass\n    b = 1\n    c = 2\n",
            "At line 3 of a.py, `pass` is missing",
        ),
        (
            "    for a in b:\n        c = 1\n        return 2\n",
            "    for a in b:\n        c = 1\n    return 2\n",
            "From line 4 of a.py on, the line `return 2` must be in another block",
        ),
        (
            "    a = 1\n    return a\n",
            "    return 3\n",
            "line 2 of a.py on, 2 lines that begin with `a = 1` must become the line `return 3`",
        ),
        (
            "    return 1\n",
            "    if a:\n        return 2\n    return 1\n",
            "Before line 2 of a.py, `if a:` and 1 more line are missing.",
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


_CHAINED = """\
Traceback (most recent call last):
  File "/workspace/a.py", line 2, in f
    yield next(iter(()))
StopIteration

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "<stdin>", line 2, in <module>
RuntimeError: generator raised StopIteration
(exit status 1)"""


def test_of_chained_exceptions_the_one_is_named_that_a_function_raises() -> None:
    answers = iter(
        [_CHAINED, "     2\t    yield next(iter(()))", "a.py has been edited.", "[]", ""]
    )

    class Bench:
        def call(self, call: ToolCall) -> str:
            return next(answers)

    expected, actual = (
        Outcome("[]", ""),
        Outcome("", "RuntimeError: generator raised StopIteration"),
    )
    shown = Reproduction("from a import f\nprint([*f()])\n", "f", expected, actual)
    files = {"a.py": "def f():\n    yield next(iter(()))\n"}
    repair = Repair(shown, {"a.py": "def f():\n    yield from ()\n"})
    steps = solve(cast(Workbench, Bench()), [repair], files, ())
    assert steps[1].thought == "`StopIteration` is raised at line 2 of a.py, in `f`. I read it."


def test_the_expert_looks_up_what_its_edit_uses_and_nothing_has_shown() -> None:
    calls = list[ToolCall]()

    class Bench:
        def call(self, call: ToolCall) -> str:
            calls.append(call)
            return "./a.py:7:def f(x):\n     8\t    return spare\nThe file a.py has been edited."

    head = "import re\n\nLIMIT = 3\nspare = []\n\n\n"
    files = {"a.py": f"{head}def f(x):\n    return spare\n"}
    repair = Repair(None, {"a.py": f"{head}def f(x):\n    return spare[:LIMIT] or other\n"})
    steps = solve(cast(Workbench, Bench()), [repair], files, ())
    looked = [step.thought for step in steps if "look up" in (step.thought or "")]
    assert looked == ["I look up `LIMIT` in a.py."]
    assert "grep -nwE 'LIMIT' a.py | head -20" in [call.arguments.get("command") for call in calls]


def test_the_expert_reads_a_change_to_its_last_line() -> None:
    class Bench:
        def call(self, call: ToolCall) -> str:
            return "./a.py:1:def f():\nThe file a.py has been edited."

    lines = [f"    a{n} = {n}\n" for n in range(150)]
    after = ["    a9 = 0\n", *(f"    b{n} = {n}\n" for n in range(10, 140))]
    files = {"a.py": "def f():\n" + "".join(lines)}
    goal = "def f():\n" + "".join([*lines[:9], *after, *lines[140:]])
    steps = solve(cast(Workbench, Bench()), [Repair(None, {"a.py": goal})], files, ())
    views = [step.action for step in steps if ">view<" in step.action]
    seen = [range(int(a), int(b) + 1) for a, b in re.findall(r"\[(\d+), (\d+)\]", "".join(views))]
    assert len(seen) == 2
    assert any(11 in part for part in seen)  # line 11 has a9
    assert any(141 in part for part in seen)  # line 141 has a139


_ELSEWHERE = """\
Traceback (most recent call last):
  File "<stdin>", line 4, in <module>
  File "/workspace/a.py", line 14, in take
    raise ValueError(count)
ValueError: 3
(exit status 1)"""


def test_the_expert_first_reads_where_an_exception_is_raised_though_the_fault_is_elsewhere() -> (
    None
):
    answers = iter([_ELSEWHERE, "", "./a.py:1:def put(x):", "", "a.py has been edited.", "[]", ""])

    class Bench:
        def call(self, call: ToolCall) -> str:
            return next(answers)

    head = "def put(x):\n    x.append(1)\n    x.append(2)\n"
    rest = "\n" * 9 + "def take(x):\n    raise ValueError(count)\n"
    script = "from a import put, take\nx = []\nput(x)\nprint(take(x))\n"
    shown = Reproduction(script, "take", Outcome("[]", ""), Outcome("", "ValueError: 3"))
    repair = Repair(shown, {"a.py": head.replace("    x.append(2)\n", "") + rest})
    far = {"a.py": head + rest}
    steps = solve(cast(Workbench, Bench()), [repair], far, ())
    thoughts = [step.thought for step in steps]
    assert thoughts[1:3] == [
        "`ValueError: 3` is raised at line 14 of a.py, in `take`. I read it.",
        "The example calls `put`. Where is it?",
    ]
