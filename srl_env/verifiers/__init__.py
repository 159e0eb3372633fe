"""Verifiers: whether an answer is right. A verifier that cannot tell raises, never says False."""

from srl_env.verifiers.protocol import Verdict, Verifier

__all__ = ["Verdict", "Verifier"]
