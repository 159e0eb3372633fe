"""Rollouts by actors of Ray."""
