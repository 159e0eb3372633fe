"""A hint: the expert's solution, or the beginning of it, in the messages of an episode.

Training with privileged information shows it to a teacher; a method may show it to the policy. The
hint stands where ``PromptStyle.hint`` puts it, beside the problem. No message is added, so a chat
template that takes the messages without a hint takes them with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from srl_env.text.prompt import Message, Messages, Opening, PromptStyle
from srl_env.text.unicode import utf8_safe

_ROUNDING = 1e-9  # so that 3 of 49 is not 2.999…
_PLACE = re.compile(r"\{(problem|steps)\}")


def first_steps(actions: Sequence[str], fraction: float) -> Sequence[str]:
    """The first ⌊fraction · N⌋ of the expert's N actions."""
    return actions[: math.floor(fraction * len(actions) + _ROUNDING)]


def hinted_opening(style: PromptStyle, opening: Opening, actions: Sequence[str]) -> Opening:
    """The start of an episode's prompts with a hint; the same without actions.

    actions: those of the expert's first steps, or of all.
    """
    if not any(actions):
        return opening
    steps = utf8_safe(style.join.join(filter(None, actions)))
    parts = {"problem": opening.problem, "steps": steps}
    text = _PLACE.sub(lambda place: parts[place[1]], style.hint)
    return opening._replace(problem=text)


def with_hint(
    style: PromptStyle,
    messages: Messages,
    prompt: str,
    actions: Sequence[str],
    shown: Sequence[str] = (),
) -> list[Message]:
    """The messages of a step as they are in an episode with the hint.

    prompt: of the episode's problem. actions: as in ``hinted_opening``. shown: the actions that the
    messages already show as a hint; the new ones take their place.
    """
    plain = Opening("", style.problem.replace("{problem}", utf8_safe(prompt)))
    now, then = (hinted_opening(style, plain, each).problem for each in (shown, actions))
    found: list[Message] = [message.copy() for message in messages]
    first = next(message for message in found if message["role"] == "user")
    if not first["content"].startswith(now):
        raise ValueError("the first user message must begin with the problem; it does not")
    first["content"] = then + first["content"].removeprefix(now)
    return found
