"""Dataclasses that check their fields by the fields' own types and ranges."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, ClassVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from srl_env.errors import BadOption

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)


class Checked:
    """Base of a dataclass whose fields declare their ranges: ``x: Annotated[int, Ge(1)] = 8``.

    Making an instance raises BadOption for the first value that is not allowed. Pydantic reads
    the same declarations where the class is filled from a file.
    """

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG

    def __post_init__(self) -> None:
        cls: Any = type(self)
        model = _model(cls)
        try:
            model.model_validate({name: getattr(self, name) for name in model.model_fields})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise BadOption(f"{name} {must_be(first['msg'])}; got {first['input']!r}") from None


def must_be(message: str) -> str:
    """Pydantic's "Input should be …" as the middle of a sentence: "must be …"."""
    _, should, what = message.partition(" should ")
    return f"must {what}" if should else f"is not valid ({message.lower()})"


@cache
def _model(cls: type[Any]) -> type[BaseModel]:
    """A pydantic model with the dataclass's fields."""
    hints = get_type_hints(cls, include_extras=True)
    named: dict[str, Any] = {field.name: (hints[field.name], ...) for field in fields(cls)}
    return create_model(cls.__name__, __config__=_CONFIG, **named)
