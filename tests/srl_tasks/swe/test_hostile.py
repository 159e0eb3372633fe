"""Workspaces and calls made to break an episode: each ends in the correct reward.

A policy that could make its episode fail would be masked where it is wrong. So the table below has
the reward of each attempt: 1 if the repair can be graded, else 0.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import srl_env
from srl_env.sandbox import CommandResult, Isolation, Sandbox, Session, Snapshot, open_sandbox
from srl_env.text.tool_calls import EDITOR, ToolCall
from srl_tasks.swe import env as swe

SUBMIT = ToolCall("submit", {}).render()
FIX = "sed -i 's/1 + off/1 - off/' $(find . -name prices.py)"
FULL = """
import os
def fill(make):
    try:
        for number in range(60_000):
            make(number)
    except OSError as error:
        print(error)
"""
# As many folders and files as the workspace holds, each kept by the filter.
CHAINS = """
import os
root, left, count = os.getcwd(), os.statvfs('.').f_ffree - 6, 0
while left > 4:
    depth = min(95, left - 2)
    os.chdir(root); os.mkdir(f'a{count}'); os.chdir(f'a{count}')
    for _ in range(depth):
        os.mkdir('d'); os.chdir('d')
    open('f', 'w').close()
    left, count = left - depth - 2, count + 1
"""
# A default access list that gives nobody anything, for what is made in a folder from now on.
CLOSED = """
import os, struct
entries = [(tag, 0, 0xFFFFFFFF) for tag in (1, 4, 32)]
value = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)
for path in ('.', 'shop'):
    os.setxattr(path, 'system.posix_acl_default', value)
os.mkdir('shop/more')
open('shop/new.py', 'w').close()
"""
DEEP = "import os\nfor _ in range(3_000):\n    os.mkdir('d' * 200); os.chdir('d' * 200)"
HOSTILE_GIT = """
hook=/workspace/.git/hooks/pre-commit
mkdir -p .git/hooks
printf '#!/bin/sh\\nsed -i s/-/+/ shop/prices.py\\n' > $hook; chmod +x $hook
for name in post-checkout post-index-change; do cp $hook .git/hooks/$name; done
printf "[core]\\nfsmonitor=$hook\\npager=$hook\\n[filter \\"f\\"]\\nclean=$hook\\n" >> .git/config
printf '* filter=f\\n' > .git/info/attributes; echo x > .git/index; echo x > .git/HEAD
"""
NAMES = (
    r"touch $'a\nb' $'\xff\xfe.py' $'\x1b[31m' $'\xed\xa0\x80' $'\xe2\x80\xae'; mkdir -p $'\xff/\n'"
)


needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


def python(code: str) -> str:
    return f"python3 - <<'END'\n{code}\nEND"


WORKSPACES: dict[str, tuple[str, float]] = {
    "the folder is closed to its owner": (f"{FIX}; echo > zz; chmod 600 .", 1),
    "the folder has no permissions": (f"{FIX}; echo > zz; chmod 000 .", 1),
    "every file and folder has no permissions": (f"{FIX}; find . -depth -exec chmod 000 {{}} +", 1),
    "set-user-id and sticky bits": (f"{FIX}; mkdir d; chmod 7777 d shop shop/*", 1),
    "access lists": (f"{FIX}\n{python(CLOSED)}", 1),
    "folders deeper than a path can be": (f"{FIX}\n{python(DEEP)}", 1),
    "names that are no text": (f"{FIX}; {NAMES}", 1),
    "thousands of names that are no text": (
        f"{FIX}; for i in $(seq 3000); do echo > tests/$i$'\\xff'; done",
        1,
    ),
    "a pipe in place of the file": ("rm shop/prices.py; mkfifo shop/prices.py", 0),
    "pipes, sockets and loops of links": (
        f"{FIX}; mkfifo p shop/p; ln -s a b; ln -s b a; ln -s . shop/self\n"
        + python("import socket; socket.socket(socket.AF_UNIX).bind('s')"),
        1,
    ),
    "hard links to the file": (f"{FIX}; for i in $(seq 50); do ln shop/prices.py l$i; done", 0),
    "huge sparse files": (f"{FIX}; for i in $(seq 40); do truncate -s 60M s$i; done", 0),
    "times at the ends of the calendar": (
        f"{FIX}; touch -d @-99999999999 shop/*; touch -d @99999999999 shop/text.py .",
        1,
    ),
    "extended attributes": (
        FIX
        + "\n"
        + python(
            "import os\n"
            "for n in ('x', 'overlay.opaque', 'overlay.redirect', 'overlay.whiteout'):\n"
            "  for p in ('.', 'shop', 'shop/prices.py'):\n"
            "    try: os.setxattr(p, 'user.' + n, b'y')\n"
            "    except OSError as error: print(error)"
        ),
        1,
    ),
    "every inode is an empty folder": (
        f"{FIX}\n" + python(FULL + "fill(lambda n: os.mkdir(f'n{n}'))"),
        1,
    ),
    "every inode is in what the filter keeps": (f"{FIX}\n{python(CHAINS)}", 0),
    "the disk is full to the last byte": (
        f"{FIX}; for i in $(seq 5); do cat /dev/zero > tests/f$i; done 2>&1; echo x > y",
        1,
    ),
    "scratch space is full": (
        f"{FIX}; cat /dev/zero > /tmp/f; cat /dev/zero > /tmp/g; cat /dev/zero > /dev/shm/f",
        1,
    ),
    "scratch space is closed": (f"{FIX}; chmod 000 /tmp /dev/shm", 1),
    "processes are left running": (
        f"{FIX}; for i in $(seq 90); do (trap '' TERM HUP; sleep 900) & done; setsid sleep 900 &",
        1,
    ),
    "everything is stopped and killed": (f"{FIX}; kill -STOP 1; kill -9 1; kill -STOP -1", 1),
    "everything is deleted": ("rm -rf ./* ./.[a-z]*", 0),
    "the workspace is replaced": (
        f"{FIX}; cd /; mv /workspace /gone; ln -s /etc /workspace; mount -t tmpfs x /workspace",
        1,
    ),
    "git keeps more than a workspace may hold": (
        f"{FIX}; for i in $(seq 20); do truncate -s 60M .git/objects/h$i; done; mkfifo .git/p",
        1,
    ),
    "git keeps more files than are counted": (
        f"{FIX}\n"
        + python("import os\nos.chdir('.git')\n" + FULL + "fill(lambda n: os.mkdir(f'n{n}'))"),
        1,
    ),
    "git would run the policy's hooks, filters and monitors": (
        f"{FIX}; {HOSTILE_GIT}",
        1,
    ),
    "git is a file, a link or gone": (f"{FIX}; rm -rf .git; ln -s /etc .git; mkdir tests/.git", 1),
    "the repair is committed, and then reset": (
        f"{FIX}; git commit -qam fixed; git reset -q --hard HEAD~1",
        0,
    ),
    "the repair is stashed": (f"{FIX}; git stash -q", 0),
    "the repair is committed": (f"{FIX}; git commit -qam fixed; git gc -q", 1),
    "files and folders change places": (
        f"{FIX}; rm -rf tests shop/text.py; echo > tests; mkdir -p shop/text.py/x; echo > $_/y",
        0,
    ),
}
SOURCES: dict[str, tuple[str, float]] = {
    "a file": ("rm -rf src; echo x > src", 0),
    "missing": ("rm -rf src", 0),
    "a link to another folder": (f"{FIX}; mv src other; ln -s other src", 0),
    "a loop of links": ("rm -rf src; ln -s src src", 0),
    "a pipe": ("rm -rf src; mkfifo src", 0),
    "an archive": ("python3 -m zipfile -c s.zip src; rm -rf src; mv s.zip src", 0),
    "as it was": (FIX, 1),
}


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRL_ENV_CACHE", str(tmp_path_factory.getbasetemp() / "trees"))


def bash(command: str) -> str:
    return ToolCall("bash", {"command": command}).render()


def editor(**arguments: object) -> str:
    return json.dumps({"name": EDITOR, "arguments": arguments})


def played(path: Path, actions: Sequence[str], **options: Any) -> tuple[float, Mapping[str, Any]]:
    """The last reward of an episode, and its info; everything said on the way is valid UTF-8."""
    env = srl_env.make("srl/SWE-v0", path=path, reward_mode="rlvr", **options)
    env.reset(seed=0)
    for action in (*actions, SUBMIT):
        observation, reward, terminated, truncated, info = env.step(action)
        observation.encode()
        json.dumps(info, ensure_ascii=False).encode()
        "".join(f"{turn.action}{turn.observation}" for turn in env.history).encode()
        if terminated or truncated:
            break
    env.close()
    return reward, info


@pytest.mark.parametrize("name", WORKSPACES)
def test_a_hostile_workspace_is_worth_what_is_in_it(tiny_tasks: Path, name: str) -> None:
    command, expected = WORKSPACES[name]
    reward, info = played(tiny_tasks, [bash(command)])
    assert (reward, info.get("failure")) == (expected, None), info.get("verdict")


@needs_git
def test_the_shell_has_git_with_one_commit_of_what_is_there(tiny_tasks: Path) -> None:
    env = srl_env.make("srl/SWE-v0", path=tiny_tasks, reward_mode="rlvr")
    env.reset(seed=0)
    (status, *_), (log, *_), _, (diff, *_) = (
        env.step(bash(command))
        for command in (
            "python -m pytest -q >/dev/null; git status --porcelain; git rev-parse HEAD | wc -c",
            "git reflog --all | wc -l; git rev-list --all --count",
            FIX,
            "git diff",
        )
    )
    assert result(status) == "41"  # nothing has changed, and HEAD is a commit
    assert result(log) == "0\n1"
    assert "-    return sum(prices) * (1 + off)" in diff
    assert "+    return sum(prices) * (1 - off)" in diff
    env.close()


def result(observation: str) -> str:
    """What the last command of an observation printed."""
    return observation.rpartition("Observation:\n")[2].strip()


@needs_git
def test_git_is_never_run_outside_the_sandbox(
    tiny_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "git").write_text(f"#!/bin/sh\ntouch {tmp_path}/was_run\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    reward, _ = played(tiny_tasks, [bash(f"{FIX}; {HOSTILE_GIT}"), bash("git diff")])
    assert (reward, (tmp_path / "was_run").exists()) == (1, False)


@needs_git
def test_a_snapshot_holds_what_git_keeps_and_the_verdict_does_not(tiny_tasks: Path) -> None:
    env = srl_env.make("srl/SWE-v0", path=tiny_tasks, reward_mode="rlvr")
    env.reset(seed=0)
    env.step(bash(f"{FIX}; git stash -q"))
    here = env.snapshot()
    _, lost, *_ = env.step(SUBMIT)
    env.restore(here)
    env.step(bash("git stash pop"))
    _, kept, _, _, info = env.step(SUBMIT)
    assert (lost, kept, info["verdict"]["dropped"]) == (0, 1, [])
    env.close()


@pytest.mark.parametrize("name", SOURCES)
def test_the_folder_of_packages_may_be_anything(source_tasks: Path, name: str) -> None:
    command, expected = SOURCES[name]
    reward, info = played(source_tasks, [bash(command)])
    assert (reward, info.get("failure")) == (expected, None), info.get("verdict")


SURROGATE, CONTROLS = "\ud800", "\x1b[2J\x07\u202e\u2066"
NESTED = "[" * 100_000 + "]" * 100_000
CALLS: dict[str, tuple[str, ...]] = {
    "a lone surrogate in a command": (
        json.dumps({"name": "bash", "arguments": {"command": f"echo {SURROGATE}"}}),
    ),
    "a lone surrogate in paths and texts": (
        editor(command="create", path=f"a{SURROGATE}", file_text=f"x{SURROGATE}"),
        editor(command="view", path=f"a{SURROGATE}"),
        editor(command="str_replace", path=f"a{SURROGATE}", old_str="x", new_str=SURROGATE),
        editor(command="insert", path=f"a{SURROGATE}", insert_line=1, new_str=SURROGATE),
        editor(command="undo_edit", path=f"a{SURROGATE}"),
        editor(command="view", path=SURROGATE * 5),
    ),
    "a lone surrogate in names": (
        editor(command=SURROGATE, path="shop"),
        editor(command="view", path="shop", view_range=[SURROGATE, SURROGATE]),
        editor(**{"command": "view", "path": "shop", SURROGATE: 1}),
        json.dumps({"name": SURROGATE, "arguments": {SURROGATE: SURROGATE}}),
    ),
    "controls in every text": (
        editor(command="str_replace", path="shop/text.py", old_str=CONTROLS, new_str=CONTROLS),
        editor(command="create", path=CONTROLS, file_text=CONTROLS),
        editor(command="view", path=CONTROLS),
        editor(command=CONTROLS, path=CONTROLS),
        json.dumps({"name": "bash", "arguments": {"command": f"echo '{CONTROLS}'"}}),
    ),
    "nesting": (
        NESTED,
        f'{{"name": "bash", "arguments": {NESTED}}}',
        f'{{"name": "bash", "arguments": {{"command": {NESTED[99_000:101_000]}}}}}',
        json.dumps({"name": "bash", "arguments": NESTED}),
    ),
    "numbers": tuple(
        f'{{"name": "{EDITOR}", "arguments": {{"command": "insert", "path": "shop/text.py", '
        f'"insert_line": {number}, "new_str": "x"}}}}'
        for number in ("1e999", "NaN", "-Infinity", "9" * 9_999, "1.5", "-1", "true", '"٣"')
    ),
    "long texts": (
        editor(command="create", path="big", file_text="x" * 10_000_000),
        editor(command="view", path="big"),
        editor(command="str_replace", path="shop/text.py", old_str="y" * 2_000_000),
        editor(command="view", path="p" * 2_000_000),
        editor(command="view", path="p/" * 400),
        json.dumps({"name": "bash", "arguments": {"command": "x" * 2_000_000}}),
        json.dumps({"name": "n" * 2_000_000}),
    ),
    "keys given twice": ('{"name": "bash", "arguments": {"command": "false", "command": "true"}}',),
    "options as paths": (
        editor(command="create", path="-delete", file_text="x"),
        editor(command="view", path="-delete"),
        editor(command="undo_edit", path="-delete"),
    ),
    "the shell ends itself": (
        bash("exec 199>&-; kill -9 $$"),
        bash("export -f cd; cd() { false; }; export PS4=$'\\xff'; cd shop; unset PATH; exit 3"),
        bash("trap - EXIT; ulimit -n 1 -f 0 -v 1; exec 1>&- 2>&-"),
        bash("cat /dev/zero >&3; printf 'x\\0y\\0z' >&199; echo"),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_hostile_calls_are_answered_and_the_repair_after_them_counts(
    tiny_tasks: Path, name: str
) -> None:
    fix = editor(command="str_replace", path="shop/prices.py", old_str="1 + off", new_str="1 - off")
    reward, info = played(tiny_tasks, [*CALLS[name], fix])
    assert (reward, info.get("failure")) == (1.0, None), info.get("verdict")


# -- sandboxes that die --


@dataclass
class Mortal:
    """A sandbox whose sessions are killed from outside just before they do something.

    dies: decides by the text of a command, and by the names of the workspace's files.
    """

    inner: Sandbox
    dies: Callable[[str], bool]
    started: int = 0

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def isolation(self) -> Isolation:
        return self.inner.isolation

    def start(self, tree: Path | None, **options: Any) -> Session:
        session = self.inner.start(tree, **options)
        self.started += 1
        run, snapshot = session.run, session.snapshot

        def mortal_run(command: str | Sequence[str], **options: Any) -> CommandResult:
            if self.dies(" ".join(command)):
                killed(session)
            return run(command, **options)

        def mortal_snapshot(**options: Any) -> Snapshot:
            if self.dies(run("ls").text()):
                killed(session)
            return snapshot(**options)

        session.run, session.snapshot = mortal_run, mortal_snapshot  # type: ignore[method-assign]
        return session

    def close(self) -> None:
        self.inner.close()


def killed(session: Session) -> None:
    signal.pidfd_send_signal(session._connection._handle, signal.SIGKILL)  # type: ignore[union-attr]


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mortal]:
    sandbox = Mortal(open_sandbox(), lambda said: "poison" in said)
    monkeypatch.setattr(swe, "shared_sandbox", lambda *_: sandbox)
    yield sandbox
    sandbox.close()


IN_A_COMMAND, IN_THE_WORKSPACE = "touch poison", "touch poi''son"


@pytest.mark.parametrize("command", [IN_A_COMMAND, IN_THE_WORKSPACE])
def test_what_kills_its_sandbox_twice_is_the_policys_fault(
    tiny_tasks: Path, mortal: Mortal, command: str
) -> None:
    reward, info = played(tiny_tasks, [bash(FIX), bash(command)])
    assert reward == 0.0
    assert "failure" not in info
    assert info["verdict"]["policy_fault"].startswith("SandboxDied: the sandbox died during")
    assert not info["verdict"]["correct"]
    assert mortal.started == 3  # the episode, again, and the control


@pytest.mark.parametrize("command", [IN_A_COMMAND, IN_THE_WORKSPACE])
def test_a_sandbox_killed_once_costs_nothing(
    tiny_tasks: Path, mortal: Mortal, command: str
) -> None:
    mortal.dies = lambda said: "poison" in said and mortal.started == 1
    reward, info = played(tiny_tasks, [bash(FIX), bash(command)])
    assert (reward, "policy_fault" in info["verdict"]) == (1.0, False)


@pytest.mark.parametrize("command", ["true", FIX, IN_A_COMMAND, IN_THE_WORKSPACE])
@pytest.mark.parametrize("when", ["at commands", "at the end"])
def test_a_sandbox_that_dies_of_anything_is_a_failure(
    tiny_tasks: Path, mortal: Mortal, command: str, when: str
) -> None:
    mortal.dies = lambda said: when == "at commands" or "shop\n" in said
    reward, info = played(tiny_tasks, [bash(command)])
    assert math.isnan(reward)
    assert info["failure"]["type"] == "SandboxDied"
    assert "verdict" not in info
