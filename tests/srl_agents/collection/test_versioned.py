"""When new weights are loaded, and which version a completion carries."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from srl_agents.collection.versioned import Versioned, Weights
from srl_env.errors import PromptRefused
from srl_env.policy import Generation, Sampling
from srl_env.text.prompt import Messages


class Named:
    """Says the name of the weights that it was given."""

    def __init__(self) -> None:
        self.name = "base"
        self.closed = 0

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Any]:
        return [Generation(self.name) if each else PromptRefused("empty") for each in batch]

    def close(self) -> None:
        self.closed += 1


def weights(version: int) -> Weights:
    def load(policy: Any) -> None:
        policy.name = f"weights {version}"

    return Weights(version, load)


def said(policy: Versioned) -> tuple[str, int | None]:
    (made,) = policy.generate([[{"role": "user", "content": "?"}]], Sampling())
    assert isinstance(made, Generation)
    return made.text, made.version


def test_a_job_ends_under_the_weights_it_began_with() -> None:
    policy = Versioned(Named())
    policy.offer(weights(1))
    with policy.job():
        assert said(policy) == ("weights 1", 1)
        policy.offer(weights(2))
        policy.offer(weights(3))
        assert said(policy) == ("weights 1", 1)
    with policy.job():
        assert said(policy) == ("weights 3", 3)


def test_on_request_an_episode_continues_under_new_weights() -> None:
    policy = Versioned(Named(), continues=True)
    policy.offer(weights(1))
    with policy.job():
        assert said(policy) == ("weights 1", 1)
        policy.offer(weights(2))
        assert said(policy) == ("weights 2", 2)


def test_weights_are_never_loaded_while_a_policy_that_takes_turns_samples() -> None:
    inside, free = threading.Event(), threading.Event()

    class Slow(Named):
        def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Any]:
            before = self.name
            inside.set()
            assert free.wait(10)
            return [Generation(before + self.name)]

    policy = Versioned(Slow(), continues=True)
    policy.offer(weights(1))
    found = list[tuple[str, int | None]]()
    thread = threading.Thread(target=lambda: found.append(said(policy)))
    thread.start()
    assert inside.wait(10)
    policy.offer(weights(2))
    with policy.job():  # another job begins meanwhile
        free.set()
        thread.join(10)
    assert found == [("weights 1weights 1", 1)]


def test_a_job_waits_for_those_that_run_under_earlier_weights() -> None:
    policy, begun = Versioned(Named()), threading.Event()
    policy.offer(weights(1))

    def another() -> None:
        with policy.job():
            begun.set()

    with policy.job():
        policy.offer(weights(2))
        thread = threading.Thread(target=another)
        thread.start()
        assert not begun.wait(0.05)
        assert said(policy) == ("weights 1", 1)
    thread.join(10)
    assert begun.is_set()
    assert policy.version == 2


def test_jobs_of_one_version_run_side_by_side() -> None:
    policy = Versioned(Named())
    with policy.job(), policy.job():
        assert said(policy) == ("base", None)


def test_a_failure_of_one_prompt_has_no_version() -> None:
    policy = Versioned(Named())
    (failure,) = policy.generate([[]], Sampling())
    assert isinstance(failure, PromptRefused)


def test_weights_are_loaded_again_after_a_restart_and_the_policy_is_closed_once() -> None:
    named = Named()
    policy = Versioned(named)
    policy.offer(weights(1))
    with policy.job():
        named.name = "base"  # as of a server that was started again
    policy.forget()
    with policy.job():
        assert said(policy) == ("weights 1", 1)
    policy.close()
    policy.close()
    assert named.closed == 1
