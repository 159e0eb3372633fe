r"""Splitters: a raw solution in, its steps out.

A splitter is a function from a text to steps, each a text or an ``ExpertStep``. It raises
``BadRow`` for a solution it cannot split. The named ones:

- ``numbered``: items such as ``1. **Title** body``; the titles are kept.
- ``paragraphs``: a blank line ends a step.
- ``lines``: a line end does.
- ``calculations``: lines of GSM8K, without annotations such as ``<<48/2=24>>`` and without the
  line ``#### 72``.
- ``sentences``: also several in one line.

They never split fenced code, or mathematics between ``$$``, ``\[ \]``, ``\( \)`` and
``\begin{…} \end{…}``. All take linear time.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from srl_env.data.forms.gsm8k import ANNOTATION, MARKER
from srl_env.data.rows import BadRow
from srl_env.named import named
from srl_env.problem import ExpertStep

Splitter = Callable[[str], Sequence[str | ExpertStep]]


def get_splitter(name: str) -> Splitter:
    """The splitter of that name, or the function at "module:function".

    Raises ``UnknownName`` and ``BadOption``.
    """
    return named("splitter", name, SPLITTERS)


def paragraphs(solution: str) -> list[str]:
    """The texts between blank lines."""
    return _cut(solution, [found.span() for found in _BLANK_LINES.finditer(solution)])


def lines(solution: str) -> list[str]:
    """The lines that are not blank."""
    return _cut(solution, [found.span() for found in _LINE_END.finditer(solution)])


def calculations(solution: str) -> list[str]:
    """The lines without GSM8K's annotations, up to its "####"."""
    return lines(ANNOTATION.sub("", solution).partition(MARKER)[0])


def sentences(solution: str) -> list[str]:
    """The sentences. A line end counts only before a list item or a blank line.

    A full stop does not count within a number or a formula, after an abbreviation or the number
    of a list item, or before a lower-case letter.
    """
    ends = [
        (found.end(), found.end())
        for found in _SENTENCE_END.finditer(solution)
        if not _ABBREVIATION.search(solution, max(0, found.start() - 16), found.start() + 1)
    ]
    return _cut(solution, ends, [found.span() for found in _FORMULA.finditer(solution)])


def numbered_steps(solution: str) -> tuple[ExpertStep, ...]:
    """Title and body of each numbered heading, or else the items of a plain list (``1.``, ``1)``,
    ``Step 1:``, ``-``) without their numbers.

    Text before the first heading is not used. Only a short line may precede a plain list. Text
    after the last step, such as the final answer, is part of that step. ``BadRow`` if the numbers
    are not 1, 2, 3, … or a step has no body.
    """
    headings, made = list(_HEADING.finditer(solution)), _titled
    if len(headings) < 2:
        headings, made = _plain_items(solution), _item
    if len(headings) < 2:
        raise BadRow(
            "fewer than two numbered steps",
            'expected lines like "1. **Title** body" or "1. body" from 1 on',
        )
    numbers = [_number(heading) for heading in headings]
    if numbers[0] is not None and numbers != list(range(1, len(numbers) + 1)):
        raise BadRow("the steps are not numbered 1, 2, 3, …", f"got {numbers[:12]}")
    ends = [heading.start() for heading in headings[1:]] + [len(solution)]
    return tuple(made(h, solution[h.end() : end]) for h, end in zip(headings, ends, strict=True))


SPLITTERS: Mapping[str, Splitter] = {
    "numbered": numbered_steps,
    "paragraphs": paragraphs,
    "lines": lines,
    "calculations": calculations,
    "sentences": sentences,
}


def join_short(steps: Sequence[str | ExpertStep], below: int) -> list[str | ExpertStep]:
    """The steps; a text of fewer than ``below`` characters is joined with the one after it.

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


# -- numbered steps ---------------------------------------------------------------------------

# "1. **Title** body", "1. **Title:** body", "### 1. **Title**", "**1. Title**", "### Step 1: Title"
_HEADING = re.compile(
    r"""^[ ]{0,2}(?:\#{1,6}[ ]+)?(?:
        (?P<n1>\d{1,3})[.)][ \t]*\*\*(?P<t1>[^*\n]+)\*\*
      | \*\*(?:Step[ ])?(?P<n2>\d{1,3})[.):][ \t]*(?P<t2>[^*\n]+)\*\*
      | (?<=\#[ ])(?:\*\*)?(?:Step[ ])?(?P<n3>\d{1,3})[.:)][ \t]*(?P<t3>[^*\n]+)(?:\*\*)?$
    )""",
    re.VERBOSE | re.MULTILINE,
)

# "1. body", "1) body", "Step 1: body", "- body"; a list within an item is indented
_ITEM = re.compile(
    r"""^[ ]{0,2}(?:(?P<dot>\d{1,3})\.|(?P<bracket>\d{1,3})\)
        |[Ss]tep[ ](?P<word>\d{1,3})[.:)]|(?P<dash>[-*•]))[ \t]+(?=\S)""",
    re.VERBOSE | re.MULTILINE,
)
_LONGEST_LEAD = 200  # characters before a plain list


def _plain_items(solution: str) -> list[re.Match[str]]:
    """The items of the plain list that a solution begins with, all marked like the first."""
    items = list(_ITEM.finditer(solution))
    if not items or len(solution[: items[0].start()].strip()) > _LONGEST_LEAD:
        return []
    return [item for item in items if item.lastgroup == items[0].lastgroup]


def _number(heading: re.Match[str]) -> int | None:
    """The number of a heading or an item; None for a bullet."""
    found = next((n for n in heading.groups() if n is not None and n.isdecimal()), None)
    return None if found is None else int(found)


def _item(mark: re.Match[str], rest: str) -> ExpertStep:
    if not rest.strip():
        raise BadRow("a step without a body", f"step {mark[0].strip()[:60]!r}")
    return ExpertStep(rest.strip())


def _titled(mark: re.Match[str], rest: str) -> ExpertStep:
    title = (mark["t1"] or mark["t2"] or mark["t3"]).strip().rstrip(":.").rstrip()
    body = rest.strip().removeprefix(":").removeprefix("–").strip()
    if not title or not body:
        raise BadRow("a step without title or body", f"step {mark[0].strip()[:60]!r}")
    return ExpertStep(body, title=title)


# -- texts ------------------------------------------------------------------------------------

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
    """The texts between the gaps, stripped. Gaps within blocks or formulas do not count."""
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
    """The spans of closed blocks of code and mathematics."""
    found, open_at = [], dict[str, list[int]]()
    for mark in _MARK.finditer(text):
        opener = _OPENS.get(mark[0], mark[0])
        starts = open_at.setdefault(opener, [])
        if mark[0] not in _OPENS or (mark[0] == opener and not starts):
            starts.append(mark.start())
        elif starts:
            found.append((starts.pop(), mark.end()))
    return found
