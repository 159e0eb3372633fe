"""The one place where HTML pages are filled. Everything in them is part of the file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources


def part(name: str) -> str:
    """The text of a file beside this module, such as ``base.css``."""
    return (resources.files("srl_agents.view") / name).read_text(encoding="utf-8")


def fill(name: str, values: Mapping[str, str]) -> str:
    """A template with each ``{{key}}`` replaced. The values are HTML already."""
    head, *rest = part(name).split("{{")
    pieces = [head]
    for piece in rest:
        key, _, after = piece.partition("}}")
        pieces += [values[key], after]
    return "".join(pieces)


def content_hash(text: str) -> str:
    """The hash by which a content security policy allows a script or a style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
