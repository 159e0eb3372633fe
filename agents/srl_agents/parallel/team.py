"""The processes that train one model together; mostly there is one.

``accelerate launch`` (or torchrun) starts the same command several times. Each process runs the
whole trainer and samples its part of every batch. All then gather all episodes, in the same order.
Each computes groups, advantages, loss weights, log numbers and stage ends itself, with the same
result. Only the gradient, and the log's sums over tokens, are summed over processes. The first
process, ``main``, writes files, and its clock counts for all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from srl_agents.parallel.watch import Watch
from srl_env.errors import BadOption

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place among ``size`` processes: ``rank``, from 0.

    Every process must call the methods in the same order.
    """

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """This process's slice of the items; slices differ in length by at most one."""
        begin, end = (-(-rank * len(items) // self.size) for rank in (self.rank, self.rank + 1))
        return items[begin:end]

    def all_gather(self, mine: Sequence[T]) -> list[T]:
        """The items of all processes, by rank; the inverse of ``part``."""
        if self.size == 1:
            return list(mine)
        found: list[Sequence[T]] = [()] * self.size
        dist.all_gather_object(found, mine)
        return [item for items in found for item in items]

    def broadcast(self, value: T) -> T:
        """The main process's value."""
        return value if self.size == 1 else self.all_gather([value])[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in at least one process."""
        return flag if self.size == 1 else any(self.all_gather([flag]))

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Puts the sum over all processes into each tensor."""
        if self.size > 1:
            for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
                work.wait()

    def wait(self) -> None:
        """Waits for all processes."""
        if self.size > 1:
            dist.barrier()


ALONE = Team()


_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_watch: Watch | None = None


def launched() -> Team:
    """This process's place, from the launcher's environment variables; BadOption if one is missing
    or is not a number."""
    if "RANK" not in os.environ:
        return ALONE
    given = {name: os.environ.get(name, "") for name in _VARIABLES}
    if given["WORLD_SIZE"] in ("", "1") and given["RANK"] == "0":
        return ALONE
    for name, value in given.items():
        if not value or (name != "MASTER_ADDR" and not value.isdecimal()):
            what = "a number" if value else "set where RANK is"
            raise BadOption(
                f"the variable {name} must be {what}; got {value or 'none'}. Fix:"
                " start the processes with accelerate launch or torchrun, which set"
                f" {', '.join(_VARIABLES)}"
            )
    if int(given["RANK"]) >= int(given["WORLD_SIZE"]):
        raise BadOption(
            f"the variable RANK must be below WORLD_SIZE; got {given['RANK']} and"
            f" {given['WORLD_SIZE']}. Fix: number the processes from 0"
        )
    return Team(int(given["RANK"]), int(given["WORLD_SIZE"]))


def join(device: torch.device, resume: str = "--resume") -> Team:
    """This process's team, connected: gloo between CPUs, NCCL between GPUs, one for each process.

    From now on all processes end if one is gone; see ``watch``. device: to compute on. resume: the
    option that resumes the run, for messages. If a launcher started several processes, raises
    BadOption for a GPU with a number or if they do not come together, and ImportError without
    accelerate.
    """
    global _watch
    team = launched()
    if team.size == 1:
        return ALONE
    if device.index is not None:
        raise BadOption(
            f"model.device must be {device.type!r} for {team.size} processes, so that each takes"
            f" its own; got {str(device)!r}"
        )
    from accelerate import PartialState

    on_cpu = device.type == "cpu"
    try:
        PartialState(cpu=on_cpu, backend="gloo" if on_cpu else f"cpu:gloo,{device.type}:nccl")
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        why = str(error).partition("\n")[0]
        raise BadOption(
            f"{team.size} processes must meet at {where}; got rank {team.rank} with: {why}. Fix:"
            " start as many as WORLD_SIZE says, with a free MASTER_PORT that all can reach"
        ) from None
    if _watch is None:
        _watch = Watch(team.rank, team.size, resume)
    return team


def until_known() -> AbstractContextManager[None]:
    """See ``Watch.until_known``; nothing for a single process."""
    return nullcontext() if _watch is None else _watch.until_known()


def first_to_end() -> bool:
    """Whether this process should report its error: of several that end, only the first does."""
    return _watch is None or _watch.first_to_end()


def leave() -> None:
    """Disconnects at the end of all processes' work; does nothing for a single process."""
    global _watch
    if _watch is not None:
        _watch.end()
        _watch = None
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
