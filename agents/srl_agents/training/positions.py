"""How many positions go through the network: what ``budget.tokens`` counts.

A position is one token in one pass over a batch. A forward pass counts 1 and a backward pass 2, so
a position that is trained on counts 3, and one that is only scored 1. A prompt that begins another
prompt of the pass is part of it and counts once.

The counts follow from token ids alone. They are the same however a batch is split, however many
processes share it, and whatever engine samples; what an engine caches or repeats does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from srl_agents.nn.score import shared_prefixes
from srl_env.rollout import Episode

SCORED = 1
"""What a position of a forward pass counts."""
TRAINED = 3
"""What a position of a forward and a backward pass counts."""


class Positions:
    """What has gone through the network since the last ``take``: each phase reports it here.

    counts: {phase: positions, times what each counts}.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, phase: str, positions: int, each: int = SCORED) -> None:
        """Counts the positions of one pass. each: ``SCORED`` or ``TRAINED``."""
        self.counts[phase] += each * positions

    def take(self) -> dict[str, int]:
        """The counts of each phase, which begin again at 0."""
        taken, self.counts = dict(self.counts), Counter()
        return taken


def pass_positions(prompts: Sequence[Sequence[int]], completions: Iterable[Sequence[int]]) -> int:
    """The positions of one pass over prompts and their completions."""
    return sum(len(prefix) for prefix, _ in shared_prefixes(prompts)) + sum(map(len, completions))


def sampling_positions(episodes: Iterable[Episode]) -> int:
    """The positions of sampling: all prompts, and all sampled tokens."""
    generations = [step.generation for episode in episodes for step in episode.steps]
    prompts = [generation.prompt_ids for generation in generations]
    return pass_positions(prompts, (generation.token_ids for generation in generations))
