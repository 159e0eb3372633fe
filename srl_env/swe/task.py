"""Software-engineering tasks and the folders they are kept in.

A task is a repository with a bug: what the policy reads, what its workspace contains, and what
decides whether the bug is fixed. A ``TaskSet`` is a folder of tasks::

    dataset.json           {"format": 1, "name": "…"}
    repos/NAME/…           the correct code of a repository, its tests included
    repos/NAME.json        what all tasks of the repository share (``Repository``)
    tasks.jsonl            one ``SWETask`` a line, its buggy files as edits of the correct ones

``TaskSet.tree`` makes the folder that a policy is given. It has the buggy files, and no
hidden tests. Its git repository has one commit of these files, and nothing of the code's history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, Final, Self

from srl_env.grading.task import OracleCase, Trust
from srl_env.grading.values import encode_value, from_json
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.sandbox import Mount
from srl_env.swe.dependencies.environment import Environment
from srl_env.swe.packages import package_mounts

FORMAT: Final = 1
SPLITS: Final = ("train", "dev", "test")
CASES_FILE: Final = "oracle_cases.toml"


@dataclass(frozen=True, slots=True)
class Repository:
    """What all tasks of one repository share.

    tests: pytest ids that always pass on the correct code. cases: oracle cases with the answers
    of the correct code. python_path: folders from which its packages are imported.
    packages: distributions that its code needs, as they are installed for this Python.
    conftest: whether its tests need its conftest files. uncontrolled: tests that controls cannot
    judge; trust "controlled" ignores them. environment: packages of exact versions.
    """

    name: str
    tests: tuple[str, ...] = ()
    cases: tuple[OracleCase, ...] = field(default=(), repr=False)
    python_path: tuple[str, ...] = (".",)
    packages: tuple[str, ...] = ()
    conftest: bool = False
    uncontrolled: tuple[str, ...] = ()
    environment: Environment | None = None

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """The packages that its code needs, for sessions.

        Raises BadOption for one that is not installed, MissingEnvironment.
        """
        more = self.environment.mounts if self.environment else ()
        return (*package_mounts(self.packages), *more)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        data = _values(self) | {"cases": [_case_to_json(case) for case in self.cases]}
        data["environment"] = self.environment and self.environment.to_json()
        return _without_none(data)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what ``to_json`` returned. Raises KeyError, TypeError or ValueError."""
        cases = tuple(_case_from_json(case) for case in data.get("cases", ()))
        environment = data.get("environment")
        made = {"environment": Environment.from_json(environment)} if environment else {}
        return cls(**_tuples(data) | {"cases": cases} | made)


@dataclass(frozen=True, slots=True)
class SWETask:
    """A bug in a repository, and how an expert fixed it.

    statement: the issue, as the policy reads it. change: the text of each buggy file, by path.
    fail_to_pass: tests that fail because of the bug; the repository's other tests must still pass.
    hidden: test files that the policy does not see. trust: the level of the verdict.
    split: "train", "dev" or "test". difficulty: an estimate in [0, 1].
    steps: the expert's tool calls in canonical form, with their observations; the last submits.
    metadata: JSON data, e.g. the kinds of bugs.
    """

    id: str
    repository: Repository
    statement: str
    change: Mapping[str, str] = field(repr=False)
    fail_to_pass: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    trust: Trust = "oracle"
    split: str = "train"
    difficulty: float = 0.5
    steps: tuple[ExpertStep, ...] = field(default=(), repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pass_to_pass(self) -> tuple[str, ...]:
        """The repository's tests that pass despite the bug."""
        excluded = set(self.fail_to_pass)
        if self.trust == "controlled":
            excluded.update(self.repository.uncontrolled)
        return tuple(test for test in self.repository.tests if test not in excluded)

    def to_row(self) -> dict[str, Any]:
        """The fields as JSON data, one line of ``tasks.jsonl``. "repo" names the repository."""
        row = _values(self) | {
            "difficulty": round(self.difficulty, 3),
            "steps": [_without_none(asdict(step)) for step in self.steps],
            "repo": self.repository.name,
        }
        del row["repository"]
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any], repository: Repository) -> Self:
        """Reads what ``to_row`` returned. Raises KeyError, TypeError or ValueError."""
        if row["split"] not in SPLITS:
            raise ValueError(f"'split' must be one of {', '.join(SPLITS)}; got {row['split']!r}")
        for path in (*row["change"], *row["hidden"]):
            check_path(path)
        values = _tuples(row) | {
            "repository": repository,
            "steps": tuple(ExpertStep(**step) for step in row["steps"]),
        }
        del values["repo"]
        return cls(**values)

    def to_problem(self) -> Problem:
        """The task as a problem. It has no answer: the verdict needs a workspace."""
        return Problem(
            id=self.id,
            prompt=self.statement,
            trajectories=(ExpertTrajectory(self.steps),) if self.steps else (),
            metadata={
                "repo": self.repository.name,
                "difficulty": self.difficulty,
                "trust": self.trust,
            },
        )


def check_path(path: str) -> None:
    """Raises ValueError for a path that leaves the repository."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/"):
        raise ValueError(f"paths must lie inside the repository; got {path!r}")


def _values(item: Repository | SWETask) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _without_none(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in data.items() if item is not None}


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    """JSON data with tuples for lists."""
    return {key: tuple(item) if isinstance(item, list) else item for key, item in data.items()}


def _case_to_json(case: OracleCase) -> dict[str, Any]:
    data: dict[str, Any] = {"name": case.name, "setup": case.setup, "expression": case.expression}
    if case.raises is not None:
        return data | {"raises": case.raises}
    return data | {"expected": encode_value(case.expected)}


def _case_from_json(data: Mapping[str, Any]) -> OracleCase:
    if "raises" in data:
        return OracleCase(**data)
    return OracleCase(**{**data, "expected": from_json(data["expected"])})
