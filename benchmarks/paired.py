"""The speed of this checkout against another one's, in turn, with an interval.

    git worktree add /tmp/before COMMIT
    python benchmarks/paired.py /tmp/before
    python benchmarks/paired.py /tmp/before --work "sample llama-5m 64 100x64" --pairs 40

Two processes, one for each checkout, do the same work with one thread, never at the same time:
once each in every pair, in changing order. Seconds are processor time of the process. The ratio
is before / after, the median over the pairs; above 1 this checkout is faster. Its interval
holds 95 %, by resampling pairs. A unit of work is one call of the sampler with a fresh cache, or
one whole update of a training. The first two of each are not counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent.parent
WORK = (
    "sample llama-1m 64 32x64",
    "sample llama-1m 64 100x16",
    "sample llama-5m 64 100x16",
    "sample llama-5m 256 32x64",
    "sample lfm2-0.3m 64 100x16",
    "update llama-1m steps",
    "update llama-1m together",
    "update llama-1m solutions",
)
WARM_UP = 2


def main() -> None:
    """Prints one line for each work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--work", nargs="+", default=list(WORK))
    parser.add_argument("--pairs", type=int, default=30)
    options = parser.parse_args()
    print(f"{'work':30}{'before s':>10}{'after s':>10}{'ratio':>8}   95 %", flush=True)
    for work in options.work:
        seconds = measured([options.before.resolve(), HERE], work, options.pairs)
        ratios = seconds[:, 0] / seconds[:, 1]
        drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
        low, high = np.quantile(np.median(drawn, 1), [0.025, 0.975])
        before, after = np.median(seconds, 0)
        speeds = f"{work:30}{before:10.3f}{after:10.3f}{np.median(ratios):8.3f}"
        print(f"{speeds}   {low:.3f} to {high:.3f}", flush=True)


def measured(checkouts: list[Path], work: str, pairs: int) -> np.ndarray:
    """(pairs, 2) processor seconds of the work in each checkout."""
    workers = [_start(checkout, work, pairs) for checkout in checkouts]
    seconds = np.zeros((pairs + WARM_UP, 2))
    for pair in range(pairs + WARM_UP):
        for which in (0, 1) if pair % 2 else (1, 0):
            seconds[pair, which] = _unit(workers[which])
    for worker in workers:
        worker.communicate()
    return seconds[WARM_UP:]


def _start(checkout: Path, work: str, pairs: int) -> subprocess.Popen[str]:
    paths = [checkout, checkout / "agents", checkout / "envs", checkout / "benchmarks"]
    return subprocess.Popen(
        [sys.executable, __file__, "--inside", work, str(pairs + WARM_UP)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _unit(worker: subprocess.Popen[str]) -> float:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    while line := worker.stdout.readline():
        if line.startswith("seconds "):
            return float(line.split()[1])
    raise SystemExit(f"{worker.args[2:]} ended early")


def _inside(work: str, units: int) -> None:
    """Does the units, each when a line is read."""
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    kind, model, *rest = work.split()
    if kind == "sample":
        _sample(model, int(rest[0]), rest[1], units)
    else:
        _update(model, rest[0], units)


def _sample(model: str, batch: int, shape: str, units: int) -> None:
    import sampling

    prompt, new = map(int, shape.split("x"))
    run = sampling.our_run(sampling._model(model), sampling.Work(model, batch, prompt, new))
    for _ in range(units):
        _timed(run)


def _timed(run: Callable[[], object]) -> None:
    sys.stdin.readline()
    began = time.process_time()
    run()
    print(f"seconds {time.process_time() - began}", flush=True)


def _update(model: str, work: str, units: int) -> None:
    import update

    began = [0.0]

    def on_progress(_: Any) -> None:
        print(f"seconds {time.process_time() - began[0]}", flush=True)
        sys.stdin.readline()
        began[0] = time.process_time()

    def train(config: Any, **_: Any) -> None:
        sys.stdin.readline()
        began[0] = time.process_time()
        original(config, on_progress=on_progress)

    original, update.train = update.train, train
    with tempfile.TemporaryDirectory() as folder:
        saved = update.save_model(model, Path(folder) / "model")
        update.our_seconds(saved, work, units - update.WARM_UP)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _inside(sys.argv[2], int(sys.argv[3]))
    else:
        main()
