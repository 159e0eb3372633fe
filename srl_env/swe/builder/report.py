"""What came of a build: what was tried, what was kept, and why the rest was dropped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from srl_env.swe.task import SWETask


@dataclass(frozen=True)
class BuildReport:
    """A build in numbers.

    tests, functions: what the repository has that tasks can be made with. left_out: its tests
    that cannot be relied on, and why. cases_left_out: the oracle cases, likewise.
    tried: candidates that were run; kept: tasks; dropped: candidates by reason.
    splits, trust, kinds: of the tasks. seconds: of this run of the build alone.
    """

    name: str
    folder: str
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
    left_out: Mapping[str, str] = field(default_factory=dict)
    cases_left_out: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Puts the report into a JSON file that holds one for each repository, by name."""
        reports: dict[str, Any] = {}
        if path.exists():
            reports = json.loads(path.read_text("utf-8"))
        reports[self.name] = {key: value for key, value in asdict(self).items() if key != "folder"}
        path.write_text(json.dumps(reports, indent=1, ensure_ascii=False) + "\n", "utf-8")


def count_tasks(tasks: Sequence[SWETask]) -> dict[str, dict[str, int]]:
    """How many tasks there are of each split, trust level and kind of bug."""
    kinds = Counter(kind for task in tasks for kind in task.metadata["kinds"])
    return {
        "splits": dict(Counter(task.split for task in tasks)),
        "trust": dict(Counter(task.trust for task in tasks)),
        "kinds": dict(kinds.most_common()),
    }
