"""Loss terms of distillation and RLSD, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from typing import Any

import pytest
import torch
from torch import Tensor

from srl_agents.methods import Stage, get_method
from srl_agents.objectives.base import Objective, Scores
from srl_agents.objectives.batch import Batch
from srl_agents.objectives.distillation import Distillation
from srl_agents.objectives.grpo import GRPO
from srl_agents.objectives.pi_distill import PiDistill
from srl_agents.objectives.rlsd import RLSD
from srl_env.errors import BadOption


def scores(**more: Any) -> Scores:
    """Two completions of two tokens, with advantages 2 and −2."""
    values: dict[str, Any] = {
        "logprobs": torch.tensor([[log(0.5), log(0.5)]] * 2, dtype=torch.float64),
        "mask": torch.ones(2, 2, dtype=torch.bool),
        "advantages": torch.tensor([2.0, -2.0], dtype=torch.float64),
        "teacher": torch.tensor([[log(0.55), log(0.1)]] * 2, dtype=torch.float64),
    }
    return Scores(**values | more)


def loss(objective: Objective, found: Scores) -> Tensor:
    return sum(objective.loss_terms(found), start=torch.zeros(2, 2))


def test_opsd_is_the_divergence_alone() -> None:
    (stage,) = get_method("opsd").stages
    found = scores(divergence=torch.tensor([[0.1, 0.2], [0.3, 0.4]]))
    assert loss(stage.objective, found).tolist() == found.divergence.tolist()  # type: ignore[union-attr]


def test_opd_estimates_the_reverse_divergence_from_the_sampled_tokens() -> None:
    (stage,) = get_method("opd").stages
    objective = replace(stage.objective, teacher="start")
    by_hand = [log(0.55 / 0.5) ** 2 / 2, log(0.1 / 0.5) ** 2 / 2]
    assert loss(objective, scores()).tolist() == [pytest.approx(by_hand)] * 2


def test_a_weight_divides_the_loss_between_policy_gradient_and_teacher() -> None:
    objective = Distillation(weight=0.25, full_vocabulary=False)
    forward = [0.55 / 0.5 - log(0.55 / 0.5) - 1, 0.1 / 0.5 - log(0.1 / 0.5) - 1]
    by_hand = [[0.75 * -advantage + 0.25 * each for each in forward] for advantage in (2, -2)]
    assert loss(objective, scores()).tolist() == [pytest.approx(row) for row in by_hand]


def test_without_a_weight_nothing_is_asked_of_a_teacher() -> None:
    objective = Distillation(weight=0.0, teacher=None)
    assert objective.teacher_request is None
    assert not objective.needs_teacher
    assert not objective.needs_expert
    assert objective.least_std == GRPO().least_std
    assert torch.equal(loss(objective, scores()), loss(GRPO(), scores()))


def test_rlsd_weighs_each_token_by_the_teachers_evidence() -> None:
    objective = RLSD(evidence=0.5, evidence_clip=0.2)
    # w = 0.55/0.5 = 1.1 and 0.2 → 0.8 for credit; 1/1.1 and 5 → 1.2 for blame.
    by_hand = [
        [-2 * (0.5 + 0.5 * 1.1), -2 * (0.5 + 0.5 * 0.8)],
        [2 * (0.5 + 0.5 / 1.1), 2 * (0.5 + 0.5 * 1.2)],
    ]
    assert loss(objective, scores()).tolist() == [pytest.approx(row) for row in by_hand]


def test_rlsd_compares_with_the_weights_before_the_update() -> None:
    old = torch.tensor([[log(0.55), log(0.1)]] * 2, dtype=torch.float64)
    found = scores(old=old, logprobs=old + 0.1)
    ratio = exp(0.1)
    assert loss(RLSD(), found).tolist() == [
        pytest.approx([-2 * ratio] * 2),  # the teacher agrees with old, so w = 1
        pytest.approx([2 * ratio] * 2),
    ]


def test_rlsd_becomes_grpo() -> None:
    objective = RLSD(evidence=0.5, anneal=0.4)
    assert [objective.at(at).evidence for at in (0, 0.1, 0.2, 0.4, 1)] == [
        pytest.approx(each) for each in (0.5, 0.375, 0.25, 0, 0)
    ]
    late = objective.at(0.4)
    assert late.teacher_request is None
    assert torch.equal(loss(late, scores()), loss(GRPO(), scores()))


def test_pi_distill_trains_each_completion_in_both_prompts() -> None:
    batch = Batch(
        prompts=((1, 2), (3,)),
        completions=((4, 5), (6,)),
        advantages=torch.tensor([1.0, -1.0]),
        weights=torch.tensor([0.5, 0.25]),
        sampler_logprobs=((-1.0, -2.0), (-3.0,)),
    )
    found = PiDistill(alpha=0.75).with_teacher(batch, ((2,), (3,)))
    assert found.prompts == ((1, 2), (3,), (2,), (3,))
    assert found.teacher_prompts == ((2,), (3,), (1, 2), (3,))
    assert found.completions == ((4, 5), (6,)) * 2
    assert found.advantages.tolist() == [1, -1, 1, -1]
    assert found.weights.tolist() == [0.375, 0.1875, 0.125, 0.0625]
    assert found.given == (0, 0, 2, 1)
    assert found.sampler_logprobs == ((-1.0, -2.0), (-3.0,), (), ())
    student = PiDistill(alpha=0.0).with_teacher(batch, ((2,), (3,)))
    assert (student.prompts, student.given) == (((2,), (3,)), (2, 1))


def test_pi_distill_worked_by_hand() -> None:
    found = scores(
        logprobs=torch.tensor([[log(0.5)], [log(0.25)]], dtype=torch.float64),
        teacher=torch.tensor([[log(0.25)], [log(0.5)]], dtype=torch.float64),
        mask=torch.ones(2, 1, dtype=torch.bool),
        advantages=torch.tensor([2.0, 2.0], dtype=torch.float64),
        expert=torch.tensor([[False], [True]]),
    )
    policy, kl = PiDistill(teacher_kl=0.5).loss_terms(found)
    assert policy.tolist() == [[-2.0], [pytest.approx(-1.0)]]  # the student's ratio is 1/2
    assert kl.tolist() == [[pytest.approx(log(2) ** 2 / 4)], [pytest.approx(log(2) / 2)]]


def test_pi_distill_shows_the_solution_in_its_episodes() -> None:
    assert PiDistill().reset_options == {"reward_mode": "rlvr", "hint": 1.0}
    alone = PiDistill(alpha=1.0, teacher_kl=0.0, hint=0.0)
    assert (alone.reset_options, alone.teacher_request) == (GRPO().reset_options, None)
    assert torch.equal(loss(alone, scores(teacher=None)), loss(GRPO(), scores()))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"teacher": "http://localhost:8000"}, "set objective.full_vocabulary to false"),
        (
            {"teacher": "http://x", "full_vocabulary": False, "temperature": 0.7},
            "a server scores at temperature 1",
        ),
        ({"divergence": "jsd", "full_vocabulary": False}, "'jsd' is not estimated"),
    ],
)
def test_what_a_teacher_cannot_do_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadOption, match=problem):
        Stage("s", Distillation(**changes))


def test_what_the_methods_need() -> None:
    names = ("opsd", "rlsd", "pi-distill", "opd")
    assert {name: set(get_method(name).needs) for name in names} == {
        "pi-distill": {"demonstrations", "verifier"},
        "opsd": {"demonstrations", "verifier"},
        "rlsd": {"demonstrations", "verifier"},
        "opd": {"teacher", "verifier"},
    }
