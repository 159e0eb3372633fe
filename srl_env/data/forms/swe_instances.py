"""Instances of SWE-bench and SWE-smith: an issue, a repository, and the patches.

Columns: "instance_id", "repo", "patch", "problem_statement", "FAIL_TO_PASS", "PASS_TO_PASS" (both
in capitals or not; a list, or a list as JSON or Python text; the latter may be null), and if there
are any "base_commit", "test_patch", "hints_text", "created_at", "version", "image_name". Others
are not used.

In SWE-bench the patch fixes the repository at its base commit. In SWE-smith it adds the bug, and
its reverse is the fix; such rows have "swesmith" in their repository's name. Nothing is applied or
executed here.
Data: SWE-bench (arXiv:2310.06770), SWE-smith (arXiv:2504.21798), MIT; "SWE-bench/SWE-bench_Lite"
and "SWE-bench/SWE-smith" on the hub.
"""

from __future__ import annotations

import re

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.rows import BadRow, Row, list_in_text, shown, text_in
from srl_env.errors import BadData
from srl_env.problem import Problem

_OPTIONAL = ("base_commit", "version", "test_patch", "hints_text", "created_at", "image_name")


def swe_problem(row: Row) -> Problem:
    """The instance in a row as a problem whose prompt is the issue; ``BadRow`` if there is none.

    The metadata hold what grading needs: "repo", "base_commit", "version", "gold_patch" (the fix),
    "bug_patch" (adds the bug; "" in SWE-bench), "test_patch", "fail_to_pass" and "pass_to_pass"
    (ids of tests); also "hints_text", "created_at" and "image_name". Columns that a row does not
    have are "".
    """
    patch, repo = text_in(row, "patch"), text_in(row, "repo")
    if "\n--- " not in f"\n{patch}" and "\ndiff --git " not in f"\n{patch}":
        raise BadRow('"patch" is no diff', "expected lines like '--- a/file' or 'diff --git …'")
    optional = {column: _optional(row, column) for column in _OPTIONAL}
    swe_smith = "swesmith" in repo
    if not optional["base_commit"] and not swe_smith:
        raise BadRow(
            'no "base_commit"',
            'a row of SWE-bench has one; one of SWE-smith has "swesmith/…" as its "repo"',
        )
    try:
        gold_patch = reverse_patch(patch) if swe_smith else patch
    except BadData as error:
        raise BadRow('"patch" cannot be reversed', str(error)) from error
    metadata = {
        **optional,
        "repo": repo,
        "gold_patch": gold_patch,
        "bug_patch": patch if swe_smith else "",
        "fail_to_pass": _test_ids(row, "FAIL_TO_PASS", needed=True),
        "pass_to_pass": _test_ids(row, "PASS_TO_PASS"),
    }
    prompt = text_in(row, "problem_statement")
    return Problem(text_in(row, "instance_id"), prompt, metadata=metadata)


def _optional(row: Row, column: str) -> str:
    """The text in a column, "" if it is absent or null; numbers and times as text."""
    value = row.get(column)
    if isinstance(value, list | dict):
        raise BadRow(f'"{column}" is no text', f"got {type(value).__name__}")
    return "" if value is None else str(value)


def _test_ids(row: Row, column: str, needed: bool = False) -> list[str]:
    """The ids of tests in a column, whose name may also be in lower case."""
    column = column if column in row else column.lower()
    value = row.get(column)
    if value is None and not needed:
        return []
    if column not in row:
        raise BadRow(
            f'no "{column.upper()}"', f"a row needs one; it has {', '.join(map(str, row))}"
        )
    tests = list_in_text(value) if isinstance(value, str) else value
    if not isinstance(tests, list | tuple) or not all(isinstance(test, str) for test in tests):
        raise BadRow(
            f'"{column}" is not a list of test ids',
            f'expected a list, or its text, as ["tests/a.py::b"]; got {shown(value)}',
        )
    return list(tests)


# -- patches -------------------------------------------------------------------------------

_HUNK = re.compile(r"@@ -([0-9]{1,9}(?:,([0-9]{1,9}))?) \+([0-9]{1,9}(?:,([0-9]{1,9}))?) @@")
_PAIRS = (("--- ", "+++ "), ("old mode ", "new mode "), ("rename from ", "rename to "))
_HEADERS = (
    (re.compile(r"new( file mode .*)"), r"deleted\1"),
    (re.compile(r"deleted( file mode .*)"), r"new\1"),
    (re.compile(r"index ([0-9a-f]+)\.\.([0-9a-f]+)(.*)"), r"index \2..\1\3"),
    (re.compile(r"diff --git a/(.+) b/(.+)"), r"diff --git a/\2 b/\1"),
)
_BINARY = ("GIT binary patch", "Binary files ", "copy from ", "copy to ")
_SWAPPED = {"-": "+", "+": "-"}


def reverse_patch(patch: str) -> str:
    """The unified diff, of git or plain, that undoes ``patch``.

    Raises ``BadData`` for binary changes and copies, which a diff does not say how to undo, and
    for an incomplete diff.
    """
    lines, out, place = patch.split("\n"), list[str](), 0
    while place < len(lines):
        line = lines[place]
        pair = _reversed_pair(line, lines[place + 1] if place + 1 < len(lines) else "")
        if hunk := _HUNK.match(line):
            place = _reverse_hunk(lines, place, hunk, out)
        elif pair:
            out += pair
            place += 2
        else:
            out.append(_reversed_header(line))
            place += 1
    return "\n".join(out)


def _reverse_hunk(lines: list[str], place: int, hunk: re.Match[str], out: list[str]) -> int:
    """Reverses the hunk that begins at a place; returns the place after it.

    Removed lines come before added ones, as git writes them.
    """
    out.append(f"@@ -{hunk[3]} +{hunk[1]} @@{lines[place][hunk.end() :]}")
    left = {"-": int(hunk[2] or 1), "+": int(hunk[4] or 1)}
    changes: dict[str, list[str]] = {"-": [], "+": []}
    target, place = out, place + 1
    while place < len(lines) and (any(left.values()) or lines[place].startswith("\\")):
        line, place = lines[place], place + 1
        if line.startswith("\\"):  # "\ No newline at end of file" is about the line before it
            target.append(line)
        elif (sign := line[:1]) in _SWAPPED:
            left[sign] -= 1
            target = changes[_SWAPPED[sign]]
            target.append(_SWAPPED[sign] + line[1:])
        else:
            left = {side: count - 1 for side, count in left.items()}
            _flush(changes, out)
            target = out
            target.append(line)
    if any(left.values()):
        raise BadData(f"the patch must be complete; it ends in its hunk {hunk[0]}")
    _flush(changes, out)
    return place


def _flush(changes: dict[str, list[str]], out: list[str]) -> None:
    for sign in ("-", "+"):
        out += changes[sign]
        changes[sign].clear()


def _reversed_pair(line: str, after: str) -> list[str]:
    """Two lines of a header that say before and after, swapped; [] for any others."""
    for before_key, after_key in _PAIRS:
        if line.startswith(before_key) and after.startswith(after_key):
            old, new = line[len(before_key) :], after[len(after_key) :]
            if before_key == "--- ":
                old, new = _other_side(old, "a/", "b/"), _other_side(new, "b/", "a/")
            return [before_key + new, after_key + old]
    return []


def _other_side(name: str, side: str, other: str) -> str:
    quote = '"' if name.startswith('"') else ""
    name = name.removeprefix(quote)
    return quote + (other + name[len(side) :] if name.startswith(side) else name)


def _reversed_header(line: str) -> str:
    if line.startswith(_BINARY):
        raise BadData(f"a patch with {line.split(' ', 1)[0]!r} cannot be reversed: {line[:80]!r}")
    for pattern, replacement in _HEADERS:
        if pattern.fullmatch(line):
            return pattern.sub(replacement, line)
    return line


def _is_instance(row: Row, options: ReadOptions) -> bool:
    return not options.columns and {"instance_id", "repo", "patch"} <= row.keys()


FORM = Form(
    "swe-instance",
    '"instance_id", "repo", "patch" as in SWE-bench and SWE-smith; without steps',
    _is_instance,
    lambda rows, options: swe_problem,
    verifier="none",
    format="tool-calls",
)
