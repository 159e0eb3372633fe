"""One line of JSON: read into an object, and written."""

from __future__ import annotations

import json
from typing import Any

from srl_env.data.rows import BadRow, row_from_problem
from srl_env.errors import BadData
from srl_env.problem import Problem


def json_line(problem: Problem) -> bytes:
    """The line that a problem is written as; ``BadData`` for metadata JSON cannot express."""
    text = json_text(problem, row_from_problem(problem))
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # lone surrogates can only be written as escapes
        return json.dumps(json.loads(text)).encode() + b"\n"


def json_text(problem: Problem, value: Any) -> str:
    """A value as JSON text; ``BadData``, naming the problem, if JSON cannot express it."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadData(f"problem {problem.id!r}: its metadata is no JSON: {error}") from error


def object_in(line: bytes) -> dict[str, Any]:
    """The JSON object in a line, or in a whole file; ``BadRow`` if there is none."""
    try:
        row = _DECODER.decode(line.decode().rstrip())
    except UnicodeDecodeError as error:
        found = f"byte {error.start + 1} of the line is {line[error.start]:#04x}"
        raise BadRow("no UTF-8", f"{found}; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        place = f"{'' if error.lineno == 1 else f'line {error.lineno}, '}column {error.colno}"
        raise BadRow(
            "no JSON", f'{error.msg} at {place}; expected one JSON object, {{"column": …}}'
        ) from error
    except BadRow:
        raise
    except (RecursionError, ValueError) as error:  # nested too deep, or a gigantic number
        raise BadRow("JSON that is too large to read", str(error)) from error
    if not isinstance(row, dict):
        raise no_object(row)
    return row


def no_object(value: Any) -> BadRow:
    """The error for a value where a row is expected."""
    return BadRow("no JSON object", f'expected {{"column": …}}, got {type(value).__name__}')


def _no_constant(name: str) -> float:
    raise BadRow("no JSON", f"{name} is not a number in JSON; write null or a text")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
