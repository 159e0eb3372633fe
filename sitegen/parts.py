"""The parts of pages that are made from the installed packages, by the name a page calls them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sitegen.commands import commands
from sitegen.configuration import configuration
from sitegen.gallery import gallery
from sitegen.methods import formulas, methods_table
from sitegen.modes import modes_table
from sitegen.study import study

PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "configuration": configuration,
    "formulas": formulas,
    "gallery": gallery,
    "methods": methods_table,
    "modes": modes_table,
    "study": study,
}
MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def with_parts(markdown: str) -> str:
    """The page with every generated part in the place of its comment; KeyError for no part."""
    return MARK.sub(lambda found: PARTS[found[1]](), markdown)
