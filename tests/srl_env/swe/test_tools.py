"""What a policy sees of its tools."""

from __future__ import annotations

import pickle
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from srl_env.errors import SandboxFailure
from srl_env.sandbox import Sandbox, open_sandbox
from srl_env.swe.task import Repository
from srl_env.swe.tools import NO_OUTPUT, SUBMITTED, Workbench, truncated
from srl_env.swe.workspace import open_workspace
from srl_env.text.tool_calls import EDITOR, Argument, ToolCall


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = open_sandbox()
    yield made
    made.close()


@pytest.fixture
def bench(sandbox: Sandbox, tmp_path: Path) -> Iterator[Workbench]:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/a.py").write_text("def f(x):\n    return x - 1\n")
    (tmp_path / "raw").write_bytes(b"caf\xe9 one\n")
    (tmp_path / "test_a.py").write_text("from pkg.a import f\ndef test(): assert f(1) == 0\n")
    with open_workspace(sandbox, tmp_path, Repository("r")) as session:
        yield Workbench(session)


def bash(bench: Workbench, command: str) -> str:
    return bench.call(ToolCall("bash", {"command": command}))


def edit(bench: Workbench, command: str, path: str, **arguments: Argument) -> str:
    return bench.call(ToolCall(EDITOR, {"command": command, "path": path, **arguments}))


def test_a_command_is_answered_by_its_output_and_status(bench: Workbench) -> None:
    assert bash(bench, "echo out; echo err >&2; exit 3") == "out\nerr\n(exit status 3)"
    assert bash(bench, "true") == NO_OUTPUT


def test_the_folder_and_exports_hold_for_the_next_command(bench: Workbench) -> None:
    bash(bench, "cd pkg && export GREETING='it'\"'\"'s me'")
    assert bash(bench, 'pwd; echo "$GREETING"') == "/workspace/pkg\nit's me"
    bash(bench, "kill -9 $$")
    assert bash(bench, "pwd") == "/workspace/pkg"


def test_a_command_may_use_descriptor_3_for_its_own(bench: Workbench) -> None:
    bash(bench, "exec 3> log; cd pkg; echo mine >&3")
    assert bash(bench, "pwd; cat ../log") == "/workspace/pkg\nmine"


def test_pytest_runs_the_repository_s_tests(bench: Workbench) -> None:
    assert "100%" in bash(bench, "python -m pytest -qq")


def test_a_command_that_takes_too_long_is_ended_and_counted(bench: Workbench) -> None:
    bench.timeout_s = 0.2
    assert "ended after 0.2 s" in bash(bench, "echo begun; sleep 9")
    assert bench.state.timeouts == 1
    bash(bench, "true")
    assert bench.state.timeouts == 0


def test_long_output_is_cut_in_the_middle(bench: Workbench) -> None:
    said = bash(bench, "seq 1 10000")
    assert said.startswith("1\n2\n")
    assert said.endswith("\n10000")
    assert "characters elided" in said
    assert truncated("abcdef", 2, 2) == "ab\n[… 2 characters elided …]\nef"


def test_a_command_no_process_can_be_given_is_answered(bench: Workbench) -> None:
    assert "NUL character" in bash(bench, "echo \0")
    assert "100,000 bytes" in bash(bench, "x" * 100_001)


def test_a_file_is_shown_with_line_numbers(bench: Workbench) -> None:
    head = "Here's the result of running `cat -n` on pkg/a.py:\n"
    assert edit(bench, "view", "pkg/a.py") == head + "     1\tdef f(x):\n     2\t    return x - 1"
    assert edit(bench, "view", "/workspace/pkg/a.py", view_range=(2, -1)) == (
        head + "     2\t    return x - 1"
    )
    assert "has 2 lines" in edit(bench, "view", "pkg/a.py", view_range=(2, 3))


def test_a_folder_is_listed_two_levels_deep(bench: Workbench) -> None:
    bash(bench, "mkdir -p x/y/z .hidden && touch x/y/z/deep x/y/there")
    assert edit(bench, "view", ".").splitlines()[1:] == [
        "pkg/",
        "pkg/a.py",
        "raw",
        "test_a.py",
        "x/",
        "x/y/",
    ]


def test_text_is_replaced_where_it_occurs_once(bench: Workbench) -> None:
    said = edit(bench, "str_replace", "pkg/a.py", old_str="x - 1", new_str="x + 1")
    assert "a snippet of pkg/a.py:\n     1\tdef f(x):\n     2\t    return x + 1\n" in said
    assert bench.session.read("pkg/a.py") == b"def f(x):\n    return x + 1\n"
    said = edit(bench, "str_replace", "pkg/a.py", old_str="x - 1", new_str="")
    assert said.startswith("No replacement was performed, old_str `x - 1` did not appear verbatim")
    assert "in lines [1, 2]" in edit(bench, "str_replace", "pkg/a.py", old_str="x")


def test_lines_are_inserted_and_edits_taken_back(bench: Workbench) -> None:
    edit(bench, "insert", "pkg/a.py", insert_line=2, new_str="y = 1\n")
    assert bench.session.read("pkg/a.py").endswith(b"x - 1\ny = 1\n")
    edit(bench, "undo_edit", "pkg/a.py")
    assert bench.session.read("pkg/a.py").endswith(b"x - 1\n")
    assert edit(bench, "undo_edit", "pkg/a.py") == "No edit history found for pkg/a.py."
    assert "0 (before the first) to 2" in edit(
        bench, "insert", "pkg/a.py", insert_line=3, new_str="z"
    )


def test_a_file_is_created_once_and_its_creation_taken_back(bench: Workbench) -> None:
    assert "created successfully" in edit(bench, "create", "new/b.py", file_text="b\n")
    assert "already exists" in edit(bench, "create", "new/b.py", file_text="c\n")
    edit(bench, "undo_edit", "new/b.py")
    assert "no such file" in edit(bench, "view", "new/b.py")


def test_bytes_that_are_no_utf8_survive_an_edit(bench: Workbench) -> None:
    edit(bench, "str_replace", "raw", old_str="one", new_str="two")
    assert bench.session.read("raw") == b"caf\xe9 two\n"


def test_every_answer_shows_what_cannot_be_seen_as_escapes(bench: Workbench) -> None:
    hostile = "\x1b[2J\x07\u202e"
    shown = r"\x1b[2J\x07\u202e"
    answers = [
        edit(bench, "str_replace", "pkg/a.py", old_str=hostile, new_str="x"),
        edit(bench, "create", f"new{hostile}", file_text=hostile),
        edit(bench, "create", f"new{hostile}", file_text="again"),
        edit(bench, "view", f"new{hostile}"),
        edit(bench, "view", f"new{hostile}", view_range=(7, 9)),
        edit(bench, "str_replace", f"new{hostile}", old_str="a", new_str="b"),
        edit(bench, "insert", f"new{hostile}", insert_line=1, new_str=hostile),
        edit(bench, "insert", f"new{hostile}", insert_line=9, new_str="x"),
        edit(bench, "undo_edit", f"new{hostile}"),
        edit(bench, "undo_edit", f"other{hostile}"),
        edit(bench, "view", f"missing{hostile}"),
        edit(bench, "view", f"../{hostile}"),
        edit(bench, "view", f"/{hostile}"),
    ]
    for answer in answers:
        assert shown in answer
        assert not set(answer) & set(hostile.replace("[2J", ""))
    assert bash(bench, "printf '\\033[31mred\\033[0m\\a'") == r"red\x07"
    assert r"caf\xe9" in edit(bench, "view", "raw")


def test_a_lone_surrogate_in_a_call_becomes_the_replacement_character(bench: Workbench) -> None:
    assert edit(bench, "create", "a\ud800", file_text="x\udfff").endswith(": a\ufffd")
    assert bench.session.read("a\ufffd") == "x\ufffd".encode()
    assert bash(bench, "echo '\ud800'") == "\ufffd"


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "a\0b", "x" * 2_000, "pkg/../.."])
def test_paths_outside_of_the_repository_are_refused(bench: Workbench, path: str) -> None:
    said = edit(bench, "view", path)
    assert "root:" not in said
    assert "path" in said.lower()


def test_links_are_not_followed(bench: Workbench) -> None:
    bash(bench, "ln -s /etc/passwd link; ln -s /etc folder")
    assert "symbolic link" in edit(bench, "view", "link")
    assert "root:" not in edit(bench, "view", "folder/passwd")


def test_submitting_is_remembered(bench: Workbench) -> None:
    assert bench.call(ToolCall("submit", {})) == SUBMITTED
    assert bench.state.submitted


def test_a_fresh_bench_takes_over_the_state_of_another(
    bench: Workbench, sandbox: Sandbox, tmp_path: Path
) -> None:
    bash(bench, "cd pkg; echo 1 > note")
    edit(bench, "str_replace", "pkg/a.py", old_str="x - 1", new_str="x + 1")
    state = pickle.loads(pickle.dumps(bench.snapshot()))
    with open_workspace(sandbox, tmp_path, Repository("r")) as session:
        other = Workbench(session)
        other.apply(state)
        assert bash(other, "pwd; cat note") == "/workspace/pkg\n1"
        edit(other, "undo_edit", "pkg/a.py")
        assert b"x - 1" in session.read("pkg/a.py")


def test_a_dead_sandbox_is_never_an_observation(bench: Workbench) -> None:
    bench.session.close()
    with pytest.raises(SandboxFailure):
        bash(bench, "ls")
    with pytest.raises(SandboxFailure):
        edit(bench, "view", "pkg/a.py")


CRLF = b"one = 1\r\ntwo = 2\r\nthree = 3\r\n"
MIXED = b"one = 1\r\ntwo = 2\nthree = 3\r\nfour = 4\n"
# What the file holds, the edit, and what it holds then.
EDITS: list[tuple[bytes, dict[str, Argument], bytes]] = [
    (CRLF, {"old_str": "1\ntwo = 2", "new_str": "1\ntwo = 5"}, CRLF.replace(b"2", b"5")),
    (CRLF, {"old_str": "one = 1\r\ntwo", "new_str": "x\r\ny"}, b"x\r\ny = 2\r\nthree = 3\r\n"),
    (CRLF, {"old_str": "two = 2", "new_str": "a\nb"}, b"one = 1\r\na\r\nb\r\nthree = 3\r\n"),
    (CRLF, {"old_str": "two = 2\n", "new_str": ""}, b"one = 1\r\nthree = 3\r\n"),
    (CRLF, {"old_str": "3\n", "new_str": "3\nfour\n"}, CRLF + b"four\r\n"),
    (
        MIXED,
        {"old_str": "1\ntwo = 2\nthree = 3\nfour", "new_str": "0\ntwo = 2\nthree = 9\nfive"},
        b"one = 0\r\ntwo = 2\nthree = 9\r\nfive = 4\n",
    ),
    (b"a\rb\rc\r\n", {"old_str": "b\\rc", "new_str": "b\\rd"}, b"a\rb\rd\r\n"),
    (b"a\rb\rc", {"old_str": "a\\rb", "new_str": "a\\rz"}, b"a\rz\rc"),
    (b"\x1b[1m\xff \xe2\x80\xae", {"old_str": "\\x1b[1m\\xff", "new_str": "!"}, b"! \xe2\x80\xae"),
    (b"'\\r'\r\nx\r\n", {"old_str": "'\\r'\nx", "new_str": "'\\r'\ny"}, b"'\\r'\r\ny\r\n"),
    (b"a\nb\n", {"old_str": "a", "new_str": "a\r\nc"}, b"a\r\nc\nb\n"),
    (b"a\nb\nc\n", {"old_str": "a\r\nb", "new_str": "d"}, b"d\nc\n"),
    (CRLF, {"insert_line": 0, "new_str": "zero\n"}, b"zero\r\n" + CRLF),
    (CRLF, {"insert_line": 1, "new_str": "a\nb\n"}, CRLF.replace(b"two", b"a\r\nb\r\ntwo")),
    (CRLF, {"insert_line": 3, "new_str": "four"}, CRLF + b"four\r\n"),
    (CRLF[:-2], {"insert_line": 3, "new_str": "four"}, CRLF + b"four"),
    (b"a\rb\rc", {"insert_line": 1, "new_str": "d"}, b"a\rb\rc\nd"),
    (b"a\nb", {"insert_line": 2, "new_str": "c\n"}, b"a\nb\nc"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "arguments", "after"), EDITS)
def test_edits_keep_the_ends_of_lines_and_undo_restores_every_byte(
    bench: Workbench, before: bytes, arguments: dict[str, Argument], after: bytes
) -> None:
    bench.session.write("file", before)
    command = "insert" if "insert_line" in arguments else "str_replace"
    said = edit(bench, command, "file", **arguments)
    assert "has been edited" in said, said
    assert bench.session.read("file") == after
    edit(bench, "undo_edit", "file")
    assert bench.session.read("file") == before


@pytest.mark.parametrize("content", [CRLF, MIXED, b"a\rb\rc", b"a\r\r\nb\r", b"\x1b\r\n\xff\r\n"])
def test_str_replace_takes_what_view_shows(bench: Workbench, content: bytes) -> None:
    bench.session.write("file", content)
    shown = [line.partition("\t")[2] for line in edit(bench, "view", "file").split("\n")[1:]]
    said = edit(bench, "str_replace", "file", old_str="\n".join(shown), new_str="new")
    assert "has been edited" in said, said
    assert bench.session.read("file") in (b"new", b"new\r\n", b"new\n")


# A file, and an edit of it whose lines or escapes are so many that comparing all would take hours.
REPEATED: list[tuple[bytes, str, str]] = [
    (b"a\r\n" * 4_000, "a\n" * 4_000, "a\nb\n" * 4_000),
    (b"c\r\n" + b"a\r\n" * 4_000 + b"c\n", "a\n" * 3_999 + "a\nc\n", "b\n" + "b\na\n" * 4_000),
    (b"a\r\n" * 200_000 + b"b\n", "b", "b\n" * 20_000),
]


@pytest.mark.parametrize(("before", "old", "new"), REPEATED)
def test_an_edit_of_lines_that_repeat_themselves_is_made_at_once(
    bench: Workbench, before: bytes, old: str, new: str
) -> None:
    bench.session.write("file", before)
    started = time.process_time()
    assert "has been edited" in edit(bench, "str_replace", "file", old_str=old, new_str=new)
    assert time.process_time() - started < 10
    edited = bench.session.read("file").decode()
    assert edited.replace("\r\n", "\n") == before.decode().replace("\r\n", "\n").replace(old, new)


def test_a_file_of_escapes_alone_is_not_looked_at_as_it_is_shown(bench: Workbench) -> None:
    bench.session.write("file", b"\x1b" * (4 << 20))
    tracemalloc.start()
    said = edit(bench, "str_replace", "file", old_str="\\x1b", new_str="")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "did not appear" in said
    assert most < 100 << 20


def test_a_part_of_an_escape_is_no_place(bench: Workbench) -> None:
    bench.session.write("file", b"a\x1bb\r\n")
    assert "did not appear" in edit(bench, "str_replace", "file", old_str="x1bb", new_str="")
