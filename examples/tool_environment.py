"""An environment with a state and tools: one more method, ``world_step``.

    srl-env check examples/tool_environment.py
    srl-env play examples/tool_environment.py --mode rlvr

A shop tells prices only when asked, and keeps a basket. Its state is ``self.world``, which each
episode begins with as a copy of ``problem.metadata["world"]``; so snapshots, expert prefixes and
both continuations work without further code. A world outside of this process (a container, a
simulator) overrides ``world_reset``, ``world_state`` and ``world_restore`` too, and raises
``WorldFailure`` where it is gone: that is never a reward of 0.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import srl_env
from srl_env import ExpertStep, ExpertTrajectory, Problem, PromptStyle, ReasoningEnv
from srl_env.data import ListSource
from srl_env.verifiers import NumericVerifier

TOOLS = "Steps: 'price THING', 'put N THING', 'basket'. The last step: #### and what it costs."
PRICES = {"apple": 3, "bread": 7, "cheese": 12, "honey": 9, "rice": 4}


def problem(first: str, second: str) -> Problem:
    """Buy some of two things; the expert asks for both prices first."""
    counts = {first: 1 + PRICES[first] % 4, second: 1 + PRICES[second] % 5}
    total = sum(count * PRICES[thing] for thing, count in counts.items())
    steps = [ExpertStep(f"price {thing}") for thing in counts]
    steps += [ExpertStep(f"put {count} {thing}") for thing, count in counts.items()]
    steps.append(ExpertStep(f"#### {total}"))
    return Problem(
        id=f"{first}-{second}",
        prompt=f"Buy {counts[first]} of {first} and {counts[second]} of {second}.",
        answer=str(total),
        trajectories=(ExpertTrajectory(tuple(steps)),),
        metadata={"world": {"prices": PRICES, "basket": {}}},
    )


class ShopEnv(ReasoningEnv):
    """Buy things whose prices the shop must be asked for; the last step is "#### 20"."""

    def __init__(self, *, split: str | None = None, **options: Any) -> None:
        problems = [problem(*pair) for pair in combinations(PRICES, 2)]
        fractions = {"train": 0.7, "test": 0.3}
        source = ListSource(problems, "shop", split=split, fractions=fractions)
        super().__init__(source, NumericVerifier(), **{"style": PromptStyle(note=TOOLS)} | options)

    def world_step(self, action: str) -> str:
        """What the shop answers."""
        match action.split():
            case ["price", thing] if thing in self.world["prices"]:
                return f"{thing} costs {self.world['prices'][thing]}"
            case ["put", count, thing] if thing in self.world["prices"] and _is_small(count):
                self.world["basket"][thing] = int(count)
                return f"basket: {self.world['basket']}"
            case ["basket"]:
                return f"basket: {self.world['basket']}"
            case ["####", *_]:
                return "good bye"
        return "the shop does not understand"


def _is_small(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def main() -> None:
    """Checks the environment and shows what an expert's first steps look like."""
    env = ShopEnv()
    print(srl_env.check_env(env))
    print(env.reset(options={"problem": 0, "reward_mode": "rlvr", "start_step": 3})[0])


if __name__ == "__main__":
    main()
