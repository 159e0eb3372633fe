"""Oracle cases: calls whose results on the correct code are known and always the same.

They come from a repository's own ``oracle_cases.toml``, or from what its tests call. Expected
values are computed by running the correct code several times: in fresh interpreters, with other
hash seeds and time zones. Results that vary are excluded.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from srl_env.errors import BadData
from srl_env.grading import OracleCase
from srl_env.grading.runs import answer_cases
from srl_env.grading.values import canonical, from_json
from srl_env.sandbox import Sandbox, Snapshot
from srl_env.swe.builder.checkout import Checkout
from srl_env.swe.task import CASES_FILE

MAX_CASES: Final = 200
PER_FUNCTION: Final = 8
TEMPORARY: Final = "/tmp/"
_MANY: Final = 1_000
_OPEN, _CLOSE = "list(itertools.islice(", f", {_MANY}))"
_RUNS: Final[Sequence[Mapping[str, str] | None]] = (
    None,
    {"PYTHONHASHSEED": "1", "TZ": "AAA-9"},
    {"PYTHONHASHSEED": "2", "TZ": "BBB+5"},
)
_MAX_VALUE: Final = 2_000
_BROKEN: Final = ("NameError", "ImportError", "SyntaxError", "NotExactError")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draft:
    """A call whose result is not known yet. may_raise: whether it may be an exception."""

    case: OracleCase
    may_raise: bool = True


def read_cases(repository: Path) -> tuple[Draft, ...]:
    """The calls in a repository's ``oracle_cases.toml``; () where it has none.

    Raises BadData, naming the file.
    """
    path = repository / CASES_FILE
    if not path.is_file():
        return ()
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("case", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadData(f"{path}: not TOML: {error}") from None
    cases: dict[str, OracleCase] = {}
    for number, row in enumerate(rows, 1):
        case = _read_case(f"{path}: [[case]] number {number}", row)
        if case.name in cases:
            raise BadData(f"{path}: names must be unique; got two cases named {case.name!r}")
        cases[case.name] = case
    return tuple(map(Draft, cases.values()))


def _read_case(where: str, row: Any) -> OracleCase:
    texts = {key: row.get(key, "") for key in ("name", "setup", "expression")}
    for key, text in texts.items():
        if not isinstance(text, str) or (key != "setup" and not text.strip()):
            raise BadData(f"{where}: {key!r} must be a text; got {text!r}")
    if unknown := sorted(set(row) - set(texts)):
        raise BadData(
            f"{where}: the keys are name, setup and expression; got {unknown[0]!r} "
            "(expected values are computed by running the correct code)"
        )
    return OracleCase(**texts)


def recorded_cases(calls: Iterable[Mapping[str, str]]) -> tuple[Draft, ...]:
    """The calls that tests made, as cases: some for each function, from short to long."""
    chosen: dict[str, list[Mapping[str, str]]] = {}
    for call in sorted(calls, key=lambda call: (len(call["expression"]), call["expression"])):
        if TEMPORARY in call["setup"] + call["expression"]:  # a file of the test's own
            continue
        if call["kind"] not in ("function", "method", "module", "type"):
            chosen.setdefault(call["of"], []).append(call)
    drafts = [
        _draft(f"{of}: {number}", call)
        for of, found in sorted(chosen.items())
        for number, call in enumerate(_spread(found, PER_FUNCTION), 1)
    ]
    return tuple(_spread(drafts, MAX_CASES))


def _draft(name: str, call: Mapping[str, str]) -> Draft:
    """A recorded call as a case with a built-in value. A call that raised returned nothing."""
    setup, text, kind = call["setup"], call["expression"], call["kind"]
    if kind == "generator":
        setup, text = f"{setup}\nimport itertools", f"{_OPEN}{text}{_CLOSE}"
    elif kind in ("dict_keys", "dict_values", "dict_items"):
        text = f"list({text})"
    elif call["shown"]:
        text = f"repr({text})"
    return Draft(OracleCase(name, setup, text), may_raise=kind == "NoneType")


def asserted_cases(found: Iterable[tuple[str, str, str]]) -> tuple[Draft, ...]:
    """What tests compare, as (name, setup, expression), as cases; each call once."""
    cases = {(setup, text): OracleCase(name, setup, text) for name, setup, text in found}
    return tuple(Draft(case, may_raise=False) for case in _spread([*cases.values()], MAX_CASES))


def answered_cases(
    sandbox: Sandbox, checkout: Checkout, drafts: Sequence[Draft]
) -> tuple[tuple[OracleCase, ...], dict[str, str]]:
    """The cases with the answers of the correct code, and the excluded ones, {name: reason}.

    Raises SandboxFailure.
    """
    if not drafts:
        return (), {}
    task = checkout.grading_task(cases=tuple(draft.case for draft in drafts))
    answers = [answer_cases(sandbox, task, Snapshot((), ()), env) for env in _RUNS]
    cases, excluded = [], {}
    for draft in drafts:
        found = [answer.get(draft.case.name, {}) for answer in answers]
        reason = _unfit(found, may_raise=draft.may_raise)
        if reason:
            excluded[draft.case.name] = reason
        elif "raised" in found[0]:
            cases.append(replace(draft.case, raises=found[0]["raised"]))
        else:
            cases.append(replace(draft.case, expected=from_json(found[0]["value"])))
    return tuple(cases), excluded


def shown_expression(case: OracleCase) -> str:
    """A case's expression as someone would write it."""
    if not case.expression.startswith(_OPEN) or not isinstance(case.expected, list):
        return case.expression
    if len(case.expected) >= _MANY:
        return case.expression
    return f"list({case.expression.removeprefix(_OPEN).removesuffix(_CLOSE)})"


def _spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly from first to last."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def _unfit(answers: Sequence[Mapping[str, Any]], *, may_raise: bool) -> str:
    """Why a case cannot be used; empty where it can."""
    if not all(answers):
        return "gave no answer"
    raised = answers[0].get("raised")
    if raised and not may_raise:
        return f"raises {raised} outside its test"
    if raised in _BROKEN:
        return f"raises {raised}"
    texts = {(answer.get("raised"), canonical(answer.get("value"))) for answer in answers}
    if len(texts) > 1:
        return "differs from run to run"
    value = answers[0].get("value")
    if len(json.dumps(value)) > _MAX_VALUE:
        return "has a long result"
    address = isinstance(value, str) and re.search(r"\bat 0x[0-9a-f]{6,}", value)
    return "holds an address" if address else ""
