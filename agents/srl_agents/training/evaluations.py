"""Evaluations during a run: scores on held-out problems, the best model, early stopping.

The budget does not count them, and they have their own random stream, so the run is the same, to
the bit, with and without them. What was measured is part of the run's ``Position``, and thereby of
its checkpoints: a resumed run evaluates after the same updates, and keeps the same best model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from srl_agents.evaluation.evaluator import evaluate
from srl_agents.evaluation.plan import split_maker
from srl_agents.evaluation.scoring import EvalResult
from srl_agents.objectives.metrics import Metrics
from srl_agents.parallel.team import Team
from srl_agents.policies.named import trained_decoding
from srl_agents.runs.config import RunConfig
from srl_agents.training.log import RunLog
from srl_agents.training.stage_clock import Evaluated, Position
from srl_env.errors import BadOption
from srl_env.rollout import AnyPolicy

BEST = "best"
"""The run's folder for the model with the best score."""


class Evaluations:
    """The evaluations that a run's configuration asks for; without any, none is ever due."""

    def __init__(self, config: RunConfig, team: Team) -> None:
        self._config, self._team = config, team
        self._settings = config.evaluation and config.evaluation.filled(
            **trained_decoding([config])
        )

    def due(self, position: Position, ended: bool = False) -> bool:
        """Whether to evaluate now. The first is due before any update, the last at the run's end.

        ended: whether the run has.
        """
        if self._settings is None:
            return False
        if not position.evaluations:
            return True
        usage, last = position.usage, position.evaluations[-1]
        now = self._settings.intervals(usage.updates, usage.seconds)
        passed = now > self._settings.intervals(last.update, last.seconds)
        return usage.updates > last.update and (ended or passed)

    def run(self, policy: AnyPolicy, position: Position, stage: str, log: RunLog) -> bool:
        """Evaluates, and logs the scores. Whether the model is better than all before.

        Each process of a team runs all of it; the main one's scores count. Raises BadOption if
        the environment has no such score.
        """
        settings = self._settings
        assert settings is not None, "it is not due without settings"
        results = {
            # A clock that stands still: how many episodes run together must not depend on speed.
            name: evaluate(
                policy,
                split_maker(env.id, env.options, settings.split),
                settings,
                clock=lambda: 0.0,
            )
            for name, env in self._config.environments.items()
        }
        numbers = self._team.broadcast(_of_all(results))
        if f"eval/{settings.metric}" not in numbers and not numbers["eval/failures"]:
            scores = dict.fromkeys(name for result in results.values() for name in result.scores)
            raise BadOption(
                f"evaluation.metric must be a score that {self._names} has ({', '.join(scores)});"
                f" got {settings.metric!r}"
            )
        score, usage = numbers.get(f"eval/{settings.metric}"), position.usage
        before = _scores(position.evaluations)
        position.evaluations.append(Evaluated(usage.updates, usage.seconds, score))
        is_best = score is not None and score > max(before, default=-1.0)
        failures = sum((Counter(result.failures) for result in results.values()), Counter[str]())
        said = f"every episode failed: {dict(failures)}"
        if score is not None:
            sources = " and ".join(result.source for result in results.values())
            said = f"{settings.metric} is {score:.4f} on {sources}"
            said += ", the best so far" if is_best else f"; the best is {max(before):.4f}"
        log.event(usage.updates, stage, "evaluation", said, numbers)
        return is_best

    @property
    def _names(self) -> str:
        return " and ".join(env.id for env in self._config.environments.values())

    def stage_end_reason(self, position: Position) -> str | None:
        """Why the current stage ends early, as a sentence; None while it continues."""
        if self._settings is None or self._settings.patience is None:
            return None
        begin, patience = position.usage_at_stage_start.updates, self._settings.patience
        scores = _scores([each for each in position.evaluations if each.update >= begin])
        if not scores or len(scores) - 1 - scores.index(max(scores)) < patience:
            return None
        return (
            f"{patience} evaluation{'s' * (patience > 1)} without a better"
            f" {self._settings.metric} than {max(scores):.4f}"
        )

    def best(self, position: Position) -> Path | None:
        """The folder of the best model; None before the first score."""
        return Path(self._config.out) / BEST if _scores(position.evaluations) else None


def _of_all(results: Mapping[str, EvalResult]) -> Metrics:
    """The numbers of all environments: each one's with its name, and their mean.

    Failures and faults are added up. Of a single environment, its numbers.
    """
    single = {name: _numbers(result) for name, result in results.items()}
    if "" in single:
        return single[""]
    found = {f"{key}/{name}": n for name, own in single.items() for key, n in own.items()}
    for key in dict.fromkeys(key for own in single.values() for key in own):
        values = [own[key] for own in single.values() if key in own]
        counted = key in ("eval/failures", "eval/policy_faults")
        found[key] = sum(values) if counted else sum(values) / len(values)
    return found


def _numbers(result: EvalResult) -> Metrics:
    """The means over the problems, named as in the log."""
    means = {f"eval/{name}": each.value for name, each in result.estimates().items()}
    failures = float(sum(result.failures.values()))
    return means | {"eval/failures": failures, "eval/policy_faults": float(result.policy_faults)}


def _scores(evaluations: Sequence[Evaluated]) -> list[float]:
    return [each.score for each in evaluations if each.score is not None]
