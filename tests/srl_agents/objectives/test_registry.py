"""The objectives that ship: what each adds to GRPO, by hand, and what all of them promise."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from srl_agents.objectives import GRPO, NLL, Objective, Sampled, Scores
from srl_agents.objectives.batch import rewards_of
from srl_agents.objectives.groups import Group, Member
from srl_agents.objectives.loss import aggregate
from srl_agents.objectives.registry import OBJECTIVES
from srl_agents.runs.config import RunConfig, make_config
from srl_agents.runs.settings import with_overrides
from srl_agents.training.run import train
from srl_env.errors import BadOption, UnknownName
from srl_env.policy import Generation
from srl_env.rollout import Step
from tests.srl_agents import letters


def doubles(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def member(reward: float, *lengths: int) -> Member:
    """A member that wrote completions of these lengths."""
    written = [Generation("x", (5,) * n, (-0.5,) * n, (1,)) for n in lengths]
    return Member(
        reward, tuple(Step((), g, "x", i, 0.0, {}, True, None, None) for i, g in enumerate(written))
    )


def sampled(kind: str, **changes: Any) -> Sampled:
    cls: Any = OBJECTIVES[kind]
    made = cls(**changes)
    assert isinstance(made, Sampled)
    return made


def advantages(objective: Sampled, *members: Member) -> list[float]:
    """The advantages of one group."""
    found = objective.advantages(*rewards_of([Group(0, members)], objective.rewards))
    return [round(value, 6) for value in found.tolist()]


# Each by hand.


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("grpo", [math.sqrt(3), -1 / math.sqrt(3)]),  # mean 1/4, std √3/4
        ("gspo", [math.sqrt(3), -1 / math.sqrt(3)]),
        ("cispo", [math.sqrt(3), -1 / math.sqrt(3)]),
        ("dapo", [math.sqrt(3), -1 / math.sqrt(3)]),
        ("dr-grpo", [0.75, -0.25]),
        ("rloo", [1.0, -1 / 3]),  # 1 against (0 + 0 + 0) / 3, 0 against 1 / 3
        ("maxrl", [3.0, -1.0]),
    ],
)
def test_the_advantages_of_one_success_in_four(kind: str, expected: list[float]) -> None:
    won, lost, *_ = advantages(sampled(kind), *(member(r, 3) for r in (1.0, 0.0, 0.0, 0.0)))
    assert [won, lost] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("grpo", [1 / 4, 1 / 4, 1 / 8]),  # two sequences, of 2 tokens and of 4
        ("gspo", [1 / 4, 1 / 4, 1 / 8]),
        ("dapo", [1 / 6, 1 / 6, 1 / 6]),  # six tokens
        ("cispo", [1 / 6, 1 / 6, 1 / 6]),
        ("dr-grpo", [1 / 20, 1 / 20, 1 / 20]),  # two sequences of at most 10
        ("rloo", [1 / 20, 1 / 20, 1 / 20]),
        ("maxrl", [1 / 20, 1 / 20, 1 / 20]),
    ],
)
def test_what_a_token_weighs(kind: str, weights: list[float]) -> None:
    group = Group(0, (member(1.0, 1, 1), member(0.0, 4)))
    batch = sampled(kind, max_tokens=10).make_batch([group], 4)
    assert batch.weights.tolist() == pytest.approx(weights)


def scores(ratios: list[float], advantage: float) -> tuple[Scores, Tensor]:
    """A completion whose tokens became this much likelier, and its log-probs."""
    old = doubles([-2.0] * len(ratios))
    logprobs = (old + doubles([math.log(ratio) for ratio in ratios])).requires_grad_()
    mask = torch.ones_like(old, dtype=torch.bool)
    return Scores(logprobs, mask, doubles([advantage])[0], old), logprobs


def terms_and_gradient(objective: Objective, given: Scores, at: Tensor) -> Any:
    (terms,) = objective.loss_terms(given)
    terms.sum().backward()
    assert at.grad is not None
    return terms.tolist()[0], at.grad.tolist()[0]


def test_gspo_clips_a_completion_by_the_geometric_mean_of_its_ratios() -> None:
    # √(4 · 1/4) = 1: not clipped, though both tokens moved far. Each of two terms is −s·A, and
    # ∂s/∂log π = s/2 for each token: −2 · (1/2) · 3.
    terms, gradient = terms_and_gradient(sampled("gspo"), *scores([4.0, 0.25], 3.0))
    assert terms == pytest.approx([-3.0, -3.0])
    assert gradient == pytest.approx([-3.0, -3.0])
    # √1.002 is above 1.0004: clipped, with no gradient, for both tokens.
    terms, gradient = terms_and_gradient(sampled("gspo"), *scores([1.002, 1.0], 3.0))
    assert terms == pytest.approx([-3 * 1.0004] * 2)
    assert gradient == [0.0, 0.0]
    numbers = sampled("gspo").numbers(scores([1.002, 1.0], 3.0)[0])
    assert numbers["clipped_fraction"] == 2


def test_cispo_weighs_each_token_and_drops_none() -> None:
    terms, gradient = terms_and_gradient(sampled("cispo"), *scores([2.0, 9.0], -1.0))
    assert gradient == pytest.approx([2.0, 5.0])  # the weight times −A, cut at 5
    assert terms == pytest.approx([2 * (math.log(2) - 2), 5 * (math.log(9) - 2)])


def test_dapo_clips_higher_and_takes_from_long_completions() -> None:
    terms, gradient = terms_and_gradient(sampled("dapo"), *scores([1.27, 1.3], 1.0))
    assert terms == pytest.approx([-1.27, -1.28])
    assert gradient == pytest.approx([-1.27, 0.0])
    # Of 20 tokens the last 4 cost: 18 tokens are −1/2. The longest completion decides.
    group = Group(0, (member(1.0, 16), member(1.0, 3, 18), member(0.0, 20), member(0.0, 25)))
    dapo = sampled("dapo", max_tokens=20)
    assert dapo.rewards(group) == [1.0, 0.5, -1.0, -1.0]
    assert sampled("dapo", max_tokens=20, overlong=0.0).rewards(group) == [1.0, 1.0, 0.0, 0.0]
    assert group.std == 0.5  # of the rewards before the penalty: the filter reads those


def test_dapo_takes_from_a_truncated_completion_that_is_masked_too() -> None:
    cut = member(1.0, 20)
    masked = Group(0, (replace(cut, steps=(), masked=cut.steps), member(1.0, 1)))
    assert sampled("dapo", max_tokens=20).rewards(masked) == [0.0, 1.0]


def test_a_correction_of_the_sampler_multiplies_every_objectives_gradient() -> None:
    given, logprobs = scores([1.0, 1.0], 1.0)
    given = replace(given, sampled=doubles([-2.0 - math.log(3), -2.0 + math.log(2)]))
    for kind, plain in (("grpo", 1.0), ("cispo", 1.0), ("gspo", 1.0)):
        for correction, weights in (
            ("token-tis", [2.0, 0.5]),
            ("token-mis", [0.0, 0.5]),
            ("sequence-tis", [1.5, 1.5]),
        ):
            logprobs.grad = None
            objective = sampled(kind, sampler_correction=correction)
            assert objective.needs_old_logprobs(1)
            _, gradient = terms_and_gradient(objective, given, logprobs)
            mixed = [sum(weights) / 2] * 2 if kind == "gspo" else weights
            assert gradient == pytest.approx([-plain * weight for weight in mixed])
            capped = objective.numbers(given)["sampler_capped_fraction"]
            assert capped == (0 if correction == "sequence-tis" else 1)


# What all promise.

KINDS = [kind for kind, cls in OBJECTIVES.items() if issubclass(cls, GRPO)]
VARIANTS: list[dict[str, Any]] = [
    {},
    {"sampler_correction": "token-mis", "kl": 0.1, "entropy": 0.01},
    {"sampler_correction": "sequence-tis"},
]


@pytest.mark.parametrize("kind", OBJECTIVES)
@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=2, max_size=9),
    cuts=st.sets(st.integers(1, 8)),
    padding=st.integers(0, 4),
    variant=st.sampled_from(VARIANTS),
    seed=st.integers(0, 2**31),
)
def test_the_gradient_depends_neither_on_micro_batches_nor_on_padding(
    kind: str,
    lengths: list[int],
    cuts: set[int],
    padding: int,
    variant: dict[str, Any],
    seed: int,
) -> None:
    objective: Any = OBJECTIVES[kind](**(variant if kind in KINDS else {}))
    generator = torch.Generator().manual_seed(seed)
    rows, wide = len(lengths), max(lengths) + padding
    mask = torch.arange(wide) < torch.tensor(lengths)[:, None]
    old, reference, near = (
        -3 * torch.rand(rows, wide, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    logprobs = (old + near / 10).where(mask, math.nan).requires_grad_()
    advantages = torch.randn(rows, generator=generator, dtype=torch.float64)
    weights = torch.rand(rows, generator=generator, dtype=torch.float64)

    def gradient(parts: list[list[int]], widths: list[int]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for part, width in zip(parts, widths, strict=True):
            all_of = [logprobs, mask, old, old + near, reference]
            new, real, before, sampled, first = (each[part, :width] for each in all_of)
            own = torch.zeros_like(real)
            given = Scores(new, real, advantages[part], before, sampled, first, first, expert=own)
            first_term, *more = objective.loss_terms(given)
            total = total + aggregate(sum(more, start=first_term), real, weights[part])
        (found,) = torch.autograd.grad(total, logprobs)
        return found.where(mask, 0.0)

    whole = gradient([list(range(rows))], [wide])
    bounds = [0, *sorted(cut for cut in cuts if cut < rows), rows]
    parts = [list(range(a, b)) for a, b in pairwise(bounds)]
    split = gradient(parts, [max(lengths[row] for row in part) for part in parts])
    torch.testing.assert_close(split, whole, rtol=1e-6, atol=1e-12)
    assert torch.isfinite(whole).all()


def config(tree: dict[str, Any], *overrides: str) -> RunConfig:
    return make_config(with_overrides(tree, overrides))


@pytest.mark.parametrize("kind", KINDS)
def test_every_objective_trains_by_its_name_and_resumes_to_the_bit(
    tree: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    def run(out: str, resume: bool = False) -> Path:
        changes = (
            f"out={tmp_path / out}",
            f"stages.srl.objective.kind={kind}",
            "train.objective.passes=2",
            "train.objective.min_std=0",
            "train.objective.sampler_correction=sequence-mis",
            "budget.updates=3",
        )
        return train(config(tree, *changes), resume=resume).folder

    whole, parts = run("whole"), tmp_path / "parts"
    shutil.copytree(whole, parts)
    shutil.rmtree(parts / "model")
    for checkpoint in sorted((parts / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)
    models = [
        (each / "model" / "model.safetensors").read_bytes() for each in (whole, run("parts", True))
    ]
    assert models[0] == models[1]
    made = letters.updates(whole)
    assert all(line["grad_norm"] > 0 for line in made)
    assert all(line["groups/trained"] == 4 for line in made)
    assert type(config(tree).resolved_method.stages[0].objective) is GRPO


def test_another_kind_has_its_own_defaults_and_the_stages_settings(tree: dict[str, Any]) -> None:
    tree = {**tree, "method": "srl-rlvr", "train": {"objective": {"group_size": 4}}}
    found = config(tree, "stages.srl.objective.kind=gspo", "stages.rlvr.objective.kind=dapo")
    srl, rlvr = (stage.objective for stage in found.resolved_method.stages)
    cls: Any = OBJECTIVES["gspo"]
    assert srl == cls(reward_mode="srl", max_steps=1, min_std=0.05, group_size=4)
    cls = OBJECTIVES["dapo"]
    assert rlvr == cls(group_size=4)


def test_what_a_stage_changes_of_another_kind_is_checked_as_that_kinds(
    tree: dict[str, Any],
) -> None:
    made = config(tree, "stages.srl.objective.kind=dapo", "stages.srl.objective.overlong=0.5")
    assert made.resolved_method.stages[0].objective.overlong == 0.5  # type: ignore[attr-defined]
    made = config(tree, "stages.srl.objective.kind=dapo", "train.objective.overlong=0.5")
    assert made.resolved_method.stages[0].objective.overlong == 0.5  # type: ignore[attr-defined]
    with pytest.raises(UnknownName, match=r"stages\.srl\.objective\.overlong"):
        config(tree, "stages.srl.objective.kind=gspo", "stages.srl.objective.overlong=0.5")
    with pytest.raises(UnknownName, match="no objective 'gsop'.*'gspo'"):
        config(tree, "stages.srl.objective.kind=gsop")
    with pytest.raises(BadOption, match="clip_low must be less than or equal to 1; got 2"):
        config(tree, "stages.srl.objective.kind=cispo", "stages.srl.objective.clip_low=2")


def test_a_sampled_stage_can_become_one_of_demonstrations(tree: dict[str, Any]) -> None:
    made = config({**tree, "train": {}}, "stages.srl.objective.kind=nll")
    assert made.resolved_method.stages[0].objective == NLL()
