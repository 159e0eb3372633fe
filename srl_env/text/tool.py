"""A tool as it is declared: its name, what it does, and its parameters as a JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool. choices: the values it may have; () for any of its type.

    An array holds whole numbers.
    """

    type: Literal["string", "integer", "number", "boolean", "array"]
    description: str = ""
    choices: tuple[str, ...] = ()
    required: bool = True

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        found: dict[str, Any] = {"type": self.type}
        if self.type == "array":
            found["items"] = {"type": "integer"}
        if self.description:
            found["description"] = self.description
        return found | ({"enum": list(self.choices)} if self.choices else {})


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its name, what it does, and its parameters in order."""

    name: str
    description: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict, hash=False)

    def schema(self) -> dict[str, Any]:
        """The tool as chat templates and OpenAI-compatible servers take it in ``tools``."""
        required = [name for name, parameter in self.parameters.items() if parameter.required]
        parameters = {name: parameter.schema() for name, parameter in self.parameters.items()}
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": {"type": "object", "properties": parameters, "required": required},
        }
        return {"type": "function", "function": function}
