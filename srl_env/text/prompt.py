"""The one place where prompts are made, for training, sampling and evaluation.

``make_messages`` gives the chat messages, ``observation_text`` the same as one text. The history
holds actions and the world's answers, never thinking: a model that is trained without earlier
thinking and sampled with it loses nearly everything.

An environment with tools has two forms of them. As text, the system prompt describes the tools, and
calls and answers are contents. In native form, calls are ``tool_calls`` and answers are messages of
the role "tool", for chat templates and servers that know tools.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from srl_env.errors import BadOption
from srl_env.text.format import CompletionFormat, NamedCall, ToolFormat


class MessageCall(TypedDict):
    """A call in an assistant's message; the arguments are an object, not JSON text."""

    id: str
    type: Literal["function"]
    function: dict[str, Any]


class Message(TypedDict):
    """One chat message. A tool's message names the call that it answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: NotRequired[list[MessageCall]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


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
    """One step of the history: the action, and the world's answer or None."""

    action: str
    observation: str | None = None


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """The texts around a problem and its history.

    - step_task, solution_task: the first part of the system prompt, by granularity; "" for none.
    - note: the end of the system prompt, e.g. how to state the final answer; "" for none.
    - problem, so_far, title, observation: templates with {problem}, {steps}, {title} and
      {observation}. between: separates the parts of a message.
    - hint: a template with {problem}, the problem as shown, and {steps}, the expert's solution or
      the beginning of it; see ``srl_env.text.hint``.
    - join: separates the actions of the solution so far.
    - turns: whether a step that the world answered becomes an assistant message and a user message;
      otherwise it stays in the one user message.
    - last_turns: how many last steps of the history are shown; None for all. SRL on repositories
      shows the issue and the last two.
    - most_characters: a longer history is shown without its oldest observations (``compacted``);
      None for no limit. A token has about four characters.

    Source of the wording: SRL, arXiv:2510.25992, in substance; its template is not published.
    """

    step_task: str = STEP_TASK
    solution_task: str = SOLUTION_TASK
    note: str = ""
    problem: str = "Problem:\n{problem}"
    so_far: str = "Solution so far:\n{steps}"
    title: str = "The title of the next step: {title}"
    observation: str = "Observation:\n{observation}"
    hint: str = "{problem}\n\nHint, from a correct solution:\n{steps}"
    between: str = "\n\n"
    join: str = "\n"
    turns: bool = True
    last_turns: int | None = None
    most_characters: int | None = None

    def __post_init__(self) -> None:
        for name in ("last_turns", "most_characters"):
            value = getattr(self, name)
            if value is not None and not (type(value) is int and value >= 0):
                raise BadOption(
                    f"{name} must be a whole number of at least 0, or None; got {value!r}"
                )
        keys = {"problem": "problem", "so_far": "steps", "title": "title"}
        for name, key in {**keys, "observation": "observation"}.items():
            if f"{{{key}}}" not in getattr(self, name):
                raise BadOption(f"the template {name!r} must contain {{{key}}}")
        if not all(place in self.hint for place in ("{problem}", "{steps}")):
            raise BadOption("the template 'hint' must contain {problem} and {steps}")

    @classmethod
    def bare(cls) -> PromptStyle:
        """Only the problem and the actions, one after the other, for models from scratch."""
        return cls(
            step_task="",
            solution_task="",
            problem="{problem}",
            so_far="{steps}",
            title="{title}",
            observation="{observation}",
            hint="{steps}{problem}",
            between="",
            join="",
            turns=False,
        )


class Opening(NamedTuple):
    """The start of a prompt, the same for all steps of an episode."""

    system: str
    problem: str


def make_opening(
    style: PromptStyle,
    format: CompletionFormat,
    granularity: str,
    prompt: str,
    native: ToolFormat | None = None,
) -> Opening:
    """The start of an episode's prompts, for ``make_messages``.

    native: the format, if tools are native.
    """
    task = style.step_task if granularity == "step" else style.solution_task
    instructions = format.instructions if native is None else native.native_instructions
    parts = [part for part in (task, instructions, style.note) if part]
    return Opening("\n\n".join(parts), style.problem.replace("{problem}", prompt))


def make_messages(
    style: PromptStyle,
    opening: Opening,
    history: Sequence[Turn],
    next_title: str | None = None,
    call_of: Callable[[str], NamedCall | None] | None = None,
) -> list[Message]:
    """The chat messages that ask for the next step, or for the rest of the solution.

    A system message, unless it would be empty, then a user message with the problem, and the last
    ``PromptStyle.last_turns`` steps of the history. Steps without an answer of the world are listed
    in the user message before them. Steps with one become an assistant message and a user message
    (see ``PromptStyle.turns``). call_of: the call in an action; None writes calls as text. An
    action that is a call becomes an assistant message with ``tool_calls`` and a tool message.
    """
    dropped = 0 if style.last_turns is None else max(0, len(history) - style.last_turns)
    if style.most_characters is not None:
        history = compacted(history, style.most_characters)
    messages: list[Message] = []
    if opening.system:
        messages.append({"role": "system", "content": opening.system})
    parts, unanswered = [opening.problem], list[str]()
    for number, (action, observation) in enumerate(history[dropped:], dropped):
        unanswered.append(action)
        if observation is None:
            continue
        answer = style.observation.replace("{observation}", observation)
        if not style.turns:
            parts += [_so_far(style, unanswered), answer]
            unanswered = []
            continue
        if parts or unanswered[:-1]:
            messages.append({"role": "user", "content": _user(style, parts, unanswered[:-1])})
        call = None if call_of is None else call_of(action)
        if call is None:
            messages.append({"role": "assistant", "content": action})
            parts = [answer]
        else:
            messages += _answered_call(number, call, observation)
            parts = []
        unanswered = []
    title = () if next_title is None else (style.title.replace("{title}", next_title),)
    if parts or unanswered or title:
        messages.append({"role": "user", "content": _user(style, parts, unanswered, title)})
    return messages


def compacted(history: Sequence[Turn], most: int) -> Sequence[Turn]:
    """A history with notes in place of its oldest observations, so that it stays in a limit.

    Whenever a step makes it longer than ``most`` characters, observations are left out until half
    of that is left. Between two such steps, the history only grows. Actions stay, and so does the
    newest observation.
    """
    shown, size, cut = list(history), 0, 0
    for number, turn in enumerate(history):
        size += _size(turn)
        if size <= most:
            continue
        while size > most // 2 and cut < number:
            shorter = _without_observation(shown[cut])
            size += _size(shorter) - _size(shown[cut])
            shown[cut] = shorter
            cut += 1
    return shown


def _size(turn: Turn) -> int:
    return len(turn.action) + len(turn.observation or "")


def _without_observation(turn: Turn) -> Turn:
    """The step with a note in place of its observation, unless that is as short."""
    action, observation = turn
    if observation is None:
        return turn
    lines = observation.count("\n") + 1
    note = f"[{lines} line{'s' if lines > 1 else ''} left out]"
    return Turn(action, note if len(note) < len(observation) else observation)


def observation_text(style: PromptStyle, messages: Messages) -> str:
    """The messages as one text, in their order."""
    if len(messages) == 1:
        return messages[0]["content"]
    texts = [
        f"Action:\n{message_text(message)}"
        if message["role"] == "assistant"
        else message["content"]
        for message in messages
    ]
    return style.between.join(texts)


def message_text(message: Message) -> str:
    """A message's content, or its calls as JSON, for people to read."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    return message["content"] or "\n".join(json.dumps(c, ensure_ascii=False) for c in calls)


def _answered_call(number: int, call: NamedCall, observation: str) -> list[Message]:
    """Two messages. Ids have nine letters and digits, as Mistral's templates need."""
    name, arguments = call
    function = {"name": name, "arguments": arguments}
    made: MessageCall = {"id": f"call{number:05d}", "type": "function", "function": function}
    return [
        {"role": "assistant", "content": "", "tool_calls": [made]},
        {"role": "tool", "content": observation, "tool_call_id": made["id"], "name": name},
    ]


def _user(
    style: PromptStyle, parts: list[str], unanswered: list[str], title: Sequence[str] = ()
) -> str:
    so_far = [_so_far(style, unanswered)] if any(unanswered) else []
    return style.between.join([*parts, *so_far, *title])


def _so_far(style: PromptStyle, actions: list[str]) -> str:
    """The actions without empty ones (of completions that broke the format)."""
    return style.so_far.replace("{steps}", style.join.join(filter(None, actions)))
