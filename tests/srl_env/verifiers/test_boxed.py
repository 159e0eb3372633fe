from __future__ import annotations

import importlib.util
import json
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from srl_env.batch.stepping import step_many
from srl_env.data import ListSource
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, MissingExtra, VerifierCrash, VerifierTimeout
from srl_env.problem import Problem
from srl_env.verifiers import BoxedVerifier, Verdict, Verifier, boxed
from srl_env.verifiers.boxed import last_boxed
from srl_env.verifiers.worker_pool import WorkerPool

pytest.importorskip("math_verify")

HALF = Problem("half", "What is half of 1?", answer=r"\frac{1}{2}")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{4}", "4"),
        (r"\boxed{1} no, \boxed{2}.", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed { x }", "x"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{}", ""),
        (r"\boxed{4} and \boxed{5", "4"),
        (r"} \boxed{4}", "4"),
        (r"\boxed{4", None),
        (r"\boxed 4", None),
        ("boxed{4}", None),
        ("", None),
        ("\\boxed{\ud800\0}", "\ud800\0"),
    ],
)
def test_the_last_closed_box_is_the_answer(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 10**5,
        "\\boxed{" * 10**5 + "}" * 10**5,
        "\\boxed" + " " * 10**6,
        ("\\boxed" + " " * 1000) * 1000,
        "\\boxed{" + "\\" * 10**6,
        "}" * 10**6 + "\\boxed",
    ],
)
def test_extraction_is_linear(text: str) -> None:
    start = time.thread_time()
    last_boxed(text)
    assert time.thread_time() - start < 3


@pytest.mark.parametrize(
    ("answer", "expected", "equal"),
    [
        ("0.5", r"\frac{1}{2}", True),
        ("x^2+2x+1", "(x+1)^2", True),
        (r"\{2,1\}", r"\{1,2\}", True),
        ("1{,}234", "1234", True),
        ("3", r"$\boxed{3}$", True),
        ("0.6", r"\frac{1}{2}", False),
        (r"\frac{1}{", "2", False),
        ("}{", "1", False),
        ("", "1", False),
        ("no number", "1", False),
        (r"\not=5", "5", False),
        (r"x \neq 5", "x = 5", False),
        ("101_2", "101_{2}", True),
        ("101_2", "101_3", False),
        ("101", "101_2", True),
    ],
)
def test_answers_are_compared_as_mathematics(answer: str, expected: str, equal: bool) -> None:
    assert BoxedVerifier(30).equal(answer, expected) is equal


def test_verdicts_say_what_was_read() -> None:
    verifier = BoxedVerifier(30)
    assert verifier.verify(HALF, [r"\boxed{3}", r"\boxed{0.5}"]) == Verdict(True, "0.5")
    assert verifier.verify(HALF, ["0.5"]) == Verdict(False, None)
    assert isinstance(verifier, Verifier)


def test_equal_texts_and_missing_answers_need_no_worker() -> None:
    boxed._workers().close()
    assert BoxedVerifier().equal("9^{9^{9^9}}", "$9^{9^{9^9}}$")
    assert not BoxedVerifier().equal("1" * 10**6, "1")
    assert not BoxedVerifier().verify(HALF, ["none"]).correct
    assert boxed._workers().process_ids() == []


HOSTILE = [
    "9^{9^{9^9}}",
    r"(10^6)!",
    r"\binom{10^9}{10^8}",
    "2^{2^{40}}",
    "+".join(f"x^{{{10**k}}}" for k in range(60)),
    "(" * 500 + "1" + ")" * 500,
    r"\sqrt{" * 300 + "2" + "}" * 300,
    r"\int_0^1 e^{x^{x^x}} dx",
    r"\sum_{n=1}^{10^9} \frac{1}{n}",
    "1e999999",
    "9" * 4_999,
    "\\frac" * 900,
    "}" * 2_000,
    "{" * 2_000,
    "a" * 4_000,
    "\0",
    "\ud800",
    "$$$",
    "x" * 10**6,
]


@pytest.mark.parametrize(
    "answer", HOSTILE, ids=lambda answer: answer[:20].encode("utf-8", "replace")
)
def test_hostile_latex_is_wrong_or_a_failure_and_never_late(answer: str) -> None:
    boxed._workers().call({"answer": "1", "expected": "1"}, 30)  # started
    start = time.monotonic()
    verdict = BoxedVerifier(deadline_s=0.7)._verdict_or_failure(HALF, [rf"\boxed{{{answer}}}"])
    assert time.monotonic() - start < 10
    assert isinstance(verdict, Failure) or not verdict.correct


def test_a_missed_deadline_is_a_failure_and_not_a_wrong_answer() -> None:
    with pytest.raises(
        VerifierTimeout, match=r"no verdict within (0\.5 s of processor time|1\.5 s)"
    ):
        BoxedVerifier(deadline_s=0.5).equal("9^{9^{9^9}}", "5")
    assert BoxedVerifier(30).equal("0.5", "1/2")


def test_hostile_answers_in_a_batch_are_wrong_and_mask_neither_themselves_nor_others() -> None:
    verifier = BoxedVerifier(0.5)
    answers = ["0.5", *HOSTILE, r"\frac{2}{4}"]
    envs = [ReasoningEnv(ListSource([HALF], "half"), verifier, reward_mode="rlvr") for _ in answers]
    for env in envs:
        env.reset()
    results = step_many(envs, [rf"<think></think>\boxed{{{answer}}}" for answer in answers])
    assert [reward for _, reward, *_ in results] == [1.0] + [0.0] * (len(answers) - 2) + [1.0]
    for *_, info in results:
        json.dumps(info, ensure_ascii=False).encode()
        assert "failure" not in info


@pytest.mark.parametrize("answer", ["9^{9^{9^{9}}}", r"\left(" * 300 + "1" + r"\right)" * 300])
def test_latex_that_keeps_a_verifier_busy_is_a_wrong_answer_in_an_episode(answer: str) -> None:
    env = ReasoningEnv(ListSource([HALF], "half"), BoxedVerifier(0.5), reward_mode="rlvr")
    env.reset()
    _, reward, terminated, _, info = env.step(rf"<think></think>\boxed{{{answer}}}")
    assert (reward, terminated, info["verdict"]["correct"]) == (0.0, True, False)
    assert "failure" not in info


def test_the_reference_is_compared_in_a_worker_though_it_equals_itself_as_a_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    BoxedVerifier(30).control(HALF)
    dead = WorkerPool([sys.executable, "-c", "raise SystemExit(3)"], size=1)
    monkeypatch.setattr(boxed, "_workers", lambda: dead)
    with pytest.raises(VerifierCrash, match="exit status 3"):
        BoxedVerifier(30).control(HALF)


def test_a_killed_worker_is_a_failure() -> None:
    verifier = BoxedVerifier(30)
    failures: list[Failure] = []

    def judge() -> None:
        try:
            verifier.equal("9^{9^{9^9}}", "5")
        except Failure as failure:
            failures.append(failure)

    boxed._workers().close()
    thread = threading.Thread(target=judge)
    thread.start()
    while not boxed._workers().process_ids():
        time.sleep(0.01)
    time.sleep(0.2)
    boxed._workers().close()
    thread.join()
    assert [type(failure) for failure in failures] == [VerifierCrash]


def test_a_batch_is_answered_in_order_from_any_thread() -> None:
    batch = [(HALF, [rf"\boxed{{{n}/4}}"]) for n in range(12)]
    batch[5] = (HALF, [r"\boxed{9^{9^{9^9}}}"])
    verdicts: list[list[Verdict | Failure]] = []
    threads = [
        threading.Thread(target=lambda: verdicts.append(BoxedVerifier(5).verify_many(batch)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(verdicts) == 2
    for group in verdicts:
        assert isinstance(group[5], VerifierTimeout)
        right = [n for n, v in enumerate(group) if isinstance(v, Verdict) and v.correct]
        assert right == [2]


def test_verifiers_are_picklable() -> None:
    verifier = BoxedVerifier(2.5)
    assert pickle.loads(pickle.dumps(verifier)) == verifier


def test_a_deadline_must_be_a_time() -> None:
    with pytest.raises(
        BadOption, match="deadline_s must be seconds, above 0 and at most 604,800; got 0"
    ):
        BoxedVerifier(0)


def test_without_math_verify_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    boxed._math_verify_installed.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    try:
        with pytest.raises(MissingExtra, match=r"pip install 'srl-env\[math\]'"):
            BoxedVerifier()
    finally:
        boxed._math_verify_installed.cache_clear()


PARENT = """
import os, sys, threading, time
from srl_env.verifiers import BoxedVerifier, boxed
assert BoxedVerifier(60).equal("2^3", "8")
print(*boxed._workers().process_ids(), flush=True)
"""
BUSY = """
threading.Thread(target=BoxedVerifier(2).equal, args=("9^{9^{9^9}}", "5"), daemon=True).start()
while boxed._workers()._idle:
    time.sleep(0.01)
time.sleep(0.2)
os.kill(os.getpid(), 9)
"""
FORK = """
child = os.fork()
if child == 0:
    assert boxed._workers().process_ids() == []
    assert BoxedVerifier(60).equal("2^4", "16")
    boxed._workers().close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert BoxedVerifier(60).equal("2^5", "32")
"""


def run(script: str) -> tuple[subprocess.CompletedProcess[str], list[int]]:
    """The finished process, and the ids of the workers it said it had."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout, done.stderr
    return done, [int(pid) for pid in done.stdout.split()]


def gone(pid: int, within_s: float) -> bool:
    """Whether a process is gone, or dead and waiting for init to take note."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
def test_no_worker_outlives_a_parent_that_ends_and_nothing_is_complained_of() -> None:
    done, pids = run(PARENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(pids) == 1
    assert all(gone(pid, 5) for pid in pids)


@needs_proc
def test_no_worker_outlives_a_parent_that_is_killed_not_even_a_busy_one() -> None:
    done, pids = run(PARENT + BUSY)
    assert done.returncode == -9
    assert len(pids) == 1
    assert all(gone(pid, 90) for pid in pids)  # 3 s of processor time


@needs_proc
def test_a_fork_has_workers_of_its_own_and_leaves_the_parents_alone() -> None:
    done, pids = run(PARENT + FORK)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(gone(pid, 5) for pid in pids)
