"""Verifiers: whether an answer is correct. One that cannot decide raises; it never says False."""

from collections.abc import Mapping
from typing import Final

from srl_env.verifiers.base import AnswerVerifier
from srl_env.verifiers.boxed import BoxedVerifier
from srl_env.verifiers.exact import ExactVerifier
from srl_env.verifiers.judge import CanaryReport, JudgeVerifier, canaries
from srl_env.verifiers.numeric import NumericVerifier
from srl_env.verifiers.protocol import Verdict, Verifier
from srl_env.verifiers.stated import StatedVerifier

VERIFIERS: Final[Mapping[str, type[AnswerVerifier]]] = {
    "numeric": NumericVerifier,
    "stated": StatedVerifier,
    "boxed": BoxedVerifier,
    "exact": ExactVerifier,
}
"""The verifiers that compare answers, by their names in commands."""

__all__ = [
    "VERIFIERS",
    "AnswerVerifier",
    "BoxedVerifier",
    "CanaryReport",
    "ExactVerifier",
    "JudgeVerifier",
    "NumericVerifier",
    "StatedVerifier",
    "Verdict",
    "Verifier",
    "canaries",
]
