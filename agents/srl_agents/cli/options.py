"""Options of the command line whose value is a JSON object."""

from __future__ import annotations

import json
from typing import Any

from srl_env.errors import BadOption


def json_object(text: str, option: str = "--kwargs") -> dict[str, Any]:
    """The object in an option's text; BadOption where it is none."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadOption(f"{option} is JSON, as '{{\"difficulty\": 9}}'; {error}") from None
    if not isinstance(value, dict):
        raise BadOption(f"{option} is a JSON object, as '{{\"difficulty\": 9}}'; got {text}")
    return value
