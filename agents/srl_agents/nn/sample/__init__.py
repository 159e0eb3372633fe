"""Batched sampling from Hugging Face causal language models, for training on the samples."""

from srl_agents.nn.sample.sampler import Completion, Sampler

__all__ = ["Completion", "Sampler"]
