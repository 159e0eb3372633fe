"""Verifiers: whether an answer is right. A verifier that cannot tell raises, never says False."""

from srl_env.verifiers.base import AnswerVerifier
from srl_env.verifiers.boxed import BoxedVerifier
from srl_env.verifiers.exact import ExactVerifier
from srl_env.verifiers.numeric import NumericVerifier
from srl_env.verifiers.protocol import Verdict, Verifier
from srl_env.verifiers.stated import StatedVerifier

__all__ = [
    "AnswerVerifier",
    "BoxedVerifier",
    "ExactVerifier",
    "NumericVerifier",
    "StatedVerifier",
    "Verdict",
    "Verifier",
]
