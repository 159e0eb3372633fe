"""Every method that chooses its starts beats its base, on a task built for it."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest

from tests.srl_agents.methods.locks import (
    WORDS,
    accepted,
    save_base,
    save_copying_base,
    success,
    trained,
)

SEEDS = (10, 11, 12)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """{seed: a base that RLVR alone teaches nothing}."""
    folder = tmp_path_factory.mktemp("bases")
    found = {seed: save_base(folder / f"{seed}", seed) for seed in SEEDS}
    alone = [
        success(trained(base, folder / f"rlvr-{seed}", "rlvr", seed))
        for seed, base in found.items()
    ]
    assert max(alone) < 0.05, alone
    return found


@pytest.mark.slow
@pytest.mark.parametrize("method", ["r3", "r3-pooled", "adaback", "adaprefix", "bread"])
def test_prefixes_open_locks_that_rlvr_never_opens(
    tmp_path: Path, bases: dict[int, Path], method: str
) -> None:
    found = [
        success(trained(base, tmp_path / f"{seed}", method, seed)) for seed, base in bases.items()
    ]
    assert fmean(found) > 0.3, found


@pytest.mark.slow
def test_hints_teach_a_base_that_copies_them_what_rlvr_never_finds(tmp_path: Path) -> None:
    """Two letters of six are left to guess, then four, then all."""
    hints = {"stages": {"rlvr": {"starts": {"prefix": {"shares": [0.67, 0.34, 0.0]}}}}}
    budget = {"budget": {"updates": 40}}
    found: dict[str, list[float]] = {"rlvr": [], "questa": []}
    for seed in SEEDS:
        base = save_copying_base(tmp_path / f"base-{seed}", seed)
        for name in found:
            changes = hints if name == "questa" else {}
            run = tmp_path / f"{name}-{seed}"
            found[name].append(success(trained(base, run, name, seed, budget, changes)))
    assert fmean(found["questa"]) > fmean(found["rlvr"]) + 0.3, found


@pytest.mark.slow
def test_pivotrl_learns_more_than_random_steps_teach_with_as_many_tokens(tmp_path: Path) -> None:
    """Nine problems of ten accept any letter, so that most steps teach nothing."""
    locks = {"env": {"options": {"words": list(WORDS) * 10, "free": 54}}}
    budget = {"budget": {"updates": "off", "tokens": 15_000}}
    profile = {"candidates": 360, "below": 0.9, "renew": 0.25}
    found: dict[str, list[float]] = {"random": [], "pivots": []}
    for seed in SEEDS:
        base = save_base(tmp_path / f"base-{seed}", seed)
        for name, settings in (("random", "off"), ("pivots", profile)):
            changes = {"stages": {"pivots": {"starts": {"profile": settings}}}}
            run = tmp_path / f"{name}-{seed}"
            found[name].append(
                accepted(trained(base, run, "pivotrl", seed, locks, budget, changes))
            )
    assert fmean(found["pivots"]) > fmean(found["random"]) + 0.05, found


@pytest.mark.slow
def test_three_diverse_demonstrations_teach_more_than_the_first_three(tmp_path: Path) -> None:
    """Of thirteen problems the last alone has another primitive, which RLVR never finds."""
    words = [*WORDS, *WORDS, "######"]
    found: dict[str, list[float]] = {"sft-rlvr": [], "tailor": []}
    for seed in SEEDS:
        base = save_base(tmp_path / f"base-{seed}", seed)
        for name in found:
            few = {"demonstrated": 3} if name == "sft-rlvr" else {}
            changes = {"env": {"options": {"words": words, **few}}}
            if name == "tailor":
                changes["stages"] = {"sft": {"starts": {"subset": {"count": 3}}}}
            halves = {"stages": {"sft": {"fraction": 0.5, "lr": 1e-2}}}
            run = tmp_path / f"{name}-{seed}"
            policy = trained(base, run, name, seed, halves, changes)
            found[name].append(success(policy, words=words[6:]))
    assert max(found["sft-rlvr"]) < 6.1 / 7, found
    assert fmean(found["tailor"]) > fmean(found["sft-rlvr"]) + 0.05, found
