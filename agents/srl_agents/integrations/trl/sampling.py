"""The trainer's model as a policy: sampled by TRL, or by our own sampler.

TRL's generation uses all of its settings (vLLM, top_p, sharded models). It has no stop strings per
step, so the tokens after one are dropped. Our own sampler is several times faster on one device and
stops at the end of a step, but its only setting is the temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from srl_agents.policies.tokens import PromptEncoder, make_generation, stop_ids, tokens_to_stop
from srl_env.errors import BadOption, Failure
from srl_env.policy import FinishReason, Generation, Sampling
from srl_env.seeding import derive_seed
from srl_env.text.prompt import Messages

Sampler = Literal["trl", "own"]


class TrainerPolicy(Protocol):
    """A policy over a trainer's model that can also encode prompts."""

    def generate(
        self, batch: Sequence[Messages], sampling: Sampling
    ) -> Sequence[Generation | Failure]:
        """One sampled generation for each list of messages, in order."""
        ...

    def encode(self, messages: Messages) -> list[int]:
        """The prompt's token ids."""
        ...


def trainer_policy(trainer: Any, sampler: Sampler) -> TrainerPolicy:
    """The policy of a ``GRPOTrainer``; BadOption for settings that the sampler cannot use."""
    if sampler == "trl":
        return TRLSampler(trainer)
    _check_own(trainer)
    from srl_agents.policies.transformers import TransformersPolicy

    return TransformersPolicy(
        trainer.accelerator.unwrap_model(trainer.model),
        trainer.processing_class,
        seed=derive_seed("trl", trainer.args.seed, trainer.accelerator.process_index),
    )


class TRLSampler:
    """TRL's generation with TRL's settings; ``Sampling`` only gives the stop strings."""

    def __init__(self, trainer: Any) -> None:
        """trainer: a ``GRPOTrainer``."""
        self._trainer, self._tokenizer = trainer, trainer.processing_class
        self._plain = PromptEncoder(self._tokenizer)
        config = getattr(trainer.model, "generation_config", None)
        self._ends = stop_ids(self._tokenizer, config)

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        """One generation for each list of messages; with log-probabilities if vLLM samples."""
        prompts = [self.encode(messages) for messages in batch]
        sampled, logprobs = self._trainer._generate_single_turn(prompts, None, {}, 1)
        known = logprobs or [[] for _ in prompts]
        return [
            self._generation(prompt, ids, row, sampling.stop)
            for prompt, ids, row in zip(prompts, sampled, known, strict=True)
        ]

    def encode(self, messages: Messages) -> list[int]:
        """The prompt's token ids, with TRL's settings for the chat template."""
        if getattr(self._tokenizer, "chat_template", None) is None:
            return self._plain.encode_many([messages])[0]
        ids, _, _ = self._trainer._tokenize_prompts([list(messages)])
        return list(ids[0])

    def _generation(
        self, prompt: list[int], ids: Sequence[int], logprobs: Sequence[float], stop: Sequence[str]
    ) -> Generation:
        kept = tokens_to_stop(ids, stop, self._decode)
        stopped = kept < len(ids) or ids[-1] in self._ends or self._ends_with(ids, stop)
        reason: FinishReason = "stop" if stopped else "length"
        chosen = tuple(int(token) for token in ids[:kept])
        text = self._decode(chosen)
        return make_generation(text, prompt, chosen, tuple(logprobs[:kept]), reason, stop)

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _ends_with(self, ids: Sequence[int], stop: Sequence[str]) -> bool:
        return bool(stop) and self._decode(ids).endswith(tuple(stop))


def _check_own(trainer: Any) -> None:
    """Raises BadOption for settings of TRL that our own sampler does not have."""
    found = {
        "use_vllm": trainer.use_vllm,
        "use_transformers_continuous_batching": trainer.use_transformers_continuous_batching,
        "top_p": trainer.top_p != 1.0,
        "top_k": trainer.top_k not in (0, -1, None),
        "min_p": trainer.min_p is not None,
        "repetition_penalty": trainer.repetition_penalty != 1.0,
        "generation_kwargs": bool(trainer.args.generation_kwargs),
        "chat_template_kwargs": bool(trainer.chat_template_kwargs),
        "a model in shards": trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled,
    }
    if given := [name for name, there in found.items() if there]:
        raise BadOption(
            f"sampler='own' has no settings but the temperature; the trainer has "
            f"{', '.join(given)}. Fix: sampler='trl'"
        )
