"""The forms that data come in, told apart by their first rows.

    reading = read_problems(["train.jsonl", "test.jsonl"])
    print(reading.form)                  # "gsm8k"
    for item in reading:                 # in constant memory
        print(item.place, item.split, item.problem)

``FORMS`` has each form's name, what its rows look like and what fits it; the first that fits
most of the rows read ahead is taken.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from srl_env.data.files.streams import FileRow, RowStream
from srl_env.data.forms.atif import ATIFTrajectory
from srl_env.data.forms.columns import as_options, proposed
from srl_env.data.forms.gsm8k import MARKER, gsm8k_problem
from srl_env.data.forms.numbered import Numbered, numbered_steps
from srl_env.data.forms.raw import RawSolution
from srl_env.data.forms.splitters import SPLITTERS, Splitter, get_splitter
from srl_env.data.forms.swe_instances import swe_problem
from srl_env.data.forms.swe_trajectories import SWETrajectory, instance_of
from srl_env.data.rows import PROBLEM_KEYS, BadRow, Converter, Row, StepList, problem_from_row
from srl_env.data.splits import SHARES, split_of
from srl_env.errors import BadData, BadOption, UnknownName
from srl_env.problem import Problem

READ_AHEAD = 64

# Where columns are not named, the first of these that a row has.
PROMPTS = ("prompt", "question", "problem", "query", "instruction", "input")
STEPS = ("steps", "solution_steps", "reasoning_steps", "rationale", "cot", "solution", "answer")
SOLUTIONS = (
    "deepseek_attempt",
    "solution",
    "response",
    "completion",
    "output",
    "generation",
    "rationale",
    "reasoning",
    "answer",
)
ANSWERS = ("final_answer", "answer", "expected_answer", "ground_truth", "target", "solution")
IDS = ("id", "problem_id", "uid", "unique_id")


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
        if self.form is not None and self.form not in FORMS:
            raise UnknownName("form", self.form, FORMS)
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


class Item(NamedTuple):
    """A row that was read.

    file, number: where it stands, see ``FileRow``. split: by its file's name, else None.
    problem: ``BadRow`` where it is none.
    """

    file: int
    number: int
    split: str | None
    problem: Problem | BadRow


class Reading:
    """The problems in files, one after the other: iterate over it once.

    form: the form they are in. about: that in words, with columns and splitter. stream: the
    files and how far they are read. columns: those of the rows read ahead.
    """

    def __init__(self, stream: RowStream, options: ReadOptions) -> None:
        """Reads the first rows. Raises ``BadData`` where no form fits them."""
        self.stream = stream
        self._rows = iter(stream)
        self._ahead = list(itertools.islice(self._rows, READ_AHEAD))
        rows = [found.row for found in self._ahead if not isinstance(found.row, BadRow)]
        self.columns = tuple(dict.fromkeys(name for row in rows for name in row))
        self.form = FORMS[options.form] if options.form else self._detected(rows, options)
        self.convert = self.form.converter(_fitting(self.form, rows, options) or rows, options)

    @property
    def unused(self) -> tuple[str, ...]:
        """The columns that no problem is made of; () for forms that know all of theirs."""
        fields = ("prompt", "question", "steps", "solution", "answer", "id", "thought", "grade")
        used = {getattr(self.convert, name, None) for name in fields}
        return tuple(name for name in self.columns if name not in used) if used - {None} else ()

    @property
    def about(self) -> str:
        """The form in words."""
        return f"{self.form.name} ({_described(self.convert) or self.form.about})"

    def __iter__(self) -> Iterator[Item]:
        for found in itertools.chain(self._ahead, self._rows):
            split = self.stream.split(found.file)
            yield Item(found.file, found.number, split, self._problem(found))

    def place(self, item: Item) -> str:
        """Where an item stands, for people."""
        return self.stream.place(item.file, item.number)

    def _problem(self, found: FileRow) -> Problem | BadRow:
        if isinstance(found.row, BadRow):
            return found.row
        try:
            return self.convert(found.row)
        except BadRow as error:
            return error.with_traceback(None)
        except Exception as error:  # noqa: BLE001  # a splitter may be anybody's
            return BadRow(f"the converter raised {type(error).__name__}", str(error))

    def _detected(self, rows: Sequence[Row], options: ReadOptions) -> Form:
        if options.splitter or options.join_below or options.answer_step:
            return FORMS["raw"]
        for form in FORMS.values():
            if 2 * len(_fitting(form, rows, options)) > len(rows):
                return form
        raise self._unknown(rows)

    def _unknown(self, rows: Sequence[Row]) -> BadData:
        """What to say where no form fits."""
        files = ", ".join(map(str, self.stream.files[:3]))
        if not self._ahead:
            return BadData(f"{files} is empty; expected rows, a problem in each")
        if not rows:
            first = self._ahead[0]
            return BadData(f"{self.stream.place(first.file, first.number)}: {first.row}")
        options = as_options(proposed(rows)) or "--column prompt=QUESTION --column solution=TEXT"
        return UnknownForm(
            f"{files}: unknown columns {', '.join(self.columns)}. Fix: name them, as {options}; or "
            f"choose a --form: {', '.join(FORMS)}",
            rows,
        )


class UnknownForm(BadData):
    """Rows that fit no form; ``rows``: the first of them."""

    def __init__(self, message: str, rows: Sequence[Row]) -> None:
        super().__init__(message)
        self.rows = rows

    def __reduce__(self) -> tuple[type[UnknownForm], tuple[str, Sequence[Row]]]:
        return type(self), (str(self), self.rows)


def read_problems(
    paths: Sequence[str | os.PathLike[str]], options: ReadOptions | None = None
) -> Reading:
    """The problems in files or folders, in whatever form they are.

    Raises ``BadData`` for a path without data and where no form fits, ``UnknownName`` and
    ``BadOption`` for options that cannot work. Bad rows are items like others.
    """
    return Reading(RowStream(paths), options or ReadOptions())


def split_of_item(item: Item, shares: Mapping[str, float] | None = None) -> str:
    """The split of an item that is a problem.

    shares: which splits to make, by the hash of the id (of an agent's trajectory: of its
    instance); by default the file's split, and where it has none, ``SHARES``.
    """
    assert isinstance(item.problem, Problem)
    if shares is None and item.split is not None:
        return item.split
    return split_of(instance_of(item.problem), SHARES if shares is None else shares)


# -- forms ------------------------------------------------------------------------------------


def _fitting(form: Form, rows: Sequence[Row], options: ReadOptions) -> list[Row]:
    return [row for row in rows if form.fits(row, options)]


def _column(row: Row, kind: str, options: ReadOptions, usual: Sequence[str]) -> str | None:
    """The column for a kind of thing: the one that was named, else the first usual one."""
    if kind in options.columns:
        return options.columns[kind]
    return next((name for name in usual if row.get(name) not in (None, "")), None)


def _text_column(row: Row, kind: str, options: ReadOptions, usual: Sequence[str]) -> str | None:
    texts = [name for name in usual if isinstance(row.get(name), str)]
    return _column(row, kind, options, texts)


def _is_gsm8k(row: Row, options: ReadOptions) -> bool:
    question, answer = row.get("question"), row.get("answer")
    return (
        not options.columns
        and isinstance(question, str)
        and isinstance(answer, str)
        and _GSM8K_END.search(answer) is not None
    )


_GSM8K_END = re.compile(rf"\n{MARKER}[^\n]*\d[^\n]*\s*\Z")


def _is_canonical(row: Row, options: ReadOptions) -> bool:
    """Our rows; a row without steps only where the answer is not a solution itself."""
    known = "prompt" in row and all(key in PROBLEM_KEYS for key in row) and not options.columns
    has_steps = row.get("steps") is not None or row.get("trajectories") is not None
    return known and (has_steps or "\n" not in str(row.get("answer", "")).strip())


def _is_step_list(row: Row, options: ReadOptions) -> bool:
    return _list_column(row, options) is not None and _prompt(row, options) is not None


def _is_numbered(row: Row, options: ReadOptions) -> bool:
    return (
        _prompt(row, options) is not None
        and "steps" not in options.columns
        and _numbered_column(row, options) is not None
    )


def _is_raw(row: Row, options: ReadOptions) -> bool:
    return _prompt(row, options) is not None and _solution(row, options) is not None


def _is_swe(row: Row, options: ReadOptions) -> bool:
    own = isinstance(row.get("trajectory"), list | str)
    row_of_run = "messages" in row and ("instance_id" in row or "traj_id" in row)
    return not options.columns and (own or row_of_run)


def _is_instance(row: Row, options: ReadOptions) -> bool:
    return not options.columns and {"instance_id", "repo", "patch"} <= row.keys()


def _is_atif(row: Row, options: ReadOptions) -> bool:
    return str(row.get("schema_version", "")).startswith("ATIF-v1.") and "steps" in row


def _prompt(row: Row, options: ReadOptions) -> str | None:
    return _text_column(row, "prompt", options, PROMPTS)


def _solution(row: Row, options: ReadOptions) -> str | None:
    return _text_column(row, "solution", options, SOLUTIONS)


def _list_column(row: Row, options: ReadOptions) -> str | None:
    lists = [name for name in STEPS if isinstance(row.get(name), list) and row[name]]
    found = _column(row, "steps", options, lists)
    return found if isinstance(row.get(found or ""), list) else None


def _numbered_column(row: Row, options: ReadOptions) -> str | None:
    named = options.columns.get("solution")
    for name in [named] if named else SOLUTIONS:
        try:
            text = row.get(name)
            if isinstance(text, str) and numbered_steps(text):
                return name
        except BadRow:
            continue
    return None


# -- converters for rows like these -----------------------------------------------------------


def _most(rows: Sequence[Row], column: Callable[[Row], str | None], otherwise: str) -> str:
    """The column that most of the rows have."""
    found = [name for name in map(column, rows) if name is not None]
    return max(dict.fromkeys(found), key=found.count) if found else otherwise


def _usual_columns(rows: Sequence[Row], options: ReadOptions, taken: str) -> dict[str, str]:
    """The columns of prompt, answer and id; the answer is not where the solution is."""
    answers = [name for name in ANSWERS if name != taken]
    return {
        "prompt": _most(rows, lambda row: _prompt(row, options), "prompt"),
        "answer": _most(rows, lambda row: _column(row, "answer", options, answers), "answer"),
        "id": _most(rows, lambda row: _column(row, "id", options, IDS), "id"),
    }


def _step_list(rows: Sequence[Row], options: ReadOptions) -> Converter:
    steps = _most(rows, lambda row: _list_column(row, options), "steps")
    return StepList(steps=steps, **_usual_columns(rows, options, steps))


def _numbered(rows: Sequence[Row], options: ReadOptions) -> Converter:
    solution = _most(rows, lambda row: _numbered_column(row, options), "solution")
    usual = _usual_columns(rows, options, solution)
    return Numbered(usual["prompt"], solution, usual["answer"], usual["id"])


def _raw(rows: Sequence[Row], options: ReadOptions) -> Converter:
    solution = _most(rows, lambda row: _solution(row, options), "solution")
    return RawSolution(
        solution=solution,
        split=_splitter(rows, solution, options),
        join_below=options.join_below,
        answer_step=options.answer_step,
        **_usual_columns(rows, options, solution),
    )


def _splitter(rows: Sequence[Row], solution: str, options: ReadOptions) -> Splitter:
    """The splitter that was named, else the coarsest that finds steps in most of the rows."""
    if options.splitter is not None:
        return get_splitter(options.splitter)
    texts = [row[solution] for row in rows if isinstance(row.get(solution), str)]
    for name in ("paragraphs", "lines"):
        if 2 * sum(len(SPLITTERS[name](text)) > 1 for text in texts) > len(texts):
            return SPLITTERS[name]
    return SPLITTERS["sentences"]


def _described(convert: Any) -> str:
    """A converter's columns and splitter; "" for one that has none."""
    parts = [
        f"{name} in {column!r}"
        for name in ("prompt", "question", "steps", "solution", "answer")
        if isinstance(column := getattr(convert, name, None), str)
    ]
    if split := getattr(convert, "split", None):
        parts.append(f"split into {getattr(split, '__name__', repr(split))}")
    return ", ".join(parts)


_COLUMNS = ("prompt", "steps", "solution", "answer", "id")

FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form(
            "atif",
            'an agent\'s trajectory with "schema_version": "ATIF-v1.…"',
            _is_atif,
            lambda rows, options: ATIFTrajectory(),
            verifier="none",
        ),
        Form(
            "swe-trajectory",
            'SWE-agent\'s .traj, or rows with "messages" and "instance_id" as in SWE-smith',
            _is_swe,
            lambda rows, options: SWETrajectory(options.resolved_only),
            verifier="calls",
            format="calls",
        ),
        Form(
            "swe-instance",
            '"instance_id", "repo", "patch" as in SWE-bench and SWE-smith; without steps',
            _is_instance,
            lambda rows, options: swe_problem,
            verifier="none",
            format="calls",
        ),
        Form(
            "srl-env",
            'ours: "prompt", and any of "id", "answer", "steps", "trajectories", "metadata"',
            _is_canonical,
            lambda rows, options: problem_from_row,
        ),
        Form(
            "gsm8k",
            '"question", and "answer" with lines and "#### 72" at the end',
            _is_gsm8k,
            lambda rows, options: gsm8k_problem,
            verifier="numeric",
        ),
        Form("steps", "a prompt and a list of steps, under any names", _is_step_list, _step_list),
        Form(
            "numbered",
            'a prompt, and a solution in steps "1. **Title** body"',
            _is_numbered,
            _numbered,
        ),
        Form("raw", "a prompt, and a solution that a splitter makes into steps", _is_raw, _raw),
    )
}
