"""Mistakes in data, found before a run meets them.

    reading = read_problems(["train.jsonl", "test.jsonl"])
    report = lint(reading)
    print(report.passed, report.counts)

``srl_env.data.quality.rules`` lists what is found and why it matters. The data are read once; the
search for duplicates keeps about 100 bytes per problem (``srl_env.data.quality.duplicates``).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from srl_env import verifiers
from srl_env.data.forms.detect import Item, Reading, assumed_split
from srl_env.data.quality.duplicates import Duplicates, Pair
from srl_env.data.quality.rules import LONGEST_TITLE, LintOptions, Severity, severity_of
from srl_env.data.rows import BadRow
from srl_env.errors import BadOption, Failure, MissingExtra, UserError
from srl_env.named import named
from srl_env.problem import ExpertStep, ExpertTrajectory, Problem
from srl_env.rewards.similarity import MAX_CHARACTERS
from srl_env.text.format import CompletionFormat
from srl_env.text.registry import find_format
from srl_env.text.stops import find_stop
from srl_env.verifiers import AnswerVerifier, Verdict, Verifier
from srl_env.verifiers.recorded import RecordedCalls

OnProgress = Callable[[int], None]
"""Called with the number of rows read."""

VERIFIERS: Mapping[str, Callable[[], Verifier | None]] = {
    **verifiers.VERIFIERS,
    "calls": RecordedCalls,
    "none": lambda: None,
}

_BATCH = 256
_MOST_REASONS = 30
_SHORT_SECRET = 3
_OVERLAP = 20
_ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\ud800-\udfff]")
_WORD = re.compile(r"\w")


@dataclass(slots=True)
class LintReport:
    """What was found.

    form, verifier, format: what the data were checked as. rows, problems: how many there are.
    counts: {rule: how often it was broken}; bad rows by reason, e.g. "bad-row: no JSON".
    examples: {rule: [(place, message), …]}.
    """

    form: str
    verifier: str
    format: str
    rows: int = 0
    problems: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def total(self, severity: Severity) -> int:
        """How often rules of a severity were broken."""
        return sum(n for name, n in self.counts.items() if severity_of(name) == severity)

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return not self.total("error")


def lint(
    reading: Reading,
    options: LintOptions | None = None,
    on_progress: OnProgress | None = None,
) -> LintReport:
    """Checks the problems. Reads ``reading`` to its end.

    Raises ``UnknownName`` and ``BadOption`` for a verifier or format that does not exist.
    """
    options = options or LintOptions()
    items = iter(reading)
    batches = iter(lambda: list(itertools.islice(items, _BATCH)), [])
    first = next(batches, [])
    linter = _Linter(reading, options, first)
    with Duplicates(options.near) as duplicates:
        for batch in itertools.chain([first], batches):
            linter.check(batch, duplicates)
            if on_progress is not None:
                on_progress(linter.report.rows)
        for pair in duplicates.find():
            linter.note_pair(pair)
    return linter.report


class _Linter:
    """Checks items and keeps what it found."""

    def __init__(self, reading: Reading, options: LintOptions, first: Sequence[Item]) -> None:
        self.reading, self.options = reading, options
        self.format_name = options.format or reading.form.format
        self.format = find_format(self.format_name)
        self.verifier_name = options.verifier or reading.form.verifier or _fitting_verifier(first)
        self.verifier = _verifier(self.verifier_name)
        self.report = LintReport(reading.about, self.verifier_name, self.format_name)

    def check(self, items: Sequence[Item], duplicates: Duplicates) -> None:
        """Checks each item of a batch, and adds it to the search for duplicates."""
        good: list[tuple[Item, Problem]] = []
        self.report.rows += len(items)
        for item in items:
            problem = item.problem
            if isinstance(problem, BadRow):
                self._note_bad(item, problem)
                continue
            good.append((item, problem))
            split = assumed_split(item)
            duplicates.add(item.file, item.number, split, problem.id, problem.prompt)
            for rule, message in _faults(problem, self.format, self.verifier, self.options):
                self._note(rule, item.file, item.number, message)
        self.report.problems += len(good)
        self._verify(good)

    def note_pair(self, pair: Pair) -> None:
        """Records a repetition."""
        where = "across" if pair.across else "within"
        rule = {"id": "same-id", "prompt": f"same-{where}", "near": f"near-{where}"}[pair.kind]
        alike = f"{pair.similarity:.0%} as " if pair.kind == "near" else "as "
        self._note(rule, *pair.later, f"{alike}{self.reading.stream.place(*pair.earlier)}")

    def _verify(self, good: Sequence[tuple[Item, Problem]]) -> None:
        """Gives the expert's solutions to the verifier."""
        if self.verifier is None:
            return
        solved = [
            (item, problem, trajectory.actions)
            for item, problem in good
            for trajectory in problem.trajectories
            if self._judges(problem, trajectory)
        ]
        verdicts = _verdicts(self.verifier, [(problem, actions) for _, problem, actions in solved])
        for (item, problem, actions), verdict in zip(solved, verdicts, strict=True):
            place = item.file, item.number
            if isinstance(verdict, UserError):
                self._note("bad-answer", *place, str(verdict))
            elif isinstance(verdict, Failure):
                self._note("verifier-failed", *place, f"{type(verdict).__name__}: {verdict}")
            elif not verdict.correct:
                end = f"ends with {_shown(actions[-1])}"
                self._note("expert-wrong", *place, f"{end}; the answer is {_shown(problem.answer)}")

    def _judges(self, problem: Problem, trajectory: ExpertTrajectory) -> bool:
        """Whether the verifier judges a solution. ``srl/Steps-v0``, which uses "stated", adds the
        answer to solutions that do not state it."""
        if self.verifier_name == "calls":
            return True
        if self.verifier is None or problem.answer is None:
            return False
        last = trajectory.steps[-1].action
        return self.verifier_name != "stated" or self.verifier.extract(last) is not None

    def _note_bad(self, item: Item, error: BadRow) -> None:
        rule = f"bad-row: {error.reason}"
        if rule not in self.report.counts and len(self.report.counts) >= _MOST_REASONS:
            rule = "bad-row: other reasons"
        self._note(rule, item.file, item.number, str(error))

    def _note(self, rule: str, file: int, number: int, message: str) -> None:
        self.report.counts[rule] = self.report.counts.get(rule, 0) + 1
        examples = self.report.examples.setdefault(rule, [])
        if len(examples) < self.options.examples:
            examples.append((self.reading.stream.place(file, number), message))


# -- one problem by itself --------------------------------------------------------------------

_Faults = Iterator[tuple[str, str]]


def _faults(
    problem: Problem, format: CompletionFormat, verifier: Verifier | None, options: LintOptions
) -> _Faults:
    """(rule, message) for each mistake that one problem alone shows."""
    if problem.answer is None and not isinstance(verifier, RecordedCalls | None):
        yield "no-answer", f"prompt {_shown(problem.prompt)}"
    elif isinstance(verifier, AnswerVerifier) and (
        why := verifier.unreadable(problem.answer or "")
    ):
        if _equals_itself(verifier, problem):
            yield "text-answer", f"{why}: {_shown(problem.answer)}"
        elif not problem.trajectories:  # else the solution shows it
            yield "bad-answer", f"{why}: {_shown(problem.answer)}"
    if not problem.trajectories:
        yield "no-steps", f"prompt {_shown(problem.prompt)}"
    if odd := _ODD.search(problem.prompt):
        yield "odd-characters", f"U+{ord(odd[0]):04X} in the prompt"
    for trajectory in problem.trajectories:
        yield from _solution_faults(problem, trajectory, verifier, options)
        for number, step in enumerate(trajectory.steps, 1):
            for rule, message in _step_faults(problem, step, format):
                yield rule, f"step {number}: {message}"


def _equals_itself(verifier: AnswerVerifier, problem: Problem) -> bool:
    try:
        return verifier.equal(problem.answer or "", problem.answer or "")
    except UserError:
        return False


def _solution_faults(
    problem: Problem, trajectory: ExpertTrajectory, verifier: Verifier | None, options: LintOptions
) -> _Faults:
    steps = trajectory.steps
    seen = dict[str, int]()
    if len(steps) == 1:
        yield "one-step", f"the step is {_shown(steps[0].action)}"
    for number, step in enumerate(steps, 1):
        action, last = step.action.strip(), number == len(steps)
        size, shown = len(action), f"step {number} of {len(steps)}"
        if size > MAX_CHARACTERS:
            yield "uncompared", f"{shown} has {size:,} characters"
        elif size > options.longest:
            yield "long-step", f"{shown} has {size:,} characters, above {options.longest:,}"
        elif size < options.shortest and not last:
            yield "short-step", f"{shown} is {_shown(action)}, below {options.shortest} characters"
        earlier = seen.setdefault(action, number)
        if earlier != number and step.observation is None:  # in a world it can make sense
            yield "same-step", f"{shown} is step {earlier} again: {_shown(action)}"
        if not last and verifier is not None and verifier.extract(step.action) is not None:
            yield "answer-early", f"{shown} is {_shown(action)}"
        if size >= _OVERLAP and action in problem.prompt:
            yield "step-in-prompt", f"{shown} is {_shown(action)}"
    titled = sum(step.title is not None for step in steps)
    if 0 < titled < len(steps):
        yield "title-gap", f"{titled} of {len(steps)} steps have titles"


def _step_faults(problem: Problem, step: ExpertStep, format: CompletionFormat) -> _Faults:
    lost = _lost(step, format)
    if lost is not None:
        yield "format-lost", lost
    for text in (step.action, step.title or "", step.thought or "", step.observation or ""):
        if odd := _ODD.search(text):
            yield "odd-characters", f"U+{ord(odd[0]):04X} in {_shown(text)}"
            break
    title = (step.title or "").strip()
    if not title:
        return
    if step.action.lstrip(" #*0123456789.)").casefold().startswith(title.casefold()):
        yield "title-in-step", f"it begins with {_shown(title)}"
    if len(title) > LONGEST_TITLE or "\n" in title:
        yield "title-long", f"{len(title)} characters: {_shown(title)}"
    if _says(title, (problem.answer or "").strip()):
        yield "title-answer", f"{_shown(title)} has the answer {_shown(problem.answer)}"


def _lost(step: ExpertStep, format: CompletionFormat) -> str | None:
    """What is lost if a policy writes the expert's step in this format; None if nothing is."""
    text = format.render(step)
    place = find_stop(text, format.stop)
    if place is not None and text[place:].strip():
        stop = next(stop for stop in format.stop if text[:place].endswith(stop))
        return f"sampling stops at {stop!r} in {_shown(text[max(0, place - 20) : place + 20])}"
    parsed = format.parse(text)
    if not parsed.ok:
        return f"{parsed.problem_found}: {_shown(text)}"
    if parsed.action.strip() != step.action.strip():
        return f"{_shown(step.action)} is read as {_shown(parsed.action)}"
    if (parsed.thought or "").strip() != (step.thought or "").strip():
        return f"the thought {_shown(step.thought)} is read as {_shown(parsed.thought)}"
    return None


def _says(text: str, secret: str) -> bool:
    """Whether a text has a secret between word boundaries; short ones do by chance."""
    place = text.find(secret) if len(secret) >= _SHORT_SECRET else -1
    around = text[place - 1 : place] + text[place + len(secret) : place + len(secret) + 1]
    return place >= 0 and not _WORD.search(around)


# -- verifiers --------------------------------------------------------------------------------


def _fitting_verifier(items: Sequence[Item]) -> str:
    """The verifier by which ``srl/Steps-v0`` judges such problems."""
    ends = [
        item.problem.trajectories[0].actions[-1]
        for item in items
        if isinstance(item.problem, Problem)
        and item.problem.trajectories
        and item.problem.answer is not None
    ]
    return "boxed" if 2 * sum("\\boxed" in end for end in ends) > len(ends) else "stated"


def _verifier(name: str) -> Verifier | None:
    try:
        verifier: Verifier | None = _made(named("verifier", name, VERIFIERS))
    except MissingExtra as error:
        raise BadOption(f"{error}; or choose another verifier, or 'none'") from error
    return verifier


def _made(maker: Any) -> Any:
    """What a class or function makes; any other object as it is."""
    return maker() if callable(maker) else maker


def _verdicts(
    verifier: Verifier, solved: Sequence[tuple[Problem, Sequence[str]]]
) -> Sequence[Verdict | Failure | UserError]:
    """A verdict for each, or what prevented it."""
    try:
        return verifier.verify_many(solved)
    except UserError as error:
        if len(solved) == 1:
            return [error]
    return [verdict for one in solved for verdict in _verdicts(verifier, [one])]


def _shown(text: str | None) -> str:
    """A text on one line, shortened for a message."""
    line = " ".join((text or "").split())
    return repr(line if len(line) <= 60 else line[:59] + "…")
