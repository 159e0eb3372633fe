"""Whether a model has seen the problems before: shown the beginning of a question, it goes on.

A model that writes the rest of a question word for word has most likely been trained on it, and
its score on that problem says little. Each completion is also compared with the rest of another
problem, which tells how much of the likeness is the common style.
Source: partial-prompt completion as in "Reasoning or Memorization?", arXiv:2507.10532.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

from srl_agents.evaluation.statistics import Estimate, difference, estimate
from srl_env.errors import BadOption, Failure
from srl_env.policy import Policy, Sampling
from srl_env.problem import Problem
from srl_env.rewards import step_similarity
from srl_env.seeding import stream
from srl_env.text.prompt import Message, Messages

SHARES = (0.4, 0.6, 0.8)
REQUEST = (
    "Go on with this text from exactly where it ends, as it originally goes on. Write only the"
    " continuation.\n\n"
)
CHARACTERS_PER_TOKEN = 2  # of the room that a completion is given
SHORTEST_REST = 10

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Probe:
    """What was completed from one share of the questions; one number per problem.

    exact: 1 where the rest came word for word, spaces and capitals apart. similarity: of the
    completion, cut to the length of the rest, with the rest; other: with another problem's rest.
    NaN where the policy failed.
    """

    share: float
    problem_ids: tuple[str, ...]
    exact: tuple[float, ...]
    similarity: tuple[float, ...]
    other: tuple[float, ...]

    def estimates(self) -> dict[str, Estimate]:
        """Means with intervals: exact, similarity, other, and how far similarity is above."""
        rng = stream("probe", str(self.share))
        found = {
            name: estimate(getattr(self, name), rng=rng)
            for name in ("exact", "similarity", "other")
        }
        return found | {"above": difference(self.similarity, self.other, rng=rng)}

    def to_json(self) -> dict[str, Any]:
        """JSON-safe; NaN is null."""
        numbers = ("exact", "similarity", "other")
        rows = {n: [None if v != v else v for v in getattr(self, n)] for n in numbers}
        return (
            asdict(self) | rows | {"estimates": {n: asdict(e) for n, e in self.estimates().items()}}
        )


def probe(
    policy: Policy,
    problems: Sequence[Problem],
    *,
    shares: Sequence[float] = SHARES,
    raw: bool = False,
    at_once: int = 64,
    on_progress: OnProgress | None = None,
) -> list[Probe]:
    """One ``Probe`` for each share of the questions, at temperature 0.

    raw: the question's beginning alone is the prompt, for models that only continue texts.
    Problems too short to be cut so are left out. Raises BadOption for shares outside 0 … 1,
    and where fewer than two problems are left.
    """
    if not isinstance(policy, Policy):
        raise BadOption(f"{type(policy).__name__} writes no texts of its own; probe a model")
    if not shares or not all(0 < share < 1 for share in shares):
        raise BadOption(f"shares are between 0 and 1; got {list(shares)}")
    found, done = [], 0
    for share in shares:
        cuts = [(problem, *cut(problem.prompt, share)) for problem in problems]
        cuts = [one for one in cuts if len(one[2]) >= SHORTEST_REST and one[1]]
        if len(cuts) < 2:
            raise BadOption(f"fewer than two problems can be cut at {share:.0%}; give longer ones")
        completions = list[str | None]()
        for begin in range(0, len(cuts), at_once):
            completions += _complete(policy, cuts[begin : begin + at_once], raw)
            if on_progress is not None:
                on_progress(done + len(completions), len(shares) * len(problems))
        done += len(problems)
        found.append(_measured(share, cuts, completions))
    return found


def cut(text: str, share: float) -> tuple[str, str]:
    """A text in two, at the last space before that share of it; its beginning may be empty."""
    text = text.strip()
    place = text.rfind(" ", 0, int(share * len(text)) + 1)
    return (text[:place], text[place + 1 :]) if place > 0 else ("", text)


_Cut = tuple[Problem, str, str]


def _complete(policy: Policy, cuts: Sequence[_Cut], raw: bool) -> Iterator[str | None]:
    """What the policy writes after each beginning; None where it failed."""
    prompts: list[Messages] = [
        [Message(role="user", content=begin if raw else REQUEST + begin)] for _, begin, _ in cuts
    ]
    most = max(len(rest) for _, _, rest in cuts) // CHARACTERS_PER_TOKEN + 16
    for made in policy.generate(prompts, Sampling(temperature=0.0, max_tokens=most)):
        yield None if isinstance(made, Failure) else made.text


def _measured(share: float, cuts: Sequence[_Cut], completions: Sequence[str | None]) -> Probe:
    exact, similarity, other = list[float](), list[float](), list[float]()
    for number, ((_, begin, rest), text) in enumerate(zip(cuts, completions, strict=True)):
        if text is None:
            exact.append(nan)
            similarity.append(nan)
            other.append(nan)
            continue
        written = _words(text).removeprefix(_words(begin)).strip()  # some repeat the beginning
        wanted, others = _words(rest), _words(cuts[(number + 1) % len(cuts)][2])
        exact.append(float(written.startswith(wanted)))
        similarity.append(step_similarity(written[: len(wanted)], wanted))
        other.append(step_similarity(written[: len(others)], others))
    ids = tuple(problem.id for problem, _, _ in cuts)
    return Probe(share, ids, tuple(exact), tuple(similarity), tuple(other))


def _words(text: str) -> str:
    return " ".join(text.casefold().split())
