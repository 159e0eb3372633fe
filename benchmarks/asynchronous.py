"""Sampling ahead of the updates against sampling and updating in turn, over seeds.

    python benchmarks/asynchronous.py
    python benchmarks/asynchronous.py --updates 60 --seeds 0 1 2 3 4 --staleness 0 1 2 --jobs 4

What costs time here waits, as sandboxes, servers and GPUs do, so the figures hardly depend on the
processor. Each step in an environment waits for a time from an exponential distribution (its mean
is ``--world-s``), each call of the policy waits ``--policy-s``, and each update waits
``--update-s``. The model is tiny and real, and it learns: the reward is the similarity of four
letters to the four that a problem asks for, in two steps.

A line for each bound on staleness; 0 samples and updates in turn, with all episodes at once. Means
over the seeds, without each run's first four updates:

- seconds of an update, and how many times as fast as in turn (the median of the seeds' ratios);
- idle: the fraction of the time in which the learner waits for samples;
- staleness, mean and largest, and the groups that were dropped;
- the mean reward of the last quarter, and its difference from that in turn, paired by seed, with
  a 95 % interval (t distribution);
- predicted: the seconds that ``srl_agents.training.predict_throughput`` computes from those of a
  job and of an update without its waiting, measured in the same runs. The std of a job's seconds is
  that of the waits in its environments.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import transformers

from srl_agents import make_config, train
from srl_agents.models import build, character_tokenizer
from srl_agents.objectives import GRPO
from srl_agents.objectives.batch import TrainingBatches
from srl_agents.objectives.requests import Collected
from srl_agents.policies.loading import Copy
from srl_agents.policies.sampler import Training
from srl_agents.training import Rates, predict_throughput
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import Failure
from srl_env.policy import Generation, Sampling
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.text.format import ParsedStep, ThinkTags
from srl_env.text.prompt import Messages, PromptStyle
from srl_env.verifiers.base import AnswerVerifier

LETTERS = "abcd"
STEPS = 2  # of an episode
BATCH, GROUP_SIZE = 4, 8
FIRST = 4  # updates that are not timed
_T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
"""The t quantile at 0.975, by degrees of freedom."""


class AnyText(ThinkTags):
    """All of a completion is the action, and any is in the right form."""

    instructions = ""

    def parse(self, text: str) -> ParsedStep:
        """The text itself."""
        return ParsedStep(None, text.strip(), True)


class Contains(AnswerVerifier):
    """Correct where the last action contains the answer."""

    def extract(self, text: str) -> str | None:
        """The text itself."""
        return text or None

    def equal(self, answer: str, expected: str) -> bool:
        """Whether it contains the answer."""
        return expected in answer


class WaitingLetters(ReasoningEnv):
    """Write the letter before #, four times, twice. Each step waits for a random time."""

    slow_world = True

    def __init__(self, world_s: float = 0.0, split: str = "train", **options: Any) -> None:
        """world_s: the mean wait, of an exponential distribution."""
        self.world_s, self._random = world_s, np.random.default_rng()
        problems = [
            Problem(
                letter,
                f"{letter}#",
                letter,
                (ExpertTrajectory((ExpertStep(letter * 4),) * STEPS),),
            )
            for letter in LETTERS
        ]
        super().__init__(
            ListSource(problems, "letters"),
            Contains(),
            format=AnyText(),
            style=PromptStyle.bare(),
            **options,
        )

    def world_step(self, action: str) -> str:
        """Nothing to see, after the wait."""
        time.sleep(self._random.exponential(self.world_s))
        return ""

    def is_final(self, action: str) -> bool:
        """No step is."""
        return False


class Waiting(Copy):
    """A copy of the model, each call of which waits, as that of a server."""

    policy_s = 0.0

    @classmethod
    def for_training(cls, training: Training) -> Waiting:
        """The copy, with ``policy.engine.policy_s``."""
        made = super().for_training(training)
        assert isinstance(made, Waiting)
        made.policy_s = float(training.settings.engine["policy_s"])
        return made

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation | Failure]:
        """What the copy samples, after the wait."""
        time.sleep(self.policy_s)
        return super().generate(batch, sampling)


@dataclass(frozen=True, slots=True)
class WaitingGRPO(GRPO):
    """GRPO whose update waits, as if it were computed elsewhere."""

    kind: str = "asynchronous:WaitingGRPO"
    update_s: float = 0.0

    def training_batches(
        self, collected: Collected, batch: int, max_steps: int
    ) -> TrainingBatches | None:
        """GRPO's, after the wait."""
        time.sleep(self.update_s)
        return GRPO.training_batches(self, collected, batch, max_steps)


def main() -> None:
    """Runs everything and prints the table."""
    options = _arguments()
    if options.run is not None:
        train(make_config(json.loads(options.run)))
        return
    with nullcontext(options.out) if options.out else TemporaryDirectory() as folder:
        base = _save_base(Path(folder) / "base")
        runs = {
            (most, seed): _settings(options, base, Path(folder) / f"run-{most}-{seed}", most, seed)
            for seed in options.seeds
            for most in options.staleness
        }
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(_run_elsewhere, runs.values()))
        found = {key: _Run.read(Path(tree["out"])) for key, tree in runs.items()}
    print(
        f"{len(options.seeds)} seeds, {options.updates} updates; waits: {options.world_s:g} s a"
        f" step (mean), {options.policy_s:g} s a call, {options.update_s:g} s an update;"
        f" {options.workers} workers"
    )
    print(_HEAD)
    for most in options.staleness:
        own = [found[most, seed] for seed in options.seeds]
        in_turn = [found[0, seed] for seed in options.seeds if (0, seed) in found]
        print(_line(options, most, own, in_turn))


_HEAD = (
    f"{'n':>2}{'s/update':>9}{'times':>6}{'idle':>6}{'staleness':>11}{'dropped':>8}"
    f"{'reward':>8}{'  difference (95 %)':21}{'predicted':>9}"
)


@dataclass(frozen=True, slots=True)
class _Run:
    """Means of a run. seconds, idle_s: of an update. job_s: of a job of one group."""

    seconds: float
    idle_s: float
    job_s: float
    groups: float
    staleness: float
    most_stale: float
    dropped: float
    reward: float

    @classmethod
    def read(cls, folder: Path) -> _Run:
        """From the log of a finished run."""
        lines = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
        updates = [line for line in lines if "event" not in line]
        timed, last = updates[FIRST:], updates[-len(updates) // 4 :]

        def mean(name: str, rows: Sequence[Mapping[str, float]] = timed) -> float:
            return statistics.fmean(row.get(name, 0.0) for row in rows)

        sampling = mean("time/sample") + mean("time/environment")
        ahead = "time/idle" in timed[0]
        return cls(
            seconds=(timed[-1]["seconds"] - updates[FIRST - 1]["seconds"]) / len(timed),
            idle_s=mean("time/idle") if ahead else sampling,
            job_s=sampling / mean("groups/sampled") if ahead else sampling,
            groups=mean("groups/sampled") + mean("staleness/dropped"),
            staleness=mean("staleness/mean"),
            most_stale=max(row.get("staleness/max", 0.0) for row in timed),
            dropped=sum(row.get("staleness/dropped", 0.0) for row in timed),
            reward=mean("reward", last),
        )

    def predicted(self, most: int, workers: int, world_s: float) -> float:
        """The seconds of an update by the model of throughput."""
        slowest = sum(1 / n**2 for n in range(1, GROUP_SIZE + 1))  # variance, of as many waits
        rates = Rates(
            update_s=self.seconds - self.idle_s,
            job_s=self.job_s,
            job_std_s=world_s * (STEPS * slowest) ** 0.5,
            groups=self.groups,
            workers=workers,
            max_staleness=most,
        )
        if not most:  # all groups are one job
            rates = replace(rates, job_groups=self.groups, workers=1)
        return predict_throughput(rates).seconds


def _line(options: Any, most: int, own: Sequence[_Run], in_turn: Sequence[_Run]) -> str:
    mean = {name: statistics.fmean(getattr(run, name) for run in own) for name in _Run.__slots__}
    idle = statistics.fmean(run.idle_s / run.seconds for run in own)
    times = difference = ""
    if in_turn and most:
        pairs = list(zip(own, in_turn, strict=True))
        times = f"{statistics.median(other.seconds / run.seconds for run, other in pairs):.2f}"
        difference = _interval([run.reward - other.reward for run, other in pairs])
    predicted = statistics.fmean(
        run.predicted(most, options.workers, options.world_s) for run in own
    )
    staleness = f"{mean['staleness']:.2f} / {max(run.most_stale for run in own):.0f}"
    return (
        f"{most:>2}{mean['seconds']:>9.2f}{times:>6}{idle:>6.0%}{staleness:>11}"
        f"{mean['dropped']:>8.1f}{mean['reward']:>8.3f}  {difference:19}{predicted:>9.2f}"
    )


def _interval(differences: Sequence[float]) -> str:
    center = statistics.fmean(differences)
    if len(differences) < 2:
        return f"{center:+.3f}"
    error = statistics.stdev(differences) / len(differences) ** 0.5
    half = _T.get(len(differences) - 1, 2.0) * error
    return f"{center:+.3f} ± {half:.3f}"


def _settings(options: Any, base: Path, out: Path, most: int, seed: int) -> dict[str, Any]:
    here = str(Path(__file__).resolve())
    objective = {
        "kind": "asynchronous:WaitingGRPO",
        "update_s": options.update_s,
        "reward_mode": "srl",
        "continuation": "policy",
        "sampler_correction": "token-tis",
        "max_tokens": 4,
        "max_steps": STEPS,
        "group_size": GROUP_SIZE,
        "max_groups": 1.0,
    }
    return {
        "out": str(out),
        "seed": seed,
        "env": {"id": here, "options": {"world_s": options.world_s}},
        "model": {"path": str(base), "device": "cpu", "threads": 1},
        "policy": {"sampler": f"{here}:Waiting", "engine": {"policy_s": options.policy_s}},
        "rollout": {"max_staleness": most, "workers": options.workers, "job_groups": 1}
        if most
        else {},
        "budget": {"updates": options.updates},
        "method": [{"name": "letters", "lr": options.lr, "batch": BATCH, "objective": objective}],
        "checkpoint": {"every": 1000},
        "log": {"tensorboard": False, "rollouts_every": 0, "kl_every": 0},
    }


def _run_elsewhere(tree: Mapping[str, Any]) -> None:
    """A run in a process of its own, unless it is there already."""
    if (Path(tree["out"]) / "model").is_dir():
        return
    command = [sys.executable, str(Path(__file__).resolve()), "--run", json.dumps(tree)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _save_base(folder: Path) -> Path:
    tokenizer = character_tokenizer(f"{LETTERS}#")
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.06,
        max_position_embeddings=512,
    )
    build(config, tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--staleness", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--world-s", type=float, default=0.3, help="mean wait of a step")
    parser.add_argument("--policy-s", type=float, default=0.1, help="wait of a call")
    parser.add_argument("--update-s", type=float, default=1.5, help="wait of an update")
    parser.add_argument("--jobs", type=int, default=4, help="runs at the same time")
    parser.add_argument("--out", help="keeps the runs, and takes those that are there")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
