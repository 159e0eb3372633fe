"""``log-likelihood``: how much more likely a thought makes the expert's step.

For step k with context c, the policy's own thought t, and the expert's step y of |y| tokens::

    r_k = (log π(y | c, t) − log π(y | c)) / |y|,  clipped to [−1, 1]

π is the policy that sampled, at its temperature; the second term has no thought. The policy's own
action is not part of it: only its thought is rewarded. A format failure is −1, and after the
expert's last step the reward is 0, as for every measure. A thought that changes nothing is worth 0.

The second term is equal for all members of a group, so it changes no advantage; it makes the reward
readable, and costs one pass for each group. Positions count as "likelihood" in the budget.

Source: Likelihood-Based Reward Designs, arXiv:2602.03979, whose reward is the log-probability of a
whole reference answer after the policy's thought. Steps, the difference, and the clip are ours.
Range: [−1, 1] nats for a token. Blind spots: a thought that copies the step is worth most; a step
in other words is not rewarded; what the policy then does is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from srl_agents.objectives.batch import Batch
from srl_agents.policies.transformers import TransformersPolicy
from srl_env.errors import BadOption
from srl_env.policy import Sampling
from srl_env.problem import ExpertStep
from srl_env.rollout import Episode, Step
from srl_env.text.format import CompletionFormat, NamedCall, ToolFormat
from srl_env.text.tool import Tool

LIMIT = 1.0
ROWS = 64  # of ``model_score``, at once
Ids = tuple[int, ...]
Row = tuple[Ids, Ids, int]
"""A prompt, the tokens of a thought and the expert's step after it, and how many are the thought's.
"""


class Encoder(Protocol):
    """What turns completions into tokens and back; ``TransformersPolicy`` is one."""

    @property
    def native_tools(self) -> bool:
        """Whether its chat template takes tools."""

    def write_call(self, call: NamedCall, tools: tuple[Tool, ...]) -> str:
        """A call as the chat template writes it."""

    def encode_completions(
        self,
        texts: Sequence[str],
        stop: Sequence[str] = (),
        prefill: str = "",
        calls: bool = False,
    ) -> tuple[Ids, ...]:
        """The ids of each completion, as it would be sampled."""

    def decode(self, ids: Sequence[int], prefill: str = "", calls: bool = False) -> str:
        """The text of a completion's ids."""


Score = Callable[[Batch, float], Tensor]
"""Log-probs (B, T) of completions at a temperature, padded with 0."""


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """The measure. format: of completions. score: of the weights that sampled."""

    format: CompletionFormat
    encoder: Encoder
    score: Score

    def rewarded(self, episodes: Sequence[Episode], sampling: Sampling) -> list[Episode]:
        """The episodes, with this measure as the reward of each step."""
        rows, pairs = dict[Row, int](), dict[tuple[int, int], tuple[int, int]]()
        for number, episode in enumerate(episodes):
            how = sampling.for_format(self.format, episode.granularity)
            for place, step in enumerate(episode.steps):
                if step.failure is None and step.format_ok and step.expert_action is not None:
                    thought = self.format.parse(step.generation.text).thought or None
                    both = (self._row(step, how, each) for each in (thought, None))
                    after, before = (rows.setdefault(row, len(rows)) for row in both)
                    pairs[number, place] = after, before
        means = self._means(list(rows), sampling.temperature)
        return [
            replace(
                episode,
                steps=tuple(
                    _rewarded(step, gain(means, pairs.get((number, place))))
                    for place, step in enumerate(episode.steps)
                ),
            )
            for number, episode in enumerate(episodes)
        ]

    def _row(self, step: Step, how: Sampling, thought: str | None) -> Row:
        """The expert's step after the prompt and a thought."""
        action, native = step.expert_action or "", False
        if self.encoder.native_tools and isinstance(self.format, ToolFormat) and self.format.native:
            call = self.format.call_of(action)
            native = call is not None
            action = action if call is None else self.encoder.write_call(call, self.format.tools)
        text = self.format.render(ExpertStep(action, thought=thought))
        at = text.rfind(action)
        if at < 0:
            raise BadOption(
                "measure 'log-likelihood' needs a format that writes an action as it is; got "
                f"{type(self.format).__name__}. Fix: choose another measure"
            )
        (ids,) = self.encoder.encode_completions([text], how.stop, how.prefill, native)
        split = self._tokens_before(ids, len(text) - at, how.prefill)
        return step.generation.prompt_ids, ids, split

    def _tokens_before(self, ids: Ids, characters: int, prefill: str) -> int:
        """How many tokens come before the last characters; one that has some of them does not."""
        before = len(self.encoder.decode(ids, prefill, calls=True)) - characters
        low, high = 0, len(ids) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if len(self.encoder.decode(ids[:middle], prefill, calls=True)) <= before:
                low = middle
            else:
                high = middle - 1
        return low

    def _means(self, rows: Sequence[Row], temperature: float) -> list[float]:
        """The mean log-prob of a token of the expert's step in each row."""
        if not rows:
            return []
        prompts, written, splits = zip(*rows, strict=True)
        nothing = torch.zeros(len(rows), dtype=torch.float64)
        found = self.score(Batch(prompts, written, nothing, nothing), temperature).double().cpu()
        return [
            float(row[split : len(ids)].mean())
            for row, ids, split in zip(found, written, splits, strict=True)
        ]


def model_score(policy: TransformersPolicy) -> Score:
    """Scores by a policy's own weights, without gradient."""

    def score(batch: Batch, temperature: float) -> Tensor:
        found = torch.zeros(len(batch.completions), max(map(len, batch.completions)))
        for first in range(0, len(found), ROWS):
            rows = slice(first, first + ROWS)
            with torch.no_grad():
                prompts, written = batch.prompts[rows], batch.completions[rows]
                part = policy.logprobs(prompts, written, temperature)[0]
            found[rows, : part.shape[1]] = part.float().cpu()
        return found

    return score


def gain(means: Sequence[float], pair: tuple[int, int] | None) -> float | None:
    """The measure of a step from the mean log-probs with and without its thought, clipped."""
    if pair is None:
        return None
    after, before = pair
    return max(-LIMIT, min(LIMIT, means[after] - means[before]))


def _rewarded(step: Step, value: float | None) -> Step:
    """The step with its new reward; a step that is not measured keeps its own."""
    if value is None:
        return step
    return replace(step, reward=value, reward_parts={**step.reward_parts, "log-likelihood": value})
