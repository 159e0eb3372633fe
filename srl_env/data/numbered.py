"""Solutions written as numbered steps: ``1. **Title** body``, as in s1K-1.1.

Data: Muennighoff et al., arXiv:2501.19393, Apache-2.0; "simplescaling/s1K-1.1" on the hub,
with the columns "question", "solution" (the reference) and "deepseek_attempt" (the steps).
Not every attempt is written so; ``Numbered`` says of each other why it cannot be used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from srl_env.data.rows import BadRow, Row, answer_in, content_id, id_in, text_in
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


@dataclass(frozen=True, slots=True)
class Numbered:
    """Converter of rows with a question, a solution in numbered steps, and an answer.

    question, solution, answer, id: the columns. thought: the column with the expert's
    private reasoning before the solution, which becomes the first step's thought; by default
    it is left out. The answer is what the answer column has in its last ``\\boxed{…}``, else
    its text where that is one short line, else what the solution itself has boxed.
    """

    question: str = "question"
    solution: str = "deepseek_attempt"
    answer: str = "solution"
    id: str = "id"
    thought: str | None = None

    def __call__(self, row: Row) -> Problem:
        """The problem in a row; ``BadRow`` where its solution is not in numbered steps."""
        question, solution = text_in(row, self.question).strip(), text_in(row, self.solution)
        steps = numbered_steps(solution)
        if self.thought is not None:
            steps = (replace(steps[0], thought=text_in(row, self.thought).strip()), *steps[1:])
        return Problem(
            id=id_in(row, self.id) or content_id(question),
            prompt=question,
            answer=stated_answer(answer_in(row, self.answer), solution),
            trajectories=(ExpertTrajectory(steps, self.solution),),
        )


def numbered_steps(solution: str) -> tuple[ExpertStep, ...]:
    """The steps of a solution: title and body of each numbered heading, in order.

    What comes before the first heading is left out; what follows the last step, such as the
    final answer, is part of it. ``BadRow`` where the headings are not 1, 2, 3, … or a step
    has no body. Linear in the length.
    """
    headings = list(_HEADING.finditer(solution))
    if len(headings) < 2:
        raise BadRow(
            "fewer than two numbered steps", 'expected lines like "1. **Title** body" from 1 on'
        )
    numbers = [int(heading["n1"] or heading["n2"] or heading["n3"]) for heading in headings]
    if numbers != list(range(1, len(numbers) + 1)):
        raise BadRow("the steps are not numbered 1, 2, 3, …", f"got {numbers[:12]}")
    ends = [heading.start() for heading in headings[1:]] + [len(solution)]
    return tuple([_step(h, solution[h.end() : end]) for h, end in zip(headings, ends, strict=True)])


def _step(heading: re.Match[str], rest: str) -> ExpertStep:
    title = (heading["t1"] or heading["t2"] or heading["t3"]).strip().rstrip(":.").rstrip()
    body = rest.strip().removeprefix(":").removeprefix("–").strip()
    if not title or not body:
        raise BadRow("a step without title or body", f"step {heading[0].strip()[:60]!r}")
    return ExpertStep(body, title=title)


def stated_answer(reference: str | None, solution: str) -> str | None:
    """The answer to verify against: the reference's, else the solution's; see ``Numbered``."""
    reference = (reference or "").strip()
    boxed = last_boxed(reference)
    if boxed:
        return boxed
    if reference and len(reference) <= 200 and "\n" not in reference:
        return reference
    return last_boxed(solution) or None
