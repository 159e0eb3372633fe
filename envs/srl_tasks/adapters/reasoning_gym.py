"""``srl/ReasoningGym-v0``: the data sets of reasoning-gym (extra "reasoning-gym").

``srl_env.make("reasoning_gym:chain_sum")`` is short for ``srl_env.make("srl/ReasoningGym-v0",
dataset="chain_sum")``, and so wherever an id is taken.
"""

from __future__ import annotations

import base64
import functools
import importlib
import json
import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from srl_env.data.splits import QUARTERS, split_of
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure, MissingExtra, UnknownName
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.seconds import check_seconds
from srl_env.seeding import derive_seed
from srl_env.text.prompt import PromptStyle
from srl_env.verifiers import Verdict
from srl_env.verifiers.worker_pool import WorkerPool, shared_pool
from srl_tasks.generated.family import MAX_DRAWS, NOMINAL_SIZE, EndlessSource, Split

MAX_CHARACTERS = 20_000
"""Longer answers are wrong."""

TASK = (
    "You solve a problem. Write its answer in the form that the problem asks for, and nothing else."
)


class ReasoningGymEnv(ReasoningEnv):
    """Solve a problem of a reasoning-gym data set in one step: the answer.

    **Task.** The question of the data set.

    **Observation.** The question, as ``srl_env.text.prompt`` lays it out.

    **Action.** ``<think>…</think>`` and the answer; the whole action is the answer.

    **Expert.** The data set's own answer, as one step, if it has one.

    **Reward.** By the reward mode: with "rlvr" 1 for an answer that the data set scores 1.0, with
    "score" the score, with "srl" the similarity to the data set's answer.

    **Episode end.** After one action.

    **Info.** That of ``ReasoningEnv``; there is no step checker, ``legal`` is None. The verdict has
    "score", from the data set's ``score_answer``, which runs in its own process with a deadline.
    Some data sets evaluate answers as Python or sympy expressions; only literals and terms are
    evaluated there.

    **Data.** ``dataset``: its name in reasoning-gym (Stojanovski et al., arXiv:2505.24760,
    Apache-2.0). ``config``: of its generator, without seed and size. ``split``: "train", "dev" or
    "test", by the hash of the question, so no question is in two of them. Problem i is drawn by a
    hash, not by seed + i as in reasoning-gym itself. Some data sets iterate over Python sets
    (``isomorphic_strings``, ``knight_swap``, ``polynomial_multiplication``, ``ransom_note``,
    ``word_ladder``). Their problems are the same in two processes only with the same
    ``PYTHONHASHSEED``.

    **Versions.** v0: first.
    """

    offline_kwargs: ClassVar[dict[str, Any]] = {"dataset": "chain_sum"}

    def __init__(
        self,
        dataset: str | None = None,
        *,
        split: Split = "train",
        config: Mapping[str, Any] | None = None,
        max_problems: int = NOMINAL_SIZE,
        deadline_s: float = 5.0,
        **options: Any,
    ) -> None:
        """options: those of ``ReasoningEnv``."""
        if dataset is None:
            raise BadOption(
                "srl/ReasoningGym-v0 needs dataset='chain_sum' or another of reasoning-gym's, or "
                "reasoning_gym:NAME as id"
            )
        problems = ReasoningGymSource(dataset, split, _as_text(config or {}), max_problems)
        style = PromptStyle(step_task=TASK, solution_task=TASK)
        super().__init__(problems, ReasoningGymVerifier(deadline_s), **{"style": style} | options)


@dataclass(frozen=True)
class ReasoningGymSource(EndlessSource):
    """Problem ``i`` of a data set and a split.

    config: JSON of the generator's configuration. Ids are "reasoning_gym/NAME/split/index", with
    a hash of the configuration behind the name if there is one.
    """

    dataset: str
    split: Split = "train"
    config: str = "{}"
    max_problems: int = NOMINAL_SIZE

    def __post_init__(self) -> None:
        self.check_arguments()
        _generator(self.dataset, self.config)

    @property
    def name(self) -> str:
        """Data set, configuration and split."""
        variant = "" if self.config == "{}" else f"-{derive_seed(self.config):x}"
        return f"reasoning_gym/{self.dataset}{variant}/{self.split}"

    def make(self, index: int) -> Problem:
        """Problem number ``index``."""
        return _problem(self, index)


@dataclass(frozen=True, slots=True)
class ReasoningGymVerifier:
    """Correct if the data set's ``score_answer`` gives 1.0; the verdict has the score.

    It runs in worker processes that all verifiers of this process share. A worker is killed after
    ``deadline_s`` seconds of processor time, or three times that by the clock, and
    ``VerifierTimeout`` is raised. This works from any thread.
    """

    deadline_s: float = 5.0

    def __post_init__(self) -> None:
        check_seconds("deadline_s", self.deadline_s)

    def extract(self, text: str) -> str | None:
        """The text without white space around it; None if nothing is left."""
        return text.strip() or None

    def verify(self, problem: Problem, actions: Sequence[str]) -> Verdict:
        """The verdict on the last action; raises ``VerifierTimeout`` and ``VerifierCrash``."""
        answer = self.extract(actions[-1]) if actions else None
        if answer is None or len(answer) > MAX_CHARACTERS:
            return Verdict(False, answer and answer[:100], {"score": 0.0})
        score = self._score(problem, answer)
        return Verdict(score >= 1.0, answer, {"score": score})

    def control(self, problem: Problem) -> None:
        """Scores the data set's own answer; raises a ``Failure`` if that fails."""
        self._score(problem, problem.answer or "")

    def _score(self, problem: Problem, answer: str) -> float:
        asked = {name: problem.metadata[name] for name in ("dataset", "config", "entry")}
        request = {**asked, "answer": answer}
        return float(_workers().call(request, self.deadline_s)["score"])

    def verify_many(
        self, items: Sequence[tuple[Problem, Sequence[str]]]
    ) -> list[Verdict | Failure]:
        """One verdict, or the ``Failure`` that prevented it, for each item, in order."""
        with ThreadPoolExecutor(max_workers=8) as threads:
            return list(threads.map(lambda item: self._verdict_or_failure(*item), items))

    def _verdict_or_failure(self, problem: Problem, actions: Sequence[str]) -> Verdict | Failure:
        try:
            return self.verify(problem, actions)
        except Failure as failure:
            return failure


@functools.lru_cache(maxsize=4096)
def _problem(source: ReasoningGymSource, index: int) -> Problem:
    for draw in range(MAX_DRAWS):
        number = derive_seed(source.name, index, draw) % 2**31
        entry = entry_of(source.dataset, source.config, number)
        if split_of(f"{source.dataset}\0{entry['question']}", QUARTERS) == source.split:
            break
    else:
        raise BadOption(f"split must have problems; got {source.split!r} of {source.dataset}")
    answer = entry["answer"]
    known = isinstance(answer, str) and bool(answer.strip())
    experts = (ExpertTrajectory((ExpertStep(answer.strip()),), "reasoning-gym"),) if known else ()
    return Problem(
        id=f"{source.name}/{index}",
        prompt=entry["question"],
        answer=answer.strip() if known else None,
        trajectories=experts,
        metadata={"dataset": source.dataset, "config": source.config, "entry": _packed(entry)},
    )


def entry_of(dataset: str, config: str, number: int) -> dict[str, Any]:
    """The data set's item made from ``random.Random(number)``.

    Most data sets make item n from seed + n, whatever their size. Those that list all their items
    are made again with the number as their seed.
    """
    generator = _generator(dataset, config)
    try:
        found: dict[str, Any] = generator[number]
    except IndexError:
        found = type(generator)(replace(generator.config, seed=number))[0]
    return found


def _packed(entry: dict[str, Any]) -> str:
    """The data set's whole entry as text; JSON cannot express every entry."""
    return base64.b64encode(pickle.dumps(entry)).decode("ascii")


@functools.cache
def _generator(dataset: str, config: str) -> Any:
    """The data set with seed 0."""
    try:
        reasoning_gym = importlib.import_module("reasoning_gym")
    except ModuleNotFoundError as error:
        if error.name != "reasoning_gym":
            raise
        raise MissingExtra("reasoning-gym", "reasoning-gym") from None
    known = importlib.import_module("reasoning_gym.factory").DATASETS
    if dataset not in known:
        raise UnknownName("data set of reasoning-gym", dataset, known)
    given = json.loads(config)
    if reserved := sorted({"seed", "size"} & given.keys()):
        raise BadOption(f"config must not set {reserved}: problems are drawn by split and index")
    try:
        return reasoning_gym.create_dataset(dataset, seed=0, size=1, **given)
    except (TypeError, AssertionError, ValueError) as error:
        raise BadOption(f"config of {dataset}: {error}") from error


def _as_text(config: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(config), sort_keys=True)
    except TypeError as error:
        raise BadOption(f"config must be JSON; {error}") from error


def _workers() -> WorkerPool:
    return shared_pool(Path(__file__).with_name("reasoning_gym_worker.py"), "reasoning_gym")
