"""The settings of a build: of ``build_tasks``, of ``srl-env swe build``, and of its journal."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from srl_env.errors import BadOption
from srl_env.seconds import check_seconds

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NO_INFLUENCE: Final = ("replace", "jobs", "test_timeout_s")
_OF_MODEL: Final = ("model", "temperature", "max_tokens")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How tasks are built from a repository.

    name: Name of the repository; by default that of its folder.
    max_tasks: Maximum number of tasks; by default all useful ones.
    max_bugs: Maximum number of bugs in one task.
    seed: Random seed.
    jobs: Sessions at a time; by default one per core.
    test_timeout_s: Seconds that a run of all tests may take.
    replace: Replace the tasks of this repository in the folder.
    model: Policy that writes bugs and statements: openai:MODEL on a server, a run's folder, a
    model's folder or hub name, or your own: FILE.py or module:Class.
    temperature: Sampling temperature of the model.
    max_tokens: Maximum number of tokens in an answer of the model.
    """

    name: str | None = None
    max_tasks: int | None = None
    max_bugs: int = 1
    seed: int = 0
    jobs: int | None = None
    test_timeout_s: float = 120.0
    replace: bool = False
    model: str | None = None
    temperature: float = 1.0
    max_tokens: int = 2048

    def __post_init__(self) -> None:
        check_seconds("test_timeout_s", self.test_timeout_s, least=1)
        check_name(self.name)
        if not 0 <= self.temperature <= 10:
            raise BadOption(f"temperature must be in 0 … 10; got {self.temperature:g}")
        for name in ("max_tasks", "max_bugs", "jobs", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadOption(f"{name} must be at least 1; got {value}")

    @property
    def about(self) -> dict[str, Any]:
        """The settings that the tasks depend on, as JSON data."""
        excluded = _NO_INFLUENCE if self.model else (*_NO_INFLUENCE, *_OF_MODEL)
        return {key: item for key, item in asdict(self).items() if key not in excluded}


def check_name(name: str | None) -> None:
    """Raises BadOption for what cannot be a repository's name."""
    if name is not None and not _NAME.fullmatch(name):
        raise BadOption(f"name must consist of letters, digits, '.', '_' and '-'; got {name!r}")
