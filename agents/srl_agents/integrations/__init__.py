"""Adapters for trainers and agents of others: TRL, verl, verifiers, stable-baselines3."""
