"""Whether a model has seen the problems before: it completes questions from their beginnings.

A model that completes a question word for word has most likely been trained on it, so its score on
that problem means little. Each completion is also compared with the rest of another problem, which
measures how much of the similarity is common style.
Source: partial-prompt completion as in "Reasoning or Memorization?", arXiv:2507.10532.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

from srl_agents.evaluation.scoring import without_nan
from srl_agents.evaluation.statistics import Estimate, difference, estimate
from srl_env.errors import BadOption, Failure
from srl_env.policy import Policy, Sampling
from srl_env.problem import Problem
from srl_env.rewards import step_similarity
from srl_env.seeding import stream
from srl_env.text.prompt import Message, Messages

FRACTIONS = (0.4, 0.6, 0.8)
REQUEST = (
    "Continue this text exactly where it ends, as the original does. Write only the"
    " continuation.\n\n"
)
CHARACTERS_PER_TOKEN = 2  # for the token limit of a completion
SHORTEST_REST = 10
_AT_ONCE = 64

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Probe:
    """Completions of one fraction of the questions; one number per problem.

    exact: 1 for the rest word for word, apart from spaces and capitals. similarity: of the
    completion, truncated to the length of the rest, with the rest; other: with another problem's
    rest. NaN if the policy failed.
    """

    fraction: float
    problem_ids: tuple[str, ...]
    exact: tuple[float, ...]
    similarity: tuple[float, ...]
    other: tuple[float, ...]

    def estimates(self) -> dict[str, Estimate]:
        """Means with intervals: exact, similarity, other, and similarity minus other ("above")."""
        rng = stream("probe", str(self.fraction))
        found = {
            name: estimate(getattr(self, name), rng=rng)
            for name in ("exact", "similarity", "other")
        }
        return found | {"above": difference(self.similarity, self.other, rng=rng)}

    def to_json(self) -> dict[str, Any]:
        """JSON-safe; NaN is null."""
        found = {name: asdict(estimate) for name, estimate in self.estimates().items()}
        return dict(without_nan(asdict(self) | {"estimates": found}))


def probe(
    policy: Policy,
    problems: Sequence[Problem],
    *,
    fractions: Sequence[float] = FRACTIONS,
    raw: bool = False,
    on_progress: OnProgress | None = None,
) -> list[Probe]:
    """One ``Probe`` for each fraction of the questions, at temperature 0.

    raw: the question's beginning alone is the prompt, for models that only continue texts.
    Problems that are too short are skipped. Raises BadOption for fractions outside 0 … 1, and if
    fewer than two problems are left.
    """
    if not isinstance(policy, Policy):
        raise BadOption(f"policy must be a model that writes text; got {type(policy).__name__}")
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        raise BadOption(f"fractions must be between 0 and 1; got {list(fractions)}")
    found, done = [], 0
    for fraction in fractions:
        cuts = [(problem, *cut(problem.prompt, fraction)) for problem in problems]
        cuts = [one for one in cuts if len(one[2]) >= SHORTEST_REST and one[1]]
        if len(cuts) < 2:
            raise BadOption(
                f"at least two problems must be long enough to be cut at {fraction:.0%}; got"
                f" {len(cuts)}. Fix: other problems or fractions"
            )
        completions = list[str | None]()
        for begin in range(0, len(cuts), _AT_ONCE):
            completions += _complete(policy, cuts[begin : begin + _AT_ONCE], raw)
            if on_progress is not None:
                on_progress(done + len(completions), len(fractions) * len(problems))
        done += len(problems)
        found.append(_measured(fraction, cuts, completions))
    return found


def cut(text: str, fraction: float) -> tuple[str, str]:
    """A text in two, at the last space before that fraction of it; the first part may be empty."""
    text = text.strip()
    place = text.rfind(" ", 0, int(fraction * len(text)) + 1)
    return (text[:place], text[place + 1 :]) if place > 0 else ("", text)


_Cut = tuple[Problem, str, str]


def _complete(policy: Policy, cuts: Sequence[_Cut], raw: bool) -> Iterator[str | None]:
    """The policy's completion of each beginning; None if it failed."""
    prompts: list[Messages] = [
        [Message(role="user", content=begin if raw else REQUEST + begin)] for _, begin, _ in cuts
    ]
    most = max(len(rest) for _, _, rest in cuts) // CHARACTERS_PER_TOKEN + 16
    for made in policy.generate(prompts, Sampling(temperature=0.0, max_tokens=most)):
        yield None if isinstance(made, Failure) else made.text


def _measured(fraction: float, cuts: Sequence[_Cut], completions: Sequence[str | None]) -> Probe:
    rests = [_words(rest) for _, _, rest in cuts]
    rows = [
        _compared(text, begin, rest, other)
        for text, (_, begin, _), rest, other in zip(
            completions, cuts, rests, rests[1:] + rests[:1], strict=True
        )
    ]
    exact, similarity, other = zip(*rows, strict=True)
    return Probe(fraction, tuple(problem.id for problem, _, _ in cuts), exact, similarity, other)


def _compared(text: str | None, begin: str, rest: str, other: str) -> tuple[float, float, float]:
    if text is None:
        return nan, nan, nan
    written = _words(text).removeprefix(_words(begin)).strip()  # some models repeat the beginning
    return (
        float(written.startswith(rest)),
        step_similarity(written[: len(rest)], rest),
        step_similarity(written[: len(other)], other),
    )


def _words(text: str) -> str:
    return " ".join(text.casefold().split())
