"""The settings of mining: of ``mine_tasks`` and of ``srl-env swe mine``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

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
    install: Install the packages that a commit declares, from wheels, in environments of their own.
        Otherwise those installed beside srl-env are used.
    test_timeout_s: Seconds that a run of a commit's tests may take.
    commit_timeout_s: Seconds after which a commit is given up.
    """

    name: str | None = None
    since: str | None = None
    max_tasks: int | None = None
    jobs: int | None = None
    install: bool = False
    test_timeout_s: float = 120.0
    commit_timeout_s: float = 900.0

    def __post_init__(self) -> None:
        for name in ("test_timeout_s", "commit_timeout_s"):
            check_seconds(name, getattr(self, name), least=1)
        check_name(self.name)
        if self.since is not None:
            _check_date(self.since)
        for name in ("max_tasks", "jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadOption(f"{name} must be at least 1; got {value}")


def _check_date(text: str) -> None:
    """Raises BadOption: git takes any text, and reads what is no date as today."""
    try:
        date.fromisoformat(text)
    except ValueError:
        raise BadOption(f"since must be a date, as 2020-01-31; got {text!r}") from None
