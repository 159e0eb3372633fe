"""A folder of tasks: read, looked through, and written."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.grading.task import GradingTask
from srl_env.sandbox import Change, Snapshot
from srl_env.swe.packages import package_mounts
from srl_env.swe.task import CASES_FILE, FORMAT, SPLITS, Repository, SWETask, check_path

CACHE_VARIABLE: Final = "SRL_ENV_CACHE"


# Never part of a tree: history could hold the fix, and caches the right code.
LEFT_OUT: Final = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox",
     ".venv", CASES_FILE}
)  # fmt: skip


class TaskSet:
    """A folder of tasks, read as they are asked for.

    Raises ``BadData`` for a folder or a line that cannot be read, naming file and line.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        about = _read_json(self.folder / "dataset.json", "a folder of tasks has a dataset.json")
        if about.get("format") != FORMAT:
            raise BadData(
                f"{self.folder / 'dataset.json'}: format {about.get('format')!r}; this version "
                f"reads format {FORMAT}; build the tasks again"
            )
        self.name = str(about.get("name") or self.folder.name)
        self._repositories: dict[str, Repository] = {}
        self._digests: dict[str, str] = {}
        self._lines = list(self._index())
        self._numbers = {entry.id: number for number, entry in enumerate(self._lines)}

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[SWETask]:
        return (self.task(entry.id) for entry in self._lines)

    @property
    def ids(self) -> tuple[str, ...]:
        """The tasks' ids, in the order of the file."""
        return tuple(entry.id for entry in self._lines)

    @property
    def repositories(self) -> tuple[str, ...]:
        """The names of the repositories that tasks are made from, sorted."""
        return tuple(sorted({entry.repo for entry in self._lines}))

    def select(
        self,
        *,
        split: str | None = None,
        repos: Sequence[str] | None = None,
        max_difficulty: float = 1.0,
    ) -> tuple[str, ...]:
        """The ids of the tasks of that split (None: all), of these repositories, no harder."""
        if split is not None and split not in SPLITS:
            raise UnknownName("split", split, SPLITS)
        for name in repos or ():
            if name not in self.repositories:
                raise UnknownName("repository", name, self.repositories)
        return tuple(
            entry.id
            for entry in self._lines
            if (split is None or entry.split == split)
            and (repos is None or entry.repo in repos)
            and entry.difficulty <= max_difficulty
        )

    def task(self, task_id: str) -> SWETask:
        """The task of that id; ``UnknownName`` if there is none."""
        if task_id not in self._numbers:
            raise UnknownName("task", task_id, self._numbers)
        entry = self._lines[self._numbers[task_id]]
        with (self.folder / "tasks.jsonl").open("rb") as file:
            file.seek(entry.offset)
            return self._parse(file.readline(), entry.line)

    def repository(self, name: str) -> Repository:
        """What the tasks of a repository share."""
        if name not in self._repositories:
            path = self.folder / "repos" / f"{name}.json"
            data = _read_json(path, "each repository of a task has such a file")
            try:
                self._repositories[name] = Repository.from_json(data)
            except (KeyError, TypeError, ValueError) as error:
                raise BadData(f"{path}: {_why(error)}; expected what a build writes") from error
        return self._repositories[name]

    def code(self, task: SWETask) -> Path:
        """The folder of the right code that a task was made from."""
        return self.folder / "repos" / task.repository.name

    def gold(self, task: SWETask) -> dict[str, str]:
        """The right text of each file that the fault is in, by path."""
        code = self.code(task)
        return {path: (code / path).read_bytes().decode("utf-8") for path in task.change}

    def gold_snapshot(self, task: SWETask) -> Snapshot:
        """The workspace of somebody who mended the fault as the right code has it."""
        gold = {path: text.encode() for path, text in self.gold(task).items()}
        changes = tuple(
            Change("modified", path, "file", 0o644, len(data), 1) for path, data in gold.items()
        )
        return Snapshot(changes, tuple(gold.values()))

    def grading_task(self, task: SWETask) -> GradingTask:
        """What decides whether a workspace mends the fault."""
        code, repository = self.code(task), task.repository
        return GradingTask(
            tree=self.tree(task),
            hidden={path: (code / path).read_bytes() for path in task.hidden},
            fail_to_pass=task.fail_to_pass,
            pass_to_pass=task.pass_to_pass,
            cases=repository.cases if task.trust == "oracle" else (),
            trust=task.trust,
            python_path=repository.python_path,
            mounts=package_mounts(repository.packages),
            conftest=repository.conftest,
        )

    def tree(self, task: SWETask) -> Path:
        """The folder a policy's workspace begins as: made once, kept in a cache folder.

        The cache is ``$SRL_ENV_CACHE``, else ``srl-env`` in the user's cache folder; what is in
        it can be deleted at any time. Raises BadOption where it cannot be written.
        """
        path = cache_folder() / "trees" / self._digest(task)
        if not path.is_dir():
            try:
                self._make_tree(task, path)
            except OSError as error:
                raise BadOption(
                    f"the tree of task {task.id!r} cannot be written to {path}: {error}; "
                    f"set {CACHE_VARIABLE} to a folder with space"
                ) from error
        return path

    def _make_tree(self, task: SWETask, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="making-") as folder:
            made = Path(folder, "tree")
            copy_code(self.code(task), made, (*task.hidden, *task.change))
            for name, text in task.change.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_text(text, "utf-8", newline="")
            try:
                made.rename(path)
            except OSError:
                if not path.is_dir():  # else another process was quicker, with the same content
                    raise

    def _digest(self, task: SWETask) -> str:
        """Names a tree by all that is in it."""
        repo = task.repository.name
        if repo not in self._digests:
            self._digests[repo] = _digest_of_code(self.code(task))
        content = json.dumps([self._digests[repo], sorted(task.change.items()), task.hidden])
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _index(self) -> Iterator[_Entry]:
        path, seen, offset = self.folder / "tasks.jsonl", set[str](), 0
        try:
            file = path.open("rb")
        except OSError as error:
            raise BadData(f"{path}: {error.strerror}; expected the tasks, one a line") from error
        with file:
            for number, line in enumerate(file, 1):
                entry = _entry(path, number, offset, line)
                offset += len(line)
                if entry.id in seen:
                    raise BadData(f"{path}:{number}: a second task with the id {entry.id!r}")
                seen.add(entry.id)
                yield entry

    def _parse(self, line: bytes, number: int) -> SWETask:
        try:
            row = json.loads(line)
            repository = self.repository(row["repo"])
            code = self.folder / "repos" / repository.name
            row["change"] = {
                path: _unpacked(code, path, how) for path, how in row["change"].items()
            }
            return SWETask.from_row(row, repository)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, BadData):
                raise
            raise BadData(
                f"{self.folder / 'tasks.jsonl'}:{number}: {_why(error)}; build the tasks again"
            ) from error


class TaskWriter:
    """Writes a ``TaskSet``; what is in the folder already is kept and added to.

    Raises BadOption for a folder that holds something else.
    """

    def __init__(self, folder: str | os.PathLike[str], name: str | None = None) -> None:
        self.folder = Path(folder)
        about = self.folder / "dataset.json"
        if not about.exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise BadOption(
                    f"{self.folder} is not empty and holds no tasks; name a new or empty folder"
                )
            (self.folder / "repos").mkdir(parents=True, exist_ok=True)
            (self.folder / "tasks.jsonl").touch()
            _write_json(about, {"format": FORMAT, "name": name or self.folder.name})

    def add_repository(self, repository: Repository, code: Path) -> None:
        """Puts in a repository's right code, or takes what the folder ``repos`` has already."""
        check_path(repository.name)
        target = self.folder / "repos" / repository.name
        if target.resolve() != code.resolve():
            if target.exists():
                shutil.rmtree(target)
            copy_code(code, target)
        _write_json(self.folder / "repos" / f"{repository.name}.json", repository.to_json())

    def put(self, repository: str, tasks: Iterable[SWETask]) -> None:
        """Makes these the tasks of a repository, in place of those it had: all, or none at all."""
        path = self.folder / "tasks.jsonl"
        with path.open(encoding="utf-8", newline="\n") as file:  # texts have other ends of lines
            kept = [line for line in file if json.loads(line)["repo"] != repository]
        kept += map(self._line, tasks)
        aside = path.with_suffix(".new")
        aside.write_text("".join(kept), "utf-8")
        aside.replace(path)

    def add(self, task: SWETask) -> None:
        """Appends a task."""
        with (self.folder / "tasks.jsonl").open("a", encoding="utf-8") as file:
            file.write(self._line(task))

    def _line(self, task: SWETask) -> str:
        row, code = task.to_row(), self.folder / "repos" / task.repository.name
        row["change"] = {path: _packed(code / path, text) for path, text in task.change.items()}
        return json.dumps(row, ensure_ascii=False) + "\n"


def _packed(path: Path, text: str) -> str | list[list[Any]]:
    """A text as edits of a file: [first line, line after the last, text in their place], from 0.

    The text itself where there is no such file.
    """
    if not path.is_file():
        return text
    old, new = path.read_bytes().decode().splitlines(True), text.splitlines(True)
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [[a, b, "".join(new[c:d])] for kind, a, b, c, d in blocks if kind != "equal"]


def _unpacked(code: Path, path: str, how: Any) -> str:
    """What ``_packed`` was given. Raises TypeError, ValueError for anything else."""
    if isinstance(how, str):
        return how
    check_path(path)
    if not (code / path).is_file():
        raise ValueError(f"the change edits {path!r}, which the right code has not")
    lines = (code / path).read_bytes().decode().splitlines(True)
    for first, last, text in reversed(how):
        if not 0 <= first <= last <= len(lines):
            raise ValueError(f"the change edits lines {first} to {last} of {len(lines)} in {path}")
        lines[first:last] = [text]
    return "".join(lines)


def copy_code(source: Path, target: Path, without: Sequence[str] = ()) -> None:
    """Copies a repository's files but version control, caches, links and those in ``without``."""
    target.mkdir(parents=True)
    for path in code_files(source):
        if path.as_posix() not in without:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, target / path)
            (target / path).chmod(0o755 if os.access(source / path, os.X_OK) else 0o644)


def code_files(folder: Path) -> Iterator[Path]:
    """The regular files of a repository that count, relative to it, sorted."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in sorted(files):
            path = Path(here, name)
            if name not in LEFT_OUT and not name.endswith(".pyc") and not path.is_symlink():
                yield path.relative_to(folder)


def cache_folder() -> Path:
    """Where what can be made again is kept."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "srl-env")


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a task is in the file, and what it is chosen by."""

    id: str
    repo: str
    split: str
    difficulty: float
    offset: int
    line: int


def _entry(path: Path, number: int, offset: int, line: bytes) -> _Entry:
    try:
        row = json.loads(line)
        chosen = str(row["id"]), str(row["repo"]), str(row["split"]), float(row["difficulty"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadData(
            f"{path}:{number}: {_why(error)}; expected a task as a build writes it, one a line"
        ) from error
    return _Entry(*chosen, offset, number)


def _digest_of_code(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in code_files(folder):
        digest.update(path.as_posix().encode("utf-8", "surrogateescape") + b"\0")
        digest.update(hashlib.sha256((folder / path).read_bytes()).digest())
        digest.update(b"x" if os.access(folder / path, os.X_OK) else b"-")
    return digest.hexdigest()


def _read_json(path: Path, expected: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}; {expected}") from error
    except ValueError as error:
        raise BadData(f"{path}: no JSON ({error}); {expected}") from error
    if not isinstance(data, dict):
        raise BadData(f"{path}: a {type(data).__name__}; a JSON object is expected")
    return data


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", "utf-8")
    part.replace(path)


def _why(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
