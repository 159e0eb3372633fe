"""Faults in several places: what each edit makes of a small project."""

from __future__ import annotations

import pytest

from srl_env.swe.builder.coherent import FINDERS
from srl_env.swe.builder.mutation import Mutation, mutated
from srl_env.swe.builder.source import Source

TEXT = """\
def price(net, tax):
    return net + tax


def label(name, width=8):
    name = name.strip().lower()
    return name[:width]
"""
SHOP = """\
from text import label, price


def total(items):
    return sum(price(net, 2) for net in items)


def line(name, net):
    return label(name) + str(price(net, 3))


def head(name):
    return label(name + " ")
"""
STORE = """\
class Store:
    def __init__(self):
        self.count = 0
        self.names = []

    def put(self, name):
        self.names.append(name)
        self.count += 1

    def drop(self, name):
        self.names.remove(name)
        self.count -= 1
"""
KINDS = """\
def size(kind):
    if kind == "box":
        return 1
    return 2


def weight(kind):
    return {"box": 5, "bag": 3}[kind]
"""
FILES = {"text.py": TEXT, "shop.py": SHOP, "store.py": STORE, "kinds.py": KINDS}


def faults(kind: str, files: dict[str, str] = FILES) -> list[tuple[Mutation, dict[str, str]]]:
    """The first bug of each fault of a kind, with the files that all its bugs make."""
    sources = {path: Source(text, path) for path, text in files.items()}
    found = []
    for bugs in FINDERS[kind](sources):
        paths = {path for bug in bugs for path in bug.changed}
        made = {path: mutated(sources[path], *bugs) for path in paths}
        assert all(made.values())
        found.append((bugs[0], {path: source.text for path, source in made.items() if source}))
    return found


def test_parameters_change_places_and_one_call_is_forgotten() -> None:
    (first, files), (second, _) = faults("parameter_order")
    assert "def price(tax, net):" in files["text.py"]
    assert (first.path, first.function) == ("shop.py", "total")
    assert "price(net, 2)" in files["shop.py"]
    assert "price(3, net)" in files["shop.py"]
    assert (second.path, second.function) == ("shop.py", "line")


def test_a_changed_contract_is_completed_at_the_call_that_was_forgotten() -> None:
    sources = {path: Source(text, path) for path, text in FILES.items()}
    (bug,), _ = FINDERS["parameter_order"](sources)
    assert bug.completed is not None
    shop = mutated(sources["shop.py"], bug.completed)
    assert shop is not None
    assert shop.text == SHOP.replace("price(net, 2)", "price(2, net)").replace(
        "price(net, 3)", "price(3, net)"
    )
    (one, _), *_ = FINDERS["invariant"](sources)
    assert one.completed is None


def test_a_step_moves_to_the_callers_and_one_does_not_take_it() -> None:
    _, (fault, files) = faults("moved_step")
    assert ".strip" not in files["text.py"]
    assert "return name[:width]" in files["text.py"]
    assert fault.function == "head"
    assert "label(name.strip().lower()) + str(" in files["shop.py"]
    assert 'label(name + " ")' in files["shop.py"]
    (_, other), _ = faults("moved_step")
    assert 'label((name + " ").strip().lower())' in other["shop.py"]


def test_a_default_changes_and_one_call_still_relies_on_it() -> None:
    fault, files = faults("moved_default")[0]
    assert "width=8" not in files["text.py"]
    assert fault.function == "line"
    assert 'label(name + " ", width=8)' in files["shop.py"]
    assert "label(name) + str(" in files["shop.py"]


def test_a_call_with_a_bare_generator_gets_brackets_for_it() -> None:
    text = (
        "def merge(parts, gap=0):\n    return list(parts)[gap:]\n\n\n"
        "def one(x):\n    return merge(p for p in x)\n\n\ndef two(x):\n    return merge(x)\n"
    )
    made = [files["a.py"] for _, files in faults("moved_default", {"a.py": text})]
    assert any("merge((p for p in x), gap=0)" in text for text in made)


def test_an_attribute_is_no_longer_kept_up_to_date_in_two_methods() -> None:
    found = [files["store.py"] for _, files in faults("invariant")]
    assert (
        STORE.replace("        self.count += 1\n", "").replace("        self.count -= 1\n", "")
        in found
    )
    assert {fault.kind for fault, _ in faults("invariant")} == {"invariant"}


def test_two_functions_no_longer_know_a_case() -> None:
    fault, files = faults("missing_case")[0]
    assert fault.function == "size"
    assert files["kinds.py"] == (
        'def size(kind):\n    return 2\n\n\ndef weight(kind):\n    return {"bag": 3}[kind]\n'
    )


def test_a_statement_that_is_alone_in_its_block_stays() -> None:
    text = (
        "class A:\n    def f(self):\n        self.n += 1\n\n    def g(self):\n"
        "        if self.n:\n            self.n -= 1\n"
    )
    assert faults("invariant", {"a.py": text}) == []


@pytest.mark.parametrize(
    "more",
    [
        "def price(a, b):\n    return a\n",  # defined twice
        "used = map(price, [1], [2])\n",  # used as a value
        "def f(x):\n    return price(*x)\n",
        "def f(x):\n    return price(net=x, tax=1)\n",  # by name: another order changes nothing
    ],
)
def test_a_function_whose_calls_are_not_all_known_is_left_alone(more: str) -> None:
    assert faults("parameter_order", {**FILES, "more.py": more}) == []


def test_the_key_of_a_fault_names_all_its_edits() -> None:
    contracts = ("parameter_order", "moved_step", "moved_default")
    keys = [fault.key for kind in contracts for fault, _ in faults(kind)]
    assert len(set(keys)) == len(keys)
    assert all(" & " in key for key in keys)


CHAIN = """\
def size(kind):
    if kind == "box":
        return 1
    elif kind == "bag":
        return 2
    else:
        return 3


def weight(kind):
    return 5 if kind in ("box", "bag", "tin") else 6
"""


@pytest.mark.parametrize(
    ("value", "due"),
    [
        ("box", '    if kind == "bag":\n        return 2\n    else:\n'),
        ("bag", '    if kind == "box":\n        return 1\n    else:\n'),
    ],
)
def test_a_branch_of_a_chain_and_a_choice_are_cases(value: str, due: str) -> None:
    made = [files["a.py"] for _, files in faults("missing_case", {"a.py": CHAIN})]
    (text,) = [text for text in made if f'kind == "{value}"' not in text]
    assert due in text
    left = {"box": '("bag", "tin")', "bag": '("box", "tin")'}[value]
    assert f"kind in {left}" in text


ALIKE = """\
def one(items, key=None):
    if len(items) > 3:
        items = items[:3]
    return sorted(items, key=key)


def two(items, key=None):
    return len(items) > 3, max(items), sorted(set(items), key=key, reverse=True)
"""


def test_a_rule_of_two_functions_is_wrong_in_both_in_the_same_way() -> None:
    made = {files["a.py"] for _, files in faults("shared_rule", {"a.py": ALIKE})}
    assert ALIKE.replace("> 3", ">= 3") in made
    assert all(text.count("len(items) > 3") == 0 for text in made)
    kinds = {fault.kind for fault, _ in faults("shared_rule", {"a.py": ALIKE})}
    assert kinds == {"shared_rule"}


def test_two_functions_no_longer_pass_an_argument() -> None:
    (_, files), *_ = faults("shared_argument", {"a.py": ALIKE})
    assert files["a.py"] == ALIKE.replace("(items, key=key)", "(items)").replace(
        "(set(items), key=key, ", "(set(items), "
    )
