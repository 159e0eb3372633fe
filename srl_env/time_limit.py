"""A time limit for a call in this process, whose code cannot be killed from outside.

In the main thread an alarm signal interrupts the call. It reaches Python code, system calls, and C
code that looks for signals, such as powers of large integers and regular expressions. An alarm set
by other code still rings when it is due.

In any other thread, the call runs in a new thread. When its time is over it is abandoned: nothing
waits for it, not even at exit, and it ends at its next line of Python. Until then it may still
change its objects. It does not see thread-local state of the caller.

Neither method stops C code that does not look for signals, or a loop that catches every exception,
including a bare ``except``. In a thread, one operation that holds Python's lock, such as
``9**9**9``, blocks the whole process. Such work belongs in a process that can be killed
(``srl_env.verifiers.worker_pool``).
"""

from __future__ import annotations

import contextvars
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
_AGAIN_S = 1.0  # if the code catches the interruption and continues
_STOP_S = 0.1
# Without the conversion to enumerations, which takes longer than everything else here.
_set_handler: Callable[..., Any] = getattr(signal.signal, "__wrapped__", signal.signal)


class OutOfTime(Exception):  # not a TimeoutError, which the called code may catch
    """A call did not end in time. where: its "file:line", or "unknown"."""

    def __init__(self, where: str) -> None:
        self.where = where
        super().__init__(where)


class _Interrupt(BaseException):
    """Passes through ``except Exception`` of the interrupted code."""


def run_within(call: Callable[[], T], seconds: float) -> T:
    """What ``call`` returns or raises; ``OutOfTime`` if it takes longer than ``seconds``."""
    main = threading.current_thread() is threading.main_thread()
    alarm = main and hasattr(signal, "setitimer")
    return _with_alarm(call, seconds) if alarm else _in_thread(call, seconds)


def _with_alarm(call: Callable[[], T], seconds: float) -> T:
    interrupt, armed, where = _Interrupt(), True, ""
    began = time.monotonic()

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal where
        passed = time.monotonic() - began
        if 0 < due <= passed and callable(before):
            before(number, frame)
        if armed and passed >= seconds:
            where = where or _place(frame)
            raise interrupt

    due = every = 0.0  # of another alarm
    before = _set_handler(signal.SIGALRM, ring)
    try:
        due, every = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
        if 0 < due < seconds:
            signal.setitimer(signal.ITIMER_REAL, due, _AGAIN_S)
        try:
            return call()
        finally:
            armed = False
    except _Interrupt as error:
        armed = False
        if error is not interrupt:
            raise
        raise OutOfTime(where) from None
    finally:
        _set_handler(signal.SIGALRM, before)
        left = max(0.001, due - (time.monotonic() - began)) if due else 0
        signal.setitimer(signal.ITIMER_REAL, left, every)


def _in_thread(call: Callable[[], T], seconds: float) -> T:
    returned: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(call())
        except BaseException as error:  # noqa: BLE001  # raised again by the caller
            raised.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise OutOfTime(_stop(thread))
    if raised:
        raise raised[0]
    return returned[0]


def _stop(thread: threading.Thread) -> str:
    """Ends a thread at its next line of Python; returns where it was."""
    assert thread.ident is not None, "it was started"
    where = _place(sys._current_frames().get(thread.ident))
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(_Interrupt)
    )
    thread.join(_STOP_S)
    return where


def _place(frame: FrameType | None) -> str:
    """ "file:line" of the innermost code that is in a file."""
    while frame is not None and frame.f_code.co_filename.startswith("<"):
        frame = frame.f_back
    return "unknown" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
