"""The kinds of bugs: each looks at one syntax node and yields the edits that put its bug there.

``KINDS`` holds them by name. Not every edit is a bug: the code may mean the same or not parse.
The builder finds that out when it tries the edit.
"""

from __future__ import annotations

from srl_env.swe.builder.kinds import calls, operators, statements
from srl_env.swe.builder.kinds.kind import KINDS

__all__ = ["KINDS", "calls", "operators", "statements"]
