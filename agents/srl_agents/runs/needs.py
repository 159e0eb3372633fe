"""What a method needs, and whether a run's problems have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from srl_agents.methods.shipped import get_method, methods
from srl_agents.methods.stages import Method
from srl_agents.objectives.choices import Need
from srl_env.environment import ReasoningEnv
from srl_env.errors import BadOption
from srl_env.problem import Problem

_MOST_READ = 1024  # problems, twice
_WANTED: dict[Need, str] = {
    "demonstrations": "problems with expert trajectories",
    "thoughts": "experts with recorded thoughts",
    "verifier": "problems with an answer, by which the verifier judges",
    "teacher": "a teacher",
    "step checker": "an environment that says which steps are acceptable",
}
_FIX: dict[Need, str] = {
    "demonstrations": "use data with solutions in steps",
    "thoughts": "set stages.{stage}.objective.demonstration=outline, use data with thoughts",
    "verifier": "use data with answers",
    "teacher": "set stages.{stage}.objective.teacher to a model or a server",
    "step checker": "set stages.{stage}.objective.measure=characters",
}
_OF_DATA: tuple[Need, ...] = ("demonstrations", "thoughts", "verifier")


def check_needs(
    method: Method, env: ReasoningEnv, only: Sequence[int] | None, name: str = ""
) -> None:
    """Raises BadOption if the method needs what the problems lack.

    only: the indices of the problems to train on, None for all. name: of the environment, if there
    are several; stages that do not draw from it need nothing of it. Of many problems, the first
    ones and some of the others are read. The message lists the shipped methods that would work.
    """
    problems = env.problems
    indices = range(len(problems)) if only is None else only
    some = [*indices[:_MOST_READ], *indices[_MOST_READ :: max(1, len(indices) // _MOST_READ)]]
    lacking = dict(_lacking([problems[index] for index in some], env))
    stages = [stage for stage in method.stages if not stage.envs or name in stage.envs]
    missing = [(n, s.name) for n in _WANTED if n in lacking for s in stages if n in s.needs]
    if not missing:
        return
    (need, stage), others = (
        missing[0],
        [m for m in methods() if not get_method(m).needs & lacking.keys()],
    )
    where = f" the {len(some)} that were read of {problems.name}" if need in _OF_DATA else ""
    fix = f"{_FIX[need].format(stage=stage)}, or use a method that works without"
    raise BadOption(
        f"method {method.name!r} must have {_WANTED[need]}; got {lacking[need]}{where}. Fix:"
        f" {fix}: {', '.join(others) or 'none ships'}"
    )


def _lacking(problems: Sequence[Problem], env: ReasoningEnv) -> Iterator[tuple[Need, str]]:
    """(need, what was found instead) of what these problems lack.

    One demonstration is enough. But whichever problem is drawn, its experts' thoughts are imitated,
    and the verifier judges.
    """
    experts = [one for problem in problems for one in problem.trajectories]
    if not experts:
        yield "demonstrations", "none, in"
    silent = sum(all(step.thought is None for step in expert.steps) for expert in experts)
    if silent or not experts:
        yield "thoughts", f"{silent} of {len(experts)} without, in"
    if unanswered := sum(map(env.lacks_answer, problems)):
        yield "verifier", f"{unanswered} without, in"
    if not env.has_accepts:
        yield "step checker", f"{type(env).__name__}, which does not"
    yield "teacher", "none"  # an objective that needs one has none
