"""The kinds of bugs: each looks at one node and yields the edits that would put such a bug there.

``KINDS`` holds them by name. What they yield may be no bug at all (equal code, or code that does
not parse); that is found out where they are tried.
"""

from __future__ import annotations

from srl_env.swe.builder.kinds import calls, operators, statements
from srl_env.swe.builder.kinds.kind import KINDS, Edits

__all__ = ["KINDS", "Edits", "calls", "operators", "statements"]
