"""Options that several commands take, and options made from a class of settings."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from rich.markup import escape

from srl_env.errors import BadOption


def json_object(text: str, option: str = "--kwargs") -> dict[str, Any]:
    """The object in an option's text. Raises BadOption for any other text."""
    try:
        value = json.loads(text)
    except ValueError as error:
        value = error
    if not isinstance(value, dict):
        got = f"{text!r} ({value})" if isinstance(value, ValueError) else text
        raise BadOption(f"{option} must be a JSON object, e.g. '{{\"difficulty\": 9}}'; got {got}")
    return value


Flags = Mapping[str, Any]
"""{dotted configuration key: value, None where the option was not given}."""


def with_flags(tree: Mapping[str, Any], flags: Flags) -> dict[str, Any]:
    """The tree with the value of each option that was given."""
    from srl_agents.runs.settings import with_leaf

    for key, value in flags.items():
        if value is not None:
            tree = with_leaf(tree, key, value)
    return dict(tree)


Env = Annotated[
    str | None,
    typer.Option("--env", "-e", help="Environment: an id, steps:FILE.jsonl, or FILE.py."),
]


Kwargs = Annotated[
    str, typer.Option("--kwargs", help="Arguments of the environment, as JSON.", metavar="JSON")
]


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Setting to change; may be repeated."),
]


Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder written by `srl-env eval`.")]


Device = Annotated[str | None, typer.Option(help="Torch device: cpu, cuda, …")]


BaseUrl = Annotated[
    str | None,
    typer.Option(help="Address of a server with OpenAI's API, for openai:MODEL; ends in /v1."),
]


ApiKeyEnv = Annotated[
    str | None, typer.Option(help="Environment variable that holds the server's key.")
]


PolicyKwargs = Annotated[
    str,
    typer.Option(
        metavar="JSON",
        help="""Arguments of openai:MODEL, vllm:MODEL or your own: '{"max_requests": 500}'.""",
    ),
]


def server_arguments(base_url: str | None, api_key_env: str | None) -> dict[str, str]:
    """The arguments of a server that were given."""
    server = {"base_url": base_url, "api_key_env": api_key_env}
    return {name: value for name, value in server.items() if value is not None}


MaxRequests = Annotated[
    int | None, typer.Option(help="Maximum number of requests, those before a resume included.")
]


MaxCost = Annotated[float | None, typer.Option(help="Maximum cost, in the unit of --prices.")]


Prices = Annotated[
    str | None,
    typer.Option(metavar="PROMPT,COMPLETION", help="Prices of a million tokens, as 0.25,2."),
]


def spending_limits(
    max_requests: int | None, max_cost: float | None, prices: str | None, used: Mapping[str, float]
) -> dict[str, Any]:
    """The policy's arguments for the limits, less what was used before."""
    limits: dict[str, Any] = {}
    if max_requests is not None:
        limits["max_requests"] = max(0, max_requests - int(used.get("requests", 0)))
    if max_cost is not None:
        limits["max_cost"] = max(0.0, max_cost - used.get("cost", 0.0))
    if prices is not None:
        try:
            prompt, completion = map(float, prices.split(","))
        except ValueError:
            raise BadOption(
                f"--prices must be PROMPT,COMPLETION, as 0.25,2; got {prices}"
            ) from None
        limits["prices"] = (prompt, completion)
    return limits


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a class of settings. default: ``MISSING`` for a field that must be given."""

    name: str
    hint: Any
    default: Any
    meaning: str


def settings_of(cls: type) -> list[Setting]:
    """The fields of a dataclass or pydantic model; each meaning is from the docstring."""
    hints = get_type_hints(cls)
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        meanings |= explained(base)[1]
    return [
        Setting(name, hints[name], default, meanings.get(name, ""))
        for name, default in _defaults(cls)
    ]


def explained(cls: type) -> tuple[str, dict[str, str]]:
    """A class's docstring in two parts: what it is, and {field: its meaning}.

    Meanings are written "field: meaning" or "field, field: meaning", each after a full stop.
    """
    text = " ".join(inspect.cleandoc(cls.__dict__.get("__doc__") or "").split())
    name = "|".join(inspect.get_annotations(cls)) or "$."
    about, *rest = re.split(rf"(?:(?<=[.;] )|^)((?:{name})(?:, (?:{name}))*): ", text)
    meanings = {
        key: meaning.strip().rstrip(";")
        for names, meaning in zip(rest[::2], rest[1::2], strict=True)
        for key in names.split(", ")
    }
    return about.strip(), meanings


def _defaults(cls: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(cls):
        for field in fields(cls):
            made = field.default_factory
            yield field.name, field.default if made is MISSING else made()
        return
    for name, info in cls.model_fields.items():
        needed = info.is_required()
        yield name, MISSING if needed else info.get_default(call_default_factory=True)


def options_of(
    cls: type, flags: Mapping[str, str] | None = None, only: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a command one option for each field of a class.

    The command takes ``**given: Any``, which then holds the fields that the user has set. Names,
    types, help texts and defaults come from the class. A mapping is repeated as NAME=VALUE.
    flags: {field: short flag, or "--name -n" for another name}. only: these fields.
    """
    settings = [setting for setting in settings_of(cls) if not only or setting.name in only]
    made = {setting.name: _parameter(setting, flags or {}) for setting in settings}
    mappings = {setting.name: setting for setting in settings if _is_mapping(setting.hint)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        kept = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]

        @wraps(command)
        def with_options(*args: Any, **values: Any) -> None:
            given = {name: v for name, v in values.items() if name not in made or v is not None}
            for name in mappings.keys() & given.keys():
                flag = _names(mappings[name], flags or {})[0]
                given[name] = _mapping(flag, given[name], get_args(_type(mappings[name].hint))[1])
            command(*args, **given)

        with_options.__signature__ = signature.replace(parameters=[*kept, *made.values()])  # type: ignore[attr-defined]
        return with_options

    return decorate


def _parameter(setting: Setting, flags: Mapping[str, str]) -> inspect.Parameter:
    kind, metavar = _kind(setting.hint)
    option = typer.Option(
        *_names(setting, flags),
        help=escape(setting.meaning.replace("``", "`") + _shown(setting.default)),
        metavar=metavar,
    )
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _names(setting: Setting, flags: Mapping[str, str]) -> list[str]:
    name, names = setting.name.replace("_", "-"), flags.get(setting.name, "").split()
    if names and names[0].startswith("--"):
        return names
    return [f"--{name}/--no-{name}" if _type(setting.hint) is bool else f"--{name}", *names]


def _type(hint: Any) -> Any:
    """The type of a field, without None."""
    options = get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)
    return next(option for option in options if option is not type(None))


def _kind(hint: Any) -> tuple[Any, str | None]:
    """The type that the command line reads, and how it is shown where that is not its name."""
    kind = _type(hint)
    if get_origin(kind) is Literal:
        return str, "|".join(map(str, get_args(kind)))
    if _is_mapping(kind):
        return list[str], "NAME=VALUE"
    return (list[get_args(kind)[0]], None) if get_origin(kind) in (tuple, list) else (kind, None)  # type: ignore[misc]


def _is_mapping(hint: Any) -> bool:
    return get_origin(_type(hint)) is Mapping


def _mapping(flag: str, texts: list[str], kind: Any) -> dict[str, Any]:
    """{name: value} of an option that is repeated as NAME=VALUE; kind: the type of a value."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            if not (name and equals and value) or name in found:
                raise ValueError
            found[name] = kind(value)
        except ValueError:
            expected = "NAME=NUMBER" if kind is float else "NAME=VALUE"
            raise BadOption(f"{flag} must be {expected}, each name once; got {text!r}") from None
    return found


def _shown(default: Any) -> str:
    """A default for the help text, "" for one that says nothing."""
    if isinstance(default, bool):
        default = "yes" if default else "no"
    return "" if default in (None, (), {}, MISSING) else f" [default: {default}]"
