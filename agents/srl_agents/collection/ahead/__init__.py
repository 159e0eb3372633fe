"""Sampling ahead of the learner, with a bound on how old the weights of a sample may be."""
