"""What a form of data is, and how its rows are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from srl_env.data.rows import Converter, Row
from srl_env.data.splits import check_fractions
from srl_env.errors import BadOption, UnknownName

_COLUMNS = ("prompt", "steps", "solution", "answer", "id")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How rows become problems; the options of ``srl-env data`` are made from it.

    form: Form of the rows, or your own module:FORM; by default it is detected. columns: Column
    that holds prompt, steps, solution, answer or id, e.g. solution=response; may be repeated.
    splitter: Splitter that turns a raw solution into steps: numbered, paragraphs, lines,
    calculations, sentences, or your own module:function. join_below: Join steps of fewer
    characters with a neighbour. answer_step: Last step for solutions that do not state their
    answer, e.g. '#### {answer}'. resolved_only: Skip agents' trajectories that did not solve their
    task. splits: Split to make and its fraction, e.g. train=0.9; may be repeated. The hash of the
    ids decides. By default the names of the files do.
    """

    form: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    splitter: str | None = None
    join_below: int = 0
    answer_step: str | None = None
    resolved_only: bool = False
    splits: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in _COLUMNS:
                raise UnknownName("column", name, _COLUMNS)
        if self.splits is not None:
            check_fractions(self.splits)
        raw = [name for name in ("splitter", "join_below", "answer_step") if getattr(self, name)]
        if raw and self.form not in (None, "raw"):
            raise BadOption(f"{raw[0]} must go with the form 'raw'; got form {self.form!r}")


@dataclass(frozen=True, slots=True)
class Form:
    """A form of data.

    about: what its rows look like. fits: whether a row has this form. converter: makes the
    converter, from the first rows that fit. verifier, format: names for ``srl-env data lint``;
    "" if they depend on the rows.
    """

    name: str
    about: str
    fits: Callable[[Row, ReadOptions], bool]
    converter: Callable[[Sequence[Row], ReadOptions], Converter]
    verifier: str = ""
    format: str = "think"
