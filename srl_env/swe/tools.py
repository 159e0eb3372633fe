"""The tools of a software-engineering policy, run in a sandbox session.

``Workbench.call`` runs one ``ToolCall`` and returns the observation: as in SWE-agent, truncated in
the middle, and safe to print. A policy's mistake gives an observation that says what to do
instead. A sandbox that fails is a ``SandboxDied`` and never an observation.

Observations show invisible characters as escapes (``srl_env.text.unicode.escaped``): a file's
escape character is the four characters ``\\x1b``. Terminal sequences in a command's output are
removed. ``cat -A``, ``od -c`` or Python's ``ascii`` show a file's exact content. ``str_replace``
takes a text as it is in the file, or else as ``view`` shows it. Edits keep the line ends.
"""

from __future__ import annotations

import errno
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from srl_env.errors import SandboxDied
from srl_env.sandbox import CommandResult, Session, Snapshot
from srl_env.swe.git_folder import GIT_FOLDER
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
_MOST_UNSEEN: Final = 100_000  # each takes a moment while a text is searched

# $1 the command, $2 earlier exports, $3 the folder it starts in. The report for the next command
# goes to descriptor 3 as it was given: moved up, so that the command may use 3 itself.
_SHELL: Final = """\
exec 199>&3 3>&-
eval "$2" 2>/dev/null
cd -- "$3" 2>/dev/null
trap '{ printf "%s\\0" "$PWD"; export -p; } >&199 2>/dev/null' EXIT
eval "$1"
"""


@dataclass(frozen=True, slots=True)
class BenchState:
    """What a workbench keeps between calls: plain data, can be pickled.

    workspace: None where it was not taken, or had grown too large. folder, exported: where the
    last shell command ended, and what it exported. edits: earlier contents of each edited file,
    None where there was no file. submitted: whether the work was handed in. timeouts: how many
    commands in a row ran out of time.
    """

    workspace: Snapshot | None = field(repr=False, default=None)
    folder: str = ""
    exported: str = ""
    edits: dict[str, tuple[bytes | None, ...]] = field(repr=False, default_factory=dict)
    submitted: bool = False
    timeouts: int = 0


class Workbench:
    """A session and the state of its tools. timeout_s: wall time of one command."""

    def __init__(self, session: Session, *, timeout_s: float = 30.0) -> None:
        self.session, self.timeout_s = session, timeout_s
        self.state = BenchState()

    def call(self, call: ToolCall) -> str:
        """Runs a call; returns what the policy sees. Raises ``SandboxDied``."""
        arguments: dict[str, Any] = dict(call.arguments)
        if call.tool == "submit":
            self._update(submitted=True)
            return SUBMITTED
        if call.tool == "bash":
            return self._bash(arguments["command"])
        path, refusal = self._inside(arguments.pop("path"))
        if refusal:
            return escaped(refusal)
        edit: Callable[..., str] = getattr(self, f"_{arguments.pop('command')}")
        try:
            return truncated(escaped(edit(path, **arguments)))
        except OSError as error:
            return escaped(f"{_shortened(path)}: {_trouble(error)}")

    def snapshot(self) -> BenchState:
        """The state with the workspace. Raises SandboxDied where it cannot be kept."""
        return replace(self.state, workspace=self._workspace())

    def last(self) -> BenchState:
        """As ``snapshot``, to be judged: a workspace that the policy made too large is None.

        What git keeps is left out: it decides nothing, and may hold any amount.
        """
        return replace(self.state, workspace=self._workspace(judged=True))

    def apply(self, state: BenchState) -> None:
        """Makes a fresh workbench what another one was. Raises SandboxDied."""
        if state.workspace is not None:
            try:
                self.session.apply(state.workspace)
            except OSError as error:
                raise SandboxDied(f"the workspace cannot be restored: {error}") from error
        self.state = replace(state, workspace=None)

    def _workspace(self, *, judged: bool = False) -> Snapshot | None:
        try:
            return self.session.snapshot(without=(GIT_FOLDER,) if judged else ())
        except OSError as error:
            if judged and error.errno == errno.EFBIG:
                return None
            raise SandboxDied(f"the workspace cannot be kept: {error}") from error

    def _update(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    # -- bash ------------------------------------------------------------------------------

    def _bash(self, command: str) -> str:
        if "\0" in command or len(command.encode("utf-8", "replace")) > MOST_COMMAND_BYTES:
            return (
                f"The command was not run: it holds a NUL character or more than "
                f"{MOST_COMMAND_BYTES:,} bytes. Write long texts to files with the editor."
            )
        folder = self.state.folder or self.session.workspace
        arguments = ["bash", "-c", _SHELL, "bash", command, self.state.exported, folder]
        done = self.session.run(arguments, timeout_s=self.timeout_s, report=True)
        self._remember(done.report)
        self._update(timeouts=self.state.timeouts + 1 if done.ended == "timeout" else 0)
        return truncated(_command_observation(done, self.timeout_s))

    def _remember(self, report: bytes) -> None:
        """Keeps the folder and the exports of a shell that ended by itself."""
        folder, ended, exported = report.partition(b"\0")
        if ended and len(report) <= _MOST_ENVIRONMENT_BYTES and b"\0" not in exported:
            self._update(
                folder=folder.decode("utf-8", "surrogateescape"),
                exported=exported.decode("utf-8", "surrogateescape"),
            )

    # -- the editor's commands -----------------------------------------------------------------

    def _view(self, path: str, view_range: tuple[int, int] | None = None) -> str:
        if path == "." or self._read_error(path) == errno.EISDIR:
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
             "-not", "-name", "__pycache__",
             "(", "-type", "d", "-printf", "%P/\\n", "-o", "-printf", "%P\\n", ")"]
        )  # fmt: skip
        if not found.ok:
            return f"{path} cannot be listed:\n{found.text()}"
        names = sorted(found.text().splitlines())
        more = [f"… and {len(names) - _LISTED} more"] if len(names) > _LISTED else []
        listing = "\n".join([*names[:_LISTED], *more])
        return f"Here's what is in {path}, two levels deep, without hidden items:\n{listing}"

    def _create(self, path: str, file_text: str) -> str:
        if self._read_error(path) not in (errno.ENOENT, errno.ENOTDIR):
            return (
                f"File already exists at: {path}. Cannot overwrite files using command `create`; "
                "use `str_replace`, or another path."
            )
        self._write(path, None, file_text)
        return f"File created successfully at: {path}"

    def _str_replace(self, path: str, old_str: str, new_str: str) -> str:
        text = self._read(path)
        if not old_str:
            return "No replacement was performed: old_str is empty. Use `insert` to add text."
        places = _places(text, old_str)
        if not places:
            return (
                f"No replacement was performed, old_str `{old_str}` did not appear verbatim in "
                f"{path}. View the file and copy the text as it is there, white space included."
            )
        if len(places) > 1:
            lines = [text.count("\n", 0, begin) + 1 for begin, _ in places]
            return (
                f"No replacement was performed. Multiple occurrences of old_str `{old_str}` in "
                f"lines {lines}. Add lines around it until it is unique."
            )
        begin, end = places[0]
        new = _with_line_ends(text[begin:end], old_str, new_str, text)
        edited = text[:begin] + new + text[end:]
        self._write(path, text, edited)
        return _edited(path, edited, text.count("\n", 0, begin), new_str.count("\n") + 1)

    def _insert(self, path: str, insert_line: int, new_str: str) -> str:
        text = self._read(path)
        lines, count = text.split("\n"), len(_lines(text))
        if not 0 <= insert_line <= count:
            return (
                f"Invalid insert_line {insert_line}: {path} has {count} lines; "
                f"give 0 (before the first) to {count}."
            )
        new = _plain(new_str) if "\r\n" in text else new_str
        added = new.removesuffix("\n").split("\n")
        before, after = lines[:insert_line], lines[insert_line:]
        ending = _line_end(text).removesuffix("\n")
        put = [f"{one}{ending}" for one in added]
        if before and not after:  # the last line had no end
            before[-1] += ending
            put[-1] = added[-1]
        edited = "\n".join([*before, *put, *after])
        self._write(path, text, edited)
        return _edited(path, edited, insert_line, len(added))

    def _undo_edit(self, path: str) -> str:
        history = self.state.edits.get(path, ())
        if not history:
            return f"No edit history found for {path}."
        self._update(edits={**self.state.edits, path: history[:-1]})
        before = history[-1]
        if before is None:
            self.session.run(["rm", "-f", "--", path])
            return f"Last edit to {path} undone: the file it created is gone."
        self.session.write(path, before)
        return f"Last edit to {path} undone successfully."

    # -- files -----------------------------------------------------------------------------

    def _inside(self, path: str) -> tuple[str, str]:
        """A path relative to the workspace, and why it is refused if it is."""
        root = self.session.workspace
        if "\0" in path or len(path) > 1_000:
            return "", "The path holds a NUL character or is too long."
        if path.startswith("/"):
            if path != root and not path.startswith(root + "/"):
                return "", (
                    f"The path {_shortened(path)} is outside of the repository, which is {root}; "
                    "give a path in it, absolute or relative to it."
                )
            path = posixpath.relpath(path, root)
        path = posixpath.normpath(path)
        if path == ".." or path.startswith("../"):
            refusal = f"The path {_shortened(path)} leads out of the repository; give a path in it."
            return "", refusal
        return path, ""

    def _read_error(self, path: str) -> int | None:
        """The error number of reading a path; None where it can be read."""
        try:
            self.session.read(path, 0)
        except OSError as error:
            return error.errno
        return None

    def _read(self, path: str) -> str:
        """A file as text; bytes that are not UTF-8 come back unchanged when it is written."""
        return self.session.read(path, MOST_FILE_BYTES).decode("utf-8", "surrogateescape")

    def _write(self, path: str, before: str | None, text: str) -> None:
        self.session.write(path, text.encode("utf-8", "surrogateescape"))
        old = None if before is None else before.encode("utf-8", "surrogateescape")
        history = (*self.state.edits.get(path, ()), old)[-_UNDO_DEPTH:]
        self._update(edits={**self.state.edits, path: history})


def truncated(text: str, head: int = HEAD, tail: int = TAIL) -> str:
    """A text without its middle where it is longer than ``head + tail`` characters."""
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


def _occurrences(text: str, part: str) -> Iterator[int]:
    """The first hundred places of a part in a text, without overlap."""
    place, found = text.find(part), 0
    while place >= 0 and found < 100:
        yield place
        found += 1
        place = text.find(part, place + len(part))


def _places(text: str, part: str) -> list[tuple[int, int]]:
    """The first hundred places of a part in a file's text, as (begin, end), without overlap.

    The part is searched as it is, or else as ``view`` shows it: with "\\r\\n" as a newline, and
    with escapes. A file with very many escapes is only searched as it is.
    """
    if exact := [(place, place + len(part)) for place in _occurrences(text, part)]:
        return exact
    unseen = "".join(sorted(one for one in set(text) if escaped(one) != one))
    if sum(map(text.count, unseen)) > _MOST_UNSEEN:
        return []
    pattern = re.compile("\r\n" + (f"|[{re.escape(unseen)}]" if unseen else ""))
    shown = pattern.sub(lambda found: escaped(_plain(found[0])), text)
    widths = np.ones(len(text) + 1, dtype=np.int64)  # of each character, as it is shown
    for found in pattern.finditer(text):
        widths[found.start()] = len(escaped(_plain(found[0]))) - len(found[0]) + 1
    begins = np.cumsum(widths) - widths
    places = np.array(list(_occurrences(shown, _plain(part))), dtype=np.int64)
    ends = places + len(_plain(part))
    first, last = np.searchsorted(begins, places), np.searchsorted(begins, ends)
    whole = (begins[first] == places) & (begins[last] == ends)  # not inside of an escape
    return list(zip(first[whole].tolist(), last[whole].tolist(), strict=True))


def _with_line_ends(original: str, old: str, new: str, text: str) -> str:
    """The new text for a part of a file, with the line ends of the lines it replaces.

    original: the part; old: the part as the policy wrote it, perhaps as it is shown. Escapes in
    ``new`` become the characters of ``original`` that they stand for. Equal lines at the beginning
    and the end keep their line ends, and those between take them in order; more lines get the
    end that most lines of the file have.
    """
    if original != old:
        for one in set(_plain(original)):
            new = new.replace(escaped(one), one)
    if "\r\n" not in text:
        return new
    before, after = (re.split(r"(?<=\n)", part) for part in (original, _plain(new)))
    plain = [_plain(line) for line in before]
    same = _common(plain, after)
    last = _common(plain[same:][::-1], after[same:][::-1])
    middle = before[same : len(before) - last]
    put, usual = before[:same], _line_end(text)
    for number, line in enumerate(after[same : len(after) - last]):
        like = middle[number] if number < len(middle) else ""
        put.append(line.replace("\n", _line_end(like) if "\n" in like else usual))
    return "".join([*put, *before[len(before) - last :]])


def _common(one: list[str], other: list[str]) -> int:
    """How many lines two lists have in common at their beginnings."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n")


def _line_end(text: str) -> str:
    """The end that most lines of a text have."""
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def _edited(path: str, text: str, line: int, count: int) -> str:
    """The observation of an edit of ``count`` lines after line number ``line``."""
    first = max(0, line - _SNIPPET_LINES)
    lines = _lines(text)[first : line + count + _SNIPPET_LINES]
    return (
        f"The file {path} has been edited. {_numbered(f'a snippet of {path}', lines, first + 1)}\n"
        "Review the changes and make sure they are as expected."
    )


def _lines(text: str) -> list[str]:
    """The lines, as they are shown."""
    return _plain(text).removesuffix("\n").split("\n")


def _numbered(path: str, lines: list[str], first: int) -> str:
    shown = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines, first))
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


def _shortened(path: str) -> str:
    return path if len(path) <= 200 else path[:197] + "…"
