"""Solutions in numbered steps: ``1. **Title** body``, as in s1K-1.1, or a plain list.

Data: Muennighoff et al., arXiv:2501.19393, Apache-2.0; "simplescaling/s1K-1.1" on the hub,
with the columns "question", "solution" (the reference) and "deepseek_attempt" (the steps).
Not every attempt is written so; ``Numbered`` says of each other why it cannot be used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.forms.usual_columns import SOLUTIONS, most_have, prompt_column, usual_columns
from srl_env.data.rows import BadRow, Converter, Row, answer_in, content_id, id_in, text_in
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.verifiers.boxed import last_boxed

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
_LONGEST_ANSWER = 200
_OTHER_BOX = re.compile(r"\\fbox\s*\{|\\boxed\s+([^\s{}$\\]+)")
_CONCLUSION = re.compile(
    r"""(?:answer|result|total)[^.\n$]{0,40}?(?:\bis\b|:|=)\s*
        (?:\$(?P<math>[^$\n]+)\$|(?P<plain>[^\s$]+))\s*\.?\s*\Z""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Numbered:
    """Converter of rows with a question, a solution in numbered steps, and an answer.

    question, solution, answer, id: the columns. thought: the column with the expert's
    private reasoning before the solution, which becomes the first step's thought; not used by
    default. grade: the column that says "Yes" where the solution is correct.
    The answer is the one that the answer column states (``stated_answer``).
    """

    question: str = "question"
    solution: str = "deepseek_attempt"
    answer: str = "solution"
    id: str = "id"
    thought: str | None = None
    grade: str = "deepseek_grade"

    def __call__(self, row: Row) -> Problem:
        """The problem in a row; ``BadRow`` where its solution is not in numbered steps."""
        question, solution = text_in(row, self.question).strip(), text_in(row, self.solution)
        steps = numbered_steps(solution)
        if self.thought is not None:
            steps = (replace(steps[0], thought=text_in(row, self.thought).strip()), *steps[1:])
        return Problem(
            id=id_in(row, self.id) or content_id(question),
            prompt=question,
            answer=stated_answer(
                answer_in(row, self.answer), solution, trusted=row.get(self.grade) == "Yes"
            ),
            trajectories=(ExpertTrajectory(steps, self.solution),),
        )


def numbered_steps(solution: str) -> tuple[ExpertStep, ...]:
    """The steps of a solution, in order: title and body of each numbered heading, or else the
    items of a plain list (``1.``, ``1)``, ``Step 1:``, ``-``) without their numbers.

    What comes before the first heading is not used; a plain list has at most a short line before
    it. What follows the last step, such as the final answer, is part of it. ``BadRow`` where the
    numbers are not 1, 2, 3, … or a step has no body. Linear in the length.
    """
    headings, made = list(_HEADING.finditer(solution)), _titled
    if len(headings) < 2:
        headings, made = _plain_items(solution), _item
    if len(headings) < 2:
        raise BadRow(
            "fewer than two numbered steps",
            'expected lines like "1. **Title** body" or "1. body" from 1 on',
        )
    _check_numbers([_number(heading) for heading in headings])
    ends = [heading.start() for heading in headings[1:]] + [len(solution)]
    return tuple(made(h, solution[h.end() : end]) for h, end in zip(headings, ends, strict=True))


def _plain_items(solution: str) -> list[re.Match[str]]:
    """The items of the plain list that a solution begins with, all marked as the first is."""
    items = list(_ITEM.finditer(solution))
    if not items or len(solution[: items[0].start()].strip()) > _LONGEST_LEAD:
        return []
    return [item for item in items if item.lastgroup == items[0].lastgroup]


def _number(heading: re.Match[str]) -> int | None:
    """The number of a heading or an item; None for a bullet."""
    found = next((n for n in heading.groups() if n is not None and n.isdecimal()), None)
    return None if found is None else int(found)


def _check_numbers(numbers: list[int | None]) -> None:
    if numbers[0] is not None and numbers != list(range(1, len(numbers) + 1)):
        raise BadRow("the steps are not numbered 1, 2, 3, …", f"got {numbers[:12]}")


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


def stated_answer(reference: str | None, solution: str, *, trusted: bool = False) -> str | None:
    """The answer to verify against: the one that the reference states, in a box, as one short
    line, or at its end ("… so the answer is $42$.").

    Without a reference it is what the solution has boxed; so it is where the reference states
    none and the solution is trusted. ``BadRow`` where the reference states none and it is not.
    """
    reference = (reference or "").strip()
    boxed = last_boxed(_OTHER_BOX.sub(_as_boxed, reference))
    if boxed:
        return boxed
    if reference and len(reference) <= _LONGEST_ANSWER and "\n" not in reference:
        return reference
    if found := _CONCLUSION.search(reference[-_LONGEST_ANSWER:]):
        return (found["math"] or found["plain"]).strip().rstrip(".")
    if reference and not trusted:
        raise BadRow(
            "the reference states no answer",
            r"expected \boxed{…} or one line; a solution graded 'Yes' states it itself",
        )
    return last_boxed(solution) or None


def _as_boxed(found: re.Match[str]) -> str:
    return f"\\boxed{{{found[1]}}}" if found[1] else "\\boxed{"


def _is_numbered(row: Row, options: ReadOptions) -> bool:
    return (
        prompt_column(row, options) is not None
        and "steps" not in options.columns
        and _numbered_column(row, options) is not None
    )


def _numbered_column(row: Row, options: ReadOptions) -> str | None:
    named = options.columns.get("solution")
    for name in [named] if named else SOLUTIONS:
        try:
            text = row.get(name)
            if isinstance(text, str) and numbered_steps(text):
                return name
        except BadRow:
            continue
    return None


def _numbered(rows: Sequence[Row], options: ReadOptions) -> Converter:
    solution = most_have(rows, lambda row: _numbered_column(row, options), "solution")
    usual = usual_columns(rows, options, solution)
    return Numbered(usual["prompt"], solution, usual["answer"], usual["id"])


FORM = Form(
    "numbered",
    'a prompt, and a solution in steps "1. **Title** body"',
    _is_numbered,
    _numbered,
)
