"""A table of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from srl_agents.runs.validation import explained


class Section(BaseModel):
    """A table of a configuration: frozen, without unknown keys, its numbers finite.

    Making one raises UnknownName or BadOption, in one line, for what cannot work.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers know the fields as arguments

        def __init__(self, **given: Any) -> None:
            try:
                self.__pydantic_validator__.validate_python(given, self_instance=self)
            except ValidationError as error:
                raise explained(type(self), error, "") from None

        # Nested tables are checked without it, so that errors name the whole dotted key.
        __init__.__pydantic_base_init__ = True
