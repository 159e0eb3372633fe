"""The canonical form: a prompt, and any of id, answer, steps, trajectories, metadata."""

from __future__ import annotations

from srl_env.data.forms.form import Form, ReadOptions
from srl_env.data.rows import PROBLEM_KEYS, Row, problem_from_row


def _is_canonical(row: Row, options: ReadOptions) -> bool:
    """Canonical rows; one without steps only if its answer is not a whole solution."""
    known = "prompt" in row and all(key in PROBLEM_KEYS for key in row) and not options.columns
    has_steps = row.get("steps") is not None or row.get("trajectories") is not None
    return known and (has_steps or "\n" not in str(row.get("answer", "")).strip())


FORM = Form(
    "srl-env",
    'canonical: "prompt", and any of "id", "answer", "steps", "trajectories", "metadata"',
    _is_canonical,
    lambda rows, options: problem_from_row,
)
