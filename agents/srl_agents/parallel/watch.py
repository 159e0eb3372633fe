"""What ends all processes of a team when one of them is gone.

A thread of each process adds 1 to a number in the launcher's store (``torch.distributed.TCPStore``)
every second. It sees within a second that another process of its machine is gone, and after
``PATIENCE`` that one of another machine is, or that a process hangs. It then ends its own process,
which may be waiting for the lost one in a collective. Of all processes that end early, the first
prints why; the others are silent.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn

from torch import distributed as dist

from srl_env.errors import SrlEnvError

BEAT_S = 1.0
PATIENCE = 120
"""After so many beats of its own without one of another process, that process is lost."""

_FIRST = "first to end"


class ProcessLost(SrlEnvError, RuntimeError):
    """The processes lost their connection."""


class Watch:
    """Watches the other processes until ``end``. Made by all processes of a team together."""

    def __init__(self, rank: int, size: int, resume: str) -> None:
        """resume: how a reader starts all again, for the message."""
        self.rank, self.size, self._resume = rank, size, resume
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        made: Any = dist  # its stubs do not name the stores
        store = made.TCPStore(host, port, timeout=timedelta(seconds=30))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self._store = made.PrefixStore(f"srl-env/{attempt}", store)
        self._local = _processes_here(size)
        self._seen, self._unchanged = 0, 0
        self._claimed = False
        self._leaving, self._ended, self._woken = (threading.Event() for _ in range(3))
        self._owner = os.getpid()
        self._before = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._on_terminate)
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def first_to_end(self) -> bool:
        """Whether this process is the first that ends with an error; True once."""
        if self._claimed:
            return False
        self._claimed = True
        try:
            first: bytes = self._store.compare_set(_FIRST, "", str(self.rank))
            return int(first) == self.rank
        except RuntimeError:  # the store is gone
            return self.rank == min(set(self._local) - set(self._gone()))

    @contextmanager
    def until_known(self) -> Iterator[None]:
        """A failed exchange with other processes ends with the reason why it failed.

        Raises ProcessLost if that does not become known.
        """
        try:
            yield
        except SrlEnvError:
            raise
        except RuntimeError as error:
            exchange = isinstance(error, dist.DistError) or "gloo" in str(error)
            self._ended.wait((PATIENCE + 5 if exchange else 2) * BEAT_S)  # or the thread ends all
            if not exchange:
                raise
            why = str(error).partition("\n")[0]
            raise ProcessLost(f"the processes lost their connection: {why}. {self._fix}") from None

    def end(self) -> None:
        """Stops watching, when all processes do."""
        self._leaving.set()
        with suppress(RuntimeError):  # all work is done
            dist.barrier()  # nobody leaves while another one still watches it
        self._ended.set()
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    @property
    def _fix(self) -> str:
        return f"Fix: start all processes again with {self._resume}"

    def _on_terminate(self, number: int, _: FrameType | None) -> None:
        if os.getpid() == self._owner:
            self._woken.set()
            return
        signal.signal(number, signal.SIG_DFL)  # in a forked process
        os.kill(os.getpid(), number)

    def _watch(self) -> None:
        while not self._ended.is_set():
            terminated = self._woken.wait(BEAT_S)
            why = self._why()
            if why is None and terminated:
                why = "the launcher or a user ended this process (SIGTERM)"
            if why is not None and not self._leaving.is_set():
                self._exit(why)

    def _exit(self, why: str) -> NoReturn:
        if self.first_to_end():
            print(f"error: {why}. {self._fix}", file=sys.stderr, flush=True)
        else:
            time.sleep(2 * BEAT_S)  # so that nobody reports this one as the first that was gone
        os._exit(1)  # the main thread may wait for ever

    def _why(self) -> str | None:
        """Why this process has to end; None if all are well, or if it ends by itself."""
        if self._claimed:
            return None
        if gone := self._gone():
            names = " and ".join(f"rank {rank} (process {self._local[rank]})" for rank in gone)
            are = "are" if len(gone) > 1 else "is"
            return f"{names} of {self.size} {are} gone, so all processes end"
        try:
            if self._store.check([_FIRST]):
                return "another process ended"
            self._store.add(f"beat/{self.rank}", 1)
            before = (self.rank - 1) % self.size
            beat = self._store.add(f"beat/{before}", 0)
        except RuntimeError:
            return "the launcher or rank 0 is gone, so all processes end"
        self._unchanged = self._unchanged + 1 if beat == self._seen else 0
        self._seen = beat
        if self._unchanged > PATIENCE:
            seconds = f"{PATIENCE * BEAT_S:g} s"
            return f"rank {before} of {self.size} is lost: no sign of life for {seconds}"
        return None

    def _gone(self) -> list[int]:
        return [rank for rank, process in self._local.items() if not _runs(process)]


def _processes_here(size: int) -> Mapping[int, int]:
    """The process of each rank on this machine."""
    host, found = socket.gethostname(), [("", 0)] * size
    dist.all_gather_object(found, (host, os.getpid()))
    return {rank: process for rank, (where, process) in enumerate(found) if where == host}


def _runs(process: int) -> bool:
    """Whether a process is there and has not ended."""
    import psutil

    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
