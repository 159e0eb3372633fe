"""A policy that writes bugs and the words of statements; its answers are kept in the journal."""

from __future__ import annotations

import itertools
import math
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from srl_env.errors import Failure, LimitReached
from srl_env.grading import OracleCase
from srl_env.policy import Policy, Sampling
from srl_env.seeding import derive_seed, stream
from srl_env.swe.builder.author.answer import Unusable, read_answer, read_bug
from srl_env.swe.builder.author.prompt import (
    MAX_SHOWN,
    WRITTEN_KINDS,
    bug_prompt,
    changeable,
    words_prompt,
)
from srl_env.swe.builder.author.sentences import Words, backed_words
from srl_env.swe.builder.journal import Journal, read_rows
from srl_env.swe.builder.mutation import Mutation
from srl_env.swe.builder.options import BuildOptions
from srl_env.swe.builder.plan import Candidate, split_of
from srl_env.swe.builder.project import Project, Target
from srl_env.swe.builder.reproduction import Reproduction
from srl_env.text.prompt import Messages

S = TypeVar("S")
T = TypeVar("T")

AT_ONCE: Final = 16
_AHEAD: Final = 4  # answers of a kind that are asked for at once
_USAGE: Final = "usage"
_LEAST_LINES: Final = 3
_WORDS_TOKENS: Final = 512


@dataclass(frozen=True, slots=True)
class _Request:
    key: str
    kind: str
    target: Target
    messages: Messages


class Author:
    """Bugs and words from a policy.

    A failed request is counted by its type, and asked again when the build is resumed; it never
    counts against the policy's text. ``stopped``: the limit that was reached, else "". After it,
    nothing is asked any more.
    """

    def __init__(self, policy: Policy, journal: Journal, options: BuildOptions) -> None:
        self._policy, self._journal, self._options = policy, journal, options
        self._counting = threading.Lock()
        self._process = uuid.uuid4().hex
        self.answers = self.unusable = 0
        self.sentences, self.dropped_sentences = 0, 0
        self.failures = Counter[str]()
        self.stopped = ""

    def candidates(
        self,
        project: Project,
        examples: Sequence[OracleCase],
        wanted: int | None,
        on_unusable: Callable[[str], None],
    ) -> dict[str, Iterator[Candidate]]:
        """Candidates by kind. They are asked for when they are taken, some of each kind at once.

        on_unusable: called with the reason for each answer that is no bug that can be tried.
        """
        ahead = _AHEAD
        if wanted is not None:
            ahead = min(_AHEAD, math.ceil(wanted / len(WRITTEN_KINDS)))
        requests = {kind: iter(self._requests(project, kind, examples)) for kind in WRITTEN_KINDS}
        found: dict[str, deque[Candidate]] = {kind: deque() for kind in WRITTEN_KINDS}

        def ask_more() -> bool:
            """Asks some of each kind that has none left; False if there is nothing to ask."""
            chosen = [
                request
                for kind in WRITTEN_KINDS
                if not found[kind]
                for request in itertools.islice(requests[kind], ahead)
            ]
            for request, text in zip(chosen, self._texts(chosen), strict=True):
                if text is None:
                    continue
                self.answers += 1
                try:
                    found[request.kind].append(_candidate(project, request, text))
                except Unusable as reason:
                    self.unusable += 1
                    on_unusable(str(reason))
            return bool(chosen) and not self.stopped

        def of(kind: str) -> Iterator[Candidate]:
            while found[kind] or ask_more() or found[kind]:
                if found[kind]:
                    yield found[kind].popleft()

        return {kind: of(kind) for kind in WRITTEN_KINDS}

    def words(self, package: str, shown: Reproduction) -> Words:
        """The backed words of the policy's text on an example; none if the request fails."""
        key = f"{package}: {shown.script}: {shown.actual.text}: {shown.expected.text}"
        text = self._text("words", key, words_prompt(package, shown), _WORDS_TOKENS)
        words = Words() if text is None else backed_words(text, package, shown)
        with self._counting:
            self.sentences += words.kept
            self.dropped_sentences += words.dropped
        return words

    def counts(self, tasks: int) -> dict[str, Any]:
        """What the policy wrote, in numbers. tasks: how many its bugs became."""
        return {
            "answers": self.answers,
            "unusable": self.unusable,
            "tasks": tasks,
            "acceptance": round(tasks / self.answers, 4) if self.answers else 0.0,
            "sentences": self.sentences,
            "dropped_sentences": self.dropped_sentences,
            "failures": dict(self.failures),
            "usage": _total(self._journal.stage(_USAGE)),
            "stopped": self.stopped,
        }

    def _requests(
        self, project: Project, kind: str, examples: Sequence[OracleCase]
    ) -> Iterator[_Request]:
        """A request for each function that is neither trivial nor too long, in a random order."""
        fitting = [target for target in project.targets if _fits(project, target)]
        order = stream("written", project.name, kind, self._options.seed).permutation(len(fitting))
        for number in order:
            target = fitting[number]
            messages = bug_prompt(project, target, kind, examples)
            yield _Request(f"{kind} {target.id}", kind, target, messages)

    def _texts(self, requests: Sequence[_Request]) -> list[str | None]:
        """The answers to requests; None for failed ones, and after a limit."""
        limit = self._options.max_tokens
        return self.in_parallel(
            lambda each: self._text("bug", each.key, each.messages, limit), requests
        )

    def in_parallel(self, ask: Callable[[T], S], items: Sequence[T]) -> list[S]:
        """The results of a function that asks the policy, in order; many at once if it may."""
        at_once = AT_ONCE if getattr(self._policy, "concurrent", False) else 1
        pool = ThreadPoolExecutor(at_once, thread_name_prefix="author")
        try:
            return list(pool.map(ask, items))
        finally:
            pool.shutdown(cancel_futures=True)

    def _text(self, stage: str, key: str, messages: Messages, max_tokens: int) -> str | None:
        """The answer to one request, from the journal if it has it."""
        known = self._journal.get(stage, key)
        if known is not None:
            return cast(str, known)
        if self.stopped:
            return None
        sampling = Sampling(
            temperature=self._options.temperature,
            max_tokens=max_tokens,
            seeds=(derive_seed("author", self._options.seed, stage, key),),
        )
        try:
            (answer,) = self._policy.generate([messages], sampling)
        except LimitReached as limit:
            self.stopped = str(limit)
            return None
        finally:
            self._save_usage()
        if isinstance(answer, Failure):
            with self._counting:
                self.failures[type(answer).__name__] += 1
            return None
        text = answer.text.encode("utf-8", "replace").decode()  # lone surrogates
        return cast(str, self._journal.result(stage, key, lambda: text))

    def _save_usage(self) -> None:
        counts = cast(Any, getattr(self._policy, "usage", None))
        if counts is not None:
            with self._counting:  # so that no earlier count replaces a later one
                self._journal.replace(_USAGE, self._process, asdict(counts))


def recorded_usage(path: Path) -> dict[str, float]:
    """What policies used in an unfinished build, by its journal; {} if there is none."""
    rows = read_rows(path)
    return _total({row["key"]: row["found"] for row in rows if row.get("stage") == _USAGE})


def _total(by_process: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The sum over processes."""
    total = Counter[str]()
    for counts in by_process.values():
        total.update(counts)
    return dict(total)


def _fits(project: Project, target: Target) -> bool:
    source, function = project.sources[target.path], target.function
    length = source.line_start(function.last + 1) - source.line_start(function.first)
    return function.lines >= _LEAST_LINES and length <= MAX_SHOWN


def _candidate(project: Project, request: _Request, text: str) -> Candidate:
    """The candidate that an answer is. Raises Unusable."""
    answer, target = read_answer(text), request.target
    bug = read_bug(request.kind, answer, project.sources, target.id)
    allowed = {(path, function.name) for path, function in changeable(project, target)}
    if not all((part.path, part.function) in allowed for part in bug.parts):
        raise Unusable("the change is in functions that were not to be changed")
    return Candidate(
        (bug,),
        (_shows(project, bug),),
        split_of(project.name, target.id),
        fails_with=answer.fails_with,
        example=answer.example,
    )


def _shows(project: Project, bug: Mutation) -> Target:
    """The first changed function that tests run, with the tests of all that are changed."""
    targets = {target.id: target for target in project.targets}
    ids = [f"{part.path}:{part.function}" for part in bug.parts]
    ran = [targets[name] for name in ids if name in targets]
    if not ran:
        raise Unusable("no test runs the changed functions")
    tests: Mapping[str, None] = dict.fromkeys(test for target in ran for test in target.tests)
    return replace(ran[0], tests=tuple(tests))
