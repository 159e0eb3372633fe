"""What a commit's message says of its fault."""

from __future__ import annotations

import pytest

from srl_env.swe.mining.statement import described


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("feat(core): support abstract collections (#5)", "Support abstract collections"),
        ("fix: `mean` of no numbers fails", "`mean` of no numbers fails"),
        ("Sums of long lists are not corre… (#5)\n\n…ctly rounded", None),
        ("Sums are rounded\n\n* Added unit tests of sums", "Sums are rounded"),
        ("Fix it", ""),
    ],
)
def test_kinds_chores_and_cut_titles(message: str, said: str | None) -> None:
    expected = "Sums of long lists are not correctly rounded" if said is None else said
    assert described(message, {}, []) == expected
