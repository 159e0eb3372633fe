"""The processes that train one model together; mostly there is one.

``accelerate launch`` (or torchrun) starts the same command several times. Each process runs the
whole trainer, samples its own share of every batch, and tells the others its episodes, so that
all have the same episodes in the same order. Groups, advantages, weights in the loss, numbers for
the log and the end of a stage are then worked out by each alone, to the same result, and nothing
can come apart. What is added up over processes is the gradient, and the log's sums over tokens.
Files are written by the first process, ``main``, whose clock is everybody's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from srl_env.errors import BadOption

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place among ``size`` processes: ``rank``, from 0.

    What takes part in a method must do so in every process, in the same order of calls.
    """

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of what all have: neighbours, as many as others' but for one."""
        begin, end = (-(-rank * len(items) // self.size) for rank in (self.rank, self.rank + 1))
        return items[begin:end]

    def all_gather(self, mine: Sequence[T]) -> list[T]:
        """Everybody's items, those of process 0 first; the inverse of ``part``."""
        if self.size == 1:
            return list(mine)
        found: list[Sequence[T]] = [()] * self.size
        dist.all_gather_object(found, mine)
        return [item for items in found for item in items]

    def broadcast(self, value: T) -> T:
        """What the main process has in its place."""
        return value if self.size == 1 else self.all_gather([value])[0]

    def any(self, flag: bool) -> bool:
        """Whether it is so in at least one process."""
        return flag if self.size == 1 else any(self.all_gather([flag]))

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Puts the sum over all processes into each tensor."""
        if self.size > 1:
            under_way = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
            for work in under_way:
                work.wait()

    def wait(self) -> None:
        """Goes on once every process is here."""
        if self.size > 1:
            dist.barrier()


ALONE = Team()


def launched() -> Team:
    """The place that a launcher gave this process, by its environment variables."""
    if "RANK" not in os.environ:
        return ALONE
    return Team(int(os.environ["RANK"]), int(os.environ.get("WORLD_SIZE", "1")))


def join(device: torch.device) -> Team:
    """This process's team, connected: gloo between CPUs, NCCL between GPUs, one for each process.

    device: what is computed on. Where a launcher started several processes, raises BadOption for
    one GPU by its number, and ImportError without accelerate.
    """
    team = launched()
    if team.size == 1:
        return ALONE
    if device.index is not None:
        raise BadOption(
            f"model.device is {str(device)!r}, and {team.size} processes need one each; give"
            f" {device.type!r}, of which each takes its own"
        )
    from accelerate import PartialState

    on_cpu = device.type == "cpu"
    PartialState(cpu=on_cpu, backend="gloo" if on_cpu else f"cpu:gloo,{device.type}:nccl")
    return Team(dist.get_rank(), dist.get_world_size())


def leave() -> None:
    """Disconnects, at the end of a process's work; nothing where it was alone."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
