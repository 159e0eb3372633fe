"""Teaching the form of a completion, before anything is rewarded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from srl_agents.objectives.base import Scores
from srl_agents.objectives.choices import Aggregation
from srl_agents.objectives.groups import Signal
from srl_agents.objectives.metrics import Metrics
from srl_agents.objectives.requests import Collected, Source
from srl_agents.objectives.sampled import Sampled
from srl_agents.objectives.summary import change
from srl_env.rollout import Episode, Step
from srl_env.text.format import CLOSE, OPEN

if TYPE_CHECKING:
    from torch import Tensor

    from srl_agents.objectives.batch import TrainingBatches

Sample = tuple[Episode, Step]


@dataclass(frozen=True, slots=True)
class Form(Sampled):
    """Likelihood of completions that keep the environment's format.

    Of each start, the first sample that keeps the format and was not truncated is imitated, unless
    its thought is empty and there are examples. Its score, for ``until.reward``, is the fraction of
    samples that keep the format.
    examples: where no sample of a start keeps it, the expert's step is imitated, written in the
    format. If the format asks for a thought and none is recorded, the policy's own sample becomes
    the thought.
    group_size: samples of a start. aggregation: how tokens are averaged: "token" or "sequence".
    The others are as in ``GRPO``. That samples come first and examples second is ours.
    """

    kind: str = "form"
    examples: bool = True
    reward_mode: str = "srl"
    max_steps: Annotated[int | None, Ge(1)] = 1
    group_size: Annotated[int, Ge(2)] = 2
    max_groups: Annotated[float, Ge(1)] = 1.0
    aggregation: Aggregation = "token"

    compares = False

    def collect(self, source: Source, refill: bool = True) -> Collected:
        """Samples, and examples for the starts that need one.

        A group that gives a completion to imitate counts as one with a signal.
        """
        found = Sampled.collect(self, source, refill=False)
        kept, missing = self._imitated(found)
        if self.examples and missing:
            found.demonstrations = source.examples(missing, self.max_tokens // 2)
            kept = kept + [pair for pair in missing if pair[1].expert_action is not None]
        taught = {episode.group for episode, _ in kept}
        found.groups = [replace(group, imitated=group.start in taught) for group in found.groups]
        return found

    def signals(self, collected: Collected) -> dict[tuple[int, int], Signal]:
        """Those of the samples that are imitated."""
        kept = {id(step) for _, step in self._imitated(collected)[0]}
        found = Sampled.signals(self, collected)
        steps = {(n, s.index): s for n, e in enumerate(collected.episodes) for s in e.steps}
        return {place: signal for place, signal in found.items() if id(steps[place]) in kept}

    def training_batches(
        self, collected: Collected, batch: int, max_steps: int
    ) -> TrainingBatches | None:
        """One completion for each start, in one step; ``partial`` steps for fewer."""
        import torch

        from srl_agents.objectives.batch import Batch, TrainingBatches
        from srl_agents.objectives.loss import completion_weights

        samples, _ = self._imitated(collected)
        pairs = [(s.generation.prompt_ids, s.generation.token_ids) for _, s in samples]
        if (written := collected.demonstrations) is not None:
            pairs += zip(written.prompts, written.completions, strict=True)
        if not pairs:
            return None
        prompts, completions = zip(*pairs, strict=True)
        lengths = torch.tensor([len(ids) for ids in completions])
        weights = completion_weights(lengths, torch.arange(len(pairs)), self.aggregation)
        made = Batch(prompts, completions, torch.ones(len(pairs)), weights)
        return TrainingBatches((made,), min(1.0, len(pairs) / batch))

    def advantages(self, rewards: Tensor, groups: Tensor) -> Tensor:
        """1 for every completion: nothing is compared."""
        return rewards.new_ones(len(rewards))

    def loss_terms(self, scores: Scores) -> Iterator[Tensor]:
        """−log p of each token."""
        yield -scores.logprobs

    def needs_old_logprobs(self, steps: int) -> bool:
        """No ratio is formed."""
        return False

    def score(self, metrics: Metrics) -> float:
        """The fraction of samples that keep the format."""
        return metrics.get("format_fraction", 0.0)

    @property
    def highest_score(self) -> float:
        """All of them."""
        return 1.0

    def summary(self, updates: Sequence[Metrics]) -> str:
        """How the fraction of samples in the format changed."""
        values = [update["format_fraction"] for update in updates if "format_fraction" in update]
        return change("the fraction of samples in the format", values)

    def why_untrained(self, updates: Sequence[Metrics], form: str) -> str:
        """No sample kept the format, and no example was there."""
        asked = f" It asks for: {form}" if form else ""
        return (
            "No sample kept the format, and there were no examples. Use problems with expert"
            f" steps and objective.examples = true, or another format.{asked}"
        )

    def start_problems(self, at: str) -> Iterator[str]:
        """Examples are expert steps."""
        yield from ()

    def _imitated(self, collected: Collected) -> tuple[list[Sample], list[Sample]]:
        """(the sample to imitate of each start that has one, a sample of each of the others)."""
        starts: dict[int, list[Sample]] = {}
        for episode in collected.episodes:
            if episode.failure is None and episode.steps:
                starts.setdefault(episode.group, []).extend((episode, s) for s in episode.steps)
        kept, missing = list[Sample](), list[Sample]()
        for samples in starts.values():
            good = [pair for pair in samples if _keeps(pair[1]) and not self._replaced(pair[1])]
            (kept if good else missing).append((good or samples)[0])
        return kept, missing

    def _replaced(self, step: Step) -> bool:
        """Whether a sample has an empty thought, and there is an example to take its place.

        Where empty thoughts are imitated, they are soon all that is left.
        """
        if not self.examples or step.expert_action is None:
            return False
        thought, closed, _ = step.generation.text.partition(OPEN)[2].partition(CLOSE)
        return bool(closed) and not thought.strip()

    def __str__(self) -> str:
        return "likelihood of completions in the format"


def _keeps(step: Step) -> bool:
    made = step.generation
    return step.format_ok and made.finish_reason == "stop" and bool(made.token_ids)
