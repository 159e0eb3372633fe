"""Instances of SWE-bench and SWE-smith: an issue, a repository, and the patches.

``read_instances`` reads files of rows, ``swe_problem`` is the converter for ``JsonlSource`` and
``DatasetSource``. Columns: "instance_id", "repo", "patch", "problem_statement", "FAIL_TO_PASS",
"PASS_TO_PASS" (both in capitals or not; a list, or a list as JSON or Python text; the latter may
be null), and where there are any "base_commit",
"test_patch", "hints_text", "created_at", "version". Others are left out.

In SWE-bench the patch mends the repository at its base commit. In SWE-smith it puts the bug in,
and mending is taking it back; such rows are known by "swesmith" in their repository's name.
Nothing is applied or executed here.
Data: SWE-bench (arXiv:2310.06770), SWE-smith (arXiv:2504.21798), MIT; "SWE-bench/SWE-bench_Lite"
and "SWE-bench/SWE-smith" on the hub.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from srl_env.data.drops import DropReport
from srl_env.data.files.json_lines import object_in
from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.rows import BadRow, Row, list_in_text, shown, text_in
from srl_env.errors import BadData, MissingExtra
from srl_env.problem import Problem

_BOM = b"\xef\xbb\xbf"
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_HUNK_RANGES = re.compile(r"@@ (-\S+) (\+\S+) @@")
_PAIRS = (("--- ", "+++ "), ("old mode ", "new mode "), ("rename from ", "rename to "))
_BINARY = ("GIT binary patch", "Binary files ", "copy from ", "copy to ")


@dataclass(frozen=True, slots=True)
class SWEInstance:
    """One row. Columns that a row does not have are "" here.

    patch: as in the row; patch_is says whether it mends the repository ("gold") or breaks it
    ("bug"). fail_to_pass, pass_to_pass: ids of tests.
    """

    instance_id: str
    repo: str
    patch: str
    patch_is: Literal["gold", "bug"]
    problem_statement: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    base_commit: str = ""
    test_patch: str = ""
    hints_text: str = ""
    created_at: str = ""
    version: str = ""

    @property
    def gold_patch(self) -> str:
        """What mends the repository: the patch, or its reverse. May raise ``BadData``."""
        return self.patch if self.patch_is == "gold" else reverse_patch(self.patch)

    @property
    def bug_patch(self) -> str:
        """What breaks the mended repository: the patch, or its reverse. May raise ``BadData``."""
        return self.patch if self.patch_is == "bug" else reverse_patch(self.patch)


def read_instances(
    path: str | os.PathLike[str], report: DropReport | None = None
) -> Iterator[SWEInstance]:
    """The instances in a file, one after the other.

    path: a ``.parquet`` file (needs the extra "data"), a JSON file with a list of rows, or JSON
    lines. report: where rows that cannot be read are counted, with file and line and
    what was expected; without it the first is raised as ``BadData``.
    """
    places = dict[str, str]()
    for place, row in _rows(Path(path)):
        try:
            instance = swe_instance(_good(row))
            if instance.instance_id in places:
                first = places[instance.instance_id]
                raise BadRow("the id of an earlier row", f"which is {first}; ids are unique")
        except BadRow as error:
            if report is None:
                raise BadData(f"{place}: {error}") from error
            report.add(error.reason, partial("{}: {}".format, place, error))
            continue
        places[instance.instance_id] = place
        if report is not None:
            report.kept += 1
        yield instance


def swe_instance(row: Row) -> SWEInstance:
    """The instance in a row; ``BadRow`` where it is none."""
    patch = text_in(row, "patch")
    if "\n--- " not in f"\n{patch}" and "\ndiff --git " not in f"\n{patch}":
        raise BadRow('"patch" is no diff', "expected lines like '--- a/file' or 'diff --git …'")
    repo, base_commit = text_in(row, "repo"), _optional(row, "base_commit")
    swe_smith = "swesmith" in repo
    if not base_commit and not swe_smith:
        raise BadRow(
            'no "base_commit"',
            'a row of SWE-bench has one; one of SWE-smith has "swesmith/…" as its "repo"',
        )
    return SWEInstance(
        instance_id=text_in(row, "instance_id"),
        repo=repo,
        patch=patch,
        patch_is="bug" if swe_smith else "gold",
        problem_statement=_optional(row, "problem_statement"),
        fail_to_pass=_test_ids(row, "FAIL_TO_PASS", needed=True),
        pass_to_pass=_test_ids(row, "PASS_TO_PASS"),
        base_commit=base_commit,
        test_patch=_optional(row, "test_patch"),
        hints_text=_optional(row, "hints_text"),
        created_at=_optional(row, "created_at"),
        version=_optional(row, "version"),
    )


def swe_problem(row: Row) -> Problem:
    """The instance in a row as a problem whose prompt is the issue; ``BadRow`` where it is none,
    or has no issue. The metadata hold what grading needs: repository, commit, patches, tests."""
    instance = swe_instance(row)
    prompt = text_in(row, "problem_statement")
    try:
        gold_patch = instance.gold_patch
    except BadData as error:
        raise BadRow('"patch" cannot be reversed', str(error)) from error
    metadata = {
        "repo": instance.repo,
        "base_commit": instance.base_commit,
        "version": instance.version,
        "gold_patch": gold_patch,
        "bug_patch": instance.patch if instance.patch_is == "bug" else "",
        "test_patch": instance.test_patch,
        "fail_to_pass": list(instance.fail_to_pass),
        "pass_to_pass": list(instance.pass_to_pass),
    }
    return Problem(instance.instance_id, prompt, metadata=metadata)


def reverse_patch(patch: str) -> str:
    """The unified diff, of git or plain, that takes ``patch`` back.

    Raises ``BadData`` for binary changes and copies, which a diff does not say how to take back,
    and for a diff that is cut off.
    """
    lines, reversed_lines, place = patch.split("\n"), list[str](), 0
    while place < len(lines):
        line = lines[place]
        pair = _reversed_pair(line, lines[place + 1] if place + 1 < len(lines) else "")
        if hunk := _HUNK.match(line):
            place = _reverse_hunk(lines, place, hunk, reversed_lines)
        elif pair:
            reversed_lines += pair
            place += 2
        else:
            reversed_lines.append(_reversed_header(line))
            place += 1
    return "\n".join(reversed_lines)


def _reverse_hunk(lines: list[str], place: int, hunk: re.Match[str], out: list[str]) -> int:
    """Reverses the hunk that begins at a place; returns the place after it."""
    out.append(_HUNK_RANGES.sub(_swapped_ranges, lines[place], count=1))
    left = {"-": int(hunk[2] or 1), "+": int(hunk[4] or 1)}
    new: dict[str, list[str]] = {"-": [], "+": []}
    sign = " "
    place += 1
    while place < len(lines):
        line = lines[place]
        if line.startswith("\\"):  # "\ No newline at end of file" is about the line before it
            (out if sign == " " else new[sign]).append(line)
            place += 1
            continue
        if not any(left.values()):
            break
        sign = line[:1] if line[:1] in ("-", "+") else " "
        for side in left if sign == " " else (sign,):
            left[side] -= 1
        if sign == " ":
            _flush(new, out)
            out.append(line)
        else:
            sign = "+" if sign == "-" else "-"
            new[sign].append(sign + line[1:])
        place += 1
    if any(left.values()):
        raise BadData(f"the patch is cut off in its hunk {hunk[0]}; give the whole diff")
    _flush(new, out)
    return place


def _flush(new: dict[str, list[str]], out: list[str]) -> None:
    for sign in ("-", "+"):
        out += new[sign]
        new[sign] = []


def _swapped_ranges(found: re.Match[str]) -> str:
    return f"@@ -{found[2][1:]} +{found[1][1:]} @@"


def _reversed_pair(line: str, after: str) -> list[str]:
    """Two lines of a header that say before and after, changed places; [] for any others."""
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
    if line.startswith("new file mode "):
        return "deleted" + line[len("new") :]
    if line.startswith("deleted file mode "):
        return "new" + line[len("deleted") :]
    if found := re.match(r"index ([0-9a-f]+)\.\.([0-9a-f]+)", line):
        return f"index {found[2]}..{found[1]}{line[found.end() :]}"
    if found := re.fullmatch(r"diff --git a/(.+) b/(.+)", line):
        return f"diff --git a/{found[2]} b/{found[1]}"
    return line


def _optional(row: Row, column: str) -> str:
    """The text in a column, "" where it is absent or null; numbers and times as text."""
    value = row.get(column)
    if isinstance(value, list | dict):
        raise BadRow(f'"{column}" is no text', f"got {type(value).__name__}")
    return "" if value is None else str(value)


def _test_ids(row: Row, column: str, needed: bool = False) -> tuple[str, ...]:
    """The ids of tests in a column, whose name may also be written in small letters."""
    column = column if column in row else column.lower()
    value = row.get(column)
    if value is None and not needed:
        return ()
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
    return tuple(tests)


# -- files ---------------------------------------------------------------------------------


def _good(row: Any) -> Row:
    if isinstance(row, BadRow):
        raise row
    if not isinstance(row, dict):
        raise BadRow("no JSON object", f"a row is one; got {type(row).__name__}")
    return row


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(where it stands, the row, or the ``BadRow`` there is instead) for each row."""
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    try:
        with path.open("rb") as file:
            begins = file.read(4096).removeprefix(_BOM).lstrip()[:1]
        return _listed_rows(path) if begins == b"[" else _line_rows(path)
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}; expected a file of instances") from error


def _line_rows(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            line = line.removeprefix(_BOM) if number == 1 else line
            if not line.strip():
                continue
            try:
                yield f"{path}:{number}", object_in(line)
            except BadRow as error:
                yield f"{path}:{number}", error


def _listed_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a JSON list, each with the line that it begins at."""
    try:
        text = path.read_bytes().removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        raise BadData(f"{path}: no UTF-8 at byte {error.start + 1}") from error
    decoder, line, counted, place = json.JSONDecoder(), 1, 0, _skip(text, text.index("[") + 1)
    while text[place : place + 1] != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            row, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise BadData(f"{path}:{line}: no JSON; {error}") from error
        yield f"{path}:{line}", row
        place = _skip(text, end)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "]":
            raise BadData(f"{path}:{line}: the list is not closed after this row; expected ]")


def _skip(text: str, place: int) -> int:
    """The next place with no white space."""
    while text[place : place + 1].isspace():
        place += 1
    return place


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    if not path.is_file():
        raise BadData(f"{path}: No such file; expected a parquet file of instances")
    try:
        from datasets import Dataset
    except ImportError as error:
        raise MissingExtra("datasets", "data") from error
    for number, row in enumerate(Dataset.from_parquet(str(path), keep_in_memory=True)):
        yield f"{path}, row {number}", row


def _is_instance(row: Row, options: ReadOptions) -> bool:
    return not options.columns and {"instance_id", "repo", "patch"} <= row.keys()


FORM = Form(
    "swe-instance",
    '"instance_id", "repo", "patch" as in SWE-bench and SWE-smith; without steps',
    _is_instance,
    lambda rows, options: swe_problem,
    verifier="none",
    format="calls",
)
