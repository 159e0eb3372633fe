"""Which method to train with: a data set and one probe of a model in, a recommendation out.

``recommend`` is a pure function. Each of its rules names the measurement behind it, and what that
measurement covers. ``data_facts`` and ``probe_of`` make its arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean, pstdev

from srl_agents.evaluation.contrasts import Comparison, coverage, percent
from srl_agents.evaluation.plan import Kind
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.problem import Problem
from srl_env.rollout import Episode

MOST_READ = 2048
"""Problems that are read to describe a data set."""
LEAST_STD = 0.05
"""Of the rewards of one step, so that SRL can learn from it; its ``min_std``."""

KEEPS_FORMAT = 0.5
OFTEN = 0.5
SOMETIMES = 0.05
NOISY = 0.05
MOSTLY = 0.9


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What a data set has.

    read: problems that were read, of ``problems``. demonstrated: those of them with an expert.
    thoughts: the fraction of experts with recorded thoughts. answers: the fraction of problems that
    the verifier can judge. noise: the fraction of the experts' steps that the step checker rejects;
    None without a step checker.
    """

    problems: int
    read: int
    demonstrated: int
    thoughts: float
    answers: float
    noise: float | None

    def lines(self) -> list[str]:
        """The facts, for people."""
        checked = "unknown, there is no step checker" if self.noise is None else f"{self.noise:.0%}"
        shown = f"{self.thoughts:.0%} of them with thoughts" if self.demonstrated else "none"
        return [
            f"problems: {self.problems:,}, of which {self.read:,} were read",
            f"demonstrations: {self.demonstrated:,}, {shown}",
            f"verifier: judges {self.answers:.0%} of the problems",
            f"wrong steps in demonstrations: {checked}",
        ]


@dataclass(frozen=True, slots=True)
class Probe:
    """What a model does with some of the problems before any training.

    success: the fraction of correct rollouts. mixed: the fraction of problems with correct and
    wrong rollouts, from which RLVR learns. format: the fraction of steps in the right format.
    similarity: of the next step to the expert's. spread: the fraction of the expert's steps at
    which sampled rewards differ, from which SRL learns. Both None without demonstrations.
    problems, rollouts: how many were sampled.
    """

    success: float
    mixed: float
    format: float
    similarity: float | None = None
    spread: float | None = None
    problems: int = 0
    rollouts: int = 0

    def lines(self) -> list[str]:
        """The numbers, for people."""
        found = [
            f"correct: {self.success:.1%} of {self.problems} × {self.rollouts} rollouts",
            f"problems with correct and wrong rollouts: {self.mixed:.0%}",
            f"steps in the right format: {self.format:.0%}",
        ]
        if self.similarity is not None and self.spread is not None:
            found.append(f"similarity to the expert's next step: {self.similarity:.2f}")
            found.append(f"steps at which sampled rewards differ: {self.spread:.0%}")
        return found


@dataclass(frozen=True, slots=True)
class Evidence:
    """A measurement, and what it covers."""

    found: str
    scope: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """methods: names in order, () if none can work yet. settings: keys of a run's configuration.

    why: the rules that applied. evidence: () for a rule that nothing here has measured.
    """

    methods: tuple[str, ...]
    why: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()


_ONE_BASE = "one base model of 0.28 M parameters, 5 training seeds, 128 problems, 120 s of one core"

FEW = Evidence(
    "48 of 300 chains of ten demonstrated, 40 % of the steps wrong, actions only: SRL → RLVR"
    " 71.8 %, SRL 54.1 %, RLVR 1.8 %, SFT → RLVR 0.2 % (docs/results.md)",
    _ONE_BASE,
)
ALL = Evidence(
    "300 of 300 chains of twelve demonstrated, actions only: SRL 91.6 %, SRL → RLVR 91.3 %, RLVR"
    " 0.4 %, SFT → RLVR 0.3 % (docs/results.md)",
    _ONE_BASE,
)
THOUGHTS = Evidence(
    "300 of 300 chains of twelve demonstrated: SFT with thoughts → RLVR 85.6 %, SRL → RLVR without"
    " them 91.3 %, SFT on actions → RLVR 0.3 % (docs/results.md)",
    _ONE_BASE,
)
RATE = Evidence(
    "0.5, 0.6 and 0.7 of the steps wrong: SRL at a constant rate 66.1, 45.5 and 4.9 %, at one that"
    " falls 79.5, 74.5 and 80.1 % (docs/results-appendix.md)",
    "one base model of 0.28 M parameters, one seed, development problems",
)
FIVE_PERCENT = Evidence(
    "a base that solves 4.6 % of chains of ten: RLVR 43.1 %, SRL 25.3 %, SRL → RLVR 70.4 %"
    " (docs/results.md)",
    "one base model of 0.28 M parameters, one seed, 128 problems",
)
IMITATED = Evidence(
    "a task that guessing hardly ever solves: RLVR 0 %, Prefix-RFT 66 %, ReLIFT 99 %, SuperRL 99 %"
    " (docs/methods.md)",
    "a tiny task of letters, one base model, 3 seeds, 60,000 positions; it shows that guesses are"
    " saved, no more",
)


def recommend(data: DataFacts, probe: Probe) -> Recommendation:
    """The method and settings for this data set and this model. Raises as ``check_data``."""
    check_data(data)
    found = _method(data, probe)
    if probe.format >= KEEPS_FORMAT or not found.methods:
        return found
    why = f"Only {probe.format:.0%} of the steps keep the format, so it is taught first."
    return Recommendation(
        ("form", *found.methods), (why, *found.why), found.settings, found.evidence
    )


def check_data(data: DataFacts) -> None:
    """Raises BadOption for data with neither demonstrations nor answers."""
    if not data.demonstrated and not data.answers:
        raise BadOption(
            "the data must have demonstrations, or answers that a verifier can judge; got neither."
            " Fix: collect demonstrations with srl-env data collect, or add answers"
        )


def evidence_of(comparison: Comparison, methods: Sequence[str], where: str) -> tuple[Evidence, ...]:
    """What a comparison found, best method first; () if it has none of these methods."""
    rows = [row for row in comparison.rows if "pass@1" in row.scores]
    if not {row.method for row in rows} & set(methods):
        return ()
    rows.sort(key=lambda row: -row.scores["pass@1"].value)
    scores = [f"{row.method} {percent(row.scores['pass@1'], interval=True)} %" for row in rows]
    return (Evidence(f"{where}: {', '.join(scores)}", coverage(rows).rstrip(".")),)


def _method(data: DataFacts, probe: Probe) -> Recommendation:
    if not data.demonstrated:
        return _without_demonstrations(probe)
    if data.thoughts >= MOSTLY:
        return _with_thoughts(data)
    if data.answers < MOSTLY:
        why = "Not every problem has an answer to judge by, so outcome rewards are left out."
        return _with_falling_rate(Recommendation(("srl",), (why,), evidence=(ALL,)), data)
    if probe.success >= OFTEN:
        why = f"{probe.success:.0%} of the rollouts are correct, so outcome rewards have a signal."
        return Recommendation(("rlvr",), (why,))
    if probe.spread is not None and probe.spread < SOMETIMES:
        why = (
            f"Sampled rewards differ at {probe.spread:.0%} of the expert's steps, too few for SRL:"
            " its gradient comes from such differences. So solutions are imitated where all"
            " rollouts fail."
        )
        return Recommendation(("superrl",), (why,), evidence=(IMITATED,))
    return _with_actions_only(data, probe)


def _without_demonstrations(probe: Probe) -> Recommendation:
    if probe.mixed >= SOMETIMES:
        why = (
            f"There are no demonstrations, and {probe.mixed:.0%} of the problems have correct and"
            " wrong rollouts, from which RLVR learns."
        )
        return Recommendation(("rlvr",), (why,), evidence=(FIVE_PERCENT,))
    why = (
        "There are no demonstrations, and nearly every problem has only correct or only wrong"
        " rollouts, so no shipped method has a signal. Collect demonstrations with srl-env data"
        " collect, or use problems that are easier."
    )
    return Recommendation((), (why,))


def _with_thoughts(data: DataFacts) -> Recommendation:
    why = "The experts' thoughts are recorded. Imitating them is the strongest baseline."
    settings = {"stages.sft.objective.demonstration": "reasoning"}
    if data.answers < MOSTLY:
        return Recommendation(("sft",), (why,), settings, (THOUGHTS,))
    settings |= {"stages.sft.fraction": "0.8"}
    return Recommendation(("sft-rlvr",), (why,), settings, (THOUGHTS,))


def _with_actions_only(data: DataFacts, probe: Probe) -> Recommendation:
    few = data.demonstrated < OFTEN * data.read
    noisy = (data.noise or 0.0) >= NOISY
    if not (few or noisy or probe.mixed >= SOMETIMES):
        why = (
            "Most problems are demonstrated by actions only, and no step is known to be wrong. SRL"
            " learns from each step; RLVR after it added nothing at the same cost."
        )
        return Recommendation(("srl",), (why,), {"stages.srl.warmup": "0.1"}, (ALL,))
    reasons = [
        "few problems are demonstrated" if few else "",
        "demonstrations have wrong steps" if noisy else "",
        "some problems are solved already" if probe.mixed >= SOMETIMES else "",
    ]
    why = (
        f"Demonstrations show actions only, and {', '.join(filter(None, reasons))}: SRL teaches"
        " the steps, and RLVR then learns from problems that no expert shows."
    )
    settings = {
        "stages.srl.fraction": "0.4",
        "stages.srl.until.informative": "off",
        "train.warmup": "0.2",
        "train.objective.max_drop": "0.5",
    }
    evidence = (FEW,) if few or noisy else (FIVE_PERCENT, FEW)
    return Recommendation(("srl-rlvr",), (why,), settings, evidence)


def _with_falling_rate(found: Recommendation, data: DataFacts) -> Recommendation:
    """The same, at a rate that falls to 0 if demonstrations are noisy."""
    if (data.noise or 0.0) < NOISY:
        return found
    why = f"{data.noise:.0%} of the expert's steps are wrong; at a constant rate these are learned."
    settings = {**found.settings, "stages.srl.schedule": "cosine"}
    return Recommendation(found.methods, (*found.why, why), settings, (*found.evidence, RATE))


# -- looking at data and at a model ---------------------------------------------------------------


def read_problems(env: ReasoningEnv) -> list[Problem]:
    """The first problems of an environment, at most ``MOST_READ``."""
    return [env.problems[index] for index in range(min(MOST_READ, len(env.problems)))]


def data_facts(env: ReasoningEnv, problems: Sequence[Problem]) -> DataFacts:
    """The facts about an environment's data, from the problems that were read."""
    experts = [(problem, one) for problem in problems for one in problem.trajectories]
    spoken = [any(step.thought is not None for step in one.steps) for _, one in experts]
    legal = [
        env.legal(problem, one.actions[:index], action)
        for problem, one in experts
        for index, action in enumerate(one.actions)
    ]
    checked = [verdict for verdict in legal if verdict is not None]
    return DataFacts(
        problems=len(env.problems),
        read=len(problems),
        demonstrated=sum(bool(problem.trajectories) for problem in problems),
        thoughts=_mean(spoken, 0.0),
        answers=_mean([not env.lacks_answer(problem) for problem in problems], 0.0),
        noise=1 - _mean(checked) if checked else None,
    )


def probe_of(episodes: Mapping[Kind, Sequence[Episode]]) -> Probe:
    """The probe in the episodes of an evaluation by kind, with similarity if it was measured.

    Raises BadOption if infrastructure failures ended all of them.
    """
    sampled = _by_problem(episodes.get("sampled", ()))
    forced = _by_problem(episodes.get("forced_sampled", ()))
    if not sampled:
        every = chain.from_iterable(episodes.values())
        failed = sorted({e.failure["type"] for e in every if e.failure is not None})
        raise BadOption(
            f"the probe must finish some rollouts; {', '.join(failed)} ended all of them. Fix:"
            " repair that, and run it again"
        )
    rates = [_mean([bool(episode.correct) for episode in episodes]) for episodes in sampled]
    steps = [step for episodes in sampled for e in episodes for step in e.steps]
    similar = [s.reward_parts.get("similarity", 0.0) for es in forced for e in es for s in e.steps]
    return Probe(
        success=_mean(rates),
        mixed=_mean([0 < rate < 1 for rate in rates]),
        format=_mean([step.format_ok for step in steps]),
        similarity=_mean(similar) if similar else None,
        spread=_mean(_differ(forced)) if similar else None,
        problems=len(sampled),
        rollouts=max(map(len, sampled), default=0),
    )


def _differ(forced: Iterable[Sequence[Episode]]) -> list[bool]:
    """For each of the experts' steps: whether the rewards of its samples differ."""
    return [
        pstdev(step.reward for step in steps) > LEAST_STD
        for episodes in forced
        for steps in zip(*(episode.steps for episode in episodes), strict=False)
    ]


def _by_problem(episodes: Sequence[Episode]) -> list[list[Episode]]:
    """For each problem, its episodes without infrastructure failures."""
    found: dict[str, list[Episode]] = {}
    for episode in episodes:
        if episode.failure is None:
            found.setdefault(episode.problem_id, []).append(episode)
    return list(found.values())


def _mean(values: Sequence[float], empty: float = math.nan) -> float:
    return fmean(values) if values else empty
