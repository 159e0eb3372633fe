"""What a policy is: a batch of prompts in, a batch of generations out.

The core only needs this shape; the policies themselves are in ``srl_agents.policies``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from srl_env.errors import Failure

if TYPE_CHECKING:
    from srl_env.text.prompt import Messages


FinishReason = Literal["stop", "length"]
TOKEN_FIELDS = ("token_ids", "logprobs", "prompt_ids")


@dataclass(frozen=True, slots=True)
class Generation:
    """One completion, token-exact: these ids are what is trained on, never a re-encoding.

    token_ids: the sampled ids, stop token included where one was sampled (N); empty where a
    server gives text alone, which can be evaluated and not trained on.
    logprobs: log-probability of each at the sampling temperature; empty where unknown.
    prompt_ids: the ids the completion was sampled after; empty for policies without tokens.
    finish_reason: "stop" (stop token or stop string), "length" (cut at the token limit).
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    finish_reason: FinishReason = "stop"

    def to_json(self) -> dict[str, Any]:
        """The generation as JSON-safe data; not by ``asdict``, which copies every id by itself."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return row | {name: list(row[name]) for name in TOKEN_FIELDS}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Generation:
        """The generation that ``to_json`` wrote, also after a way through JSON text."""
        return cls(**{**row, **{name: tuple(row[name]) for name in TOKEN_FIELDS}})


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample: temperature 0 is greedy; stop strings stay in the text they end.

    seeds: one for each prompt of the batch, in order. What is drawn for a prompt then depends on
    its seed alone, whatever else is in the batch. () leaves all of it to the policy.
    """

    temperature: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def of(self, rows: Sequence[int]) -> Sampling:
        """The same for some of the rows, each with its own seed."""
        return replace(self, seeds=tuple(self.seeds[row] for row in rows if self.seeds))


@runtime_checkable
class Policy(Protocol):
    """Anything that writes the next step when shown the messages."""

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        """One generation for each list of messages, in order.

        A ``Failure`` in its place, returned and not raised, ends that episode alone.
        """
        ...
