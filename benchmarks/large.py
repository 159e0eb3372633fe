"""Peak memory and time of the commands that read very many problems.

    python benchmarks/large.py --problems 100000
    python benchmarks/large.py --problems 1000000 --only eval difficulty list

Each command runs in its own process: on 64 problems, and on all. The difference of the peaks
(``VmHWM``, on Linux) is what the problems cost above the imports; pyarrow is imported in both. The
policy is the expert, and problems have one short step, so what is measured is the work around
episodes. ``file`` evaluates a file of JSON lines, ``generator`` problems that are made on request.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from srl_agents.models.small import build, character_tokenizer

SMALL = 64
RUN = """
import atexit, pathlib, re
import pyarrow.parquet
from srl_agents.cli import app
peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]
atexit.register(lambda: pathlib.Path("peak").write_text(peak()))
app()
"""
SAMPLED = "-m expert --granularity solution -r 1 -n {problems}"
FILE = "--split all -e steps:problems.jsonl"
COMMANDS = {
    "file": f"eval {SAMPLED} {FILE} --no-greedy -o file",
    "generator": f"eval {SAMPLED} -e srl/ModularChain-v0 --no-greedy -o generator",
    "difficulty": "difficulty file -b easy -o easy.json",
    "list": "view file --page 2 --where verdict=right",
    "rescore": "rescore file --reward-mode format -o rescored",
    "collect": f"data collect {SAMPLED} {FILE} -o collected.jsonl",
    "train": "train -e steps:problems.jsonl -m base --method srl --set env.options.split=all --set"
    " env.problems=easy.json --set budget.updates=4 --set train.batch=8 --set train.objective"
    ".max_tokens=4 --set log.tensorboard=false --set log.rollouts_every=1 -o trained",
}


def main() -> None:
    """Prints the peak and the time of each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=100_000)
    parser.add_argument("--only", nargs="*", default=list(COMMANDS), choices=COMMANDS)
    given = parser.parse_args()
    print(f"{'command':<12}{'MB above 64 problems':>22}{'MB in all':>12}{'seconds':>10}")
    with tempfile.TemporaryDirectory() as place:
        small, large = Path(place) / "small", Path(place) / "large"
        for folder, problems in ((small, SMALL), (large, given.problems)):
            prepare(folder, problems)
        for name in given.only:
            before, _ = measured(COMMANDS[name], small, SMALL)
            peak, seconds = measured(COMMANDS[name], large, given.problems)
            print(f"{name:<12}{peak - before:>22.0f}{peak:>12.0f}{seconds:>10.0f}", flush=True)


def prepare(folder: Path, problems: int) -> None:
    """Writes the file of problems and a small model with random weights."""
    folder.mkdir()
    with (folder / "problems.jsonl").open("w", encoding="utf-8") as file:
        for number in range(problems):
            steps = [f"{number} + 1 = {number + 1}", f"#### {number + 1}"]
            row = {"id": f"sum/{number}", "prompt": f"{number} + 1 =", "answer": f"{number + 1}"}
            file.write(json.dumps(row | {"steps": steps}) + "\n")
    tokenizer = character_tokenizer("0123456789+=# ")
    for part in (tokenizer, build("lfm2-0.3m", tokenizer, 0)):
        part.save_pretrained(folder / "base")


def measured(command: str, folder: Path, problems: int) -> tuple[float, float]:
    """The peak memory of a command in MB, and its seconds."""
    words, began = command.format(problems=problems).split(), time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    run = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(f"{command}\n{run.stdout}{run.stderr}")
    return int((folder / "peak").read_text()) / 1024, time.perf_counter() - began


if __name__ == "__main__":
    main()
