"""Teachers whose solutions are known: each prompt's answer depends on the problem and the copy."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from srl_env.errors import Failure, PolicyFailure
from srl_env.policy import Generation, Sampling
from srl_env.text.prompt import Messages


class Sums:
    """Solves "a + b + c" line by line; every third sample is wrong, every fourth one fails.

    log: a file that gets a line for each prompt. kill_after: the process is killed after so many.
    """

    def __init__(self, log: str = "", kill_after: int = 0) -> None:
        self.log, self.kill_after, self.asked = log, kill_after, 0

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        return [self._write(messages[-1]["content"]) for messages in batch]

    def _write(self, prompt: str) -> Generation | Failure:
        if self.kill_after and self.asked == self.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.asked += 1
        problem = prompt.split("What is ")[1].split("?")[0]
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{problem}\n")
        a, b, c = map(int, problem.split(" + "))
        total = a + b + c + (self.asked % 3 == 0)
        if self.asked % 4 == 0:
            return PolicyFailure("the teacher is away")
        steps = f"{a} + {b} = {a + b}\n\n{a + b} + {c} = {total}\n#### {total}"
        return Generation(f"<think>left to right</think>{steps}", token_ids=(1, 2, 3))
