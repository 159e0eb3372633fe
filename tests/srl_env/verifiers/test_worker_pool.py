from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from srl_env.errors import VerifierCrash, VerifierTimeout
from srl_env.verifiers.worker_pool import WorkerPool

ECHO = """
import json, os, sys, time
print('{"ready": true}', flush=True)
for line in sys.stdin:
    request = json.loads(line)
    time.sleep(request.get("sleep_s", 0))
    if request.get("die"):
        os._exit(7)
    print(json.dumps({"said": request.get("say"), "pid": os.getpid()}), flush=True)
"""


@pytest.fixture
def pool():
    pool = WorkerPool([sys.executable, "-c", ECHO], size=2)
    yield pool
    pool.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_is_started_once_and_answers_again_and_again(pool: WorkerPool) -> None:
    assert pool.process_ids() == []
    replies = [pool.call({"say": n}, 10) for n in range(3)]
    assert [reply["said"] for reply in replies] == [0, 1, 2]
    assert {reply["pid"] for reply in replies} == set(pool.process_ids())


def test_large_requests_and_any_unicode_come_through(pool: WorkerPool) -> None:
    text = "\ud800\0π" * 200_000
    assert pool.call({"say": text}, 30)["said"] == text


def test_a_missed_deadline_kills_the_worker_and_the_next_call_has_a_new_one(
    pool: WorkerPool,
) -> None:
    first = pool.call({}, 10)["pid"]
    start = time.monotonic()
    with pytest.raises(VerifierTimeout, match=r"no verdict within 0\.3 s"):
        pool.call({"sleep_s": 60}, 0.1)
    assert time.monotonic() - start < 5
    assert not alive(first)
    assert pool.call({"say": "on"}, 10)["said"] == "on"


def test_a_worker_that_dies_is_a_crash_and_is_replaced(pool: WorkerPool) -> None:
    with pytest.raises(VerifierCrash, match=r"died \(exit status 7\)"):
        pool.call({"die": True}, 10)
    assert pool.call({"say": "on"}, 10)["said"] == "on"


def test_a_worker_killed_between_two_requests_is_replaced_unnoticed(pool: WorkerPool) -> None:
    pid = pool.call({}, 10)["pid"]
    os.kill(pid, signal.SIGKILL)
    while alive(pid) and pool._idle[0].process.poll() is None:
        time.sleep(0.01)
    assert pool.call({"say": "on"}, 10)["said"] == "on"


def test_threads_share_the_workers_and_each_gets_its_own_reply(pool: WorkerPool) -> None:
    said: dict[int, object] = {}

    def ask(n: int) -> None:
        said[n] = pool.call({"say": n, "sleep_s": 0.01}, 30)["said"]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {n: n for n in range(20)}
    assert len(pool.process_ids()) <= 2


def test_a_worker_that_does_not_start_is_a_crash_that_names_its_command() -> None:
    pool = WorkerPool([sys.executable, "-c", "raise SystemExit(3)"], size=1)
    with pytest.raises(VerifierCrash, match=r"died \(exit status 3\).*raise SystemExit"):
        pool.call({}, 1)
    assert pool.process_ids() == []


def test_closing_kills_all_workers(pool: WorkerPool) -> None:
    pid = pool.call({}, 10)["pid"]
    pool.close()
    assert not alive(pid)
    assert pool.call({"say": "again"}, 10)["said"] == "again"
