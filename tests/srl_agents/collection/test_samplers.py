"""When each kind of sampler gets the weights: fakes note what they are given."""

from __future__ import annotations

from typing import Any

import pytest

from srl_agents.collection.samplers import Samplers
from srl_agents.collection.versioned import Weights


class Noting:
    """A policy, an engine, a stream and what samples ahead, in one."""

    def __init__(self) -> None:
        self.model = "model"
        self.notes: list[str] = []

    def weights_changed(self) -> None:
        self.notes.append("forgets")

    def push_weights(self, model: Any) -> None:
        self.notes.append("pushed")

    def offer(self, weights: Weights) -> None:
        self.notes.append(f"offered {weights.version}")

    def close(self) -> None:
        self.notes.append("closed")


def offered(model: Any, version: int) -> Weights:
    assert model == "model"
    return Weights(version, lambda policy: None)


@pytest.mark.parametrize(
    ("workers", "ahead", "engine", "expected"),
    [
        (False, False, False, [[], [], [], ["forgets"], ["closed"]]),
        (False, False, True, [[], ["pushed"], [], ["forgets", "pushed"], ["closed"] * 2]),
        (True, False, False, [["offered 3"], ["offered 4"], [], ["forgets"], ["closed"]]),
        (
            True,
            False,
            True,
            [["offered 3"], ["pushed", "offered 4"], [], ["forgets", "pushed"], ["closed"] * 2],
        ),
        (True, True, False, [["offered 3"], [], ["offered 4"], ["forgets"], ["closed"]]),
    ],
)
def test_weights_are_handed_out_after_steps_or_ahead_of_updates_once_in_each(
    workers: bool, ahead: bool, engine: bool, expected: list[list[str]]
) -> None:
    noting: Any = Noting()
    own, stream, begun = (noting if each else None for each in (engine, workers, ahead))
    made = Samplers(noting, own, noting, stream, offered if workers else None, begun, version=3)
    seen = list[list[str]]()
    for call in (made.begin, made.push, made.end_update, made.forget, made.close):
        noting.notes = []
        found = call()
        assert bool(found) == (bool(noting.notes) and call in (made.push, made.end_update))
        seen.append(noting.notes)
    assert seen == expected
