"""A statement's words as a model writes them, without sentences that no run backs.

A sentence is kept if every word is an ordinary word of reports, and everything else in it (code,
numbers, exceptions) is in the example or in its outcomes. What only the faulty code printed must be
said to happen, and what only the correct code printed must be said to be expected. Reasons, places,
history and anything else that was not run need other words, so such sentences are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from srl_env.swe.builder.reproduction import Reproduction
from srl_env.swe.builder.script import Outcome


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAX_TITLE: Final = 100
MAX_SENTENCES: Final = 4
_MAX_SENTENCE: Final = 300
_SPAN: Final = re.compile(r"``[ ]?(.+?)[ ]?``|`([^`\n]+)`")
_ITEM: Final = re.compile(r"\ufffc(\d+)\ufffc|(-?\d[\d.,]*\d|-?\d)|([A-Za-z][A-Za-z']*)")
_OTHER: Final = re.compile(r"[\s.,:;!?()'\"-]*")
_CLAUSES: Final = re.compile(
    r"\b(?=but\b|instead of\b|rather than\b|while\b|whereas\b|and\b|not \ufffc)|[;:,]\s"
)
_EXPECTED: Final = _words("should must expect expects expected ought correct correctly would")
_MODAL: Final = _words("should must expect expects ought would")
_PRAISE: Final = _EXPECTED - _MODAL
_OBSERVED: Final = _words(
    """returns returned prints printed gives gave got gets raises raised shows shown produces ends
    fails failed is was are actual actually see does"""
)
_OPPOSITE: Final = re.compile(r"(?:instead of|rather than)\b")
_OTHERWISE: Final = re.compile(r"(?:but|while|whereas)\b")
_NOT: Final = re.compile(r"\b(?:not|cannot)\b|n't\b")
_ERRORS: Final = _words("raise raises raised exception exceptions error errors fail fails failed")
_RESULT: Final = _words(
    """be get gets give gives got gave is print printed prints produce produces raise raised raises
    return returned returns show shows was"""
)
"""What comes after one of these words is a result."""

_PLAIN: Final = _words(
    """a actual actually an and any are as at be behaviour behavior below but by call called calling
    cannot code correct correctly did do does doesn't don't end ended ends error errors example
    exception exceptions expect expected expects fail failed fails following for from function gave
    get gets give gives got have here i in incorrect instead is isn't it its itself library me
    method must my not nothing of on or ought output outputs package please print printed prints
    problem produce produces raise raised raises rather reproduce result results return returned
    returns run running see script should shouldn't show shown shows snippet than that the there
    these this those to unexpected unexpectedly use using value values was we were what when where
    whereas which while with would wrong wrongly yet you"""
)


@dataclass(frozen=True, slots=True)
class Words:
    """The title and the first paragraph of a report; "" for what is not backed.

    kept, dropped: how many sentences, the title included, are backed and are not.
    """

    title: str = ""
    opening: str = ""
    kept: int = 0
    dropped: int = 0


def backed_words(text: str, package: str, shown: Reproduction) -> Words:
    """What is backed of a model's text: a title, an empty line, and sentences.

    package: what users call the library.
    """
    text = re.sub(r"```.*?(```|\Z)", "\n\n", text.rpartition("</think>")[2], flags=re.DOTALL)
    first, _, rest = text.strip().partition("\n")
    title = re.sub(r"^(?:title:|#+)\s*", "", first.strip("* "), flags=re.IGNORECASE).strip("* .")
    good_title = len(title) <= MAX_TITLE and is_backed(title, package, shown)
    sentences = list(_sentences(rest))
    backed = [each for each in sentences if is_backed(each, package, shown)][:MAX_SENTENCES]
    kept = len(backed) + good_title
    opening = " ".join(dict.fromkeys(backed))
    return Words(title if good_title else "", opening, kept, len(sentences) + 1 - kept)


def is_backed(sentence: str, package: str, shown: Reproduction) -> bool:
    """Whether a sentence says nothing but what the example's runs show."""
    spans: list[str] = []

    def hidden(match: re.Match[str]) -> str:
        spans.append(match[1] or match[2])
        return f"\ufffc{len(spans) - 1}\ufffc"

    masked = _SPAN.sub(hidden, sentence)
    if len(sentence) > _MAX_SENTENCE or not _OTHER.fullmatch(_ITEM.sub("", masked)):
        return False
    evidence, expected = 0, False
    for clause in filter(str.strip, _CLAUSES.split(masked)):
        words = {word.lower() for _, _, word in _ITEM.findall(clause) if word}
        expected = _is_expected(clause, words, before=expected)
        negated = bool(_NOT.search(clause))
        outcome = shown.expected if expected else shown.actual
        claimed = shown.expected if expected != negated else shown.actual
        if words & _ERRORS and bool(claimed.error) == negated:
            return False
        said, results = "", 0
        for number, digits, word in _ITEM.findall(clause):
            if word and word.lower() in _PLAIN:
                said = word.lower()
                continue
            item = spans[int(number)] if number else digits or word
            called = item in (package, shown.subject, f"{shown.subject}()")
            called |= said not in _RESULT and _holds(shown.script, item)
            is_result = _is_result(item, outcome)
            if not called and not is_result:
                return False
            evidence, results = evidence + 1, results + is_result
        if words & _PRAISE and not (words & _MODAL or negated or results):
            return False  # "gives the correct result"
    return evidence > 0


def _sentences(text: str) -> Iterator[str]:
    """The sentences of a paragraph; a full stop in code ends none."""
    masked = _SPAN.sub(lambda match: "\ufffc" * len(match[0]), text)
    start = 0
    for end in [*(m.end() for m in re.finditer(r"[.!?](?=\s|$)|\n\s*\n", masked)), len(text)]:
        if sentence := " ".join(text[start:end].split()):
            yield sentence
        start = end


def _is_expected(clause: str, words: set[str], *, before: bool) -> bool:
    """Whether a clause says what must be; else it says what is. before: of the clause before."""
    if _OPPOSITE.match(clause):
        return not before
    mood = bool(words & _EXPECTED)
    if not mood and not words & _OBSERVED and not _OTHERWISE.match(clause):
        mood = before
    return mood != bool(_NOT.search(clause))


def _holds(script: str, item: str) -> bool:
    """Whether a text is in a script, and does not begin or end inside a word of it."""
    return bool(re.search(rf"(?<![\w.]){re.escape(item)}(?!\w|\.\w)", script))


def _is_result(item: str, outcome: Outcome) -> bool:
    """Whether a text is a line that was printed, or names the exception or its message."""
    kind, _, message = outcome.error.partition(": ")
    lines = {line.strip() for line in [*outcome.text.splitlines(), message] if line.strip()}
    whole = lines | {line.strip("'\"") for line in lines}
    return item in whole or (item != "" and item in (kind, kind.rpartition(".")[2]))
