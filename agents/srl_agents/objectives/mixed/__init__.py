"""Losses of several terms, on groups with rows of the policy and of the expert."""
