"""Infos that can be stored, splits that share nothing, a short repr, ids that are found again."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator
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
    """Gymnasium's exceptions and its warnings."""
    env = trial.env
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            gymnasium_check_env(env, skip_render_check=env.spec is None)
        except (AssertionError, gymnasium.error.Error, TypeError) as error:
            yield Finding(
                str(error), "no complaint", "see gymnasium.utils.env_checker", line_in(error)
            )
    for warning in caught:
        yield Finding(str(warning.message), "no warning", "see gymnasium.utils.env_checker")


def check_draws(trial: Trial, count: int) -> Iterator[Finding]:
    """The seeds 0 … count−1 draw problems, which source and environment know by their ids."""
    env = trial.env
    for seed in range(count):
        _, info = env.reset(seed=seed)
        if env.problem.id not in trial.problems:
            trial.problems.append(env.problem.id)
        found = env.problems[env.problems.index_of(env.problem.id)].id
        if not info["problem_id"] == env.problem.id == found:
            yield Finding(
                f"problem {env.problem.id!r} is {info['problem_id']!r} in info and {found!r} at "
                "its index_of()",
                "one id for one problem",
                "mend the source's ids or index_of()",
                trial.place_of(env.problem.id),
            )


def check_infos(trial: Trial, problem_id: str) -> Iterator[Finding]:
    """Infos and observations go through JSON and pickle unchanged."""
    results: list[Any] = [trial.env.reset(seed=0, options={"problem": problem_id})]
    results += trial.probe_episode()
    if trial.begin(problem_id, "rlvr", "policy", max_steps=1):  # its end has a verdict
        results += trial.probe_episode()
    for result in results:
        observation, info = result[0], result[-1]
        try:
            stored = json.loads(json.dumps(info, allow_nan=False)), json.dumps(observation)
            observation.encode()
            same = stored[0] == info and pickle.loads(pickle.dumps(info)) == info
        except (TypeError, ValueError, AttributeError, pickle.PicklingError) as error:
            yield Finding(
                f"{type(error).__name__}: {error}",
                "an info and an observation that JSON, UTF-8 and pickle can store",
                "put only texts, finite numbers, True, False, None, lists and dicts with text "
                "keys into verdicts' details and infos",
                trial.line_of("verify"),
            )
            continue
        if not same:
            yield Finding(
                f"info {short(repr(info))} comes back changed from JSON or pickle",
                "the same info",
                "use lists instead of tuples and texts as keys",
                trial.line_of("verify"),
            )


def check_splits(trial: Trial) -> Iterator[Finding | Note]:
    """No two splits have an id or a prompt in common; where there is a world, which may keep a
    secret, a prompt alone makes no problem: its answer and metadata are compared with it.
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
    names = list(seen)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            common = seen[one].keys() & seen[other].keys()
            if common:
                example = seen[one][min(common)]
                problems = {seen[one][fingerprint] for fingerprint in common}
                yield Finding(
                    f"{len(problems)} of the first problems of split {one!r} are in {other!r} too, "
                    f"e.g. {example!r}",
                    "splits that share no problem, by id or by prompt",
                    "choose the split by a hash of what the problem says (srl_env.data.split_of)",
                )


def _splits(maker: type[ReasoningEnv]) -> tuple[str, ...]:
    """The disjoint splits that a class takes, as its annotation says; () if it takes none."""
    init: Any = vars(maker).get("__init__")
    names = getattr(getattr(init, "__code__", None), "co_varnames", ())
    if "split" not in names:
        return ()
    try:
        hint = get_type_hints(init).get("split")
    except Exception:  # noqa: BLE001  # annotations are anybody's, and may name what is not there
        hint = None
    values = get_args(hint) if get_origin(hint) is Literal else _USUAL_SPLITS
    return tuple(str(value) for value in values if value != "all")


def _fingerprints(env: ReasoningEnv, split: str) -> dict[str, str]:
    """{id or prompt in its plainest form: id} of the first problems of a split; with a world,
    the prompt with answer and metadata.
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
    if len(repr(trial.env)) > LONGEST_REPR:
        yield Finding(
            f"repr(env) has {len(repr(trial.env))} characters",
            f"at most {LONGEST_REPR}",
            "leave data out of __repr__",
            trial.line_of("__repr__"),
        )
