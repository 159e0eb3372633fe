"""Sessions of the launched backends: trees, mounts, endings, and who they run as."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import srl_env
from srl_env.errors import BadOption, SandboxFailure
from srl_env.sandbox import (
    Change,
    Limits,
    LocalSandbox,
    Mount,
    NamespaceSandbox,
    Preload,
    Sandbox,
    Snapshot,
    open_sandbox,
)
from srl_env.sandbox import interpreter as interpreters
from tests.srl_env.sandbox.conftest import Marked

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="it is about a controller that is root")


@as_root
def test_a_tree_only_root_may_enter_can_be_worked_on_without_being_root(
    namespaces: Sandbox, tree: Path
) -> None:
    (tree / "private").write_text("mine\n")
    (tree / "private").chmod(0o600)
    tree.chmod(0o700)
    with namespaces.start(tree) as session:
        done = session.run("cat private; echo changed >> private; id -u; cat private")
        assert done.output == b"mine\n1000\nmine\nchanged\n"
        assert [change.path for change in session.changes()] == ["private"]
    assert (tree / "private").read_text() == "mine\n"


@as_root
def test_a_file_of_another_owner_than_the_tree_can_be_read_and_not_changed(
    namespaces: Sandbox, tree: Path
) -> None:
    os.chown(tree / "README", 4321, 4321)
    with namespaces.start(tree) as session:
        assert session.run("cat README").output == b"read me\n"
        assert not session.run("echo new > README").ok
        assert not session.run("rm -f README").ok
        assert session.changes() == []


PLAIN_USER = """
    import ctypes, os, sys
    from pathlib import Path
    from srl_env.sandbox import NamespaceSandbox, interpreter, self_check
    folder = Path(sys.argv[1])
    os.setgroups([])
    os.setresgid(54321, 54321, 54321)
    os.setresuid(54321, 54321, 54321)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable, as any program a user starts
    sys.executable = sys._base_executable = "/usr/bin/python3"
    sys.base_prefix = "/usr"
    result = self_check(NamespaceSandbox)
    result.require()
    print(len(result.held))
    sandbox = NamespaceSandbox()
    with sandbox.start(folder) as session:  # it is root's, and so cannot be laid under an overlay
        assert session.changes() == []
        session.run("echo more >> given; rm gone; mkdir new; echo x > new/file")
        print(sorted((change.change, change.path) for change in session.changes()))
        snapshot = session.snapshot()
        session.restore(snapshot)
        assert session.snapshot() == snapshot
"""


@as_root
@pytest.mark.skipif(not os.path.exists("/usr/bin/python3"), reason="needs the system's Python")
def test_a_plain_user_gets_the_same_sandbox_and_copies_of_others_trees(
    namespaces: Sandbox,
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        for name in ("given", "gone"):
            Path(folder, name).write_text(name)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(PLAIN_USER), folder],
            capture_output=True, text=True, timeout=60, env={**os.environ, "TMPDIR": "/tmp"},
        )  # fmt: skip
    changes = [("added", "new"), ("added", "new/file"), ("deleted", "gone"), ("modified", "given")]
    assert done.stdout == f"18\n{changes}\n", done.stderr[-2000:]


def test_a_mount_can_be_read_where_it_was_asked_for_and_not_written(
    namespaces: Sandbox, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "data.txt").write_text("data\n")
    mounts = [Mount(tmp_path / "data.txt", "/data/given.txt"), Mount(tree / "pkg", "/packages/pkg")]
    with namespaces.start(None, mounts=mounts) as session:
        assert (
            session.run("cat /data/given.txt /packages/pkg/mod.py").output == b"data\nvalue = 1\n"
        )
        assert not session.run("echo x > /data/given.txt").ok
        assert not session.run("touch /packages/pkg/new").ok
        assert session.run("ls -A").output == b""
    assert (tmp_path / "data.txt").read_text() == "data\n"


@as_root
def test_private_files_are_shown_where_the_task_names_them_and_not_beside_the_interpreter(
    namespaces: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prefix", "named"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "private").write_text(name)
        (tmp_path / name / "private").chmod(0o600)
    own = interpreters.own_interpreter()
    mounts = (*own.mounts, Mount(tmp_path / "prefix"))
    given = interpreters.Interpreter(own.executable, mounts, own.hidden, own.links)
    monkeypatch.setattr(NamespaceSandbox, "_interpreter", lambda self: given)
    with namespaces.start(None, mounts=[Mount(tmp_path / "named")]) as session:
        assert session.run(["cat", str(tmp_path / "named" / "private")]).output == b"named"
        assert not session.run(["cat", str(tmp_path / "prefix" / "private")]).ok


def test_our_packages_beside_the_interpreter_are_shown_empty(
    namespaces: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(srl_env.__file__).parent.resolve()
    found = interpreters._hidden(str(package.parent))
    assert str(package) in found
    own = interpreters.own_interpreter()
    given = interpreters.Interpreter(own.executable, own.mounts, found, own.links)
    monkeypatch.setattr(NamespaceSandbox, "_interpreter", lambda self: given)
    with namespaces.start(None, mounts=[Mount(package.parent, "/x"), Mount(package)]) as session:
        assert session.run(["ls", "-A", str(package)]).output == b""


def test_packages_beside_the_interpreter_are_shown_only_where_a_task_names_them(
    namespaces: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path.resolve() / "prefix" / "site-packages"
    for name in ("named", "other"):
        (site / name).mkdir(parents=True)
        (site / f"{name}.py").write_text(name)
    own = interpreters.own_interpreter()
    given = interpreters.Interpreter(
        own.executable, (*own.mounts, Mount(site.parent)), own.hidden, own.links, (str(site),)
    )
    monkeypatch.setattr(NamespaceSandbox, "_interpreter", lambda self: given)
    with namespaces.start(
        None, mounts=[Mount(site / "named"), Mount(site / "named.py")]
    ) as session:
        assert session.run(["ls", str(site)]).output == b"named\nnamed.py\n"
        assert session.run(["cat", str(site / "named.py")]).output == b"named"
        assert not session.run(f"chmod 777 {site}; touch {site}/new").ok


def test_a_file_is_shown_in_place_of_one_in_a_folder_that_cannot_be_written(
    namespaces: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("mine", "folder/theirs"):
        (tmp_path / name).write_text(name)
    mounts = [Mount(tmp_path / "folder", "/given"), Mount(tmp_path / "mine", "/given/theirs")]
    with namespaces.start(None, mounts=mounts) as session:
        assert session.run(["cat", "/given/theirs"]).output == b"mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tree": Path("/nowhere")}, "the path must be an existing folder; got /nowhere"),
        ({"tree": Path("/etc/passwd")}, "an existing folder; got /etc/passwd"),
        (
            {"tree": None, "mounts": [Mount(Path("/nowhere"))]},
            "an existing file or folder; got /nowhere",
        ),
        ({"tree": None, "mounts": [Mount(Path("/usr"), "up/..")]}, "an absolute path"),
        ({"tree": None, "mounts": [Mount(Path("/usr"), "/a/../b")]}, "an absolute path"),
        ({"tree": None, "env": {"X": "x" * 70_000}}, "must be at most 64 KiB"),
    ],
)
def test_what_cannot_be_started_says_why(
    local: Sandbox, namespaces: Sandbox, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(BadOption, match=message):
        namespaces.start(**arguments)  # type: ignore[arg-type]


def test_a_backend_without_mounts_refuses_to_move_things(local: Sandbox, tree: Path) -> None:
    with pytest.raises(
        BadOption, match=r"target must be .* itself in the local backend; got /elsewhere"
    ):
        local.start(None, mounts=[Mount(tree, "/elsewhere")])


def test_a_command_with_a_nul_or_nothing_in_it_is_refused(local: Sandbox) -> None:
    with local.start(None) as session:
        with pytest.raises(BadOption, match="command is empty"):
            session.run([])
        with pytest.raises(BadOption, match="NUL"):
            session.run("echo \0")
        assert session.run("echo on").output == b"on\n"


def test_a_program_that_is_not_there_is_the_commands_own_mistake(namespaces: Sandbox) -> None:
    with namespaces.start(None) as session:
        done = session.run(["no-such-program"])
        assert (done.ended, done.status) == ("exited", 127)
        assert done.text() == "no-such-program: No such file or directory\n"


def test_a_session_whose_keeper_was_killed_is_a_failure(namespaces: Sandbox) -> None:
    session = namespaces.start(None)
    signal.pidfd_send_signal(session._connection._handle, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(SandboxFailure, match="died during 'run'"):
        session.run("echo on")
    for use in (
        lambda: session.run("true"),
        lambda: session.read("x"),
        lambda: session.write("x", b""),
        session.changes,
        session.snapshot,
        lambda: session.apply(Snapshot((), ())),
        lambda: session.restore(Snapshot((), ())),
    ):
        with pytest.raises(SandboxFailure, match="closed, or died"):
            use()
    with pytest.raises(SandboxFailure, match="closed, or died"):
        session.read("README")


@pytest.mark.parametrize("path", ["\ud800", "pkg/\udfff.py", "\ud800/x"])
def test_a_path_no_file_can_have_is_an_error_and_the_session_lives(
    namespaces: Sandbox, tree: Path, path: str
) -> None:
    with namespaces.start(tree) as session:
        for use in (lambda: session.read(path), lambda: session.write(path, b"")):
            with pytest.raises(OSError, match="surrogates not allowed"):
                use()
        with pytest.raises(BadOption, match="lone surrogate"):
            session.run(["echo", path])
        assert session.read("README") == b"read me\n"
        session.write("\udcff", b"raw")
        assert session.run("cat $'\\xff'").output == b"raw"


def test_the_last_word_of_a_keeper_is_never_an_answer(namespaces: Sandbox) -> None:
    session = namespaces.start(None)
    with pytest.raises(SandboxFailure, match="died during 'unknown'"):
        session._request({"do": "unknown"})
    with pytest.raises(SandboxFailure, match="closed, or died"):
        session.read("x")


def test_a_command_that_cannot_be_started_is_a_failure(local: Sandbox, tree: Path) -> None:
    with local.start(tree) as session:
        session.run("chmod 000 $TMPDIR && rmdir $TMPDIR")  # where standard input is kept
        with pytest.raises(SandboxFailure, match="could not be started"):
            session.run("cat", stdin=b"x")


def test_removing_one_session_s_folder_holds_up_no_other() -> None:
    code = """
import os
from srl_env.sandbox.inside import launcher
reading, writing = os.pipe()
launcher.remove_tree = lambda folder: os.read(reading, 1)
made = launcher.Launcher()
made.folders[-7] = "a folder that takes for ever"
made._clear_after(-7)
assert os.waitpid(-1, os.WNOHANG) == (0, 0)
os.write(writing, b"x")
made.end()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_launcher_that_was_killed_is_replaced(tree: Path, namespaces: Sandbox) -> None:
    sandbox = NamespaceSandbox()
    with sandbox.start(tree) as first:
        assert sandbox._launcher
        sandbox._launcher._process.kill()
        sandbox._launcher._process.wait()
        assert first.run("echo still").output == b"still\n"
        with sandbox.start(tree) as second:
            assert second.run("echo again").output == b"again\n"
    sandbox.close()


CONTROLLER = """
    import sys
    from srl_env.sandbox import {name}
    sandbox = {name}()
    session = sandbox.start(None, env={{"SRL_TEST_MARK": sys.argv[1]}})
    print("started", flush=True)
    session.run("sleep 60 & setsid sleep 60 & sleep 60")
"""


@pytest.mark.parametrize("name", ["NamespaceSandbox", "LocalSandbox"])
def test_the_death_of_the_controller_ends_its_sessions(namespaces, marked, name) -> None:
    script = textwrap.dedent(CONTROLLER.format(name=name))
    command = [sys.executable, "-c", script, marked.env["SRL_TEST_MARK"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as controller:
        assert controller.stdout
        assert controller.stdout.readline() == b"started\n"
        until = time.monotonic() + 10
        while not marked.alive() and time.monotonic() < until:
            time.sleep(0.01)
        assert marked.alive() != []
        controller.kill()
    assert marked.wait_for_none() == []


@pytest.mark.parametrize("method", ["apply", "restore"])
def test_a_snapshot_that_is_not_in_order_changes_nothing(
    namespaces: Sandbox, tree: Path, method: str
) -> None:
    good = Change("added", "new", "file", 0o644, 1, 1)
    snapshot = Snapshot((good, replace(good, path="long", size=9)), (b"x", b"y"))
    with namespaces.start(tree) as session:
        session.run("echo kept > kept")
        with pytest.raises(BadOption, match="size must be 1, that of its content; got 9"):
            getattr(session, method)(snapshot)
        assert [change.path for change in session.changes()] == ["kept"]


def test_a_session_nobody_holds_any_more_ends(namespaces, marked) -> None:
    session = namespaces.start(None, env=marked.env)
    handle = os.dup(session._connection._handle)
    del session
    gc.collect()
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(handle, 0)
    os.close(handle)


def test_closing_a_sandbox_ends_its_sessions(tree: Path) -> None:
    sandbox = LocalSandbox()
    session = sandbox.start(tree)
    sandbox.close()
    with pytest.raises(SandboxFailure, match="closed"):
        session.run("echo on")


def test_the_copies_of_a_local_session_are_removed(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = LocalSandbox()
    with sandbox.start(tree) as session:
        folder = Path(session.run("pwd").output.decode().strip()).parent
        session.run("mkdir -p a/b; chmod 0 a/b a")
        assert folder.exists()
    sandbox.close()
    assert not folder.exists()


def test_sessions_can_be_started_from_many_threads(namespaces: Sandbox, tree: Path) -> None:
    answers: list[bytes] = []

    def one(number: int) -> None:
        with namespaces.start(tree) as session:
            answers.append(session.run(f"echo {number} > README; cat README").output)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"{number}\n".encode() for number in range(8))
    assert (tree / "README").read_text() == "read me\n"


def test_an_interrupt_in_the_middle_of_a_command_ends_the_session(
    namespaces, marked, tree: Path
) -> None:
    session = namespaces.start(tree, env=marked.env)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        session.run("sleep 5")
    assert marked.wait_for_none() == []
    with pytest.raises(SandboxFailure, match="closed"):
        session.run("echo on")


def test_limits_of_a_session_are_the_kernels(namespaces: Sandbox) -> None:
    limits = Limits(processes=17, open_files=33, file_bytes=1 << 20, workspace_bytes=3 << 20)
    with namespaces.start(None, limits=limits) as session:
        assert session.run("ulimit -u; ulimit -n; ulimit -f").output == b"17\n33\n1024\n"
        assert session.run("df -B1 --output=size . | tail -1").output.strip() == b"3145728"


MODULE = """
import os, sys
held = [1]
def main():
    held.append(len(held))
    text = sys.stdin.buffer.read().decode()
    print(text, held, os.getcwd(), sorted(os.environ), os.getpid() != 1, "secret" in sys.path)
    os.write(3, b"reported")
    raise SystemExit(3)
"""


def test_a_preloaded_module_runs_as_a_command_of_its_own(
    namespaces: Sandbox, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "warm.py").write_text(MODULE)
    sandbox = open_sandbox(preload=Preload((tmp_path / "modules",), ("warm",)))
    with sandbox.start(tree, env={"GIVEN": "1"}) as session:
        for _ in range(2):  # what one call changes, the next does not see
            done = session.call("warm", stdin=b"sent", report=True)
            names = "['GIVEN', 'HOME', 'LANG', 'PATH', 'PYTHONDONTWRITEBYTECODE', 'TMPDIR']"
            assert done.text() == f"sent [1, 1] /workspace {names} True False\n"
            assert (done.ended, done.status, done.report) == ("exited", 3, b"reported")
        with pytest.raises(BadOption, match=r"'os' was not preloaded; known: \['warm'\]"):
            session.call("os")
    sandbox.close()


def test_a_preloaded_module_is_held_by_the_same_limits(
    namespaces: Sandbox, tmp_path: Path, marked: Marked
) -> None:
    source = "import os\ndef main():\n    os.fork()\n    print(os.getuid())\n    while True: pass\n"
    (tmp_path / "endless.py").write_text(source)
    sandbox = NamespaceSandbox(Preload((tmp_path,), ("endless",)))
    with sandbox.start(None, env=marked.env) as session:
        done = session.call("endless", timeout_s=0.5)
        assert (done.ended, done.status) == ("timeout", -9)
        with pytest.raises(FileNotFoundError):
            session.read("missing")
    sandbox.close()
    assert marked.wait_for_none() == []


def test_a_module_that_cannot_be_preloaded_is_a_failure(namespaces: Sandbox) -> None:
    with pytest.raises(SandboxFailure, match="launcher"):
        NamespaceSandbox(Preload((), ("no_such_module",))).start(None)


def test_the_environment_of_the_controller_does_not_get_in(
    namespaces: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with namespaces.start(None, env={"GIVEN": "yes"}) as session:
        names = session.run(["env"], env={"FOR_THIS": "1"}).text().splitlines()
    found = {line.partition("=")[0] for line in names}
    expected = {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE", "GIVEN", "FOR_THIS"}
    assert found == expected
