"""The tools of a software-engineering policy, run in a sandbox session.

``Workbench.call`` runs one ``ToolCall`` and returns the observation: what SWE-agent's users
know, truncated in the middle, made safe to print. What the policy does wrong is an observation
that says what to do instead; a sandbox that fails is a ``SandboxDied`` and never an
observation.

What cannot be seen is escaped in every observation (``srl_env.text.unicode.escaped``): a file's
escape character is shown as ``\\x1b``, four characters. Terminal sequences in a command's output
are left out. ``cat -A``, ``od -c`` or Python's ``ascii`` show a file's exact content.
``str_replace`` takes a text as it is in the file, or else as ``view`` shows it; edits keep the ends
of lines.
"""

from __future__ import annotations

import bisect
import difflib
import errno
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from srl_env.errors import SandboxDied
from srl_env.sandbox import Session
from srl_env.sandbox import Snapshot as WorkspaceSnapshot
from srl_env.sandbox.interface import CommandResult
from srl_env.text.tool_calls import ToolCall
from srl_env.text.unicode import escaped

HEAD = TAIL = 5_000
"""Characters of an observation that are kept at its beginning and at its end."""
NO_OUTPUT = "Your command ran successfully and did not produce any output."
SUBMITTED = "Submitted. What is in the repository now is judged."
MOST_COMMAND_BYTES: Final = 100_000  # one argument of a process holds 128 KiB
MOST_FILE_BYTES: Final = 4 << 20
_MOST_ENVIRONMENT_BYTES: Final = 30_000
_UNDO_DEPTH: Final = 20
_SNIPPET_LINES: Final = 4
_LISTED: Final = 400
_MOST_LINE_PAIRS: Final = 40_000
_MOST_UNSEEN: Final = 100_000  # each takes about 250 bytes while a text is looked for

# $1 the command, $2 what was exported before, $3 the folder it left off in. What it leaves is
# written to descriptor 3 as it was given: moved up, so that the command may use 3 for its own.
_SHELL: Final = """\
exec 199>&3 3>&-
eval "$2" 2>/dev/null
cd -- "$3" 2>/dev/null
trap '{ printf "%s\\0" "$PWD"; export -p; } >&199 2>/dev/null' EXIT
eval "$1"
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A workbench's state: plain data, can be pickled. What ``Workbench`` says of each part.

    workspace: None where it was not taken, or had grown too large to be.
    """

    workspace: WorkspaceSnapshot | None = field(repr=False, default=None)
    folder: str = ""
    exported: str = ""
    edits: dict[str, tuple[bytes | None, ...]] = field(repr=False, default_factory=dict)
    submitted: bool = False
    timeouts: int = 0


class Workbench:
    """A session with the state that its tools keep between calls.

    The folder a shell command ends in, and what it exports, hold for the next one.
    timeout_s: wall time of one command. submitted: whether the work was handed in.
    timeouts: how many commands in a row ran into their time limit.
    """

    def __init__(self, session: Session, *, timeout_s: float = 30.0) -> None:
        self.session, self.timeout_s = session, timeout_s
        self.submitted, self.timeouts = False, 0
        self._folder = self._exported = ""
        self._edits: dict[str, tuple[bytes | None, ...]] = {}  # None: there was no file

    def call(self, call: ToolCall) -> str:
        """Runs a call; returns what the policy sees. Raises ``SandboxDied``."""
        arguments = call.arguments
        if call.tool == "submit":
            self.submitted = True
            return SUBMITTED
        if call.tool == "bash":
            return self._bash(str(arguments["command"]))
        path, refusal = self._inside(str(arguments["path"]))
        try:
            return truncated(escaped(refusal or self._edit(path, call)))
        except OSError as error:
            return escaped(f"{_cut(path)}: {_trouble(error)}")

    def snapshot(self) -> Bench:
        """The state, the workspace's included. Raises SandboxDied where it cannot be kept."""
        try:
            return self._bench(self.session.snapshot())
        except OSError as error:
            raise SandboxDied(f"the workspace cannot be kept: {error}") from error

    def last(self) -> Bench:
        """The state to judge: as ``snapshot``, but a policy's own excess is no failure."""
        try:
            return self._bench(self.session.snapshot())
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise SandboxDied(f"the workspace cannot be kept: {error}") from error
            return self._bench(None)

    def _bench(self, workspace: WorkspaceSnapshot | None) -> Bench:
        return Bench(
            workspace,
            self._folder,
            self._exported,
            dict(self._edits),
            self.submitted,
            self.timeouts,
        )

    def restore(self, bench: Bench) -> None:
        """Goes back to a state that ``snapshot`` returned, of this session or an equal one."""
        if bench.workspace is not None:
            self.session.restore(bench.workspace)
        self.adopt(bench)

    def adopt(self, bench: Bench) -> None:
        """Takes all of a state but the workspace."""
        self._folder, self._exported = bench.folder, bench.exported
        self._edits = dict(bench.edits)
        self.submitted, self.timeouts = bench.submitted, bench.timeouts

    # -- bash ------------------------------------------------------------------------------

    def _bash(self, command: str) -> str:
        if "\0" in command or len(command.encode("utf-8", "replace")) > MOST_COMMAND_BYTES:
            return (
                f"The command was not run: it holds a NUL character or more than "
                f"{MOST_COMMAND_BYTES:,} bytes. Write long texts to files with the editor."
            )
        started_in = self._folder or self.session.workspace
        arguments = ["bash", "-c", _SHELL, "bash", command, self._exported, started_in]
        done = self.session.run(arguments, timeout_s=self.timeout_s, report=True)
        self._remember(done.report)
        self.timeouts = self.timeouts + 1 if done.ended == "timeout" else 0
        return truncated(_command_observation(done, self.timeout_s))

    def _remember(self, report: bytes) -> None:
        """Takes over the folder and the exports of a shell that came to its end."""
        folder, ended, exported = report.partition(b"\0")
        if not ended or len(report) > _MOST_ENVIRONMENT_BYTES or b"\0" in exported:
            return
        self._folder = folder.decode("utf-8", "surrogateescape")
        self._exported = exported.decode("utf-8", "surrogateescape")

    # -- the editor ------------------------------------------------------------------------

    def _edit(self, path: str, call: ToolCall) -> str:
        command, arguments = call.arguments["command"], call.arguments
        if command == "view":
            return self._view(path, arguments.get("view_range"))  # type: ignore[arg-type]
        if command == "create":
            return self._create(path, str(arguments["file_text"]))
        if command == "undo_edit":
            return self._undo(path)
        if command == "insert":
            line = int(arguments["insert_line"])  # type: ignore[arg-type]
            return self._insert(path, line, str(arguments["new_str"]))
        return self._replace(path, str(arguments["old_str"]), str(arguments["new_str"]))

    def _view(self, path: str, view_range: tuple[int, int] | None) -> str:
        if path == "." or self._is_folder(path):
            if view_range is not None:
                return "A folder has no lines: leave view_range out."
            return self._list(path)
        lines = _lines(self._read(path))
        first, last = view_range or (1, len(lines))
        last = len(lines) if last == -1 else last
        if not 1 <= first <= len(lines) or not first <= last <= len(lines):
            return (
                f"Invalid view_range [{first}, {last}]: {path} has {len(lines)} lines; "
                f"give [first, last] with 1 <= first <= last <= {len(lines)}, or last = -1."
            )
        return _numbered(path, lines[first - 1 : last], first)

    def _list(self, path: str) -> str:
        found = self.session.run(
            ["find", path, "-mindepth", "1", "-maxdepth", "2", "-not", "-path", "*/.*",
             "-not", "-name", "__pycache__", "-printf", "%P\\t%y\\n"]
        )  # fmt: skip
        if not found.ok:
            return f"{path} cannot be listed:\n{found.text()}"
        names = sorted(_listed(found.text()))
        more = [f"… and {len(names) - _LISTED} more"] if len(names) > _LISTED else []
        listing = "\n".join([*names[:_LISTED], *more])
        return f"Here's what is in {path}, two levels deep, without hidden items:\n{listing}"

    def _create(self, path: str, text: str) -> str:
        if self._exists(path):
            return (
                f"File already exists at: {path}. Cannot overwrite files using command `create`; "
                "use `str_replace`, or another path."
            )
        self._write(path, None, text)
        return f"File created successfully at: {path}"

    def _replace(self, path: str, old: str, new: str) -> str:
        text = self._read(path)
        if not old:
            return "No replacement was performed: old_str is empty. Use `insert` to add text."
        places = _places(text, old)
        if not places:
            return (
                f"No replacement was performed, old_str `{old}` did not appear verbatim in "
                f"{path}. View the file and copy the text as it is there, white space included."
            )
        if len(places) > 1:
            lines = [text.count("\n", 0, begin) + 1 for begin, _ in places]
            return (
                f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines "
                f"{lines}. Add lines around it until it is unique."
            )
        begin, end = places[0]
        edited = text[:begin] + _instead(text[begin:end], old, new, text) + text[end:]
        self._write(path, text, edited)
        return _edited(path, edited, text.count("\n", 0, begin), new.count("\n") + 1)

    def _insert(self, path: str, line: int, new: str) -> str:
        text = self._read(path)
        lines, count = text.split("\n"), len(_lines(text))
        if not 0 <= line <= count:
            return (
                f"Invalid insert_line {line}: {path} has {count} lines; "
                f"give 0 (before the first) to {count}."
            )
        added = _plain_ends(new, text).removesuffix("\n").split("\n")
        before, after = lines[:line], lines[line:]
        ending = _line_end(text).removesuffix("\n")
        put = [f"{one}{ending}" for one in added]
        if before and not after:  # the last line had no end
            before[-1] += ending
            put[-1] = added[-1]
        edited = "\n".join([*before, *put, *after])
        self._write(path, text, edited)
        return _edited(path, edited, line, len(added))

    def _undo(self, path: str) -> str:
        history = self._edits.get(path, ())
        if not history:
            return f"No edit history found for {path}."
        self._edits[path] = history[:-1]
        before = history[-1]
        if before is None:
            self.session.run(["rm", "-f", "--", path])
            return f"Last edit to {path} undone: the file it created is gone."
        self.session.write(path, before)
        return f"Last edit to {path} undone successfully."

    # -- files -----------------------------------------------------------------------------

    def _inside(self, path: str) -> tuple[str, str]:
        """A path relative to the workspace, or why it is none."""
        root = self.session.workspace
        if "\0" in path or len(path) > 1_000:
            return "", "The path holds a NUL character or is too long."
        if path.startswith("/"):
            if path != root and not path.startswith(root + "/"):
                return "", (
                    f"The path {_cut(path)} is outside of the repository, which is {root}; give "
                    "a path in it, absolute or relative to it."
                )
            path = posixpath.relpath(path, root)
        path = posixpath.normpath(path)
        if path == ".." or path.startswith("../"):
            return "", f"The path {_cut(path)} leads out of the repository; give a path in it."
        return path, ""

    def _is_folder(self, path: str) -> bool:
        try:
            self.session.read(path, 0)
        except OSError as error:
            return error.errno == errno.EISDIR
        return False

    def _exists(self, path: str) -> bool:
        try:
            self.session.read(path, 0)
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ENOTDIR)
        return True

    def _read(self, path: str) -> str:
        """A file as text; bytes that are no UTF-8 come back unchanged when it is written."""
        return self.session.read(path, MOST_FILE_BYTES).decode("utf-8", "surrogateescape")

    def _write(self, path: str, before: str | None, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")
        self.session.write(path, data)
        old = None if before is None else before.encode("utf-8", "surrogateescape")
        self._edits[path] = (*self._edits.get(path, ()), old)[-_UNDO_DEPTH:]


def truncated(text: str, head: int = HEAD, tail: int = TAIL) -> str:
    """A text with its middle left out where it is longer than ``head + tail`` characters."""
    elided = len(text) - head - tail
    if elided <= 0:
        return text
    return f"{text[:head]}\n[… {elided} characters elided …]\n{text[-tail:]}"


def _command_observation(done: CommandResult, timeout_s: float) -> str:
    output = done.text().strip("\n")
    if done.ended == "exited":
        if done.status == 0:
            return output or NO_OUTPUT
        return f"{output}\n(exit status {done.status})".lstrip("\n")
    why = {
        "timeout": f"The command was ended after {timeout_s:g} s. It must not wait for input; "
        "run less at a time.",
        "memory": "The command was ended: it used too much memory.",
        "processes": "The command was ended: it started too many processes.",
        "sockets": "The command was ended: it opened too many sockets.",
        "output": "The command was ended: it printed too much. Print less, e.g. through head.",
    }[done.ended]
    return f"{output}\n{why}".lstrip("\n")


def _listed(text: str) -> Iterator[str]:
    for line in text.splitlines():
        name, _, kind = line.rpartition("\t")
        if name:
            yield name + "/" if kind == "d" else name


def _occurrences(text: str, part: str) -> Iterator[int]:
    """Where a part is in a text, the first hundred places, without overlap."""
    place, found = text.find(part), 0
    while place >= 0 and found < 100:
        yield place
        found += 1
        place = text.find(part, place + len(part))


def _places(text: str, part: str) -> list[tuple[int, int]]:
    """Where a part is in a file's text, as (begin, end): as it is, or else as `view` shows it.

    The first hundred, without overlap. Shown are "\\r\\n" as a newline, and escapes of what cannot
    be seen; a file with very many of these is only looked at as it is.
    """
    if found := [(place, place + len(part)) for place in _occurrences(text, part)]:
        return found
    unseen = "".join(sorted(one for one in set(text) if escaped(one) != one))
    if sum(map(text.count, unseen)) > _MOST_UNSEEN:
        return []
    shown, runs = _as_shown(text, unseen)
    part = _plain(part)
    ends = (
        (_position(runs, place), _position(runs, place + len(part)))
        for place in _occurrences(shown, part)
    )
    return [(begin, end) for begin, end in ends if begin is not None and end is not None]


def _as_shown(text: str, unseen: str) -> tuple[str, list[tuple[int, int, int]]]:
    """A text as `view` shows it, and the runs of it that are shown as they are.

    unseen: the characters of the text that are escaped. A run is where it begins in what is shown,
    where in the text, and its length.
    """
    runs, pieces, shown, at = [], [], 0, 0
    for found in re.finditer(f"\r\n|[{re.escape(unseen)}]", text) if unseen else ():
        run, piece = text[at : found.start()], escaped(_plain(found[0]))
        runs.append((shown, at, len(run)))
        pieces += [run, piece]
        shown, at = shown + len(run) + len(piece), found.end()
    runs.append((shown, at, len(text) - at))
    return "".join([*pieces, text[at:]]), runs


def _position(runs: list[tuple[int, int, int]], place: int) -> int | None:
    """Where in the text a place of what is shown lies; None inside an escape."""
    begin, at, length = runs[bisect.bisect_right(runs, place, key=lambda run: run[0]) - 1]
    return at + place - begin if place - begin <= length else None


def _instead(original: str, old: str, new: str, text: str) -> str:
    """What takes the place of a part of a text, whose lines keep their ends.

    original: the part; old: as it was given, which may be as it is shown. Of an escape that the
    part has and that `new` has still, what it stands for stays.
    """
    if original != old:
        for one in set(_plain(original)):
            new = new.replace(escaped(one), one)
    if "\r\n" not in text:
        return new
    before, after = _cut_lines(original), _cut_lines(_plain(new))
    plain, put, usual = [_plain(line) for line in before], [], _line_end(text)
    for kind, first, last, begin, end in _line_blocks(plain, after):
        if kind == "equal":
            put += before[first:last]
            continue
        replaced = before[first:last]
        for number, line in enumerate(after[begin:end]):
            like = replaced[number] if number < len(replaced) else ""
            put.append(line.replace("\n", _line_end(like) if "\n" in like else usual))
    return "".join(put)


def _line_blocks(old: list[str], new: list[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """What becomes of lines, as ``difflib`` says it: (kind, first, last, begin, end) of each block.

    It takes the third power of the number of lines in time. Where the lines between the first and
    the last that differ are too many for it, they count as replaced, one by one.
    """
    same = _common(old, new)
    ends = _common(old[same:][::-1], new[same:][::-1])
    old_end, new_end = len(old) - ends, len(new) - ends
    yield "equal", 0, same, 0, same
    if (old_end - same) * (new_end - same) > _MOST_LINE_PAIRS:
        yield "replace", same, old_end, same, new_end
    else:
        middle = old[same:old_end], new[same:new_end]
        for kind, *places in difflib.SequenceMatcher(None, *middle, autojunk=False).get_opcodes():
            first, last, begin, end = (place + same for place in places)
            yield kind, first, last, begin, end
    yield "equal", old_end, len(old), new_end, len(new)


def _common(one: list[str], other: list[str]) -> int:
    """How many lines two lists have in common at their beginnings."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _cut_lines(text: str) -> list[str]:
    return re.split(r"(?<=\n)", text)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n")


def _plain_ends(new: str, text: str) -> str:
    """New lines for a text: with plain ends, where the text's own will be put."""
    return _plain(new) if "\r\n" in text else new


def _line_end(text: str) -> str:
    """The end that most lines of a text have."""
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def _edited(path: str, text: str, line: int, count: int) -> str:
    """What an edit of ``count`` lines after line number ``line`` came to."""
    lines = _lines(text)
    first = max(0, line - _SNIPPET_LINES)
    snippet = _numbered(
        f"a snippet of {path}", lines[first : line + count + _SNIPPET_LINES], first + 1
    )
    return (
        f"The file {path} has been edited. {snippet}\n"
        "Review the changes and make sure they are as expected."
    )


def _lines(text: str) -> list[str]:
    """The lines, as they are shown."""
    return _plain(text).removesuffix("\n").split("\n")


def _numbered(path: str, lines: list[str], first: int) -> str:
    numbered = [f"{number:6}\t{line}" for number, line in enumerate(lines, first)]
    shown = "\n".join(numbered)
    return f"Here's the result of running `cat -n` on {path}:\n{shown}"


def _trouble(error: OSError) -> str:
    known = {
        errno.ENOENT: "there is no such file; list the folder with `view`",
        errno.EISDIR: "this is a folder, not a file",
        errno.ELOOP: "it is a symbolic link, or lies behind one; use the file it points to",
        errno.EFBIG: "the file is too large for the editor; use bash",
        errno.ENOSPC: "the workspace is full",
        errno.EINVAL: "this is no regular file",
    }
    return known.get(error.errno or 0, (error.strerror or "it cannot be used").lower())


def _cut(path: str) -> str:
    return path if len(path) <= 200 else path[:197] + "…"
