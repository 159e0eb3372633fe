"""The one place where prompts are made: for training, sampling and evaluation alike.

``make_messages`` gives the chat messages, ``observation_text`` the same as one text. The
history holds actions and what the world answered, never thinking: a model trained with
earlier thinking stripped and sampled with it kept loses nearly everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypedDict

from srl_env.errors import BadOption
from srl_env.text.format import CompletionFormat


class Message(TypedDict):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


Messages = Sequence[Message]


STEP_TASK = (
    "You continue the solution of a problem by its very next logical step. You are shown the "
    "problem and the solution so far. Write only the single next step; do not solve the whole "
    "problem."
)
SOLUTION_TASK = (
    "You solve a problem step by step. You are shown the problem and, where one was begun, the "
    "solution so far. Write all the steps that are left, down to the final answer."
)


class Turn(NamedTuple):
    """One step of the history: what was done, and what the world answered (None: nothing)."""

    action: str
    observation: str | None = None


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """The texts around a problem and its history.

    step_task, solution_task: the system prompt's first part, by granularity; "" for none.
    note: what the system prompt adds, e.g. how the final answer is stated; "" for none.
    problem, so_far, title, observation: templates with {problem}, {steps}, {title} and
    {observation}; between: what stands between the parts of a message.
    join: what stands between the actions of the solution so far.
    turns: whether a step that the world answered becomes an assistant message and a user
    message; otherwise it stays in the one user message.
    last_turns: only so many steps of the history are shown, the last ones; None for all. SRL
    on repositories shows the issue and the last two.
    Source of the wording: SRL, arXiv:2510.25992, in substance; its template is not published.
    """

    step_task: str = STEP_TASK
    solution_task: str = SOLUTION_TASK
    note: str = ""
    problem: str = "Problem:\n{problem}"
    so_far: str = "Solution so far:\n{steps}"
    title: str = "The title of the next step: {title}"
    observation: str = "Observation:\n{observation}"
    between: str = "\n\n"
    join: str = "\n"
    turns: bool = True
    last_turns: int | None = None

    def __post_init__(self) -> None:
        if self.last_turns is not None and not (
            type(self.last_turns) is int and self.last_turns >= 0
        ):
            raise BadOption(f"last_turns is a number from 0 on, or None; got {self.last_turns!r}")
        for name, key in (
            ("problem", "problem"),
            ("so_far", "steps"),
            ("title", "title"),
            ("observation", "observation"),
        ):
            if f"{{{key}}}" not in getattr(self, name):
                raise BadOption(f"the template {name!r} must contain {{{key}}}")

    @classmethod
    def bare(cls) -> PromptStyle:
        """Problem and actions one after the other and nothing else, for models from scratch."""
        return cls(
            step_task="",
            solution_task="",
            problem="{problem}",
            so_far="{steps}",
            title="{title}",
            observation="{observation}",
            between="",
            join="",
            turns=False,
        )


class Opening(NamedTuple):
    """What a prompt begins with, the same for all steps of an episode."""

    system: str
    problem: str


def make_messages(
    style: PromptStyle,
    format: CompletionFormat,
    granularity: str,
    prompt: str,
    history: Sequence[Turn],
    next_title: str | None = None,
) -> list[Message]:
    """The chat messages that ask for the next step, or for the rest of the solution.

    A system message where there is something to say, then a user message with the problem.
    Of the history, the last ``PromptStyle.last_turns`` steps are shown.
    Steps without an answer of the world are listed in the user message before them; those
    with one become an assistant message and a user message (see ``PromptStyle.turns``).
    """
    return continue_messages(
        style, make_opening(style, format, granularity, prompt), history, next_title
    )


def make_opening(
    style: PromptStyle, format: CompletionFormat, granularity: str, prompt: str
) -> Opening:
    """The texts of ``make_messages`` that do not change from step to step."""
    task = style.step_task if granularity == "step" else style.solution_task
    said = [part for part in (task, format.instructions, style.note) if part]
    return Opening("\n\n".join(said), style.problem.replace("{problem}", prompt))


def continue_messages(
    style: PromptStyle, opening: Opening, history: Sequence[Turn], next_title: str | None = None
) -> list[Message]:
    """The messages of ``make_messages``, from an opening that was made before."""
    if style.last_turns is not None:
        history = history[max(0, len(history) - style.last_turns) :]
    messages: list[Message] = []
    if opening.system:
        messages.append({"role": "system", "content": opening.system})
    parts, unanswered = [opening.problem], list[str]()
    for action, observation in history:
        unanswered.append(action)
        if observation is None:
            continue
        answer = style.observation.replace("{observation}", observation)
        if style.turns:
            messages.append({"role": "user", "content": _user(style, parts, unanswered[:-1])})
            messages.append({"role": "assistant", "content": action})
            parts = [answer]
        else:
            parts += [_so_far(style, unanswered), answer]
        unanswered = []
    title = () if next_title is None else (style.title.replace("{title}", next_title),)
    messages.append({"role": "user", "content": _user(style, parts, unanswered, title)})
    return messages


def observation_text(style: PromptStyle, messages: Messages) -> str:
    """The messages as one text: all that is needed to act, in the order of the messages."""
    if len(messages) == 1:
        return messages[0]["content"]
    texts = [
        f"Action:\n{message['content']}" if message["role"] == "assistant" else message["content"]
        for message in messages
    ]
    return style.between.join(texts)


def _user(
    style: PromptStyle, parts: list[str], unanswered: list[str], title: Sequence[str] = ()
) -> str:
    so_far = [_so_far(style, unanswered)] if any(unanswered) else []
    return style.between.join([*parts, *so_far, *title])


def _so_far(style: PromptStyle, actions: list[str]) -> str:
    """The actions, those left out that say nothing (of completions that broke their form)."""
    return style.so_far.replace("{steps}", style.join.join(filter(None, actions)))
