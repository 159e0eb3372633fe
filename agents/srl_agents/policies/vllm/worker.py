"""An extension of vLLM's workers that takes new weights while they run.

vLLM finds ``WeightReceiver`` by name and mixes it into its worker, here or in a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from safetensors import safe_open
from torch import Tensor

_SHAPE = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "tie_word_embeddings",
)


class WeightReceiver:
    """Methods of vLLM's worker, called through ``collective_rpc``."""

    reload_weights: Any  # the worker's own
    get_model: Any
    model_config: Any  # vLLM's
    vllm_config: Any

    def receive_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Loads named weights, one at a time, and ties a tied head again."""
        names: set[str] = set()

        def noted() -> Iterator[tuple[str, Tensor]]:
            for name, value in weights:
                names.add(name)
                yield name, value

        self.reload_weights(weights_iterator=noted())
        if "lm_head.weight" not in names:
            self.tie_head()

    def receive_checkpoint(self, path: str) -> None:
        """Loads the weights of a safetensors file, as ``receive_weights``."""
        with safe_open(path, framework="pt") as file:
            self.receive_weights((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118

    def describe_model(self) -> dict[str, Any]:
        """Facts about the engine that a trainer checks, as JSON values."""
        config = self.model_config
        lora = getattr(self.vllm_config, "lora_config", None)
        return {
            "name": config.served_model_name,
            "max_model_len": config.max_model_len,
            "logprobs_mode": config.logprobs_mode,
            "generation_config": config.generation_config,
            "shape": model_shape(config.hf_config),
            "adapter_rank": None if lora is None else lora.max_lora_rank,
        }

    def tie_head(self) -> None:
        """Ties the head to the embedding again.

        Loading replaces the embedding's tensor. The head would silently keep the old one, and on a
        CPU a packed copy of it.
        """
        model = self.get_model()
        head, inner = getattr(model, "lm_head", None), getattr(model, "model", None)
        embedding = getattr(inner, "embed_tokens", None)
        if head is None or embedding is None or head is embedding:
            return
        head.weight = embedding.weight
        head.quant_method.process_weights_after_loading(head)


def model_shape(config: Any) -> dict[str, Any]:
    """The fields of a Hugging Face configuration on which the weights' shapes depend."""
    text = config.get_text_config()
    return {name: getattr(text, name, None) for name in _SHAPE}
