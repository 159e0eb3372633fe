"""What a message suggests for a name that does not exist."""

from __future__ import annotations

import pickle

import pytest

from srl_env.errors import UnknownName


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("evalution", ["evaluation", "methods"], "Did you mean 'evaluation'?"),
        ("eval", ["evaluation", "methods"], "Did you mean 'evaluation'?"),
        ("SRL", ["srl", "rlvr"], "Did you mean 'srl'?"),
        ("chain", ["Chain-v0", "Graph-v0"], "Did you mean 'Chain-v0'?"),
        ("ev", ["evaluation", "every_s"], "Known: evaluation, every_s."),
        ("", ["evaluation"], "Known: evaluation."),
        ("evaluation", [], "None are known."),
        ("x", [f"name-{i}" for i in range(30)], "30 are known, e.g. "),
    ],
)
def test_the_nearest_or_the_only_name_begun_is_suggested(
    name: str, known: list[str], hint: str
) -> None:
    assert str(UnknownName("key", name, known)).startswith(f"no key {name!r}. {hint}")


def test_an_unknown_name_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(UnknownName("key", "eval", ["evaluation"])))
    assert str(error) == "no key 'eval'. Did you mean 'evaluation'?"
