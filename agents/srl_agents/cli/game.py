"""A person takes the steps: ``srl-env play``.

An action is typed as lines, ended by an empty one; a line that begins with a colon is a command,
also between those of an action. The system prompt is shown on request.
After each step the person sees the reward with its parts, and where the step was scored
against the expert's, both with the characters that match in colour. What was played is saved by
``srl_agents.cli.saved_games``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from srl_agents.cli.saved_games import Book, Played, PlayedStep
from srl_env.environment import ReasoningEnv
from srl_env.episode.state import Snapshot
from srl_env.errors import Failure, UserError
from srl_env.problem import ExpertStep
from srl_env.rewards import matched_blocks
from srl_env.text.prompt import Messages, observation_text
from srl_env.text.unicode import escaped

HELP = """\
Type a step. An empty line ends it. A thought may come before it, in the environment's own form.
  :hint        the next step's title, then more and more of it
  :undo        take the last step back
  :show        the problem and the solution so far
  :system      the system prompt: task, form of a step, tools
  :mode NAME   the reward mode of the next episode
  :next        give this episode up and begin another
  :quit        stop; what was played is saved
Commands work on any line. Two colons begin a line of text with one."""
COMMANDS = ("help", "hint", "mode", "next", "quit", "show", "system", "undo")
DROPPING = ("next", "quit", "undo")
"""Commands after which the lines of an unfinished step mean nothing."""
HINTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of the expert's step each further hint shows."""


def play(
    env: ReasoningEnv,
    book: Book,
    *,
    screen: Console,
    source: TextIO,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    episodes: int | None = None,
) -> int:
    """Plays episodes until the person stops, or so many; returns how many were finished.

    book: where what was played is written. options: of ``reset``, whose errors come before anything
    is shown. seed: of the first episode; later ones go on from it.
    """
    game = _Game(env, screen, source, dict(options or {}))
    finished = begun = 0
    while episodes is None or begun < episodes:
        first = begun == 0
        if not game.begin(seed if first else None, intro=HELP if first else ""):
            break
        begun += 1
        try:
            going_on = game.play()
        except (EOFError, KeyboardInterrupt):
            going_on = False
        finished += game.result is not None
        _save(book, game, screen)
        if not going_on:
            break
    return finished


@dataclass(slots=True)
class _Game:
    """One episode at a time at the terminal."""

    env: ReasoningEnv
    screen: Console
    source: TextIO
    options: dict[str, Any]
    steps: list[PlayedStep] = field(default_factory=list)
    before: list[Snapshot] = field(default_factory=list)
    result: dict[str, Any] | None = None
    hints: int = 0
    messages: Messages = ()

    def begin(self, seed: int | None, intro: str) -> bool:
        """Starts an episode and shows it behind ``intro``; False where there is no world."""
        self.steps, self.before, self.result, self.hints = [], [], None, 0
        try:
            _, info = self.env.reset(seed=seed, options=self.options)
            self.messages = info["messages"]
        except Failure as failure:
            self._say(f"the world cannot be set up: {failure}", "red")
            return False
        if intro:
            self._say(intro, "dim")
        self._say(
            f"── {info['problem_id']} · {info['reward_mode']} · {self.env.continuation} ──", "bold"
        )
        if self.env.style.note:
            self._say(f"{self.env.style.note}\n", "dim")
        self._show_all()
        return True

    def play(self) -> bool:
        """Takes steps until the episode ends; False where the person wants to stop."""
        while True:
            command, text = self._read()
            if command == "quit":
                return False
            if command == "next":
                return True
            if command is not None:
                self._command(command, text)
            elif self._step(text):
                return True

    def _read(self) -> tuple[str | None, str]:
        """What was typed: a command and what is behind it, or None and the lines up to an empty
        one, commands between them already done; EOFError at the end."""
        self._say(f"step {self.env.step_index + 1} (:help)", "bold")
        lines: list[str] = []
        while line := self.source.readline():
            name, _, rest = line[1:].strip().partition(" ")
            known = not lines or name.removeprefix(":") in COMMANDS
            if line.startswith(":") and not line.startswith("::") and known:
                if not lines or name in DROPPING:
                    return name, rest.strip()
                self._command(name, rest.strip())
                self._say(f"your step goes on after {_counted(len(lines), 'line')}", "dim")
            elif line.strip():
                line = line.rstrip("\r\n")
                lines.append(line.removeprefix(":") if line.startswith("::") and known else line)
            elif lines:
                break
        if not lines:
            raise EOFError
        return None, "\n".join(lines)

    def _command(self, name: str, rest: str) -> None:
        commands: dict[str, Callable[[], None]] = {
            "hint": self._hint,
            "undo": self._undo,
            "show": self._show_all,
            "system": self._show_system,
            "help": lambda: self._say(HELP, "dim"),
            "mode": lambda: self._mode(rest),
        }
        commands.get(name, lambda: self._say(f"no command :{name}\n{HELP}", "red"))()

    def _step(self, text: str) -> bool:
        """Takes a step and shows what came of it; whether the episode is over."""
        env, index = self.env, self.env.step_index
        expert = self._expert_action()
        if not env.slow_world:  # going back in those may take as long as getting there
            self._remember()
        _, reward, terminated, truncated, info = env.step(_completion(env, text))
        self.messages = info["messages"]
        turn = env.history[-1] if env.history else None
        own = env.continuation == "policy"
        parsed = env.format.parse(_completion(env, text))
        self.steps.append(
            PlayedStep(
                index=index,
                action=info["action"],
                thought=parsed.thought or None,
                observation=turn.observation if turn and own else None,
                reward=reward,
                hints=self.hints,
            )
        )
        self.hints = 0
        self._show_result(reward, info, expert)
        over = terminated or truncated
        if over:
            self.result = info
            self._show_end(info)
        elif turn is not None:
            self._say_turn(own)
        return over

    def _expert_action(self) -> str | None:
        """What the expert would do now, or None beyond its end."""
        steps = self.env.expert_steps[self.env.step_index :]
        if not steps:
            return None
        if self.env.granularity == "step":
            return steps[0].action
        return self.env.style.join.join(step.action for step in steps)

    def _show_result(self, reward: float, info: Mapping[str, Any], expert: str | None) -> None:
        parts = ", ".join(f"{name} {value:.3g}" for name, value in info["reward_parts"].items())
        legal = {True: "; a right step", False: "; not a right step", None: ""}[info["legal"]]
        self._say(f"reward {reward:.3g} ({parts}){legal}", "bold")
        if not info["format_ok"]:
            why = info["format_error"] or "the form was not kept"
            self._say(f"{why}; in modes with step rewards that is −1", "red")
        if expert is not None and "similarity" in info["reward_parts"]:
            for line in difference(info["action"], expert):
                self.screen.print(line)

    def _say_turn(self, own: bool) -> None:
        turn = self.env.history[-1]
        if not own:
            self._say(f"the expert's step goes on: {turn.action}", "dim")
        if turn.observation:
            self._say(turn.observation, "cyan")

    def _show_end(self, info: Mapping[str, Any]) -> None:
        if "failure" in info:
            self._say(f"{info['failure']['type']}: {info['failure']['message']}", "red")
            return
        if info["verdict"] is None:
            self._say("the end; the solution was the expert's, so it is not judged", "dim")
        else:
            right = info["verdict"]["correct"]
            self._say("right" if right else "not right", "bold green" if right else "bold red")
        if self.env.expert_steps and self.env.continuation == "policy":
            self._say("The expert's solution:", "dim")
            for step in self.env.expert_steps:
                self._say(f"  {step.action}", "dim")

    def _remember(self) -> None:
        """Keeps the state before a step for ``:undo``, where the world can be copied."""
        try:
            self.before.append(self.env.snapshot())
        except UserError:
            self.before.clear()

    def _show_all(self) -> None:
        shown = [message for message in self.messages if message["role"] != "system"]
        self._say(observation_text(self.env.style, shown), "")

    def _show_system(self) -> None:
        told = [each["content"] for each in self.messages if each["role"] == "system"]
        self._say("\n".join(told) or "there is no system prompt here", "dim")

    def _hint(self) -> None:
        if self.env.step_index >= len(self.env.expert_steps):
            self._say("there is no expert's step here", "red")
            return
        step = self.env.expert_steps[self.env.step_index]
        self.hints += 1
        self._say(hint(step, self.hints), "yellow")

    def _undo(self) -> None:
        if not self.before:
            self._say("there is no step that can be taken back", "red")
            return
        self.messages = self.env.restore(self.before.pop())[1]["messages"]
        self.hints = self.steps.pop().hints
        self._show_all()

    def _mode(self, name: str) -> None:
        from srl_env.rewards import get_reward_mode

        try:
            get_reward_mode(name)
        except UserError as error:
            self._say(str(error), "red")
            return
        self.options["reward_mode"] = name
        self._say(f"the next episode is rewarded by {name}", "yellow")

    def _say(self, text: str, style: str) -> None:
        """Writes a text, its lines broken between words where the terminal ends."""
        self.screen.print(Text(escaped(text), style=style))


def difference(action: str, expert: str) -> tuple[Text, Text]:
    """Both steps with the matching characters in green, what is only in one in red."""
    action, expert = action.strip(), expert.strip()
    blocks = matched_blocks(action, expert)
    mine = _coloured("yours:  ", action, [(i, size) for i, _, size in blocks])
    theirs = _coloured("expert: ", expert, [(j, size) for _, j, size in blocks])
    return mine, theirs


def hint(step: ExpertStep, number: int) -> str:
    """Hint number 1, 2, …: the title, where there is one, then more and more of the action."""
    if step.title and number == 1:
        return f"hint: {step.title}"
    shares = HINTS if step.title else HINTS[1:]
    share = shares[min(number - 1, len(shares) - 1)]
    shown = step.action[: max(1, round(len(step.action) * share))]
    return f"hint: {shown}{'' if shown == step.action else '…'}"


def _coloured(head: str, text: str, matched: list[tuple[int, int]]) -> Text:
    line, end = Text(head, style="dim"), 0
    for start, size in matched:
        line.append(escaped(text[end:start]), style="red")
        line.append(escaped(text[start : start + size]), style="green")
        end = start + size
    line.append(escaped(text[end:]), style="red")
    return line


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _completion(env: ReasoningEnv, text: str) -> str:
    """What was typed as a completion: as it is where it keeps the form, else put into it."""
    return text if env.format.parse(text).ok else env.format.render(ExpertStep(text))


def _save(book: Book, game: _Game, screen: Console) -> None:
    if not any(step.action.strip() for step in game.steps):
        return
    verdict = (game.result or {}).get("verdict")
    played = Played(
        problem=game.env.problem,
        prefix=game.env.history[: game.env.start_step],
        steps=tuple(game.steps),
        reward_mode=game.env.reward_mode.name,
        continuation=game.env.continuation,
        correct=None if verdict is None else bool(verdict["correct"]),
    )
    book.add(played)
    screen.print(Text(f"saved: {book.where(played)}", style="dim"), soft_wrap=True)
