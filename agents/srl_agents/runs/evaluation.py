"""The settings of ``evaluate``, of ``srl-env eval`` and of the section ``[evaluation]``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from srl_agents.runs.section import Section

Count = Annotated[int, Field(ge=1)]


class EvalSettings(Section):
    """The settings of an evaluation.

    problems: Number of problems, drawn without replacement; all if there are fewer.
    rollouts: Rollouts of each problem at ``temperature``.
    ks: Values of k for pass@k. By default 1, 2, 4 … up to the rollouts.
    temperature: Sampling temperature, above 0; ``greedy`` adds rollouts at 0.
    greedy: Also run one greedy rollout of each problem.
    similarity: Also compare each next step with the expert's, greedily and sampled, after the
    expert's own previous steps.
    max_tokens: Maximum tokens of a completion. By default as in training, else 256.
    max_steps: Maximum steps of a rollout. By default the environment's.
    granularity: Size of an action. By default as in training, else the environment's.
    seed: Random seed; also chooses the problems.
    at_once: Maximum number of episodes that the policy sees together; a slow policy sees fewer.
    parallel: Number of threads that each show the policy ``at_once`` episodes, for a model on a
    server.
    """

    problems: Count = 100
    rollouts: Count = 8
    ks: Annotated[tuple[Count, ...], Field(validate_default=True)] = ()
    temperature: Annotated[float, Field(gt=0)] = 1.0
    greedy: bool = True
    similarity: bool = False
    max_tokens: Count | None = None
    max_steps: Count | None = None
    granularity: Literal["step", "solution"] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    at_once: Count = 512
    parallel: Count = 1

    @field_validator("ks")
    @classmethod
    def _at_most_the_rollouts(cls, ks: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        rollouts = info.data.get("rollouts", max(ks, default=1))  # absent where it is wrong itself
        if max(ks, default=1) > rollouts:
            raise ValueError(f"pass@k needs k of at most rollouts, {rollouts}; got {list(ks)}")
        return tuple(sorted({1, *(ks or (1 << i for i in range(rollouts.bit_length())))}))

    def filled(self, **values: Any) -> Self:
        """The settings with these values for those that are None."""
        unset = {name: value for name, value in values.items() if getattr(self, name) is None}
        return self.model_copy(update=unset)


class EvaluationConfig(EvalSettings):
    """The evaluation of a policy on a split. Problems that it was trained on are refused.

    split: Split of the problems.
    """

    split: str = "test"


class TrainingEvaluationConfig(EvaluationConfig):
    """The evaluations during a training, which its budget does not count.

    every: Updates between two evaluations; or ``every_s``.
    every_s: Seconds of training between two evaluations.
    metric: Score that chooses the best model: pass@k, greedy, similarity, sampled_similarity,
    format, legal or legal_and_correct.
    patience: A stage ends after this many evaluations in a row without a new best of the stage;
    None never ends it.
    """

    split: str = "dev"
    problems: Count = 48
    rollouts: Count = 2
    greedy: bool = False
    every: Count | None = None
    every_s: Annotated[float, Field(gt=0)] | None = None
    metric: str = "pass@1"
    patience: Count | None = None

    @model_validator(mode="after")
    def _one_interval_and_a_measured_metric(self) -> Self:
        if (self.every is None) == (self.every_s is None):
            raise ValueError(
                "give exactly one of every (updates) and every_s (seconds); got"
                f" {'neither' if self.every is None else 'both'}"
            )
        measured = [f"pass@{k}" for k in self.ks] + ["greedy"] * self.greedy
        measured += ["similarity", "sampled_similarity"] * self.similarity
        measured += ["format", "legal", "legal_and_correct"]
        if self.metric not in measured:
            raise ValueError(
                f"metric must be a score that these settings measure, {', '.join(measured)}; got"
                f" {self.metric!r}. Fix: set rollouts, greedy or similarity so that it is measured"
            )
        return self

    def intervals(self, updates: int, seconds: float) -> int:
        """How many whole intervals have passed after so much training."""
        return updates // self.every if self.every else int(seconds // (self.every_s or 1.0))
