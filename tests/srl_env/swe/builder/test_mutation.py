"""Bugs put into source text: each kind on a function small enough to list what comes of it."""

from __future__ import annotations

import pytest

from srl_env.errors import BadData
from srl_env.swe.builder.kinds import KINDS
from srl_env.swe.builder.mutation import mutated, mutations
from srl_env.swe.builder.source import Source

EXAMPLES: dict[str, tuple[str, set[str]]] = {
    "comparison": ("return a < b", {"return a <= b", "return a > b"}),
    "arithmetic": ("a += b * 2", {"a -= b * 2", "a += b + 2", "a += b / 2"}),
    "boolean": ("return a and b", {"return a or b"}),
    "dropped_operand": ("return a or b", {"return a", "return b"}),
    "negated_condition": ("return a if b(a) else 3", {"return a if not b(a) else 3"}),
    "removed_not": ("return not a", {"return a"}),
    "removed_sign": ("return b * -a", {"return b * a"}),
    "off_by_one": (
        "return list(range(len(a)))",
        {
            "return list(range(len(a) - 1))",
            "return list(range(len(a) + 1))",
            "return list(range(1, len(a)))",
        },
    ),
    "wrong_constant": ("return a[10]", {"return a[11]", "return a[9]", "return a[100]"}),
    "wrong_index": ("return a[1:]", {"return a[:]"}),
    "swapped_operands": ("return a - b", {"return b - a"}),
    "swapped_choice": ("return 1 if a else 2", {"return 2 if a else 1"}),
    "wrong_variable": ("return a", {"return b"}),
    "swapped_arguments": ("return f(a, b)", {"return f(b, a)"}),
    "missing_keyword": ("return f(a, key=b)", {"return f(a)"}),
    "missing_argument": ("return round(a, 2)", {"return round(a)"}),
    "changed_method": ("a.append(b)", {"a.extend(b)", "a.appendleft(b)"}),
    "removed_call": ("return sorted(a)", {"return a"}),
    "wrong_exception": ("raise KeyError(a)", {"raise IndexError(a)"}),
    "wrong_attribute": ("return a.x + b(a.y)", {"return a.y + b(a.y)", "return a.x + b(a.x)"}),
    "lost_return": ("return f(a)", {"f(a)"}),
}
BLOCKS: dict[str, tuple[str, str]] = {
    "removed_guard": ("if not a:\n        return b\n    return a", "return a"),
    "dropped_statement": ("a = b\n    return a", "return a"),
    "early_return": (
        "for x in a:\n        f(x)\n    return b",
        "for x in a:\n        f(x)\n        return b\n    return b",
    ),
    "wrong_loop_end": ("for x in a:\n        break", "for x in a:\n        continue"),
    "swapped_branches": (
        "if a:\n        f(1)\n    else:\n        f(2)  # two",
        "if a:\n        f(2)\n    else:\n        f(1)  # two",
    ),
    "removed_else": (
        "if a:\n        f(1)\n    else:\n        b = f(2)\n        f(b)",
        "if a:\n        f(1)",
    ),
    "yielded_whole": ("yield from a", "yield a"),
}
HEAD = "def g(a, b):\n    "


def of_kind(text: str, kind: str) -> set[str]:
    """The module's text with each bug of a kind, where it is a bug."""
    source = Source(text)
    found = (b for f in source.functions for b in mutations(source, f) if b.kind == kind)
    return {made.text for bug in found if (made := mutated(source, bug)) is not None}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_expression_gets_just_these_bugs(kind: str) -> None:
    line, expected = EXAMPLES[kind]
    assert of_kind(HEAD + line + "\n", kind) == {f"{HEAD}{other}\n" for other in expected}


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_gets_this_bug(kind: str) -> None:
    block, expected = BLOCKS[kind]
    assert f"{HEAD}{expected}\n" in of_kind(f"{HEAD}{block}\n", kind)


def test_every_kind_has_an_example() -> None:
    assert {*EXAMPLES, *BLOCKS, "wrong_default"} == set(KINDS)


def test_a_default_is_changed_and_the_body_is_not() -> None:
    text = "def g(a, sep=', ', strict=True):\n    return 5\n"
    assert of_kind(text, "wrong_default") == {
        text.replace("', '", "','"),
        text.replace("', '", "','").replace("','", "','"),
        text.replace("True", "False"),
    }


def test_comments_and_layout_stay() -> None:
    text = "def g(a,  b):  # two\n    return (a   # first\n            <  b)\n"
    assert of_kind(text.replace("# first", ""), "comparison")
    assert text.replace("a,  b", "a,  b") in {text}
    kept = "x = {  'a':1 }\n\n\ndef g(a, b):\n    # why\n    return a  <  b   # end\n"
    assert of_kind(kept, "comparison") == {kept.replace("<", "<="), kept.replace("<", ">")}


@pytest.mark.parametrize(
    "text",
    [
        'def g(a):\n    """Adds 1."""\n',
        "def g(a):\n    logger.info('a %s', 1 + 2)\n",
        "def g(a):\n    self.log.debug(not a)\n",
        "def g(a: 'int' = None) -> 'list[1]':\n    pass\n",
        "@cached(maxsize=1)\ndef g(a):\n    pass\n",
        "def __repr__(self):\n    return 'a' + 'b'[0]\n",
        "def g(a):\n    x: Literal[1]\n",
        "def g(a):\n    f'{a + 1}'\n",
        "x = 1\n",
    ],
)
def test_nodes_that_only_describe_are_unchanged(text: str) -> None:
    source = Source(text)
    assert [bug for f in source.functions for bug in mutations(source, f)] == []


def test_messages_of_exceptions_are_unchanged() -> None:
    source = Source("def g(a):\n    raise Odd('message', 1 + 2)\n")
    assert list(mutations(source, source.functions[0])) == []


def test_brackets_around_what_is_gone_go_too() -> None:
    assert of_kind(f"{HEAD}return b * (1 - a)\n", "dropped_operand") == {f"{HEAD}return b * 1\n"}
    assert of_kind(f"{HEAD}return b(a - 1)\n", "dropped_operand") == {f"{HEAD}return b(a)\n"}
    kept = {f"{HEAD}return (b * a) * 2\n"}
    assert of_kind(f"{HEAD}return (b * a - 1) * 2\n", "dropped_operand") == kept


def test_bugs_are_formatted_as_the_code_around_them() -> None:
    assert of_kind(f"{HEAD}return a[b(1) :]\n", "wrong_index") >= {f"{HEAD}return a[:]\n"}
    assert of_kind(f"{HEAD}return a[: b(1)]\n", "wrong_index") >= {f"{HEAD}return a[:]\n"}
    call = f"{HEAD}if g(a, b):\n        return 1\n"
    assert of_kind(call, "negated_condition") == {call.replace("if g", "if not g")}


def test_positions_count_bytes() -> None:
    text = "def g(a, b):\n    return f('äöü€', a < b)\r\n"
    assert of_kind(text, "comparison") == {text.replace("<", "<="), text.replace("<", ">")}


def test_equal_code_and_no_code_are_no_bugs() -> None:
    source = Source("def g(a):\n    return f(a, a)\n")
    swapped = [b for b in mutations(source, source.functions[0]) if b.kind == "swapped_arguments"]
    assert len(swapped) == 1
    assert mutated(source, *swapped) is None


def test_bugs_of_two_functions_are_made_together() -> None:
    text = "def g(a):\n    return a < 1\n\n\ndef h(a):\n    return not a\n"
    source = Source(text)
    first = next(b for b in mutations(source, source.functions[0]) if b.kind == "comparison")
    second = next(b for b in mutations(source, source.functions[1]) if b.kind == "removed_not")
    made = mutated(source, first, second)
    assert made is not None
    assert made.text == text.replace("<", "<=").replace("not a", "a")


def test_the_same_text_gives_the_same_bugs_in_the_same_order() -> None:
    text = "def g(a, b=1):\n    if a > b:\n        return a\n    return max(a, b)\n"
    one, other = Source(text), Source(text)
    keys = [[b.key for b in mutations(s, s.functions[0])] for s in (one, other)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == len(keys[0]) > 5


def test_methods_and_decorated_functions_are_found_by_their_lines() -> None:
    text = "class A:\n    @property\n    def b(self):\n        def c():\n            pass\n"
    (function,) = Source(text).functions
    assert (function.name, function.first, function.last) == ("A.b", 2, 5)
    assert Source(text).function_at(5) is not None
    assert Source(text).function_at(1) is None


@pytest.mark.parametrize("text", ["def g(:\n", "def g():\n\treturn\n        1\n", "a = 1\rb = 2\n"])
def test_invalid_python_is_reported(text: str) -> None:
    with pytest.raises(BadData, match=r"m\.py:\d"):
        Source(text, "m.py")
