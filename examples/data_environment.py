"""An environment from rows of data: a source, a verifier, and fifteen lines that join them.

    srl-env check examples/data_environment.py
    srl-env play examples/data_environment.py

Rows with the columns "prompt", "steps" and "answer" need no class at all: ``steps:rows.jsonl``
is their environment. Here the columns are other ones, so a function makes a problem of a row.
``JsonlSource("rows.jsonl", problem)`` would read such rows from a file, and
``DatasetSource.from_hub("name", problem)`` from the hub.
"""

from __future__ import annotations

from typing import Any

import srl_env
from srl_env import ExpertStep, ExpertTrajectory, Problem, ReasoningEnv
from srl_env.data import ListSource, Row
from srl_env.verifiers import NumericVerifier

ROWS = [
    {"task": "A train leaves at 14:35 and arrives at 17:10. How many minutes does it take?",
     "working": "14:35 to 17:00 is 145 minutes | 145 + 10 = 155", "minutes": 155},
    {"task": "Two lessons of 45 minutes have a break of 15 between them. How many minutes in all?",
     "working": "2 * 45 = 90 | 90 + 15 = 105", "minutes": 105},
    {"task": "A film of 2 h 20 min is shown with 3 breaks of 10 minutes. How many minutes in all?",
     "working": "2 * 60 + 20 = 140 | 3 * 10 = 30 | 140 + 30 = 170", "minutes": 170},
    {"task": "Bread bakes from 6:50 to 7:35, four times a day. How many minutes a day?",
     "working": "6:50 to 7:35 is 45 minutes | 4 * 45 = 180", "minutes": 180},
    {"task": "A bus runs every 12 minutes. How many minutes pass from the first to the sixth bus?",
     "working": "6 - 1 = 5 gaps | 5 * 12 = 60", "minutes": 60},
]  # fmt: skip


def problem(row: Row) -> Problem:
    """The problem in a row: a step for each part of the working, then the answer."""
    steps = [ExpertStep(step) for step in row["working"].split(" | ")]
    steps.append(ExpertStep(f"#### {row['minutes']}"))
    return Problem(
        id=srl_env.data.content_id(row["task"]),
        prompt=row["task"],
        answer=str(row["minutes"]),
        trajectories=(ExpertTrajectory(tuple(steps)),),
    )


class MinutesEnv(ReasoningEnv):
    """Find out how many minutes something takes; the last step is "#### 155"."""

    def __init__(self, **options: Any) -> None:
        super().__init__(ListSource(map(problem, ROWS), "minutes"), NumericVerifier(), **options)


def main() -> None:
    """Checks the environment and shows the first problem as a policy sees it."""
    env = MinutesEnv()
    print(srl_env.check_env(env))
    print(env.reset(options={"problem": 0, "reward_mode": "srl", "start_step": 1})[0])
    print(env.step("<think>ten more minutes</think>\n145 + 10 = 155")[1])


if __name__ == "__main__":
    main()
