"""A Hugging Face causal language model as a policy: messages in, token-exact samples out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from srl_agents.decoder import Branch, make_decoder
from srl_agents.policies.loading import find_device, load
from srl_agents.sampler import Completion, Sampler
from srl_env.errors import BadOption
from srl_env.policy import Generation, Messages, Sampling

_REMEMBERED_PROMPTS = 4096

MessageKey = tuple[tuple[str, str], ...]


class TransformersPolicy:
    """Any causal language model from a folder, the hub, or memory.

    ``model``, ``tokenizer``, ``decoder`` (differentiable log-probabilities) and ``generator``
    (all randomness of sampling) are open to trainers. Updates of the weights are noticed;
    ``weights_changed()`` announces what could go unnoticed, as adapters switched off.
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

        seed: of sampling. rows: completions sampled at once. cache_bytes: memory for the keys
        and values of earlier prompts, which later prompts that begin like them reuse.
        """
        self.model: Any = model if device is None else model.to(find_device(device))
        self.tokenizer, self.autocast = tokenizer, autocast
        self.decoder = make_decoder(self.model)
        self.sampler = Sampler(
            self.decoder,
            tokenizer,
            stop_ids=_stop_ids(self.decoder.causal_lm, tokenizer),
            seed=seed,
            rows=rows,
            cache_bytes=cache_bytes,
        )
        self._encoded: OrderedDict[MessageKey, list[int]] = OrderedDict()

    @classmethod
    def from_pretrained(
        cls,
        source: str | PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: str = "float32",
        **options: Any,
    ) -> TransformersPolicy:
        """The policy of a checkpoint: a folder (LoRA adapters alone will do) or a hub name.

        device: None takes CUDA where there is one. dtype: of the parameters ("float32",
        "bfloat16", "float16", or "auto" for the checkpoint's). options: as for the class.
        Raises BadOption where it cannot be loaded, and says why.
        """
        model, tokenizer = load(str(source), device, dtype)
        return cls(model, tokenizer, **options)

    @property
    def generator(self) -> torch.Generator:
        """All randomness of sampling; its state can be saved and set."""
        return self.sampler.generator

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.decoder.device

    def generate(self, batch: Sequence[Messages], sampling: Sampling) -> list[Generation]:
        """One sampled generation for each list of messages, in order.

        The text ends with the stop string, if one ended it; ids and log-probabilities are
        those of all sampled tokens. Raises BadOption for an empty prompt.
        """
        prompts = self.encode_many(batch)
        with self._precision():
            completions = self.sampler.sample(prompts, sampling)
        texts = self.tokenizer.batch_decode(
            [list(completion.token_ids) for completion in completions], skip_special_tokens=True
        )
        return [
            _generation(text, prompt, completion, sampling.stop)
            for text, prompt, completion in zip(texts, prompts, completions, strict=True)
        ]

    def encode(self, messages: Messages) -> list[int]:
        """The prompt's token ids: by the tokenizer's chat template, where it has one.

        Without a template the contents stand next to each other, with no separator, after a
        beginning-of-text token if the tokenizer adds one by itself.
        """
        return self.encode_many([messages])[0]

    def encode_many(self, batch: Sequence[Messages]) -> list[list[int]]:
        """``encode`` for each list of messages; equal ones are encoded once."""
        keys = [tuple((m["role"], m["content"]) for m in messages) for messages in batch]
        new = [key for key in dict.fromkeys(keys) if key not in self._encoded]
        if new:
            self._encoded.update(zip(new, self._encode_keys(new), strict=True))
        prompts = [self._encoded[key] for key in keys]
        while len(self._encoded) > _REMEMBERED_PROMPTS:
            self._encoded.popitem(last=False)
        return prompts

    def logprobs(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of each completion's tokens after its prompt: log-probabilities, mask, entropies.

        Each (B, longest completion), 0 and False in the padding. Gradients of the
        log-probabilities reach the model's parameters. Equal prompts are computed once.
        """
        trunks: dict[tuple[int, ...], int] = {}
        branches = [
            Branch(trunks.setdefault(tuple(prompt), len(trunks)), len(prompt), completion)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        with self._precision():
            return self.decoder.token_logprobs(list(trunks), branches, temperature)

    def weights_changed(self) -> None:
        """Forget what was computed with earlier weights."""
        self.sampler.weights_changed()

    def save(self, folder: str | PathLike[str]) -> None:
        """Writes model (adapters alone, where there are any) and tokenizer into a folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    def _encode_keys(self, keys: Sequence[MessageKey]) -> list[list[int]]:
        if getattr(self.tokenizer, "chat_template", None) is None:
            texts = ["".join(content for _, content in key) for key in keys]
            first = self._first_ids()
            ids = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
            return [[*first, *row] for row in ids]
        chats = [[{"role": role, "content": content} for role, content in key] for key in keys]
        try:
            rows: list[list[int]] = self.tokenizer.apply_chat_template(
                chats, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except Exception as error:  # templates are programs, and raise whatever they like
            raise BadOption(
                f"the tokenizer's chat template refuses these messages: {error}. If it knows no "
                "system role, use a PromptStyle without a system text"
            ) from error
        return rows

    def _first_ids(self) -> list[int]:
        """The beginning-of-text token, if the tokenizer puts it before every text."""
        bos = self.tokenizer.bos_token_id
        empty: list[int] = self.tokenizer("")["input_ids"]
        return [bos] if bos is not None and empty[:1] == [bos] else []


def _stop_ids(model: Any, tokenizer: Any) -> set[int]:
    """Every id that model or tokenizer takes for the end of a text."""
    found: set[int] = set()
    for owner in (tokenizer, model.config, getattr(model, "generation_config", None)):
        ids = getattr(owner, "eos_token_id", None)
        found.update(ids if isinstance(ids, (list, tuple)) else [] if ids is None else [ids])
    return found


def _generation(
    text: str, prompt: Sequence[int], completion: Completion, stop: Sequence[str]
) -> Generation:
    ends = [text.find(s) + len(s) for s in stop if s and s in text]
    return Generation(
        text=text[: min(ends)] if ends else text,
        token_ids=completion.token_ids,
        logprobs=completion.logprobs,
        prompt_ids=tuple(prompt),
        finish_reason=completion.finish_reason,
    )
