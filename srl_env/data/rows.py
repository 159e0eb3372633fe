"""What a row of data must hold to become a problem, and the canonical row.

A converter is a function from a row (a mapping of column names to values) to a ``Problem``. It
raises ``BadRow`` for a row it cannot use; the reader of the file adds the place of the row.

The canonical row, which ``write_jsonl`` writes::

    {"id": "sum-1", "prompt": "What is 2 + 3 + 4?", "answer": "9",
     "steps": ["2 + 3 = 5", {"action": "5 + 4 = 9", "title": "Add the last"}]}

Only "prompt" is required. Without "id" the problem gets a hash of its prompt, so the same problem
has the same id everywhere. A step is a text or an object with "action" and any of "title",
"thought", "observation". Several solutions go under "trajectories", each {"steps": […], "source":
…}, instead of "steps". Anything else goes under "metadata", an object or the JSON text of one.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from srl_env.data.splits import text_hash
from srl_env.errors import BadData, UnknownName
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem

Row = Mapping[str, Any]
Converter = Callable[[Row], Problem]

PROBLEM_KEYS = ("id", "prompt", "answer", "steps", "trajectories", "metadata")
STEP_KEYS = ("action", "title", "thought", "observation")


class BadRow(BadData):
    """A row that cannot be used, without its place.

    reason: what is wrong, in the same words for the same fault, because drops are counted by it.
    expected: what was expected, or what to do.
    """

    def __init__(self, reason: str, expected: str) -> None:
        self.reason, self.expected = reason, expected
        super().__init__(f"{reason}; {expected}")

    def __reduce__(self) -> tuple[type[BadRow], tuple[str, str]]:
        return type(self), (self.reason, self.expected)


def repeated_id(which: str) -> BadRow:
    """The error for a row whose id an earlier row has. which: the id, or the earlier row."""
    return BadRow(
        "the id of an earlier row",
        f"{which}; ids are unique, and several solutions of one problem are one row with "
        '"trajectories"',
    )


def problem_from_row(row: Row) -> Problem:
    """The problem in a canonical row; ``BadRow`` if there is none. null counts as absent."""
    row = {key: value for key, value in row.items() if value is not None}
    _known_keys(row, PROBLEM_KEYS, 'other columns go under "metadata"')
    prompt = text_in(row, "prompt")
    if "steps" in row and "trajectories" in row:
        raise BadRow('both "steps" and "trajectories"', "a row has one of them")
    metadata = _metadata(row.get("metadata", {}))
    return Problem(
        id=id_in(row, "id") or content_id(prompt),
        prompt=prompt,
        answer=answer_in(row, "answer"),
        trajectories=tuple(_trajectories(row)),
        metadata=metadata,
    )


def row_from_problem(problem: Problem) -> dict[str, Any]:
    """The canonical row of a problem; ``problem_from_row`` gives an equal problem back."""
    row: dict[str, Any] = {"id": problem.id, "prompt": problem.prompt}
    if problem.answer is not None:
        row["answer"] = problem.answer
    if len(problem.trajectories) == 1 and problem.trajectories[0].source is None:
        row["steps"] = _step_rows(problem.trajectories[0])
    elif problem.trajectories:
        row["trajectories"] = [
            {"steps": _step_rows(trajectory)}
            | ({} if trajectory.source is None else {"source": trajectory.source})
            for trajectory in problem.trajectories
        ]
    if problem.metadata:
        row["metadata"] = dict(problem.metadata)
    return row


@dataclass(frozen=True, slots=True)
class StepList:
    """Converter of rows with a prompt, a list of steps and an answer, under any column names.

    prompt, steps, answer, id: the columns. A step is a text or an object as in a canonical row.
    Without an answer column the answer is None; without an id column the prompt's hash is the id.
    Other columns are not used.
    """

    prompt: str = "prompt"
    steps: str = "steps"
    answer: str = "answer"
    id: str = "id"

    def __call__(self, row: Row) -> Problem:
        """The problem in a row; ``BadRow`` if there is none."""
        prompt = text_in(row, self.prompt)
        trajectory = ExpertTrajectory(_steps(row.get(self.steps), self.steps))
        problem_id = id_in(row, self.id) or content_id(prompt)
        return Problem(problem_id, prompt, answer_in(row, self.answer), (trajectory,))


def content_id(prompt: str) -> str:
    """An id made from a prompt: 16 hexadecimal digits, the same for the same prompt."""
    return f"{text_hash(prompt):016x}"


def text_in(row: Row, column: str) -> str:
    """The text in a column; ``BadRow`` if there is none or it is blank."""
    if column not in row:
        raise BadRow(f'no "{column}"', f"a row needs one. {_hint('column', column, row)}")
    text = row[column]
    if not isinstance(text, str):
        raise BadRow(f'"{column}" is no text', f"got {shown(text)}")
    if not text.strip():
        raise BadRow(f'"{column}" is empty', "a row needs one")
    return text


def answer_in(row: Row, column: str) -> str | None:
    """The answer in a column as text, None if it is absent or null."""
    answer = row.get(column)
    if answer is None or isinstance(answer, str):
        return answer
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        return str(answer)
    raise BadRow(f'"{column}" is neither text nor number', f"got {shown(answer)}")


def id_in(row: Row, column: str) -> str | None:
    """The id in a column as text, None if it is absent or null."""
    value = row.get(column)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise BadRow(f'"{column}" is no id', f"expected a text or an integer, got {shown(value)}")
    return str(value)


def _metadata(value: Any) -> Mapping[str, Any]:
    """An object, or the one in JSON text: tables need one type per column."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise BadRow('"metadata" is a text but no JSON', str(error)) from error
    if not isinstance(value, Mapping):
        raise BadRow('"metadata" is no object', f"got {shown(value)}")
    return value


def _trajectories(row: Row) -> Iterable[ExpertTrajectory]:
    if "steps" in row:
        return [ExpertTrajectory(_steps(row["steps"], "steps"))]
    return [_trajectory(value) for value in _listed(row.get("trajectories", []), "trajectories")]


def _trajectory(value: Any) -> ExpertTrajectory:
    if not isinstance(value, Mapping):
        raise BadRow("a trajectory is no object", f'expected {{"steps": …}}, got {shown(value)}')
    _known_keys(value, ("steps", "source"), 'a trajectory has "steps" and "source"')
    source = value.get("source")
    if not (source is None or isinstance(source, str)):
        raise BadRow('"source" is no text', f"got {shown(source)}")
    return ExpertTrajectory(_steps(value.get("steps"), "steps"), source)


def _steps(value: Any, column: str) -> tuple[ExpertStep, ...]:
    steps = tuple([_step(step) for step in _listed(value, column)])
    if not steps:
        raise BadRow(f'"{column}" is empty', "a problem needs at least one expert step")
    return steps


def _step(value: Any) -> ExpertStep:
    if isinstance(value, str):
        value = {"action": value}
    if not isinstance(value, Mapping):
        raise BadRow("a step is neither text nor object", f"got {shown(value)}")
    _known_keys(value, STEP_KEYS, f"a step has {', '.join(STEP_KEYS)}")
    for key, text in value.items():
        if not isinstance(text, str | None) or (key == "action" and text is None):
            raise BadRow(f'a step\'s "{key}" is no text', f"got {shown(text)}")
    if not value.get("action", "").strip():
        raise BadRow("a step has no action", 'expected a text, or an object with "action"')
    return ExpertStep(**value)


def _listed(value: Any, column: str) -> list[Any]:
    found = list_in_text(value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        raise BadRow(f'"{column}" is not a list', f"expected one, or its text; got {shown(value)}")
    return list(found)


def _step_rows(trajectory: ExpertTrajectory) -> list[str | dict[str, str]]:
    rows: list[str | dict[str, str]] = []
    for step in trajectory.steps:
        row = {key: text for key, text in asdict(step).items() if text is not None}
        rows.append(step.action if len(row) == 1 else row)
    return rows


def _known_keys(row: Row, known: Iterable[str], otherwise: str) -> None:
    for key in row:
        if key not in known:
            raise BadRow(f'unknown key "{key}"', f"{otherwise}. {_hint('key', str(key), known)}")


def _hint(kind: str, name: str, known: Iterable[str]) -> str:
    """ "Did you mean …?", or the names that are known."""
    return str(UnknownName(kind, name, map(str, known))).partition(". ")[2]


def list_in_text(text: str) -> Any:
    """The value that a text holds as JSON, or the list it holds as Python; None if neither."""
    text = text.strip()
    if not text:
        return []
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text) if text[0] in "[(" else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def shown(value: Any) -> str:
    """The type of a value and its beginning, for messages."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '…'}"
