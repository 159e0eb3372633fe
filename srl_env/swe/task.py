"""Software-engineering tasks and the folders they are kept in.

A task is a repository with a fault: what the policy is told, what its workspace begins with,
and what decides whether the fault is mended. A ``TaskSet`` is a folder of them::

    dataset.json           {"format": 1, "name": "…"}
    repos/NAME/…           the right code of a repository, its tests included
    repos/NAME.json        what all tasks made from it share (``Repository``)
    tasks.jsonl            one ``SWETask`` a line, its faulty files as edits of the right ones

The tree that a policy is given is made of these when it is first needed (``TaskSet.tree``): the
faulty files are put in, hidden tests and everything of version control are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, Self

from srl_env.grading.task import OracleCase, Trust
from srl_env.grading.values import encode_value, from_json
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem

FORMAT: Final = 1
SPLITS: Final = ("train", "dev", "test")
CASES_FILE: Final = "oracle_cases.toml"


@dataclass(frozen=True, slots=True)
class Repository:
    """What all tasks made from one repository share.

    tests: pytest ids that pass on the right code, time after time. cases: oracle cases with
    what the right code answers. python_path: folders packages are imported from. packages:
    distributions that must be installed where its code runs. conftest: whether its tests need
    its conftest files. uncontrolled: tests that controls cannot judge; at trust "controlled"
    they are left out.
    """

    name: str
    tests: tuple[str, ...] = ()
    cases: tuple[OracleCase, ...] = field(default=(), repr=False)
    python_path: tuple[str, ...] = (".",)
    packages: tuple[str, ...] = ()
    conftest: bool = False
    uncontrolled: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "name": self.name,
            "python_path": list(self.python_path),
            "packages": list(self.packages),
            "conftest": self.conftest,
            "tests": list(self.tests),
            "uncontrolled": list(self.uncontrolled),
            "cases": [_case_to_json(case) for case in self.cases],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave. Raises KeyError, TypeError, ValueError for anything else."""
        return cls(
            name=str(data["name"]),
            tests=tuple(data.get("tests", ())),
            cases=tuple(_case_from_json(case) for case in data.get("cases", ())),
            python_path=tuple(data.get("python_path", (".",))),
            packages=tuple(data.get("packages", ())),
            conftest=bool(data.get("conftest", False)),
            uncontrolled=tuple(data.get("uncontrolled", ())),
        )


@dataclass(frozen=True, slots=True)
class SWETask:
    """A fault in a repository, and how an expert mended it.

    statement: the issue, as the policy reads it. split: "train", "dev" or "test".
    difficulty: an estimate in [0, 1]. change: the text of each faulty file, by path.
    hidden: test files the policy does not see. fail_to_pass: tests that the fault breaks; all
    the repository's other tests must go on passing. trust: the level of the verdict.
    steps: what an expert did, as canonical tool calls with what was observed; the last submits.
    metadata: JSON data, e.g. the kinds of fault.
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
        """The repository's tests that the fault does not break."""
        left_out = set(self.fail_to_pass)
        if self.trust == "controlled":
            left_out.update(self.repository.uncontrolled)
        return tuple(test for test in self.repository.tests if test not in left_out)

    def to_row(self) -> dict[str, Any]:
        """As JSON data, one line of ``tasks.jsonl``; the repository goes by its name."""
        return {
            "id": self.id,
            "repo": self.repository.name,
            "split": self.split,
            "difficulty": round(self.difficulty, 3),
            "trust": self.trust,
            "statement": self.statement,
            "change": dict(self.change),
            "fail_to_pass": list(self.fail_to_pass),
            "hidden": list(self.hidden),
            "steps": [
                {"thought": step.thought, "action": step.action, "observation": step.observation}
                for step in self.steps
            ],
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any], repository: Repository) -> Self:
        """What ``to_row`` gave. Raises KeyError, TypeError, ValueError for anything else."""
        if row.get("split") not in SPLITS:
            raise ValueError(f"'split' is one of {', '.join(SPLITS)}; got {row.get('split')!r}")
        for path in (*row["change"], *row["hidden"]):
            check_path(path)
        return cls(
            id=str(row["id"]),
            repository=repository,
            statement=str(row["statement"]),
            change={str(path): str(text) for path, text in row["change"].items()},
            fail_to_pass=tuple(row["fail_to_pass"]),
            hidden=tuple(row["hidden"]),
            trust=row["trust"],
            split=row["split"],
            difficulty=float(row["difficulty"]),
            steps=tuple(
                ExpertStep(
                    step["action"], thought=step.get("thought"), observation=step["observation"]
                )
                for step in row["steps"]
            ),
            metadata=row.get("metadata", {}),
        )

    def to_problem(self) -> Problem:
        """The task as a problem; the verdict needs a workspace, so there is no answer."""
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


def _case_to_json(case: OracleCase) -> dict[str, Any]:
    data: dict[str, Any] = {"name": case.name, "setup": case.setup, "expression": case.expression}
    if case.raises is not None:
        return data | {"raises": case.raises}
    return data | {"expected": encode_value(case.expected)}


def _case_from_json(data: Mapping[str, Any]) -> OracleCase:
    if "raises" in data:
        return OracleCase(data["name"], data["setup"], data["expression"], raises=data["raises"])
    expected = from_json(data["expected"])
    return OracleCase(data["name"], data["setup"], data["expression"], expected)


def check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/"):
        raise ValueError(f"path {path!r}; a path inside the repository is expected")
