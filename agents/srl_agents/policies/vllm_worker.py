"""What vLLM's worker learns from us: to take new weights while it runs.

vLLM finds ``WeightReceiver`` by its name and mixes it into its own worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor


class WeightReceiver:
    """Methods of vLLM's worker, called through ``collective_rpc``."""

    reload_weights: Any  # the worker's own
    get_model: Any

    def receive_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Loads named weights in place of the engine's, one at a time, a tied head included."""
        names: set[str] = set()

        def noted() -> Iterator[tuple[str, Tensor]]:
            for name, value in weights:
                names.add(name)
                yield name, value

        self.reload_weights(weights_iterator=noted())
        if "lm_head.weight" not in names:
            self.tie_head()

    def tie_head(self) -> None:
        """Lets the head share the embedding's weight again.

        Loading replaces the embedding's tensor, and the head, tied when the model was made,
        would silently go on with the old one; on a CPU it also has a packed copy of it.
        """
        model = self.get_model()
        head, inner = getattr(model, "lm_head", None), getattr(model, "model", None)
        embedding = getattr(inner, "embed_tokens", None)
        if head is None or embedding is None or head is embedding:
            return
        head.weight = embedding.weight
        head.quant_method.process_weights_after_loading(head)
