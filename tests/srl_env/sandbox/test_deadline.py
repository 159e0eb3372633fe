"""Time limits of commands hold, whatever the keeper is doing and whatever was started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from srl_env.sandbox import Limits, Sandbox

MARGIN_S = 15.0
"""What may come on top of a limit on a busy machine; a second or so is usual."""

# A keeper that looks at the memory of its processes for as long as one of them lives.
SLOW_LOOK = """
import os, time
from srl_env.sandbox.inside import keeper

class Slow:
    strict = False
    def join(self): pass
    def killed(self): return 0
    def over(self, processes, limit):
        end = time.monotonic() + 60
        while time.monotonic() < end and any(map(lives, processes)): time.sleep(0.01)
        return False

def lives(process):
    try:
        return open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

class Wire:
    reading, writing = os.pipe()
    def send(self, *_): pass
    def receive(self): raise EOFError

limits = dict(output_kill_bytes=1 << 20, output_keep_bytes=1 << 10, processes=99, open_files=99,
              file_bytes=1 << 20, address_space_bytes=1 << 32, memory_bytes=1 << 30, sockets=99)
spec = dict(limits=limits, environment={"TMPDIR": "/tmp", "PATH": "/bin:/usr/bin"})
made = keeper.Keeper(Wire(), None, "/", spec, Slow(), namespace=False, limit_processes=False)
made.serve()
header = dict(command=["sh", "-c", "trap '' TERM ALRM; while :; do :; done"], timeout_s=0.5,
              folder="", env={}, report=False)
reply, _ = made._run(header, b"")
print(reply["ended"], reply["wall_s"] < 30)
"""


def test_a_look_at_memory_that_takes_long_does_not_lengthen_the_limit() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW_LOOK], capture_output=True, text=True)
    assert done.stdout == "timeout True\n", done.stderr


START = "import os, signal\nfor _ in range(COUNT):\n    if os.fork() == 0:\n        break\n"
KINDS = {
    "busy": "while True: pass",
    "deaf": "for n in (1, 2, 14, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass",
    "writing": "while True: print('x' * 1000)",
    "alarming": "while True: os.kill(1, signal.SIGALRM)",
    "forking": "while True:\n    if os.fork() == 0: os._exit(0)\n    os.wait()",
}


@pytest.mark.parametrize("kind", KINDS)
def test_many_processes_end_with_the_command_they_belong_to(
    namespaces: Sandbox, tmp_path: Path, kind: str
) -> None:
    limits = Limits(output_kill_bytes=1 << 40)
    with namespaces.start(tmp_path, limits=limits) as session:
        start = START.replace("COUNT", "40" if kind == "forking" else "117")
        done = session.run(["python3", "-c", start + KINDS[kind]], timeout_s=2)
        assert done.ended == "timeout", done.text()[-500:]
        assert 2 <= done.wall_s < 2 + MARGIN_S
        assert session.run("ls /proc | grep -c '^[0-9]'").text().strip() in ("3", "4", "5")
