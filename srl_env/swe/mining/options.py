"""The settings of mining: of ``mine_tasks`` and of ``srl-env swe mine``."""

from __future__ import annotations

from dataclasses import dataclass

from srl_env.errors import BadOption
from srl_env.seconds import check_seconds
from srl_env.swe.builder.options import check_name


@dataclass(frozen=True, slots=True)
class MineOptions:
    """How tasks are mined from a repository's commits.

    name: Name of the repository; by default that of its folder.
    since: Date; only commits after it, e.g. 2020-01-31.
    max_tasks: Maximum number of tasks; by default all.
    jobs: Commits at a time; by default one per core.
    test_timeout_s: Seconds that a run of a commit's tests may take.
    """

    name: str | None = None
    since: str | None = None
    max_tasks: int | None = None
    jobs: int | None = None
    test_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        check_seconds("test_timeout_s", self.test_timeout_s, least=1)
        check_name(self.name)
        for name in ("max_tasks", "jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadOption(f"{name} must be at least 1; got {value}")
