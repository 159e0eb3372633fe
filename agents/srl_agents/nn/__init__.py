"""The forward pass of causal language models, for log-probabilities and for sampling."""
