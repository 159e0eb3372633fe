"""The interface of a policy: a batch of prompts in, a batch of generations out.

The policies themselves are in ``srl_agents.policies``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from srl_env.errors import Failure
from srl_env.text.stops import ended_early

if TYPE_CHECKING:
    from srl_env.text.format import CompletionFormat
    from srl_env.text.prompt import Messages
    from srl_env.text.tool import Tool


FinishReason = Literal["stop", "length"]
TOKEN_FIELDS = ("token_ids", "logprobs", "prompt_ids")


@dataclass(frozen=True, slots=True)
class Generation:
    """One completion, token-exact: training uses these ids, never a re-encoding of the text.

    token_ids: the N sampled ids, with the stop token if one was sampled. Empty if a server returns
    only text; such a completion can be evaluated but not trained on.
    logprobs: the log-probability of each id at the sampling temperature; empty if unknown.
    prompt_ids: the ids of the prompt; empty for policies without tokens.
    finish_reason: "stop" (stop token or stop string) or "length" (truncated at the token limit).
    forced: [start, end) in token_ids of ids that were written for the policy, which ended its
    thought (``Sampling.max_thinking_tokens``). They are context: not sampled, with log-probs of 0.
    version: of the weights that sampled it, the oldest if they changed meanwhile, in updates of a
    training that samples ahead; None elsewhere.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    finish_reason: FinishReason = "stop"
    forced: tuple[int, int] = (0, 0)
    version: int | None = None

    @property
    def length(self) -> int:
        """How many tokens were sampled."""
        return len(self.token_ids) - (self.forced[1] - self.forced[0])

    @property
    def parts(self) -> list[Generation]:
        """What was sampled in one go: before and after the forced ids; itself if there are none.

        Each part's prompt has all that came before it.
        """
        begin, end = self.forced
        if begin == end:
            return [self]
        ids = (slice(0, begin), slice(end, None))
        parts = [
            replace(
                self,
                token_ids=self.token_ids[each],
                logprobs=self.logprobs[each],
                prompt_ids=self.prompt_ids + self.token_ids[: each.start],
                forced=(0, 0),
            )
            for each in ids
        ]
        return [part for part in parts if part.token_ids]

    def to_json(self) -> dict[str, Any]:
        """The generation as JSON-safe data; not by ``asdict``, which copies every id separately."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        row["forced"] = list(self.forced)
        if not any(self.forced):
            del row["forced"]
        if self.version is None:
            del row["version"]
        return row | {name: list(row[name]) for name in TOKEN_FIELDS}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Generation:
        """The generation that ``to_json`` wrote, also after JSON text."""
        given = (*TOKEN_FIELDS, *({"forced"} & row.keys()))
        return cls(**{**row, **{name: tuple(row[name]) for name in given}})


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample. temperature 0 is greedy. Stop strings stay in the text that they end.

    ``srl_env.text.stops`` says where they count.

    seeds: one for each prompt of the batch, in order. Then a prompt's samples depend on its seed
    alone, whatever else is in the batch. () leaves the seeds to the policy.
    thoughts: whether a thought may come first, in which stop strings do not count. Engines that
    would end it there do not get the strings (``engine_stop``), and the completion is cut after.
    prefill: the beginning of every completion, written for the policy: part of the prompt's tokens,
    and of the completion's text.
    max_thinking_tokens: a thought between think tags that is still open after so many tokens is
    closed: the closing tag is written for the policy (``Generation.forced``). None for no limit.
    tools: the tools of prompts in native form, () for prompts as text. Then a call comes back as
    JSON between <tool_call> tags in the text, whatever the model's chat template writes.
    turns: for each prompt, the ids of its last assistant messages as they were sampled, oldest
    first. A policy with tokens repeats them, so that a history grows by ids and is not rendered
    again. () renders all messages.
    """

    temperature: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    thoughts: bool = False
    prefill: str = ""
    max_thinking_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    turns: tuple[tuple[tuple[int, ...], ...], ...] = ()

    @property
    def engine_stop(self) -> list[str]:
        """The stop strings for an engine that ends a completion at the first of them.

        It samples what may have ``ended_early`` once more, with the same seed and ``thoughts``.
        """
        return [] if self.thoughts else [string for string in self.stop if string]

    def ended_early(self, made: Generation) -> bool:
        """Whether ``engine_stop`` may have ended a completion where no stop string counts."""
        return made.finish_reason == "stop" and ended_early(made.text, self.engine_stop)

    def for_format(
        self, format: CompletionFormat, granularity: str, native: bool = False
    ) -> Sampling:
        """The same with the format's prefill and limit of thinking, and with its stop strings if it
        has none and an action is one step.

        native: whether the format's tools are native. Then the policy knows where a call ends.
        """
        filled = replace(
            self,
            prefill=self.prefill or getattr(format, "prefill", ""),
            max_thinking_tokens=self.max_thinking_tokens
            or getattr(format, "max_thinking_tokens", None),
        )
        if native:
            return replace(filled, tools=getattr(format, "tools", ()), thoughts=True)
        if self.stop or granularity != "step" or not format.stop:
            return filled
        thoughts = bool(getattr(format, "thoughts", False))
        return replace(filled, stop=tuple(format.stop), thoughts=thoughts)

    def of(self, rows: Sequence[int]) -> Sampling:
        """The same for some of the rows, with their seeds and turns."""
        seeds = tuple(self.seeds[row] for row in rows if self.seeds)
        turns = tuple(self.turns[row] for row in rows if self.turns)
        return replace(self, seeds=seeds, turns=turns)


@runtime_checkable
class Policy(Protocol):
    """Anything that writes the next step for a list of messages.

    A policy that takes tools in native form (``Sampling.tools``) has an attribute ``native_tools``
    that is true.
    """

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        """One generation for each list of messages, in order.

        A ``Failure`` that is returned instead of a generation ends only that episode.
        """
