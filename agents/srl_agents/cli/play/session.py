"""A session of ``srl-env play``.

An action is typed as lines and ended by an empty one. A line that starts with a colon is a command,
also between the lines of an action. After each step the person sees the reward with its parts. If
the step was compared with the expert's, both are shown with the matching characters in colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from srl_agents.cli.play.recording import SOURCE, Recording
from srl_env.environment import ReasoningEnv
from srl_env.episode.state import Snapshot
from srl_env.errors import Failure, UserError
from srl_env.problem import ExpertStep, ExpertTrajectory
from srl_env.rewards import get_reward_mode, matched_blocks
from srl_env.text.prompt import Messages, observation_text
from srl_env.text.unicode import escaped

HELP = """\
Type a step. An empty line ends it. A thought may precede it, in the environment's format.
  :hint        the next step's title, then more and more of it
  :undo        take the last step back
  :show        the problem and the solution so far
  :system      the system prompt: task, format of a step, tools
  :mode NAME   the reward mode of the next episode
  :next        abandon this episode and start another
  :quit        stop; the episodes are saved
Commands work on any line. Start a line with two colons if its text starts with one."""
DROPPING = ("next", "quit", "undo")
"""Commands that drop the lines of an unfinished step."""
COMMANDS = ("help", "hint", "mode", "show", "system", *DROPPING)
HINTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The fraction of the expert's step that each further hint shows."""


def play(
    env: ReasoningEnv,
    recording: Recording,
    *,
    screen: Console,
    source: TextIO,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    episodes: int | None = None,
) -> int:
    """Plays this many episodes, or until the person stops; returns the number of finished ones.

    options: of ``reset``, whose errors come before anything is shown. seed: of the first episode.
    """
    session = _Session(env, screen, source, dict(options or {}))
    finished = started = 0
    playing = True
    while playing and (episodes is None or started < episodes):
        first = started == 0
        if not session.start(seed if first else None, intro=HELP if first else ""):
            break
        started += 1
        try:
            playing = session.play()
        except (EOFError, KeyboardInterrupt):
            playing = False
        finished += session.result is not None
        session.save(recording)
    return finished


@dataclass(frozen=True, slots=True)
class _Step:
    """A person's step. hints: number of hints before it."""

    step: ExpertStep
    reward: float
    hints: int


@dataclass(slots=True)
class _Session:
    """One episode at a time at the terminal."""

    env: ReasoningEnv
    screen: Console
    source: TextIO
    options: dict[str, Any]
    steps: list[_Step] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    result: Mapping[str, Any] | None = None
    hints: int = 0
    messages: Messages = ()

    def start(self, seed: int | None, intro: str) -> bool:
        """Starts an episode and shows it after ``intro``; False if its world cannot be set up."""
        self.steps, self.snapshots, self.result, self.hints = [], [], None, 0
        try:
            _, info = self.env.reset(seed=seed, options=self.options)
        except Failure as failure:
            self._say(f"the world cannot be set up: {failure}", "red")
            return False
        self.messages = info["messages"]
        if intro:
            self._say(intro, "dim")
        title = f"{info['problem_id']} · {info['reward_mode']} · {self.env.continuation}"
        self._say(f"── {title} ──", "bold")
        if self.env.style.note:
            self._say(f"{self.env.style.note}\n", "dim")
        self._show()
        return True

    def play(self) -> bool:
        """Takes steps until the episode ends; False if the person wants to stop."""
        while True:
            command, text = self._read()
            if command in ("quit", "next"):
                return command == "next"
            if command is not None:
                self._command(command, text)
            elif self._step(text):
                return True

    def save(self, recording: Recording) -> None:
        """Saves the episode, unless all its steps are empty."""
        if not any(each.step.action.strip() for each in self.steps):
            return
        env, verdict = self.env, (self.result or {}).get("verdict")
        prefix = env.history[: env.start_step]
        given = [ExpertStep(turn.action, observation=turn.observation) for turn in prefix]
        steps = [*given, *(each.step for each in self.steps)]
        trajectory = ExpertTrajectory(tuple(s for s in steps if s.action.strip()), SOURCE)
        about = {
            "reward_mode": env.reward_mode.name,
            "continuation": env.continuation,
            "correct": None if verdict is None else bool(verdict["correct"]),
            "start_step": len(prefix),
            "rewards": [None if isnan(each.reward) else each.reward for each in self.steps],
            "hints": [each.hints for each in self.steps],
        }
        path = recording.add(env.problem, trajectory, about)
        self.screen.print(Text(f"saved: {path}", style="dim"), soft_wrap=True)

    def _read(self) -> tuple[str | None, str]:
        """A command with its argument, or None with the lines up to an empty one.

        Commands between the lines are already done. Raises EOFError at the end of the input.
        """
        self._say(f"step {self.env.step_index + 1} (:help)", "bold")
        lines: list[str] = []
        while line := self.source.readline():
            name, _, rest = line[1:].strip().partition(" ")
            known = not lines or name.removeprefix(":") in COMMANDS
            if line.startswith(":") and not line.startswith("::") and known:
                if not lines or name in DROPPING:
                    return name, rest.strip()
                self._command(name, rest.strip())
                count = f"{len(lines)} line{'s' * (len(lines) != 1)}"
                self._say(f"your step continues after {count}", "dim")
            elif line.strip():
                line = line.rstrip("\r\n")
                lines.append(line.removeprefix(":") if line.startswith("::") and known else line)
            elif lines:
                break
        if not lines:
            raise EOFError
        return None, "\n".join(lines)

    def _command(self, name: str, argument: str) -> None:
        match name:
            case "hint":
                self._hint()
            case "undo":
                self._undo()
            case "show":
                self._show()
            case "system":
                system = [m["content"] for m in self.messages if m["role"] == "system"]
                self._say("\n".join(system) or "there is no system prompt", "dim")
            case "help":
                self._say(HELP, "dim")
            case "mode":
                self._mode(argument)
            case _:
                self._say(f"no command :{name}\n{HELP}", "red")

    def _step(self, text: str) -> bool:
        """Takes a step and shows its result; whether the episode is over."""
        env = self.env
        expert = self._expert_action()
        if not env.slow_world:  # to restore these may take as long as to get there
            self._take_snapshot()
        completion = text if env.format.parse(text).ok else env.format.render(ExpertStep(text))
        _, reward, terminated, truncated, info = env.step(completion)
        self.messages = info["messages"]
        turn = env.history[-1] if env.history else None
        own = env.continuation == "policy"
        step = ExpertStep(
            info["action"],
            thought=env.format.parse(completion).thought or None,
            observation=turn.observation if turn and own else None,
        )
        self.steps.append(_Step(step, reward, self.hints))
        self.hints = 0
        self._show_reward(reward, info, expert)
        if terminated or truncated:
            self.result = info
            self._show_end(info)
            return True
        if turn is not None:
            if not own:
                self._say(f"the expert's step is used: {turn.action}", "dim")
            if turn.observation:
                self._say(turn.observation, "cyan")
        return False

    def _expert_action(self) -> str | None:
        """The expert's next action, or None after its end."""
        steps = self.env.expert_steps[self.env.step_index :]
        if not steps:
            return None
        if self.env.granularity == "step":
            return steps[0].action
        return self.env.style.join.join(step.action for step in steps)

    def _take_snapshot(self) -> None:
        """Keeps the state before a step for ``:undo``, if the world can be copied."""
        try:
            self.snapshots.append(self.env.snapshot())
        except UserError:
            self.snapshots.clear()

    def _show_reward(self, reward: float, info: Mapping[str, Any], expert: str | None) -> None:
        parts = ", ".join(f"{name} {value:.3g}" for name, value in info["reward_parts"].items())
        legal = {True: "; a correct step", False: "; not a correct step", None: ""}[info["legal"]]
        self._say(f"reward {reward:.3g} ({parts}){legal}", "bold")
        if not info["format_ok"]:
            reason = info["format_error"] or "wrong format"
            self._say(f"{reason}; modes with step rewards give −1 for that", "red")
        if expert is not None and "similarity" in info["reward_parts"]:
            for line in difference(info["action"], expert):
                self.screen.print(line)

    def _show_end(self, info: Mapping[str, Any]) -> None:
        if "failure" in info:
            self._say(f"{info['failure']['type']}: {info['failure']['message']}", "red")
            return
        if info["verdict"] is None:
            self._say("the end; the solution was the expert's, so it is not judged", "dim")
        elif info["verdict"]["correct"]:
            self._say("correct", "bold green")
        else:
            self._say("wrong", "bold red")
        if self.env.expert_steps and self.env.continuation == "policy":
            steps = [f"  {step.action}" for step in self.env.expert_steps]
            self._say("\n".join(["The expert's solution:", *steps]), "dim")

    def _show(self) -> None:
        shown = [message for message in self.messages if message["role"] != "system"]
        self._say(observation_text(self.env.style, shown), "")

    def _hint(self) -> None:
        if self.env.step_index >= len(self.env.expert_steps):
            self._say("the expert has no step here", "red")
            return
        self.hints += 1
        self._say(hint(self.env.expert_steps[self.env.step_index], self.hints), "yellow")

    def _undo(self) -> None:
        if not self.snapshots:
            self._say("no step can be taken back", "red")
            return
        self.messages = self.env.restore(self.snapshots.pop())[1]["messages"]
        self.hints = self.steps.pop().hints
        self._show()

    def _mode(self, name: str) -> None:
        try:
            get_reward_mode(name)
        except UserError as error:
            self._say(str(error), "red")
            return
        self.options["reward_mode"] = name
        self._say(f"the next episode is rewarded by {name}", "yellow")

    def _say(self, text: str, style: str) -> None:
        """Prints a text, wrapped between words."""
        self.screen.print(Text(escaped(text), style=style))


def difference(action: str, expert: str) -> tuple[Text, Text]:
    """Both steps, their matching characters in green, the others in red."""
    action, expert = action.strip(), expert.strip()
    blocks = matched_blocks(action, expert)
    mine = _coloured("yours:  ", action, [(i, size) for i, _, size in blocks])
    theirs = _coloured("expert: ", expert, [(j, size) for _, j, size in blocks])
    return mine, theirs


def _coloured(head: str, text: str, matched: list[tuple[int, int]]) -> Text:
    line, end = Text(head, style="dim"), 0
    for start, size in matched:
        line.append(escaped(text[end:start]), style="red")
        line.append(escaped(text[start : start + size]), style="green")
        end = start + size
    line.append(escaped(text[end:]), style="red")
    return line


def hint(step: ExpertStep, number: int) -> str:
    """Hint number 1, 2, …: the title, if there is one, then more and more of the action."""
    if step.title and number == 1:
        return f"hint: {step.title}"
    fractions = HINTS if step.title else HINTS[1:]
    fraction = fractions[min(number - 1, len(fractions) - 1)]
    shown = step.action[: max(1, round(len(step.action) * fraction))]
    return f"hint: {shown}{'' if shown == step.action else '…'}"
