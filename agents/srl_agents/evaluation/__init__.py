"""Policies evaluated on problems they have not seen, and evaluations looked at again."""
