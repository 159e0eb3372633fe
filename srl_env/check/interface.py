"""Gymnasium's own check, ids that are found again, infos that can be stored, disjoint splits."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Literal, get_args, get_origin, get_type_hints

import gymnasium
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from srl_env.check.report import Finding, Note
from srl_env.check.trial import Trial, line_in, short
from srl_env.environment import ReasoningEnv
from srl_env.errors import SrlEnvError

LONGEST_REPR = 200
COMPARED = 300  # problems of each split
_USUAL_SPLITS = ("train", "dev", "test")


def check_gymnasium(trial: Trial) -> Iterator[Finding]:
    """Gymnasium's exceptions and warnings."""
    advice = "see gymnasium.utils.env_checker"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            gymnasium_check_env(trial.env, skip_render_check=trial.env.spec is None)
        except (AssertionError, gymnasium.error.Error, TypeError) as error:
            yield Finding(str(error), "no complaint", advice, line_in(error))
    for warning in caught:
        yield Finding(str(warning.message), "no warning", advice)


def check_draws(trial: Trial, count: int) -> Iterator[Finding]:
    """The seeds 0 … count−1 draw problems that source and environment know by their ids."""
    env = trial.env
    for seed in range(count):
        _, info = env.reset(seed=seed)
        drawn = env.problem.id
        if drawn not in trial.problems:
            trial.problems.append(drawn)
        found = env.problems[env.problems.index_of(drawn)].id
        if not info["problem_id"] == drawn == found:
            yield trial.finding(
                f"problem {drawn!r} is {info['problem_id']!r} in info and {found!r} at its "
                "index_of()",
                "one id for one problem",
                "fix the source's ids or index_of()",
                problem_id=drawn,
            )


def check_infos(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Infos and observations go through JSON and pickle unchanged."""
    results: list[Any] = [trial.env.reset(seed=0, options={"problem": problem_id})]
    results += trial.probe_episode()
    if trial.begin(problem_id, "rlvr", "policy", max_steps=1):  # its end has a verdict
        results += trial.probe_episode()
    for observation, *_, info in results:
        try:
            stored = json.loads(json.dumps(info, allow_nan=False)), json.dumps(observation)
            observation.encode()
            same = stored[0] == info and pickle.loads(pickle.dumps(info)) == info
        except (TypeError, ValueError, AttributeError, pickle.PicklingError) as error:
            yield trial.finding(
                f"{type(error).__name__}: {error}",
                "an info and an observation that JSON, UTF-8 and pickle can store",
                "put only texts, finite numbers, True, False, None, lists and dicts with text "
                "keys into verdicts' details and infos",
                "verify",
            )
            continue
        if not same:
            seen = f"info {short(repr(info))} comes back changed from JSON or pickle"
            advice = "use lists instead of tuples and texts as keys"
            yield trial.finding(seen, "the same info", advice, "verify")


def check_splits(trial: Trial) -> Iterator[Finding | Note]:
    """No two splits share an id or a prompt.

    A world may keep a secret, so that a prompt alone is not a problem. Then answer and metadata are
    compared too.
    """
    known = _splits(type(trial.env))
    if not known:
        yield Note("the class takes no split", skipped=True)
        return
    seen: dict[str, dict[str, str]] = {}
    for split in known:
        try:
            seen[split] = _fingerprints(trial.env, split)
        except (SrlEnvError, TypeError):
            continue  # no such split, or one of a small file without problems
    if len(seen) < 2:
        yield Note("there are not two splits to compare", skipped=True)
    for one, other in combinations(seen, 2):
        if common := seen[one].keys() & seen[other].keys():
            problems = {seen[one][fingerprint] for fingerprint in common}
            yield Finding(
                f"{len(problems)} of the first problems of split {one!r} are in {other!r} too, "
                f"e.g. {seen[one][min(common)]!r}",
                "splits that share no problem, by id or by prompt",
                "choose the split by a hash of the problem's content (srl_env.data.split_of)",
            )


def _splits(maker: type[ReasoningEnv]) -> tuple[str, ...]:
    """The disjoint splits of a class, from its annotation; () if it takes none."""
    init: Any = vars(maker).get("__init__")
    names = getattr(getattr(init, "__code__", None), "co_varnames", ())
    if "split" not in names:
        return ()
    try:
        hint = get_type_hints(init).get("split")
    except Exception:  # noqa: BLE001  # an author's annotation may name what does not exist
        hint = None
    values = get_args(hint) if get_origin(hint) is Literal else _USUAL_SPLITS
    return tuple(str(value) for value in values if value != "all")


def _fingerprints(env: ReasoningEnv, split: str) -> dict[str, str]:
    """{id or normalised prompt: id} of a split's first problems.

    With a world, the prompt comes with answer and metadata.
    """
    arguments = {**(env.spec.kwargs if env.spec else {}), "split": split}
    other = type(env)(**arguments)
    found = {}
    for index in range(min(len(other.problems), COMPARED)):
        problem = other.problems[index]
        found[f"id {problem.id}"] = problem.id
        secret = f"{problem.answer!r} {problem.metadata!r}" if env.has_world else ""
        found[" ".join(f"{problem.prompt} {secret}".split()).casefold()] = problem.id
    other.close()
    return found


def check_repr(trial: Trial) -> Iterator[Finding]:
    """A short text."""
    length = len(repr(trial.env))
    if length > LONGEST_REPR:
        seen, expected = f"repr(env) has {length} characters", f"at most {LONGEST_REPR}"
        yield trial.finding(seen, expected, "leave data out of __repr__", "__repr__")
