"""Which commits can become tasks, from their files alone. Pure functions."""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from srl_env.swe.builder.project import is_source_file, is_test_file
from srl_env.swe.mining.history import SUBMODULE, Commit

MAX_FILES: Final = 8
MAX_LINES: Final = 400
_VERSIONS: Final = ("__version__", "__version_info__", "version", "VERSION")


@dataclass(frozen=True, slots=True)
class Patch:
    """The source files that a commit changes, {path: text} before and after it."""

    before: Mapping[str, str]
    after: Mapping[str, str]

    @property
    def hunks(self) -> list[tuple[str, list[str], list[str]]]:
        """(path, removed lines, added lines) of each hunk, in order."""
        found = []
        for path, after in self.after.items():
            old, new = self.before[path].splitlines(), after.splitlines()
            matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
            for kind, a, b, c, d in matcher.get_opcodes():
                if kind != "equal":
                    found.append((path, old[a:b], new[c:d]))
        return found

    @property
    def lines(self) -> int:
        """How many lines are removed or added."""
        return sum(len(removed) + len(added) for _, removed, added in self.hunks)

    @property
    def digest(self) -> str:
        """The same for commits that make the same change, wherever it is in the files."""
        text = repr([(path, removed, added) for path, removed, added in self.hunks])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def changed_tests(commit: Commit) -> tuple[str, ...]:
    """The test files that a commit adds or modifies."""
    return tuple(c.path for c in commit.files if c.status in "AM" and is_test_file(c.path))


def changed_sources(commit: Commit) -> tuple[str, ...]:
    """The source files that a commit modifies."""
    return tuple(c.path for c in commit.files if c.status == "M" and _is_source(c.path))


def unfit(commit: Commit) -> str:
    """Why a commit cannot become a task, by the names of its files; "" where it may."""
    if any(change.mode == SUBMODULE for change in commit.files):
        return "it changes a submodule"
    if not changed_tests(commit):
        return "it changes no tests"
    sources = [change for change in commit.files if _is_source(change.path)]
    if not sources:
        return "it changes no source"
    if any(change.status != "M" for change in sources):
        return "it adds, deletes or renames source files"
    if len(sources) > MAX_FILES:
        return f"it changes more than {MAX_FILES} source files"
    return ""


def meaningful(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> Patch | str:
    """The files whose code differs; the reason where none does, or where there is no Python."""
    kept: dict[str, tuple[str, str]] = {}
    for path, new in after.items():
        old = before[path]
        if old is None or new is None:
            return "a source file is not UTF-8"
        try:
            same = _code(old) == _code(new)
        except (SyntaxError, ValueError, RecursionError):
            return "a source file is no Python of this version"
        if not same:
            kept[path] = (old, new)
    if not kept:
        return "formatting, comments or docstrings only"
    patch = Patch(
        {p: old for p, (old, _) in kept.items()}, {p: new for p, (_, new) in kept.items()}
    )
    return "it changes too many lines" if patch.lines > MAX_LINES else patch


def without_layout(before: str, after: str) -> str:
    """A text with those of a patch's hunks that change code.

    No layout, comments, docstrings or numbers of versions.

    Raises SyntaxError or ValueError where a text is no Python.
    """
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    hunks = list[tuple[int, int, int, int]]()
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "replace" and b - a == d - c:  # line by line
            hunks += [(a + n, a + n + 1, c + n, c + n + 1) for n in range(b - a)]
        elif kind != "equal":
            hunks.append((a, b, c, d))
    kept, due = list(hunks), _code(after, _VERSIONS)
    for hunk in hunks:
        fewer = [other for other in kept if other != hunk]
        try:
            same = _code(_patched(old, new, fewer), _VERSIONS) == due
        except SyntaxError:
            same = False
        kept = fewer if same else kept
    return _patched(old, new, kept)


def _patched(
    old: Sequence[str], new: Sequence[str], hunks: Sequence[tuple[int, int, int, int]]
) -> str:
    """The old lines with some hunks."""
    lines, at = list[str](), 0
    for a, b, c, d in hunks:
        lines += [*old[at:a], *new[c:d]]
        at = b
    return "".join([*lines, *old[at:]])


def _is_source(path: str) -> bool:
    return path.endswith(".py") and is_source_file(path)


def _code(text: str, without: Sequence[str] = ()) -> str:
    """The syntax tree without positions, docstrings, and assignments to some names."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    tree.body = [node for node in tree.body if not _assigns(node, without)]
    return ast.dump(tree)


def _assigns(node: ast.stmt, names: Sequence[str]) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return any(isinstance(target, ast.Name) and target.id in names for target in targets)
