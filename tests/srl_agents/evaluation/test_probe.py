from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from srl_agents.evaluation.probe import REQUEST, cut, probe
from srl_agents.policies import ExpertPolicy
from srl_env.errors import BadOption, PolicyFailure
from srl_env.policy import Generation, Sampling
from srl_env.problem import Problem
from srl_env.text.prompt import Messages

PROBLEMS = [
    Problem("a", "Natalia sold clips to forty of her friends in April and in May."),
    Problem("b", "How many divisors of seven hundred and twenty are multiples of six?"),
    Problem("c", "What?"),
]


class Reader:
    """Has read some of the problems, and goes on with them; else it says something else."""

    def __init__(self, *known: str, says: str = "something else altogether, who knows") -> None:
        self.known, self.says, self.seen = known, says, list[tuple[str, Sampling]]()

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Any]:
        return [self._answer(messages[-1]["content"], sampling) for messages in batch]

    def _answer(self, asked: str, sampling: Sampling) -> Any:
        self.seen.append((asked, sampling))
        begin = asked.removeprefix(REQUEST)
        for text in self.known:
            if text.startswith(begin):
                return Generation(text[len(begin) :].upper() + " And so on.")
        return PolicyFailure("gone") if self.says == "" else Generation(self.says)


def test_a_text_is_cut_at_a_space() -> None:
    assert cut("one two three", 0.6) == ("one two", "three")
    assert cut("one two three", 0.5) == ("one", "two three")
    assert cut("word", 0.5) == ("", "word")


def test_what_was_read_before_comes_word_for_word() -> None:
    reader = Reader(PROBLEMS[0].prompt)
    (found,) = probe(reader, PROBLEMS, fractions=[0.5])
    assert (found.problem_ids, found.exact) == (("a", "b"), (1.0, 0.0))
    assert found.similarity[0] == 1.0
    assert found.similarity[1] < 0.6
    assert max(found.other) < 0.6
    assert found.estimates()["exact"].value == 0.5
    assert {(text.startswith(REQUEST), s.temperature) for text, s in reader.seen} == {(True, 0.0)}


def test_a_model_that_repeats_the_beginning_is_understood_and_asked_in_raw_form() -> None:
    reader = Reader(says=PROBLEMS[0].prompt)
    (found,) = probe(reader, PROBLEMS, fractions=[0.5], raw=True)
    assert found.exact[0] == 1.0
    assert reader.seen[0][0] == cut(PROBLEMS[0].prompt, 0.5)[0]


def test_a_failure_is_no_completion() -> None:
    seen: list[tuple[int, int]] = []
    (found,) = probe(
        Reader(PROBLEMS[0].prompt, says=""),
        PROBLEMS,
        fractions=[0.5],
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert found.exact[0] == 1.0
    assert isnan(found.exact[1])
    assert found.to_json()["exact"] == [1.0, None]
    assert seen == [(2, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fractions": [1.0]}, "fractions must be between 0 and 1"),
        ({"fractions": [0.01]}, "long enough to be cut at 1%; got 0"),
        ({"policy": ExpertPolicy()}, "must be a model that writes text; got ExpertPolicy"),
    ],
)
def test_what_cannot_be_probed_is_an_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        probe(**{"policy": Reader(), "problems": PROBLEMS, **arguments})


def test_the_command_probes_a_model(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from srl_agents.cli.main import app

    result = CliRunner().invoke(app, ["probe", "-m", "expert", "-e", "srl/WordProblem-v0"])
    assert (result.exit_code, "must be a model that writes text" in result.output) == (2, True)
