"""Completion formats by name, for environments, configurations and ``srl-env data lint``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from srl_env.errors import BadOption, UnknownName
from srl_env.named import named
from srl_env.text.format import Brackets, CompletionFormat, ThinkTags
from srl_env.text.lines import Lines
from srl_env.text.tool_calls import ToolCalls

MakeFormat = Callable[..., CompletionFormat]

FORMATS: Mapping[str, MakeFormat] = {
    "brackets": Brackets,
    "lines": Lines,
    "think": ThinkTags,
    "think-optional": partial(ThinkTags, require_thought=False),
    "tool-calls": ToolCalls,
}

ONE_LINE: Mapping[str, MakeFormat] = {
    name: partial(FORMATS[name], one_line=True) for name in ("think", "think-optional")
}
"""For environments whose steps are all of one line: such a step ends with its line."""


def find_format(
    chosen: CompletionFormat | str | Mapping[str, Any], own: Mapping[str, MakeFormat] | None = None
) -> CompletionFormat:
    """The format that was chosen.

    chosen: a name of ``FORMATS``, "module:Class", a mapping with the key "name" and the options of
    its class, or a format, which comes back as it is. own: formats that win over those of
    ``FORMATS``. Raises UnknownName for an unknown name or option, BadOption for a wrong one.
    """
    if not isinstance(chosen, str | Mapping):
        return chosen
    options = {"name": chosen} if isinstance(chosen, str) else dict(chosen)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise BadOption(f"format must have a name, as in {{'name': 'think'}}; got {chosen!r:.80}")
    make: Any = named("format", name, {**FORMATS, **(own or {})})
    return _made(name, make, options)


def _made(name: str, make: Any, options: Mapping[str, Any]) -> CompletionFormat:
    if not callable(make):
        if options:
            raise BadOption(f"format {name!r} is an object and takes no options; got {options}")
        return make  # type: ignore[no-any-return]  # the environment checks it
    known = inspect.signature(make).parameters
    for option, value in options.items():
        if option not in known:
            raise UnknownName(f"option of the format {name!r}", option, known)
        if isinstance(known[option].default, bool) and not isinstance(value, bool):
            raise BadOption(f"{option} of the format {name!r} must be true or false; got {value!r}")
    try:
        return make(**options)  # type: ignore[no-any-return]
    except TypeError as error:
        raise BadOption(f"format {name!r}: {error}") from error
