"""A stable-baselines3 agent learns to choose the next step among k candidates.

    python examples/step_chooser.py

This trains PPO and MaskablePPO in two environments. The candidates are the expert's step, perturbed
copies of it, and steps of other problems. The table shows how often an agent chooses a correct step
on problems of the test split, compared with chance and with the untrained network.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

import srl_env
from srl_agents.integrations import (
    CandidateSteps,
    ExpertAmongOthers,
    HashedNgrams,
    MaskableScorerPolicy,
    ScorerPolicy,
    save_chooser,
)
from srl_env.seeding import stream

ENVIRONMENTS = ("srl/WordProblem-v0", "srl/ColumnArithmetic-v0")
ALGORITHMS: dict[str, tuple[Any, Any]] = {
    "PPO": (PPO, ScorerPolicy),
    "MaskablePPO": (MaskablePPO, MaskableScorerPolicy),
}
TRAINING: dict[str, Any] = {
    "n_steps": 128,
    "batch_size": 256,
    "n_epochs": 6,
    "learning_rate": 1e-3,
    "gamma": 0.0,  # the expert's step follows whatever was chosen: no choice has a later effect
    "ent_coef": 0.003,
}
console = Console()


@dataclass(frozen=True, slots=True)
class Figures:
    """How often a right step was chosen on held-out problems: shares of all steps.

    chance: choosing with equal probabilities. untrained: the network before training. trained:
    after it. steps, seconds: of training.
    """

    env: str
    algorithm: str
    k: int
    perturbed: int
    chance: float
    untrained: float
    trained: float
    steps: int
    seconds: float


def make_env(env_id: str, split: str, k: int = 4, perturbed: int = 1) -> CandidateSteps:
    """The environment as a choice among k candidates, rewarded as in SRL."""
    env = srl_env.make(env_id, split=split, reward_mode="srl")
    proposer, encoder = ExpertAmongOthers(perturbed=perturbed), HashedNgrams()
    return CandidateSteps(env, k, proposer=proposer, encoder=encoder)


def make_agent(
    algorithm: str, env_id: str, k: int, perturbed: int, seed: int, envs: int = 8
) -> Any:
    """An untrained agent over several environments of the training split."""
    kind, policy = ALGORITHMS[algorithm]
    many = DummyVecEnv([lambda: make_env(env_id, "train", k, perturbed)] * envs)
    return kind(policy, many, seed=seed, device="cpu", **TRAINING)


def correct_fraction(
    agent: Any | None, env_id: str, k: int, perturbed: int, problems: int, seed: int
) -> float:
    """The share of steps on test problems where a legal step was chosen; None chooses by chance."""
    env, rng = make_env(env_id, "test", k, perturbed), stream("chance", seed)
    found: list[bool] = []
    for number in range(problems):
        observation, _ = env.reset(seed=seed * 10_000 + number)
        over = False
        while not over:
            action = rng.integers(k)
            if agent is not None:
                action, _ = agent.predict(observation, deterministic=True)
            observation, _, terminated, truncated, info = env.step(action)
            found.append(bool(info["legal"]))
            over = terminated or truncated
    return float(np.mean(found))


def learn(
    algorithm: str, env_id: str, *, k: int, perturbed: int, steps: int, problems: int, seed: int
) -> tuple[Any, Figures]:
    """A trained agent and its figures."""
    agent = make_agent(algorithm, env_id, k, perturbed, seed)
    settings = (env_id, k, perturbed, problems, seed)
    chance, untrained = correct_fraction(None, *settings), correct_fraction(agent, *settings)
    began = time.perf_counter()
    agent.learn(steps)
    seconds = time.perf_counter() - began
    trained = correct_fraction(agent, *settings)
    figures = Figures(
        env_id, algorithm, k, perturbed, chance, untrained, trained, agent.num_timesteps, seconds
    )
    return agent, figures


def figures_table(rows: Sequence[Figures]) -> Table:
    """The figures, in per cent."""
    grid = Table(title="right steps chosen on held-out problems, in %")
    for head in ("environment", "agent", "k", "chance", "untrained", "trained", "steps", "s"):
        grid.add_column(head, justify="left" if head in ("environment", "agent") else "right")
    for row in rows:
        shares = (f"{100 * share:.1f}" for share in (row.chance, row.untrained, row.trained))
        name, spent = row.env.partition("/")[2], f"{row.seconds:.0f}"
        grid.add_row(name, row.algorithm, str(row.k), *shares, str(row.steps), spent)
    return grid


def main(arguments: Sequence[str] | None = None) -> list[Figures]:
    """Trains, measures, and writes agents and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", action="append", help="environment id; may be repeated")
    parser.add_argument("--algorithm", action="append", choices=list(ALGORITHMS))
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--problems", type=int, default=200, help="held-out problems")
    parser.add_argument("-k", type=int, default=4, help="candidates of a step")
    parser.add_argument("--perturbed", type=int, default=1, help="perturbed steps among them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/choosers"))
    given = parser.parse_args(arguments)
    rows = []
    for env_id in given.env or ENVIRONMENTS:
        for algorithm in given.algorithm or ALGORITHMS:
            agent, figures = learn(
                algorithm,
                env_id,
                k=given.k,
                perturbed=given.perturbed,
                steps=given.steps,
                problems=given.problems,
                seed=given.seed,
            )
            rows.append(figures)
            name = f"{env_id.partition('/')[2]}-{algorithm}"
            save_chooser(agent, given.out / name, HashedNgrams())
            console.print(figures_table(rows[-1:]))
    text = json.dumps([asdict(row) for row in rows], indent=1) + "\n"
    (given.out / "figures.json").write_text(text, encoding="utf-8")
    console.print(figures_table(rows))
    return rows


if __name__ == "__main__":
    main()
