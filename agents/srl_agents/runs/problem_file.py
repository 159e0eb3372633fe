"""Files that name problems: which ones a run trains on (``env.problems``)."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

from srl_env.errors import BadData, UnknownName
from srl_env.problem import ProblemSource


def read_problem_ids(path: Path) -> list[str]:
    """The ids in a file of problems: JSON with "problems", or a list of ids.

    Raises BadData for any other file, and for one without ids.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}; expected a file of problem ids") from error
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path} must be JSON; {error}") from error
    ids = data.get("problems") if isinstance(data, Mapping) else data
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise BadData(
            f'{path}: expected {{"problems": [ids]}} with at least one id, as srl-env difficulty'
            " writes it, or a list of ids"
        )
    return list(dict.fromkeys(ids))


def indices_of(path: Path, source: ProblemSource) -> Sequence[int]:
    """The indices of a file's problems in a source, ascending.

    Raises BadData for a problem that the source does not have, and as ``read_problem_ids``.
    """
    try:
        found = array("q", map(source.index_of, read_problem_ids(path)))
        return array("q", sorted(found))
    except UnknownName as error:
        raise BadData(
            f"{path}: {error} It must be in {source.name}. Fix: rate the problems that are trained"
            " on, with srl-env eval --split train"
        ) from error
