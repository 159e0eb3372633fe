"""What the loss of a micro-batch sees of a batch: its own rows, at their width."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from srl_agents.nn.score import TokenScores
from srl_agents.objectives.base import Scores
from srl_agents.objectives.batch import Batch
from srl_agents.objectives.loss import kl_estimate
from srl_agents.training.packing import MicroBatch
from srl_agents.training.scored_batch import ScoredBatch, differences

BATCH = Batch(
    prompts=((1,), (2,), (3,)),
    completions=((4, 5), (6, 7, 8), (9,)),
    advantages=torch.tensor([1.0, 2.0, 3.0]),
    weights=torch.ones(3),
    sampler_logprobs=((-0.5, -0.75), (-1.0, -1.5, -1.25), (-2.0,)),
)
LOGPROBS = torch.tensor([[-4.0, 0.0], [-1.0, -3.0]])  # now, of the rows 2 and 0
OLD = torch.tensor([[-1.0, -2.0, 0.0], [-9.0, -9.0, -9.0], [-3.0, 0.0, 0.0]])


def scores(part: ScoredBatch) -> Scores:
    """Those of a micro-batch of the rows 2 and 0, so of at most two tokens."""
    none, mask = torch.zeros(0), torch.tensor([[True, False], [True, True]])
    found = TokenScores(none, none, LOGPROBS, mask, torch.zeros(2, 2))
    return part.scores(MicroBatch((), (), (2, 0)), found)


def values(tensor: Tensor | None) -> list[list[float]]:
    assert tensor is not None
    found: list[list[float]] = tensor.tolist()
    return found


def test_a_micro_batch_has_its_own_rows_at_their_width() -> None:
    found = scores(ScoredBatch(BATCH, old=OLD, reference=2 * OLD, teacher=3 * OLD))
    assert found.advantages.tolist() == [3.0, 1.0]
    assert values(found.sampled) == [[-2.0, 0.0], [-0.5, -0.75]]
    assert values(found.old) == [[-3.0, 0.0], [-1.0, -2.0]]
    assert values(found.reference) == [[-6.0, 0.0], [-2.0, -4.0]]
    assert values(found.teacher) == [[-9.0, 0.0], [-3.0, -6.0]]
    assert found.expert is None


def test_what_is_not_measured_is_missing() -> None:
    found = scores(ScoredBatch(replace(BATCH, sampler_logprobs=())))
    assert found.sampled is found.old is found.reference is found.teacher is None
    assert differences(found) == {}


@pytest.mark.parametrize(("old", "own"), [(None, -1.0), (2 * OLD, -2.0)])
def test_tokens_of_an_expert_have_the_trainers_own_log_probs(
    old: Tensor | None, own: float
) -> None:
    found = scores(ScoredBatch(replace(BATCH, given=(1, 0, 0)), old=old))
    assert values(found.expert) == [[False, False], [True, False]]
    assert values(found.sampled) == [[-2.0, 0.0], [own, -0.75]]


def test_a_teacher_that_failed_has_no_opinion() -> None:
    failed = torch.full((3, 3), float("nan"))
    assert values(scores(ScoredBatch(BATCH, teacher=failed)).teacher) == LOGPROBS.tolist()


def test_differences_are_from_the_sampler_and_from_the_first_weights() -> None:
    found = differences(scores(ScoredBatch(BATCH, reference=OLD)))
    assert found["sampler_gap"].tolist() == [[2.0, 0.0], [0.5, 2.25]]
    reference = torch.tensor([[-3.0, 0.0], [-1.0, -2.0]])
    torch.testing.assert_close(found["kl_to_start"], kl_estimate(LOGPROBS, reference))
    with_old = differences(scores(ScoredBatch(BATCH, old=OLD)))
    assert with_old["sampler_gap"].tolist() == [[1.0, 0.0], [0.5, 1.25]]


def test_an_experts_tokens_have_no_kl() -> None:
    part = ScoredBatch(replace(BATCH, given=(2, 0, 0)), reference=OLD)
    found = differences(scores(part))["kl_to_start"]
    assert found[1].tolist() == [0.0, 0.0]
    assert found[0, 0] > 0
