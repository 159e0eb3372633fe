"""Any reasoning environment as "choose the next step among k candidates"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from numpy.typing import NDArray

from srl_agents.integrations.sb3.encoding import Encoder, Floats, HashedNgrams
from srl_agents.integrations.sb3.proposals import ExpertAmongOthers, Proposer
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption, Failure
from srl_env.seeding import derive_seed, stream
from srl_env.text.format import CompletionFormat
from srl_env.text.prompt import Messages

Observation: TypeAlias = dict[str, Floats]
RESETS = 5
OWN_COLUMNS = 2


class CandidateSteps(
    gymnasium.Wrapper[Observation, np.int64, str, str], gymnasium.utils.RecordConstructorArgs
):
    """A reasoning environment whose action is the number of a candidate step.

    **Observation.** A dictionary of float32 vectors. "state" (s,): the prompt without its system
    text. "candidates" (k·c,): row by row, the encoder's numbers, the fraction of the proposals
    with the same action, and whether the format is kept. "mask" (k,): 1 for a candidate.
    **Action.** 0 … k−1. A number without a candidate is an empty completion, which breaks every
    format; ``action_masks()`` shows where candidates are. **Reward, episode end, options.** Those
    of the environment. **Info.** The environment's, and "candidates": the completions, in order.

    **Candidates.** They come from the proposer. Equal actions are one candidate. The order is
    drawn again at each step. Equal seeds and actions give equal candidates if the proposer
    depends only on its generator, as ``ExpertAmongOthers`` does.

    **Failures.** A reward of NaN would destroy every network trained on it, and agents with a
    fixed batch cannot drop a step. A failed step therefore gets reward 0, repeats the last
    observation and truncates the episode. stable-baselines3 then uses its own estimate of the
    remaining return. ``info["failure"]`` reports the failure and ``failures`` counts it by type.
    A failed reset tries the next episode, 5 times, and is then raised.
    """

    def __init__(
        self,
        env: gymnasium.Env[str, str],
        k: int = 4,
        *,
        proposer: Proposer | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        """proposer: None for ``ExpertAmongOthers()``. encoder: None for ``HashedNgrams()``."""
        if not isinstance(env.unwrapped, ReasoningEnv):
            raise BadOption(f"CandidateSteps wraps a ReasoningEnv; got {env.unwrapped}")
        if proposer is not None and not isinstance(proposer, Proposer):
            raise BadOption(
                f"proposer must have propose(), such as ExpertAmongOthers(); got {proposer!r}"
            )
        gymnasium.utils.RecordConstructorArgs.__init__(
            self, k=k, proposer=proposer, encoder=encoder, _disable_deepcopy=True
        )
        super().__init__(env)  # type: ignore[arg-type]
        self.base: ReasoningEnv = env.unwrapped
        self.proposer, self.view = proposer or ExpertAmongOthers(), CandidateView(k, encoder)
        self.observation_space = self.view.space  # type: ignore[assignment]
        self.action_space = Discrete(k)
        self.failures: Counter[str] = Counter()
        self._seed, self._episode = derive_seed("candidates"), 0
        self._rng = stream("candidates", self._seed, self._episode)
        self._candidates: list[Candidate] = []
        self._observation: Observation = {}

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode; as ``ReasoningEnv.reset``."""
        for attempt in range(RESETS):
            given = seed if attempt == 0 else None
            try:
                _, info = self.env.reset(seed=given, options=options)  # type: ignore[arg-type]
                self._seed_candidates(given)
                return self._observe(info, last=False)
            except Failure as failure:
                self.failures[type(failure).__name__] += 1
                last = failure
        raise last

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Takes the candidate of that number."""
        place = int(action)
        text = self._candidates[place].text if 0 <= place < len(self._candidates) else ""
        _, reward, terminated, truncated, info = self.env.step(text)  # type: ignore[arg-type]
        if "failure" in info:
            return self._failed(info)
        try:
            observation, info = self._observe(info, last=terminated)
        except Failure as failure:
            named = {"type": type(failure).__name__, "message": str(failure)}
            return self._failed({**info, "failure": named})
        return observation, float(reward), terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """(k,): where there is a candidate; MaskablePPO calls it."""
        return np.arange(self.view.k) < len(self._candidates)

    def _seed_candidates(self, seed: int | None) -> None:
        self._seed, self._episode = (self._seed, self._episode + 1) if seed is None else (seed, 0)
        self._rng = stream("candidates", self._seed, self._episode)

    def _observe(self, info: dict[str, Any], last: bool) -> tuple[Observation, dict[str, Any]]:
        """The current observation and info; a last step has no candidates."""
        messages = info["messages"]
        texts = [] if last else self.proposer.propose(self.base, messages, self.view.k, self._rng)
        found = distinct(texts, self.base.format)
        self._rng.shuffle(found)
        self._candidates = found[: self.view.k]
        self._observation = self.view.observe(messages, self._candidates)
        return self._observation, {**info, "candidates": [c.text for c in self._candidates]}

    def _failed(
        self, info: dict[str, Any]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self.failures[info["failure"]["type"]] += 1
        return self._observation, 0.0, False, True, {**info, "candidates": []}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A completion. fraction: of all proposals, those with its action; place: of the first."""

    text: str
    action: str
    ok: bool
    fraction: float
    place: int


def distinct(completions: Sequence[str], format: CompletionFormat) -> list[Candidate]:
    """The completions with different actions, in order; of equal actions the first."""
    steps = [format.parse(text) for text in completions]
    counts = Counter(step.action for step in steps)
    found: dict[str, Candidate] = {}
    for place, (text, step) in enumerate(zip(completions, steps, strict=True)):
        fraction = counts[step.action] / len(steps)
        found.setdefault(step.action, Candidate(text, step.action, step.ok, fraction, place))
    return list(found.values())


class CandidateView:
    """Turns a prompt and its candidates into an observation, the same in training and in use."""

    def __init__(self, k: int, encoder: Encoder | None = None) -> None:
        """k: the largest number of candidates."""
        if not isinstance(k, int | np.integer) or k < 2:
            raise BadOption(f"k must be a whole number of at least 2 candidates; got {k!r}")
        self.k, self.encoder = k, encoder or HashedNgrams()
        state_size, candidate_size = self.encoder.sizes
        self.columns = candidate_size + OWN_COLUMNS
        sizes = {"candidates": k * self.columns, "state": state_size}
        spaces: dict[str, gymnasium.Space[Any]] = {
            name: Box(-1.0, 1.0, (size,), np.float32) for name, size in sizes.items()
        }
        self.space = Dict({**spaces, "mask": Box(0.0, 1.0, (k,), np.float32)})

    def observe(self, messages: Messages, candidates: Sequence[Candidate]) -> Observation:
        """The vectors for a prompt and at most k candidates."""
        prompt = "\n".join(m["content"] for m in messages if m["role"] != "system")
        state, rows = self.encoder.encode(prompt, [c.action for c in candidates])
        table = np.zeros((self.k, self.columns), np.float32)
        table[: len(candidates), :-OWN_COLUMNS] = rows
        for row, candidate in zip(table, candidates, strict=False):
            row[-OWN_COLUMNS:] = candidate.fraction, candidate.ok
        return {
            "candidates": np.clip(table.ravel(), -1.0, 1.0),
            "mask": (np.arange(self.k) < len(candidates)).astype(np.float32),
            "state": np.clip(np.asarray(state, np.float32), -1.0, 1.0),
        }
