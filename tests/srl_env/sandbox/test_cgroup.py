"""Memory cgroups: where one can be made, what their files say, and that none is left behind.

Version 1 is tried for real where this machine has it; of version 2, what the files hold.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from srl_env.errors import SandboxFailure
from srl_env.sandbox import Limits, NamespaceSandbox, Sandbox
from srl_env.sandbox.inside import cgroup
from srl_env.sandbox.inside.namespaces import Identity

V1_MOUNT = "30 25 0:26 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V2_MOUNT = "29 25 0:25 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
OTHERS = (
    "28 1 8:1 / / rw - ext4 /dev/root rw\n31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup none rw,cpu\n"
)


@pytest.mark.parametrize(
    ("mounts", "own", "expected"),
    [
        (V1_MOUNT.format(root="/"), "4:memory:/a/b\n1:cpu:/\n", [(1, "memory/a/b")]),
        (V1_MOUNT.format(root="/"), "4:cpu,memory:/\n0::/x\n", [(1, "memory/.")]),
        (V1_MOUNT.format(root="/docker/1"), "4:memory:/docker/1/in\n", [(1, "memory/in")]),
        (V1_MOUNT.format(root="/docker/1"), "4:memory:/elsewhere\n", []),
        (V1_MOUNT.format(root="/"), "1:cpu:/a\n", []),
        (V2_MOUNT.format(root="/"), "0::/u/s\n", [(2, "u/s"), (2, "u"), (2, ".")]),
        (V2_MOUNT.format(root="/"), "0::/\n", [(2, ".")]),
        ("", "0::/\n", []),
    ],
)
def test_a_cgroup_is_looked_for_where_this_process_is_and_in_version_2_above(
    mounts: str, own: str, expected: list[tuple[int, str]]
) -> None:
    found = cgroup.candidates(OTHERS + mounts, own)
    for (version, path), (wanted, end) in zip(found, expected, strict=True):
        assert version == wanted
        assert os.path.normpath(path) == os.path.normpath(f"/sys/fs/cgroup/{end}")


V1_STAT = b"cache 900\nrss 100\nrss_huge 50\nshmem 300\nmapped_file 7\nswap 20\ntotal_rss 999\n"
V2_STAT = (
    b"anon 100\nfile 900\nkernel 70\nkernel_stack 10\npagetables 20\nsec_pagetables 1\npercpu 2\n"
    b"sock 30\nvmalloc 4\nshmem 300\nslab_reclaimable 5000\nslab_unreclaimable 40\nslab 5040\n"
)


def test_what_can_be_dropped_again_does_not_count() -> None:
    assert cgroup.held_bytes(V1_STAT) == (120, 300)
    assert cgroup.held_bytes(V2_STAT) == (100 + 10 + 20 + 1 + 2 + 30 + 4 + 40, 300)


def test_processes_killed_for_want_of_memory_are_counted() -> None:
    assert cgroup.oom_kills(b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n") == 3
    assert cgroup.oom_kills(b"low 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 1\n") == 2
    assert cgroup.oom_kills(b"oom_kill_disable 0\nunder_oom 0\n") == 0  # before Linux 4.13


@pytest.mark.parametrize(
    ("limit", "over"), [(419, True), (420, False)], ids=["below what is held", "all that is held"]
)
def test_files_of_the_session_do_not_count_as_its_memory(
    tmp_path: Path, limit: int, over: bool
) -> None:
    stat, events = tmp_path / "stat", tmp_path / "events"
    stat.write_bytes(V1_STAT)
    events.write_bytes(b"oom_kill 0\n")
    opened = [os.open(path, os.O_RDONLY) for path in (stat, events)]
    assert cgroup.Cgroup(-1, *opened).over([], limit) is over
    within = cgroup.Cgroup(-1, *opened, scratch=("/proc",))  # a file system without files
    assert within.over([], limit) is over
    for descriptor in opened:
        os.close(descriptor)


make_folder = os.mkdir


def make_fake(parent: Path, names: tuple[str, ...]) -> None:
    """A folder with files in it, as a cgroup has; what is written replaces what is there."""
    make_folder(parent)
    for name in (*names, "memory.stat", "cgroup.subtree_control"):
        (parent / name).write_text("")


def test_a_cgroup_of_version_2_gets_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = cgroup.VERSIONS[2]
    names = (version.join, version.events, *version.limits, *dict(version.settings))
    make_fake(tmp_path / "all", names)
    monkeypatch.setattr(cgroup.os, "mkdir", lambda path: make_fake(Path(path), names))
    found = cgroup.Cgroups(2, str(tmp_path / "all"))
    limits = Limits(memory_bytes=100, workspace_bytes=20, scratch_bytes=3)
    folder, made = found.make(asdict(limits))
    held = {name: Path(folder, name).read_text() for name in names}
    assert held == {
        "cgroup.procs": "", "memory.events": "", "memory.max": "126", "memory.swap.max": "0",
        "memory.oom.group": "1",
    }  # fmt: skip
    assert (tmp_path / "all" / "cgroup.subtree_control").read_text() == "+memory"
    made.join()
    assert Path(folder, "cgroup.procs").read_text() == "0"
    for descriptor in made.descriptors:
        os.close(descriptor)


def test_a_parent_that_does_not_hand_the_controller_down_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu pids\n")
    who = Identity(os.getuid(), os.getgid(), root=False)
    assert cgroup._tried(2, str(tmp_path), who) is None
    assert [path.name for path in tmp_path.iterdir()] == ["cgroup.subtree_control"]
    assert cgroup._tried(1, str(tmp_path / "missing"), who) is None


@pytest.fixture
def parent(namespaces: Sandbox) -> Path:
    """Where this machine's sessions get their cgroups; skips where none can be made."""
    found = cgroup.find_cgroups(Identity(54321, 54321, root=os.geteuid() == 0))
    if not found:
        pytest.skip("no memory cgroup can be made here")
    found.close()
    assert not os.path.exists(found.folder)
    return Path(found.folder).parent


def folders(parent: Path) -> set[str]:
    return {path.name for path in parent.glob(f"{cgroup.PREFIX}*")}


def test_a_session_has_a_cgroup_of_its_own_until_it_ends(parent: Path, tree: Path) -> None:
    before = folders(parent)
    sandbox = NamespaceSandbox()
    with sandbox.start(tree, limits=Limits(memory_bytes=64 << 20)) as session:
        assert session.cgroup
        (own,) = folders(parent) - before
        mine = session.run("grep memory /proc/self/cgroup || cat /proc/self/cgroup").text()
        assert f"{own}/" in mine
        with sandbox.start(tree) as other:
            assert other.run("cat /proc/self/cgroup").text() != mine
            assert len([path for path in (parent / own).iterdir() if path.is_dir()]) == 2
    until = time.monotonic() + 5
    while [path for path in (parent / own).iterdir() if path.is_dir()] and time.monotonic() < until:
        time.sleep(0.01)
    assert [path for path in (parent / own).iterdir() if path.is_dir()] == []
    sandbox.close()
    assert folders(parent) - before == set()


def test_what_a_killed_launcher_left_is_removed_by_the_next(parent: Path) -> None:
    before = folders(parent)
    killed = NamespaceSandbox()
    with killed.start(None) as session:
        (left,) = folders(parent) - before
        assert killed._launcher
        killed._launcher._process.kill()
        killed._launcher._process.wait()
        assert session.run("echo still").output == b"still\n"
    assert left in folders(parent)
    sandbox = NamespaceSandbox()
    sandbox.start(None).close()
    assert left not in folders(parent)
    for each in (sandbox, killed):
        each.close()
    assert folders(parent) - before == set()


def test_a_session_whose_cgroup_was_removed_is_a_failure(parent: Path) -> None:
    before = folders(parent)
    sandbox = NamespaceSandbox()
    with sandbox.start(None) as session:
        (own,) = folders(parent) - before
        for path in (parent / own).iterdir():
            if path.is_dir():
                path.rmdir()
        with pytest.raises(SandboxFailure, match="died during 'run'"):
            session.run("echo on")
    sandbox.close()


def test_one_of_many_processes_that_the_kernel_kills_is_the_commands_memory(parent: Path) -> None:
    code = """
import subprocess, sys
big = "held = bytearray(400 << 20)\\nfor at in range(0, len(held), 4096): held[at] = 1"
print(subprocess.run([sys.executable, "-c", big]).returncode)
"""
    limits = Limits(memory_bytes=48 << 20, workspace_bytes=4 << 20, scratch_bytes=4 << 20)
    sandbox = NamespaceSandbox()
    with sandbox.start(None, limits=limits) as session:
        done = session.run(["python3", "-c", code])
        assert done.ended == "memory"
        assert session.run("echo on").output == b"on\n"
    sandbox.close()
