"""A Hugging Face causal language model as a policy: messages in, token-exact samples out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from srl_agents.policies.chat_template import set_arguments
from srl_agents.policies.tokens import PromptEncoder, generate_fitting, stop_ids
from srl_env.errors import Failure
from srl_env.policy import Generation, Sampling
from srl_env.text.format import NamedCall
from srl_env.text.prompt import Messages
from srl_env.text.tool import Tool

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class TransformersPolicy:
    """Any causal language model from a folder, the hub, or memory.

    Trainers may use ``model``, ``tokenizer``, ``decoder`` (differentiable log-probabilities),
    ``generator`` (all randomness of sampling) and ``stop_ids``. Updates of the weights are noticed.
    Call ``weights_changed()`` after other changes, such as adapters switched off.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        device: str | torch.device | None = None,
        autocast: bool = False,
        seed: int = 0,
        rows: int = 1024,
        cache_bytes: int = 256 * 2**20,
    ) -> None:
        """device: where to move the model; None leaves it. autocast: matrix products in bf16.

        seed: of sampling. rows: completions sampled at once. cache_bytes: memory for keys and
        values of earlier prompts, which later prompts with the same beginning reuse.
        """
        from srl_agents.models.loading import find_device
        from srl_agents.nn.sample import Sampler
        from srl_agents.nn.score import make_decoder

        self.model: Any = model if device is None else model.to(find_device(device))
        self.tokenizer, self.autocast = tokenizer, autocast
        self.decoder = make_decoder(self.model)
        causal_lm = self.decoder.causal_lm
        generation_config = getattr(causal_lm, "generation_config", None)
        self._prompts = PromptEncoder(tokenizer)
        self.stop_ids = stop_ids(tokenizer, causal_lm.config, generation_config)
        self.stop_ids.update(self._prompts.ends)
        self.sampler = Sampler(
            self.decoder,
            tokenizer,
            stop_ids=self.stop_ids,
            seed=seed,
            rows=rows,
            cache_bytes=cache_bytes,
            hidden_ids=self._prompts.hidden,
            opening=self._prompts.opening,
            closing=self._prompts.closing,
        )
        self._context = learned_positions(causal_lm)

    @classmethod
    def from_pretrained(
        cls,
        source: str | PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: str = "float32",
        autocast: bool = False,
        seed: int = 0,
        rows: int = 1024,
        cache_bytes: int = 256 * 2**20,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> TransformersPolicy:
        """The policy of a checkpoint: a folder (LoRA adapters alone will do) or a hub name.

        device: None takes CUDA if there is one. dtype: of the parameters ("float32", "bfloat16",
        "float16", or "auto" for the checkpoint's). chat_template_kwargs: arguments of the chat
        template, such as {"enable_thinking": False}; None for those saved with the tokenizer.
        Others: as for the class. Raises BadOption if it cannot be loaded.
        """
        from srl_agents.models.loading import load

        model, tokenizer = load(str(source), device, dtype)
        set_arguments(tokenizer, chat_template_kwargs)
        return cls(
            model, tokenizer, autocast=autocast, seed=seed, rows=rows, cache_bytes=cache_bytes
        )

    @property
    def generator(self) -> torch.Generator:
        """All randomness of sampling; its state can be saved and set."""
        return self.sampler.generator

    @property
    def native_tools(self) -> bool:
        """Whether the chat template takes tools."""
        return self._prompts.tool_use is not None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.decoder.device

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation | Failure]:
        """One sampled generation for each list of messages, in order.

        The text ends with the stop string, if one ended it. Ids and log-probabilities are those
        of all sampled tokens. If the model has a limited number of positions, completions are
        truncated there, and a prompt that fills them returns a PromptRefused. Raises BadOption
        for an empty prompt.
        """
        sampling = self._prompts.native(sampling)
        prompts = self.encode_many(batch, sampling.prefill, sampling.tools, sampling.turns)
        if self._context is None:
            return list(self._sample(prompts, sampling))
        context = self._context

        def sample(fitting: list[int], how: Sampling) -> list[Generation]:
            return self._sample_within(context, [prompts[i] for i in fitting], how)

        return generate_fitting(prompts, context, sampling, sample)

    def _sample_within(
        self, context: int, prompts: list[list[int]], sampling: Sampling
    ) -> list[Generation]:
        """Completions that end where the model's positions end."""
        found: dict[int, Generation] = {}
        rooms = [min(sampling.max_tokens, context - len(prompt)) for prompt in prompts]
        for room in set(rooms):
            rows = [i for i, each in enumerate(rooms) if each == room]
            how = replace(sampling.of(rows), max_tokens=room)
            found.update(zip(rows, self._sample([prompts[i] for i in rows], how), strict=True))
        return [found[i] for i in range(len(prompts))]

    def _sample(self, prompts: list[list[int]], sampling: Sampling) -> list[Generation]:
        with self._precision():
            completions = self.sampler.sample(prompts, sampling)
        return [
            self._prompts.generation(
                prompt,
                completion.token_ids,
                completion.logprobs,
                completion.finish_reason,
                sampling,
                completion.forced,
            )
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    def encode(self, messages: Messages) -> list[int]:
        """The prompt's token ids; see ``PromptEncoder.encode_many``."""
        return self.encode_many([messages])[0]

    def encode_many(
        self,
        batch: Sequence[Messages],
        prefill: str = "",
        tools: tuple[Tool, ...] = (),
        turns: Sequence[Sequence[Sequence[int]]] = (),
    ) -> list[list[int]]:
        """``encode`` for each list of messages, then prefill; see ``PromptEncoder``."""
        return self._prompts.encode_many(batch, prefill, tools, turns)

    def encode_completions(
        self,
        texts: Sequence[str],
        stop: Sequence[str] = (),
        prefill: str = "",
        calls: bool = False,
    ) -> tuple[tuple[int, ...], ...]:
        """Token ids of completions to imitate; see ``PromptEncoder.encode_completions``."""
        return self._prompts.encode_completions(texts, stop, prefill, calls)

    def write_call(self, call: NamedCall, tools: tuple[Tool, ...]) -> str:
        """A call as the chat template writes it, if ``native_tools``."""
        return self._prompts.write_call(call, tools)

    def decode(self, ids: Sequence[int], prefill: str = "", calls: bool = False) -> str:
        """The text of a completion's ids; see ``PromptEncoder.decode``."""
        return self._prompts.decode(ids, prefill, calls)

    def logprobs(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities, mask and entropies of each completion's tokens after its prompt.

        Each (B, longest completion), 0 and False in the padding. Gradients of the
        log-probabilities reach the model's parameters. Equal prompts are computed once.
        """
        from srl_agents.nn.score import Continuation

        prefixes: dict[tuple[int, ...], int] = {}
        continuations = [
            Continuation(prefixes.setdefault(tuple(prompt), len(prefixes)), len(prompt), completion)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        with self._precision():
            return self.decoder.token_logprobs(list(prefixes), continuations, temperature)

    def weights_changed(self) -> None:
        """Forget what was computed with earlier weights."""
        self.sampler.weights_changed()

    def save(
        self, folder: str | PathLike[str], weights: Mapping[str, Tensor] | None = None
    ) -> None:
        """Writes model (only adapters, if there are any) and tokenizer into a folder.

        weights: the model's state dict if its own weights are sharded over processes.
        """
        from srl_agents.models.loading import without_notices

        given = {} if weights is None else {"state_dict": dict(weights)}
        with without_notices():
            self.model.save_pretrained(folder, **given)
            self.tokenizer.save_pretrained(folder)

    def _precision(self) -> torch.autocast:
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)


def learned_positions(model: Any) -> int | None:
    """How many learned positions a model has; None if it has none, and so no limit."""
    from torch import nn

    most = getattr(model.config, "max_position_embeddings", None)
    tables = (
        part
        for part in model.modules()
        if isinstance(part, nn.Embedding) and part is not model.get_input_embeddings()
    )
    found = [table.num_embeddings for table in tables]
    return most if most is not None and any(most <= size <= most + 2 for size in found) else None
