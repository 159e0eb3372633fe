"""A folder has one writer; the system frees it when the writer dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from srl_agents.runs.lock import held
from srl_env.errors import BadOption

HOLDER = """
import os, sys, time
from pathlib import Path
from srl_agents.runs.lock import held
with held(Path(sys.argv[1])):
    if sys.argv[2:] == ["fork"] and os.fork() == 0:
        time.sleep(60)
    if sys.argv[2:] == ["read"]:
        Path(sys.argv[1], ".lock").read_text()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder ``run`` until its input ends."""
    with start(tmp_path / "run") as process:
        yield process
        process.kill()


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(folder), *more]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_that_another_process_writes_is_refused_with_its_name(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    message = rf"run must be written by one process .* beside process {holder.pid} on .*Fix: wait"
    with pytest.raises(BadOption, match=message) as caught, held(tmp_path / "run"):
        pass
    assert "\n" not in str(caught.value)
    with held(tmp_path / "other"):
        pass


def test_a_folder_is_free_once_its_holder_has_ended(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.communicate()
    for _ in range(2):
        with held(tmp_path / "run"):
            pass


def test_a_folder_is_free_once_its_holder_was_killed_though_a_child_of_it_lives(
    tmp_path: Path,
) -> None:
    process = start(tmp_path / "run", "fork")
    try:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with held(tmp_path / "run", wait_s=30):  # the child may not have run yet
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def test_a_folder_stays_held_where_the_holder_reads_all_of_its_files(tmp_path: Path) -> None:
    with start(tmp_path / "run", "read") as process:
        with pytest.raises(BadOption, match="written by one process"), held(tmp_path / "run"):
            pass
        process.kill()


def test_a_second_thread_of_the_same_process_is_refused_and_nothing_is_lost_by_it(
    tmp_path: Path,
) -> None:
    found: list[str] = []

    def second() -> None:
        try:
            with held(tmp_path / "link" / ".." / "run"):
                pass
        except BadOption as error:
            found.append(str(error))

    (tmp_path / "link").mkdir()
    with held(tmp_path / "run"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert "this very process" in found[0]
        done = subprocess.run(
            [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"beside process {os.getpid()} on" in done.stderr


def test_waiting_ends_with_the_holder(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    timer = threading.Timer(0.5, holder.kill)
    timer.start()
    with held(tmp_path / "run", wait_s=60):
        pass
    timer.join()
