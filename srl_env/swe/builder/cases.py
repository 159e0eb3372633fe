"""Oracle cases: calls whose results on the right code are known, and are the same every time.

They come from a repository's own ``oracle_cases.toml``, or from what its tests call. What is
expected is never taken from either, but from running the right code several times, in fresh
interpreters with other hash seeds and another time zone; what varies is left out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from srl_env.errors import BadData
from srl_env.grading import GradingTask, OracleCase
from srl_env.grading.runs import answer_cases
from srl_env.grading.values import NotExactError, from_json
from srl_env.sandbox import Sandbox, Snapshot
from srl_env.swe.builder.checkout import Checkout
from srl_env.swe.task import CASES_FILE

MAX_CASES: Final = 200
PER_FUNCTION: Final = 8
_MANY: Final = 1_000
_OPEN, _CLOSE = "list(itertools.islice(", f", {_MANY}))"
_RUNS: Final[Sequence[Mapping[str, str] | None]] = (
    None,
    {"PYTHONHASHSEED": "1", "TZ": "AAA-9"},
    {"PYTHONHASHSEED": "2", "TZ": "BBB+5"},
)
_MAX_VALUE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Draft:
    """A call whose result is not known yet. may_raise: whether it can be an exception."""

    case: OracleCase
    may_raise: bool = True


def read_cases(repository: Path) -> tuple[Draft, ...]:
    """The calls in a repository's ``oracle_cases.toml``, () where it has none.

    Raises BadData, with the file and what is wrong.
    """
    path = repository / CASES_FILE
    if not path.is_file():
        return ()
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("case", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadData(f"{path}: it is no TOML: {error}") from None
    cases = [_read_case(path, number, row) for number, row in enumerate(rows, 1)]
    names = [case.name for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise BadData(f"{path}: two cases are named {name!r}; a name must be the only one")
    return tuple(map(Draft, cases))


def recorded_cases(calls: Iterable[Mapping[str, str]]) -> tuple[Draft, ...]:
    """The calls that tests made, as cases: some for each function, the shorter first."""
    chosen: dict[str, list[Mapping[str, str]]] = {}
    for call in sorted(calls, key=lambda call: (len(call["expression"]), call["expression"])):
        if call["kind"] not in ("function", "method", "module", "type"):
            chosen.setdefault(call["of"], []).append(call)
    cases = [
        Draft(OracleCase(f"{of}: {number}", _setup(call), _expression(call)), _may_raise(call))
        for of, found in sorted(chosen.items())
        for number, call in enumerate(_spread(found, PER_FUNCTION), 1)
    ]
    return tuple(_spread(cases, MAX_CASES))


def asserted_cases(found: Iterable[tuple[str, str, str]]) -> tuple[Draft, ...]:
    """What tests compare, as (name, setup, expression), as cases; each call once."""
    cases = {(setup, text): OracleCase(name, setup, text) for name, setup, text in found}
    return tuple(Draft(case, may_raise=False) for case in _spread([*cases.values()], MAX_CASES))


def settle_cases(
    sandbox: Sandbox, checkout: Checkout, drafts: Sequence[Draft]
) -> tuple[tuple[OracleCase, ...], dict[str, str]]:
    """The cases with what the right code answers, and those left out by name, with the reason.

    Raises SandboxFailure.
    """
    if not drafts:
        return (), {}
    task = GradingTask(
        tree=checkout.tree,
        cases=tuple(draft.case for draft in drafts),
        python_path=checkout.python_path,
        mounts=checkout.mounts,
    )
    answers = [answer_cases(sandbox, task, Snapshot((), ()), env) for env in _RUNS]
    settled, left_out = [], {}
    for draft in drafts:
        case = draft.case
        found = [answer.get(case.name, {}) for answer in answers]
        reason = _unfit(found, may_raise=draft.may_raise)
        if reason:
            left_out[case.name] = reason
        elif "raised" in found[0]:
            settled.append(replace(case, raises=found[0]["raised"]))
        else:
            settled.append(replace(case, expected=from_json(found[0]["value"])))
    return tuple(settled), left_out


def shown_expression(case: OracleCase) -> str:
    """A case's expression as someone would write it."""
    if not case.expression.startswith(_OPEN) or not isinstance(case.expected, list):
        return case.expression
    if len(case.expected) >= _MANY:
        return case.expression
    return f"list({case.expression.removeprefix(_OPEN).removesuffix(_CLOSE)})"


def _read_case(path: Path, number: int, row: Any) -> OracleCase:
    texts = {key: row.get(key, "") for key in ("name", "setup", "expression")}
    for key, text in texts.items():
        if not isinstance(text, str) or (key != "setup" and not text.strip()):
            raise BadData(f"{path}: [[case]] number {number} needs {key!r}, a text; got {text!r}")
    unknown = sorted(set(row) - set(texts))
    if unknown:
        raise BadData(
            f"{path}: [[case]] number {number} has {unknown[0]!r}; known are name, setup, "
            "expression (what is expected is found by running the right code)"
        )
    return OracleCase(**texts)


def _may_raise(call: Mapping[str, str]) -> bool:
    """Whether a recorded call may have raised: nothing came back."""
    return call["kind"] == "NoneType"


def _setup(call: Mapping[str, str]) -> str:
    more = "\nimport itertools" if call["kind"] == "generator" else ""
    return call["setup"] + more


def _expression(call: Mapping[str, str]) -> str:
    """The call, made to give a built-in value."""
    if call["kind"] == "generator":
        return f"{_OPEN}{call['expression']}{_CLOSE}"
    if call["kind"] in ("dict_keys", "dict_values", "dict_items"):
        return f"list({call['expression']})"
    return f"repr({call['expression']})" if call["shown"] else call["expression"]


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly from first to last."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def _unfit(answers: Sequence[Mapping[str, Any]], *, may_raise: bool) -> str:
    """Why a case cannot be used; empty where it can."""
    if not all(answers):
        return "gave no answer"
    if "raised" in answers[0]:
        if not may_raise:
            return f"raises {answers[0]['raised']} outside its test"
        if answers[0]["raised"] in ("NameError", "ImportError", "SyntaxError", "NotExactError"):
            return f"raises {answers[0]['raised']}"
    texts = {repr(_comparable(answer)) for answer in answers}
    if len(texts) > 1:
        return "differs from run to run"
    if len(texts.pop()) > _MAX_VALUE:
        return "has a long result"
    return "holds an address" if _has_address(answers[0]) else ""


def _comparable(answer: Mapping[str, Any]) -> Any:
    """An answer without the order of sets."""
    if "raised" in answer:
        return answer["raised"]
    try:
        value = from_json(answer["value"])
    except NotExactError:
        return None
    return _sorted(value)


def _sorted(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(map(repr, map(_sorted, value)))
    if isinstance(value, list | tuple):
        return type(value)(map(_sorted, value))
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in value.items()}
    return value


def _has_address(answer: Mapping[str, Any]) -> bool:
    value = answer.get("value")
    return isinstance(value, str) and re.search(r"\bat 0x[0-9a-f]{6,}", value) is not None
