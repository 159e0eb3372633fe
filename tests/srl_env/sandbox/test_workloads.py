"""What honest projects do, with and without a memory cgroup: none of it is refused or killed."""

from __future__ import annotations

import shutil
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from srl_env.sandbox import Mount, NamespaceSandbox, Sandbox

SITE = Path(sysconfig.get_path("purelib"))

INOTIFY = """
    import ctypes, os, struct
    libc = ctypes.CDLL(None)
    watch = libc.inotify_init1(0)
    os.mkdir("watched")
    assert libc.inotify_add_watch(watch, b"watched", 0x302) > 0  # modify, create, delete
    assert libc.inotify_add_watch(watch, b"README", 0x2) > 0
    with open("watched/file", "w") as file:
        file.write("x")
    with open("README", "a") as file:
        file.write("more")
    os.unlink("watched/file")
    data, found = os.read(watch, 4096), []
    while data:
        _, mask, _, length = struct.unpack_from("iIII", data)
        found.append((mask, data[16 : 16 + length].rstrip(b"\\0").decode()))
        data = data[16 + length :]
    assert found == [(0x100, "file"), (0x2, "file"), (0x2, ""), (0x200, "file")], found
"""
WORKLOADS = {
    "pytest": """
        import pathlib, subprocess, sys
        pathlib.Path("test_it.py").write_text(
            "import pytest\\n@pytest.mark.parametrize('n', range(20))\\n"
            "def test_it(n, tmp_path):\\n    (tmp_path / 'f').write_text(str(n))\\n"
        )
        run = subprocess.run([sys.executable, "-m", "pytest", "-q"], capture_output=True, text=True)
        assert "20 passed" in run.stdout, run.stdout + run.stderr
    """,
    "numpy": """
        import numpy
        assert (numpy.ones((700, 700)) @ numpy.ones((700, 700))).sum() == 700**3
    """,
    "git": """
        import subprocess
        def git(*words):
            who = ("-c", "user.name=a", "-c", "user.email=a@b")
            return subprocess.run(("git", *who, *words), check=True, capture_output=True).stdout
        git("init", "-q"); git("add", "."); git("commit", "-qm", "first")
        open("README", "a").write("more\\n")
        git("stash"); git("stash", "pop"); git("gc", "-q")
        assert git("diff", "--stat").count(b"README") == 1
    """,
    "multiprocessing": """
        import multiprocessing as processes
        from multiprocessing import shared_memory
        def work(queue, value, array, name, lock):
            block = shared_memory.SharedMemory(name)
            with lock:
                value.value += 1
                number = value.value
                array[value.value] = value.value
                block.buf[value.value] = 7
            block.close()
            queue.put(number)
        if __name__ == "__main__":
            context = processes.get_context("fork")
            block = shared_memory.SharedMemory(create=True, size=8 << 20)
            value, array = context.Value("i", 0), context.Array("i", 100_000)
            queue, lock = context.Queue(), context.Lock()
            parts = (queue, value, array, block.name, lock)
            made = [context.Process(target=work, args=parts) for _ in range(4)]
            [each.start() for each in made]
            assert sorted(queue.get() for _ in made) == [1, 2, 3, 4]
            [each.join() for each in made]
            assert bytes(block.buf[1:5]) == b"\\7" * 4 and array[1:5] == [1, 2, 3, 4]
            with context.Pool(3) as pool:
                assert sum(pool.map(abs, range(-50, 50))) == 2500
            block.close(); block.unlink()
    """,
    "a small shared mapping": """
        import mmap, os
        shared = mmap.mmap(-1, 64 << 10)
        if os.fork() == 0:
            shared[0:3] = b"hey"
            os._exit(0)
        os.wait()
        assert shared[0:3] == b"hey"
    """,
    "sqlite": """
        import sqlite3, threading
        one = sqlite3.connect("data.db", timeout=5)
        one.execute("pragma journal_mode=wal"); one.execute("create table t (n)")
        def add(number):
            with sqlite3.connect("data.db", timeout=10) as own:
                own.executemany("insert into t values (?)", [(number,)] * 50)
        threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
        [thread.start() for thread in threads]; [thread.join() for thread in threads]
        assert one.execute("select count(*) from t").fetchone() == (200,)
    """,
    "locks": """
        import fcntl, os
        for lock in (fcntl.flock, fcntl.lockf):
            held = open("lock", "w"); lock(held, fcntl.LOCK_EX)
            if os.fork() == 0:
                try:
                    lock(open("lock", "w"), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os._exit(0)
                os._exit(1)
            assert os.wait()[1] == 0
            held.close()
        fcntl.flock(os.open("README", os.O_RDONLY), fcntl.LOCK_SH)
    """,
    "asyncio": """
        import asyncio
        async def serve(reader, writer):
            writer.write((await reader.readline()).upper()); writer.close()
        async def ask(word):
            reader, writer = await asyncio.open_unix_connection("socket")
            writer.write(word + b"\\n")
            return await reader.read()
        async def main():
            async with await asyncio.start_unix_server(serve, "socket"):
                found = await asyncio.gather(*(ask(b"a%d" % n) for n in range(10)))
                assert found == [b"A%d\\n" % n for n in range(10)], found
            child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            assert (await child.communicate(b"x" * 100_000))[0] == b"x" * 100_000
        asyncio.run(main())
    """,
    "a tree of processes": """
        import subprocess, sys
        code = "import subprocess, sys; n = int(sys.argv[1]); print(n); n and subprocess.run("
        code += "[sys.executable, '-c', sys.argv[2], str(n - 1), sys.argv[2]], check=True)"
        command = [sys.executable, "-c", code, "6", code]
        run = subprocess.run(command, capture_output=True, check=True)
        assert sorted(run.stdout.split()) == [b"%d" % n for n in range(7)]
        assert subprocess.run("seq 100000 | sort -rn | head -1 | xargs echo", shell=True,
            capture_output=True).stdout == b"100000\\n"
    """,
    "half of the memory, and a child beside it": """
        import subprocess
        held = bytearray(600 << 20)
        for at in range(0, len(held), 4096):
            held[at] = 1
        for _ in range(40):
            subprocess.run(["true"], check=True)
    """,
    "full folders": """
        import os
        for folder, count in ((".", 24), ("/tmp", 6), ("/dev/shm", 6)):
            for number in range(count):
                with open(f"{folder}/full{number}", "wb") as file:
                    file.write(os.urandom(10 << 20))
        held = bytearray(500 << 20)
        for at in range(0, len(held), 4096):
            held[at] = 1
    """,
    "files": """
        import mmap, os, shutil, tempfile
        with tempfile.TemporaryFile() as file:
            file.truncate(16 << 20)
            mapped = mmap.mmap(file.fileno(), 16 << 20)
            mapped[:] = bytes(16 << 20)
        open("big", "wb").write(os.urandom(8 << 20))
        shutil.copyfile("big", "copied"); os.replace("copied", "moved")
        assert open("moved", "rb").read() == open("big", "rb").read()
        assert open("/dev/zero", "rb").read(4) == bytes(4)
    """,
    "inotify": INOTIFY,
}


@pytest.fixture(scope="module", params=[True, False], ids=["cgroup", "watched"])
def sandbox(request: pytest.FixtureRequest, namespaces: Sandbox) -> Iterator[NamespaceSandbox]:
    """With a memory cgroup where one can be made, and without."""
    found = NamespaceSandbox(cgroup=request.param)
    yield found
    found.close()


@pytest.mark.parametrize("name", WORKLOADS)
def test_an_honest_workload_runs(sandbox: NamespaceSandbox, tree: Path, name: str) -> None:
    if name == "git" and not shutil.which("git", path="/usr/bin"):
        pytest.skip("there is no git")
    env = {"PYTHONPATH": str(SITE), "OPENBLAS_NUM_THREADS": "2"}
    script = textwrap.dedent(WORKLOADS[name])
    with sandbox.start(tree, mounts=[Mount(SITE)], env=env) as session:
        session.write("work.py", script.encode())
        done = session.run(["python3", "work.py"], timeout_s=200)
        assert (done.ended, done.status) == ("exited", 0), done.text()
