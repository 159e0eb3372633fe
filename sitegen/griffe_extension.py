"""What Griffe, which reads the code for the API pages, calls for each object it has read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parents[1]))  # Griffe loads this file by its path

from sitegen.docstrings import as_markdown


class MarkdownDocstrings(griffe.Extension):  # type: ignore[misc]  # griffe is not installed by make
    """Rewrites each docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
