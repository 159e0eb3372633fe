"""Problems that wait for the step of an auxiliary objective."""

from __future__ import annotations

from dataclasses import dataclass, field

from srl_agents.methods.mixed.auxiliary import AuxiliaryObjective
from srl_agents.methods.starts import StartPoint, StartResult, StartSampler
from srl_agents.objectives.mixed.terms import verdicts_open
from srl_env.problem import start_steps


@dataclass(slots=True)
class Buffer(StartSampler):
    """The problems that are held, each once, oldest first; a step draws its starts from it.

    problems: their indices in the source. Checkpoints keep them.
    """

    settings: AuxiliaryObjective = field(default_factory=AuxiliaryObjective)
    problems: list[int] = field(default_factory=list)

    def record(self, point: StartPoint, result: StartResult) -> StartPoint | None:
        """Holds a problem whose episodes went as the settings say."""
        expert = self.source[point.problem].trajectories
        wanted = verdicts_open(self.settings.holds, result.correct)
        lacking = self.settings.objective.needs_expert and not expert
        if wanted and not lacking and point.problem not in self.problems:
            self.problems.append(point.problem)
        return None

    def due(self, update: int) -> bool:
        """Whether a step follows this update."""
        if self.settings.every is None:
            return len(self.problems) >= self.settings.held
        return bool(self.problems) and update % self.settings.every == 0

    def draw(self, count: int) -> list[StartPoint]:
        """The starts of the ``count`` oldest problems, which leave the buffer."""
        taken, self.problems = self.problems[:count], self.problems[count:]
        if self.settings.at == "problem":
            return [StartPoint(problem) for problem in taken]
        return [
            StartPoint(problem, step)
            for problem in taken
            for step in start_steps(self.source[problem], "all")
        ]
