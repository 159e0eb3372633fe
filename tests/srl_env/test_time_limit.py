"""What a time limit in this process can interrupt, in the main thread and in others."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from srl_env.time_limit import OutOfTime, run_within


def loop() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(60)


def stubborn() -> None:
    try:
        sleep()
    except Exception:  # noqa: BLE001  # as careless code does
        loop()


def power() -> object:
    return eval("9**9**9")


def pattern() -> object:
    return re.match("(a+)+$", "a" * 60 + "!")


def in_thread(call: Callable[[], Any]) -> Any:
    """What a call returns or raises in another thread."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as error:  # noqa: BLE001  # raised below
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


here: Callable[[Callable[[], Any]], Any] = lambda call: call()  # noqa: E731


@pytest.mark.parametrize(
    ("place", "call"),
    [
        *((here, call) for call in (loop, sleep, stubborn, power, pattern)),
        *((in_thread, call) for call in (loop, sleep, stubborn)),
    ],
)
def test_what_has_not_ended_in_time_is_interrupted(
    place: Callable[[Callable[[], Any]], Any], call: Callable[[], object]
) -> None:
    began = time.monotonic()
    with pytest.raises(OutOfTime) as raised:
        place(lambda: run_within(call, 0.2))
    assert time.monotonic() - began < 30
    assert re.search(r"\.py:\d+$", raised.value.where)


@pytest.mark.parametrize("place", [here, in_thread])
def test_what_ends_in_time_returns_or_raises_as_without_a_limit(
    place: Callable[[Callable[[], Any]], Any],
) -> None:
    before = signal.getsignal(signal.SIGALRM)
    assert place(lambda: run_within(lambda: 5, 60)) == 5
    with pytest.raises(ZeroDivisionError):
        place(lambda: run_within(lambda: 1 // 0, 60))
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.fixture
def alarm() -> Iterator[list[int]]:
    """Somebody else's alarm, not yet set; its rings, in a list."""
    rings: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rings.append(number))
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    yield rings
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def test_an_alarm_of_somebody_else_that_is_not_due_is_as_it_was(alarm: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 3600, 7)
    with pytest.raises(OutOfTime):
        run_within(sleep, 0.1)
    left, every = signal.getitimer(signal.ITIMER_REAL)
    assert 3000 < left < 3600
    assert (every, alarm) == (7, [])


def test_an_alarm_of_somebody_else_rings_when_it_is_due(alarm: list[int]) -> None:
    def wait() -> None:
        while not alarm:
            pass

    signal.setitimer(signal.ITIMER_REAL, 0.05)
    run_within(wait, 60)
    assert set(alarm) == {signal.SIGALRM}


def test_a_limit_within_a_limit_ends_the_inner_call_alone() -> None:
    def inner() -> str:
        with pytest.raises(OutOfTime):
            run_within(sleep, 0.1)
        return "on"

    assert run_within(inner, 60) == "on"


def test_a_limit_that_is_reached_within_another_ends_the_outer_call() -> None:
    def inner() -> None:
        run_within(sleep, 60)
        raise AssertionError("not interrupted")

    with pytest.raises(OutOfTime):
        run_within(inner, 0.1)


ABANDONED = """
import threading, time
from srl_env.time_limit import OutOfTime, run_within
def run():
    try:
        run_within(lambda: time.sleep(600), 0.1)
    except OutOfTime:
        print("abandoned", flush=True)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def test_an_abandoned_call_does_not_hold_up_the_end_of_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ABANDONED],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "abandoned\n", "")
