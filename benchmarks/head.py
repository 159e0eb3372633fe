"""Memory and time of the output head with a real vocabulary, in parts and in one piece.

    python benchmarks/head.py
    python benchmarks/head.py --tokens 16384 --vocabulary 152064 --hidden 1024

Log-probabilities of all tokens from their last hidden states, and their gradient: in parts, as a
training does it, and as ``log_softmax`` of all logits. Each runs in a process of its own. Memory is
the peak above what the inputs take. The gradient of the matrix is part of it, in both; *frozen*
has none, as with adapters. Seconds are processor time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

MB = 10**6


def main() -> None:
    """Prints one line for a trained head and one for a frozen one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = (options.tokens, options.vocabulary, options.hidden)
    if options.inside:
        way, head = options.inside
        print(json.dumps(_measured(way == "parts", head == "trained", *sizes)))
        return
    print(f"{options.tokens} tokens, {options.vocabulary} entries, {options.hidden} numbers each\n")
    print(f"{'head':9}{'parts MB':>10}{'whole MB':>10}{'ratio':>7}{'parts s':>9}{'whole s':>9}")
    for head in ("trained", "frozen"):
        (ours, our_s), (naive, naive_s) = (_run(way, head, sizes) for way in ("parts", "whole"))
        print(
            f"{head:9}{ours / MB:10.0f}{naive / MB:10.0f}{ours / naive:7.2f}"
            f"{our_s:9.1f}{naive_s:9.1f}",
            flush=True,
        )


def _run(way: str, head: str, sizes: tuple[int, int, int]) -> tuple[float, float]:
    """Peak bytes and seconds of one of the ways, in a process of its own."""
    names = ("--tokens", "--vocabulary", "--hidden")
    numbers = [part for name, size in zip(names, sizes, strict=True) for part in (name, str(size))]
    command = [sys.executable, __file__, *numbers, "--inside", way, head]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, seconds = json.loads(done.stdout)
    return float(peak), float(seconds)


def _measured(parts: bool, trained: bool, tokens: int, vocabulary: int, hidden: int) -> list[float]:
    import torch

    from srl_agents.nn.head import Head

    torch.set_num_threads(1)

    def scored(states: torch.Tensor, matrix: torch.nn.Linear, target: torch.Tensor) -> torch.Tensor:
        if parts:
            return Head(matrix).scores(states, target, 1.0)[0]
        return torch.log_softmax(matrix(states), -1).gather(1, target[:, None])[:, 0]

    warm = torch.nn.Linear(hidden, 64, bias=False)  # loads what the libraries load once
    scored(torch.randn(8, hidden), warm, torch.arange(8)).sum().backward()
    states = torch.randn(tokens, hidden, requires_grad=True)
    matrix = torch.nn.Linear(hidden, vocabulary, bias=False).requires_grad_(trained)
    target = torch.randint(vocabulary, (tokens,))
    before, began = _resident(), time.process_time()
    scored(states, matrix, target).sum().backward()
    seconds = time.process_time() - began
    return [1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, seconds]


def _resident() -> int:
    """Bytes of memory of this process now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
