"""What each step measure costs, as a ratio to ``characters`` in the same run.

Run: ``python benchmarks/measures.py`` (half a minute). The steps are those of shipped environments.
Each action is compared with the expert's at that step: it is another step of the same solution with
one number changed. All measures are timed in turn on the same steps, in processor time of this
thread, on other actions in each round; the table shows the best round, for one step of a batch.
"""

from __future__ import annotations

import random
import re
import time

import srl_env
from srl_env import ReasoningEnv, StepRecord
from srl_env.rewards import MEASURES, Measure

ENVIRONMENTS = {
    "srl/GSM8K-v0": {"source": "sample"},
    "srl/NumberedSolutions-v0": {"source": "sample"},
    "srl/ModularChain-v0": {},
    "srl/ToolShop-v0": {"difficulty": 4},
    "srl/SWE-v0": {},
}
STEPS = 200
ROUNDS = 5


def main() -> None:
    """Prints the table."""
    print(f"microseconds of one step (× characters); best of {ROUNDS} rounds over {STEPS} steps\n")
    print(f"{'':22}{'length':>8}" + "".join(f"{name:>20}" for name in sorted(MEASURES)))
    for name, options in ENVIRONMENTS.items():
        env = srl_env.make(name, **options).unwrapped
        assert isinstance(env, ReasoningEnv)
        print(row(name, env), flush=True)
        env.close()


def row(name: str, env: ReasoningEnv) -> str:
    """The cost of each measure that the environment has."""
    steps = records(env)
    length = sum(len(step.expert_action or "") for _, step in steps) / len(steps)
    base = seconds(MEASURES["characters"], steps)
    cells = ""
    for measure in sorted(MEASURES):
        if measure == "accepts" and not env.has_accepts:
            cells += f"{'–':>20}"
            continue
        own = {"accepts": env.accepts, **env.measures}.get(measure, MEASURES[measure])
        cost = seconds(own, steps)
        cells += f"{cost * 1e6:11.1f} ({cost / base:5.1f})"
    return f"{name:22}{length:8.0f}{cells}"


def records(env: ReasoningEnv) -> list[tuple[str, StepRecord]]:
    """Actions, and the steps that they are taken at."""
    rng, found, seed = random.Random(0), list[tuple[str, StepRecord]](), 0
    while len(found) < STEPS:
        env.reset(seed=seed, options={"reward_mode": "srl"})
        seed, over = seed + 1, False
        while not over:
            action = changed(rng.choice(env.expert_steps).action, rng)
            record = env.advance(env.expert_completion())
            found.append((action, record))
            over = env.settle(record, srl_env.StepReward(0.0, {}))[2]
    return found[:STEPS]


def changed(text: str, rng: random.Random) -> str:
    """The text with one of its numbers changed."""
    numbers = list(re.finditer(r"\d+", text))
    if not numbers:
        return text
    number = rng.choice(numbers)
    return f"{text[: number.start()]}{rng.randint(0, 99)}{text[number.end() :]}"


def seconds(measure: Measure, steps: list[tuple[str, StepRecord]]) -> float:
    """Processor time of one step, best of several rounds."""
    rng, best = random.Random(1), float("inf")
    for _ in range(ROUNDS):
        batch = [(changed(action, rng), context) for action, context in steps]
        began = time.thread_time()
        for action, context in batch:
            measure(action, context)
        best = min(best, (time.thread_time() - began) / len(batch))
    return best


if __name__ == "__main__":
    main()
