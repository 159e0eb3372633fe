"""What a form of data is, and how its rows are to be read where that is not found out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from srl_env.data.rows import Converter, Row
from srl_env.errors import BadOption, UnknownName


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How rows become problems, where that is not to be found out.

    form: one of ``FORMS``. columns: {what it is (prompt, steps, solution, answer, id): column}.
    splitter: of raw solutions, by name; choosing one chooses the form "raw". join_below,
    answer_step: as for ``RawSolution``. resolved_only: of agents' trajectories.
    """

    form: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    splitter: str | None = None
    join_below: int = 0
    answer_step: str | None = None
    resolved_only: bool = False

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in _COLUMNS:
                raise UnknownName("column", name, _COLUMNS)
        raw = {
            "a splitter": self.splitter,
            "join_below": self.join_below,
            "answer_step": self.answer_step,
        }
        given = [name for name, value in raw.items() if value]
        if given and self.form not in (None, "raw"):
            raise BadOption(f"{given[0]} is for the form 'raw'; got form {self.form!r}")


@dataclass(frozen=True, slots=True)
class Form:
    """A form of data.

    about: what its rows look like. fits: whether a row is one. converter: for rows like the
    first ones that fit. verifier, format: names of what such problems are judged and written
    with (``srl_env.data.quality.lint``); "" where the rows decide.
    """

    name: str
    about: str
    fits: Callable[[Row, ReadOptions], bool]
    converter: Callable[[Sequence[Row], ReadOptions], Converter]
    verifier: str = ""
    format: str = "think"


_COLUMNS = ("prompt", "steps", "solution", "answer", "id")
