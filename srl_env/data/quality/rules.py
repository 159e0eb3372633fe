"""The rules of ``srl-env data lint``, and what can be set about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from srl_env.errors import BadOption
from srl_env.rewards.similarity import MAX_CHARACTERS

Severity = Literal["error", "warning", "note"]

LONGEST_TITLE = 120


class Rule(NamedTuple):
    """severity: with an error the data fail. about: what is found, and why that matters."""

    severity: Severity
    about: str


RULES: Mapping[str, Rule] = {
    "bad-row": Rule("error", "a row that is not a problem; reading stops there, or drops it"),
    "expert-wrong": Rule("error", "the expert's solution does not pass the verifier"),
    "bad-answer": Rule("error", "an answer that the verifier cannot compare with"),
    "text-answer": Rule("warning", "an answer compared as text, not by its meaning"),
    "format-lost": Rule("error", "the completion format cannot read back what the expert wrote"),
    "same-id": Rule("error", "the id of another problem; ids must be unique"),
    "same-across": Rule("error", "the same problem in two splits; the test data were trained on"),
    "near-across": Rule("warning", "nearly the same problem in two splits"),
    "same-within": Rule("warning", "the same problem twice in a split"),
    "near-within": Rule("note", "nearly the same problem twice in a split"),
    "verifier-failed": Rule("warning", "the verifier failed, so this problem was not checked"),
    "no-answer": Rule("warning", "no answer to verify, so there is no outcome reward"),
    "no-steps": Rule("warning", "no expert solution, so there is no step reward"),
    "one-step": Rule("note", "one step only; nothing to train if the last step is not a target"),
    "short-step": Rule("warning", "a step too short for the similarity to judge it"),
    "long-step": Rule("warning", "a step so long that one mistake hardly changes the similarity"),
    "uncompared": Rule("error", f"a step above {MAX_CHARACTERS:,} characters, the most compared"),
    "same-step": Rule("warning", "the same action twice in a solution"),
    "answer-early": Rule("warning", "a step before the last states an answer and ends an episode"),
    "step-in-prompt": Rule("warning", "a step that the prompt already contains"),
    "title-gap": Rule("warning", "titles for some steps only; a prompt shows them for all or none"),
    "title-in-step": Rule("warning", "a step that begins with its title, which would be scored"),
    "title-answer": Rule("warning", "a title, which a prompt may show, with the answer in it"),
    "title-long": Rule("note", f"a title of several lines or above {LONGEST_TITLE} characters"),
    "odd-characters": Rule("warning", "control characters, U+FFFD or lone surrogates"),
}


def severity_of(name: str) -> Severity:
    """The severity of a rule, as named in ``LintReport.counts``."""
    return RULES[name.partition(":")[0]].severity


@dataclass(frozen=True, slots=True)
class LintOptions:
    """What is checked; the options of ``srl-env data lint`` are made from it.

    verifier: Verifier that the experts' answers must pass: numeric, stated, boxed, exact, calls,
    none, or your own module:Class; by default the one that fits the data. format: Completion format
    that the steps must survive: think, think-optional, lines, tool-calls, brackets, or your own
    module:Class; by default the one that fits the data. shortest: Characters of the shortest step;
    the last step may be shorter. longest: Characters of the longest step. near: Also look for
    nearly identical problems. examples: Examples shown for each rule.
    """

    verifier: str | None = None
    format: str | None = None
    shortest: int = 8
    longest: int = 2_000
    near: bool = True
    examples: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.shortest <= self.longest:
            raise BadOption(
                "shortest must be between 0 and longest; got shortest "
                f"{self.shortest} and longest {self.longest}"
            )
