r"""Splitters: a raw solution in, its steps out.

A splitter is a function from a text to steps, each a text or an ``ExpertStep``; it raises
``BadRow`` for a solution it cannot split. Ours, by name:

- ``numbered``: ``1. **Title** body`` and the like; the titles are kept.
- ``paragraphs``: blank lines end a step.
- ``lines``: line ends do.
- ``calculations``: lines as GSM8K has them, without annotations such as ``<<48/2=24>>`` and
  without the line ``#### 72``.
- ``sentences``: also where several stand in one line.

What belongs together is never torn apart: fenced code, and mathematics between ``$$``,
``\[ \]``, ``\( \)`` and ``\begin{…} \end{…}``. All take linear time.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from srl_env.data.forms.gsm8k import ANNOTATION, MARKER
from srl_env.data.forms.numbered import numbered_steps
from srl_env.data.named import named
from srl_env.problem import ExpertStep

Splitter = Callable[[str], Sequence[str | ExpertStep]]


def get_splitter(name: str) -> Splitter:
    """The splitter of that name, or the function at "module:function".

    Raises ``UnknownName`` and ``BadOption``.
    """
    return named("splitter", name, SPLITTERS)


def paragraphs(solution: str) -> list[str]:
    """What stands between blank lines."""
    return _cut(solution, [found.span() for found in _BLANK_LINES.finditer(solution)])


def lines(solution: str) -> list[str]:
    """The lines that are not blank."""
    return _cut(solution, [found.span() for found in _LINE_END.finditer(solution)])


def calculations(solution: str) -> list[str]:
    """The lines without GSM8K's annotations and without what follows its "####"."""
    return lines(ANNOTATION.sub("", solution).partition(MARKER)[0])


def sentences(solution: str) -> list[str]:
    """The sentences; a line end ends one only where a list item or a blank line follows.

    A full stop ends none within a number or a formula, after an abbreviation or the number of
    a list item, or where a small letter follows.
    """
    ends = [
        (found.end(), found.end())
        for found in _SENTENCE_END.finditer(solution)
        if not _ABBREVIATION.search(solution, max(0, found.start() - 16), found.start() + 1)
    ]
    return _cut(solution, ends, [found.span() for found in _FORMULA.finditer(solution)])


SPLITTERS: Mapping[str, Splitter] = {
    "numbered": numbered_steps,
    "paragraphs": paragraphs,
    "lines": lines,
    "calculations": calculations,
    "sentences": sentences,
}


def join_short(steps: Sequence[str | ExpertStep], below: int) -> list[str | ExpertStep]:
    """The steps, each text below so many characters joined with the one that follows it.

    The last one is joined with the one before. A step with a title stays as it is.
    """
    joined: list[str | ExpertStep] = []
    for step in steps:
        last = joined[-1] if joined else None
        if isinstance(step, str) and isinstance(last, str) and len(last) < below:
            joined[-1] = f"{last}\n{step}"
        else:
            joined.append(step)
    match joined:
        case [*_, str(before), str(last)] if len(last) < below:
            joined[-2:] = [f"{before}\n{last}"]
    return joined


_Spans = Sequence[tuple[int, int]]

_LINE_END = re.compile(r"\r?\n")
_BLANK_LINES = re.compile(r"\n[ \t\r]*\n\s*")
_SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’)\]*]*+\s++(?=["'“‘(\[*]*+(?:[$\\]|[^\W_a-z]))
      | [。！？]["'”’」』）]*+\s*+
      | \n[ \t\r]*(?:\n\s*+|(?=(?:[-*•]|\d{1,3}[.)])[ ]))""",
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"""(?:^|[\s(])(?:e\.g|i\.e|cf|vs|etc|approx|resp|Dr|Mr|Mrs|Ms|Prof|St|No|Figs?|Eqs?|Thm|Def|
        Lem|Cor|Sec|Ch|w\.l\.o\.g|w\.r\.t|[A-Z]\.[A-Z])\.$ | ^[ \t]*\d{1,3}\.$""",
    re.VERBOSE | re.MULTILINE,
)
_FORMULA = re.compile(r"\$(?=\S)[^$\n]+(?<=\S)\$(?!\d)")  # and not "$5 or $6"
_MARK = re.compile(r"```|\$\$|\\[\[\]()]|\\begin\{|\\end\{")
_OPENS = {"```": "```", "$$": "$$", "\\]": "\\[", "\\)": "\\(", "\\end{": "\\begin{"}


def _cut(text: str, gaps: _Spans, formulas: _Spans = ()) -> list[str]:
    """What stands between the gaps, stripped; gaps within blocks or formulas are none."""
    whole = sorted([*_blocks(text), *formulas])
    begins = [begin for begin, _ in whole]
    reach = list(accumulate((end for _, end in whole), max))
    pieces, last = [], 0
    for begin, end in gaps:
        place = bisect_left(begins, begin)
        if place == 0 or reach[place - 1] <= begin:
            pieces.append(text[last:begin].strip())
            last = end
    pieces.append(text[last:].strip())
    return [piece for piece in pieces if piece]


def _blocks(text: str) -> list[tuple[int, int]]:
    """Where closed blocks of code and mathematics stand."""
    found, open_at = [], dict[str, list[int]]()
    for mark in _MARK.finditer(text):
        opener = _OPENS.get(mark[0], mark[0])
        starts = open_at.setdefault(opener, [])
        if mark[0] not in _OPENS or (mark[0] == opener and not starts):
            starts.append(mark.start())
        elif starts:
            found.append((starts.pop(), mark.end()))
    return found
