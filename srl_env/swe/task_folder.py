"""Reading and writing a folder of tasks."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.grading.task import GradingTask
from srl_env.sandbox import Change, Snapshot
from srl_env.swe.cache import CACHE_VARIABLE, cache_folder
from srl_env.swe.git_folder import GIT_FOLDER, add_git_folder
from srl_env.swe.task import CASES_FILE, FORMAT, SPLITS, Repository, SWETask, check_path

# Version control could hold the fix; caches, builds and environments the correct code.
_EXCLUDED: Final = frozenset(
    {"__pycache__", "node_modules", "site-packages", CASES_FILE, GIT_FOLDER}
)
_MAYBE_BUILT: Final = frozenset({"build", "dist", "venv", "env"})


class TaskSet:
    """A folder of tasks, each read when it is asked for.

    Raises ``BadData``, naming file and line, for what cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        about = _read_json(self.folder / "dataset.json", "a folder of tasks has a dataset.json")
        with _reading(self.folder / "dataset.json"):
            if about.get("format") != FORMAT:
                raise ValueError(f"format must be {FORMAT}; got {about.get('format')!r}")
        self.name = str(about.get("name") or self.folder.name)
        self._repositories: dict[str, Repository] = {}
        self._digests: dict[str, str] = {}
        self._entries = self._index()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[SWETask]:
        return map(self.task, self._entries)

    @property
    def ids(self) -> tuple[str, ...]:
        """The tasks' ids, in the order of the file."""
        return tuple(self._entries)

    @property
    def repositories(self) -> tuple[str, ...]:
        """The names of the tasks' repositories, sorted."""
        return tuple(sorted({entry.repo for entry in self._entries.values()}))

    def select(
        self,
        *,
        split: str | None = None,
        repos: Sequence[str] | None = None,
        max_difficulty: float = 1.0,
    ) -> tuple[str, ...]:
        """The ids of the tasks of a split and of some repositories (None: all), none harder.

        A mined task's repository is NAME-COMMIT; NAME selects all commits.
        """
        if split is not None and split not in SPLITS:
            raise UnknownName("split", split, SPLITS)
        origins = {name: _origin(name) for name in self.repositories}
        for name in repos or ():
            if name not in origins and name not in origins.values():
                raise UnknownName("repository", name, {*origins, *origins.values()})
        return tuple(
            task_id
            for task_id, entry in self._entries.items()
            if split in (None, entry.split)
            and (repos is None or entry.repo in repos or origins[entry.repo] in repos)
            and entry.difficulty <= max_difficulty
        )

    def task(self, task_id: str) -> SWETask:
        """One task; ``UnknownName`` for an unknown id."""
        if task_id not in self._entries:
            raise UnknownName("task", task_id, self._entries)
        entry, path = self._entries[task_id], self.folder / "tasks.jsonl"
        with path.open("rb") as file, _reading(path, entry.line):
            file.seek(entry.offset)
            return self._parse(json.loads(file.readline()))

    def repository(self, name: str) -> Repository:
        """What the tasks of a repository share."""
        if name not in self._repositories:
            path = self.folder / "repos" / f"{name}.json"
            data = _read_json(path, "each repository of a task has such a file")
            with _reading(path):
                self._repositories[name] = Repository.from_json(data)
        return self._repositories[name]

    def code(self, task: SWETask) -> Path:
        """The folder of the task's correct code."""
        return self.folder / "repos" / task.repository.name

    def gold(self, task: SWETask) -> dict[str, str]:
        """The correct text of each buggy file, by path."""
        return {path: _read_text(self.code(task) / path) for path in task.change}

    def gold_snapshot(self, task: SWETask) -> Snapshot:
        """The workspace in which the bug is fixed as in the correct code."""
        return files_written(self.gold(task))

    def grading_task(self, task: SWETask) -> GradingTask:
        """What decides whether a workspace fixes the bug."""
        code, repository = self.code(task), task.repository
        return GradingTask(
            tree=self.tree(task),
            hidden={path: (code / path).read_bytes() for path in task.hidden},
            fail_to_pass=task.fail_to_pass,
            pass_to_pass=task.pass_to_pass,
            cases=repository.cases if task.trust == "oracle" else (),
            trust=task.trust,
            python_path=repository.python_path,
            mounts=repository.mounts,
            conftest=repository.conftest,
        )

    def tree(self, task: SWETask) -> Path:
        """The folder that a policy's workspace starts from, with one git commit of all its files.

        It is made once and cached.

        The cache (``cache_folder``) can be deleted at any time. Raises BadOption where it cannot
        be written.
        """
        path = cache_folder() / "trees" / self._digest(task)
        if not path.is_dir():
            try:
                self._make_tree(task, path)
            except OSError as error:
                raise BadOption(
                    f"the tree of task {task.id!r} cannot be written to {path}: {error}. "
                    f"Fix: set {CACHE_VARIABLE} to a folder with space"
                ) from error
        return path

    def digest(self, task_id: str) -> str:
        """A digest of all that grading a task depends on."""
        task = self.task(task_id)
        parts = [self._digest(task), task.to_row(), task.repository.to_json()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def _make_tree(self, task: SWETask, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="making-") as folder:
            made = Path(folder, "tree")
            copy_code(self.code(task), made, task.hidden)
            for name, text in task.change.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_text(text, "utf-8", newline="")
            add_git_folder(made)
            try:
                made.rename(path)
            except OSError:
                if not path.is_dir():  # else another process made the same tree
                    raise

    def _digest(self, task: SWETask) -> str:
        """A name for a tree that depends on all its content."""
        repo = task.repository.name
        if repo not in self._digests:
            self._digests[repo] = code_digest(self.code(task))
        parts = [GIT_FOLDER, self._digests[repo], sorted(task.change.items()), task.hidden]
        content = json.dumps(parts)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _index(self) -> dict[str, _Entry]:
        path, entries, offset = self.folder / "tasks.jsonl", dict[str, _Entry](), 0
        if not path.is_file():
            raise BadData(f"{path} does not exist; a folder of tasks has this file")
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                with _reading(path, number):
                    row = json.loads(line)
                    chosen = str(row["repo"]), str(row["split"]), float(row["difficulty"])
                    if row["id"] in entries:
                        raise ValueError(f"a second task with the id {row['id']!r}")
                    entries[str(row["id"])] = _Entry(*chosen, offset, number)
                offset += len(line)
        return entries

    def _parse(self, row: dict[str, Any]) -> SWETask:
        repository = self.repository(row["repo"])
        code, change = self.folder / "repos" / repository.name, row["change"]
        row["change"] = {path: _unpacked(code, path, edits) for path, edits in change.items()}
        return SWETask.from_row(row, repository)


class TaskWriter:
    """Writes a ``TaskSet``. What the folder already holds is kept.

    Raises BadOption for a folder that holds something else.
    """

    def __init__(self, folder: str | os.PathLike[str], name: str | None = None) -> None:
        self.folder = Path(folder)
        about = self.folder / "dataset.json"
        if not about.exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise BadOption(
                    f"{self.folder} is not empty and holds no tasks. "
                    "Fix: name a new or empty folder"
                )
            (self.folder / "repos").mkdir(parents=True, exist_ok=True)
            (self.folder / "tasks.jsonl").touch()
            _write_json(about, {"format": FORMAT, "name": name or self.folder.name})

    def add_repository(self, repository: Repository, code: Path) -> None:
        """Adds a repository, and its correct code unless ``code`` is the copy in this folder."""
        check_path(repository.name)
        target = self.folder / "repos" / repository.name
        if target.resolve() != code.resolve():
            if target.exists():
                shutil.rmtree(target)
            copy_code(code, target)
        _write_json(self.folder / "repos" / f"{repository.name}.json", repository.to_json())

    def put(self, repository: str, tasks: Iterable[SWETask]) -> None:
        """Replaces all tasks of a repository at once."""
        path = self.folder / "tasks.jsonl"
        with path.open(encoding="utf-8", newline="\n") as file:  # texts have other line ends
            kept = [line for line in file if json.loads(line)["repo"] != repository]
        _write(path, "".join([*kept, *map(self._line, tasks)]))

    def add(self, task: SWETask) -> None:
        """Appends a task."""
        with (self.folder / "tasks.jsonl").open("a", encoding="utf-8") as file:
            file.write(self._line(task))

    def _line(self, task: SWETask) -> str:
        row, code = task.to_row(), self.folder / "repos" / task.repository.name
        row["change"] = {path: _packed(code / path, text) for path, text in task.change.items()}
        return json.dumps(row, ensure_ascii=False) + "\n"


def files_written(files: Mapping[str, str]) -> Snapshot:
    """The workspace in which these files were written, path → text."""
    contents = tuple(text.encode() for text in files.values())
    changes = (
        Change("modified", path, "file", 0o644, len(content), 1)
        for path, content in zip(files, contents, strict=True)
    )
    return Snapshot(tuple(changes), contents)


def copy_code(source: Path, target: Path, without: Sequence[str] = ()) -> None:
    """Copies the files of a repository (``code_files``) except those in ``without``."""
    target.mkdir(parents=True)
    for path in code_files(source):
        if path.as_posix() not in without:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, target / path)
            (target / path).chmod(0o755 if os.access(source / path, os.X_OK) else 0o644)


def code_files(folder: Path) -> Iterator[Path]:
    """The regular files of a repository, relative to it, sorted by folder.

    Excluded: hidden folders (version control, caches), environments, built files, links, and
    folders of tasks.
    """
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_code_folder(Path(here, name)))
        for name in sorted(files):
            path = Path(here, name)
            excluded = name in _EXCLUDED or name.endswith((".pyc", ".so"))
            if not excluded and not path.is_symlink():
                yield path.relative_to(folder)


def _is_code_folder(path: Path) -> bool:
    name = path.name
    if name in _EXCLUDED or name.startswith(".") or name.endswith(".egg-info"):
        return False
    if name in _MAYBE_BUILT and not (path / "__init__.py").exists():
        return False
    of_tasks = (path / "dataset.json").exists() and (path / "tasks.jsonl").exists()
    return not (path / "pyvenv.cfg").exists() and not of_tasks


def code_digest(folder: Path) -> str:
    """A digest of a repository's files."""
    digest = hashlib.sha256()
    for path in code_files(folder):
        digest.update(path.as_posix().encode("utf-8", "surrogateescape") + b"\0")
        digest.update(hashlib.sha256((folder / path).read_bytes()).digest())
        digest.update(b"x" if os.access(folder / path, os.X_OK) else b"-")
    return digest.hexdigest()


def _origin(repository: str) -> str:
    """The name of the repository that a commit's is from; others are their own."""
    return re.sub(r"-[0-9a-f]{8}$", "", repository)


def _packed(path: Path, text: str) -> str | list[list[Any]]:
    """A text as edits of a file: [first line, line after the last, new text], from 0.

    The text itself where there is no such file.
    """
    if not path.is_file():
        return text
    old, new = _read_text(path).splitlines(True), text.splitlines(True)
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [[a, b, "".join(new[c:d])] for kind, a, b, c, d in blocks if kind != "equal"]


def _unpacked(code: Path, path: str, edits: Any) -> str:
    """The text that ``_packed`` was given. Raises TypeError or ValueError."""
    if isinstance(edits, str):
        return edits
    check_path(path)
    if not (code / path).is_file():
        raise ValueError(f"the change edits {path!r}, which the correct code does not have")
    lines = _read_text(code / path).splitlines(True)
    for first, last, text in reversed(edits):
        if not 0 <= first <= last <= len(lines):
            raise ValueError(f"the change edits lines {first} to {last} of {len(lines)} in {path}")
        lines[first:last] = [text]
    return "".join(lines)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a task is in the file, and what it is selected by."""

    repo: str
    split: str
    difficulty: float
    offset: int
    line: int


def _read_text(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _read_json(path: Path, expected: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}; {expected}") from error
    except ValueError as error:
        raise BadData(f"{path}: not JSON ({error}); {expected}") from error
    if not isinstance(data, dict):
        raise BadData(f"{path} must be a JSON object; got {type(data).__name__}")
    return data


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    _write(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    """Writes a file at once."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)


@contextmanager
def _reading(path: Path, line: int | None = None) -> Iterator[None]:
    """Turns errors in data that a build writes into ``BadData``."""
    try:
        yield
    except BadData:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        where = path if line is None else f"{path}:{line}"
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BadData(f"{where}: {reason}. Fix: build the tasks again") from error
