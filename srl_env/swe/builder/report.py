"""The report of a build: what was tried and kept, and why the rest was dropped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from srl_env.swe.builder.coherent import FINDERS
from srl_env.swe.task import SWETask

SEVERAL: Final = "several"
"""The kind of tasks that combine bugs."""


@dataclass(frozen=True)
class BuildReport:
    """A build in numbers.

    tests, functions, cases: reliable tests, functions they run, oracle cases of the repository.
    tried: candidates; kept: tasks; dropped: numbers of candidates by reason.
    splits, trust, kinds: numbers of tasks. quotas: most tasks of a kind, if a number of tasks was
    asked for; exhausted: kinds without candidates left. model: what the model wrote, in numbers
    (``Author.counts``), {} without one. seconds: of this run of the build.
    excluded_tests, excluded_cases: unreliable tests and oracle cases, and why.
    """

    name: str
    tests: int
    functions: int
    cases: int
    tried: int
    kept: int
    seconds: float
    dropped: Mapping[str, int] = field(default_factory=dict)
    splits: Mapping[str, int] = field(default_factory=dict)
    trust: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=dict)
    quotas: Mapping[str, int] = field(default_factory=dict)
    exhausted: Sequence[str] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    excluded_tests: Mapping[str, str] = field(default_factory=dict)
    excluded_cases: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Adds the report to a JSON file of reports by repository."""
        reports: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        reports[self.name] = asdict(self)
        path.write_text(json.dumps(reports, indent=1, ensure_ascii=False) + "\n", "utf-8")


def count_tasks(tasks: Sequence[SWETask]) -> dict[str, dict[str, int]]:
    """How many tasks there are of each split, trust level and kind of bug."""
    kinds = Counter(_kind(task.metadata["kinds"]) for task in tasks)
    return {
        "splits": dict(Counter(task.split for task in tasks)),
        "trust": dict(Counter(task.trust for task in tasks)),
        "kinds": dict(kinds.most_common()),
    }


def _kind(kinds: Sequence[str]) -> str:
    """The kind of a task, of the kinds of its bugs."""
    return kinds[0] if len(kinds) == 1 or kinds[0] in FINDERS else SEVERAL
