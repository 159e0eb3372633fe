"""Updates of a real, tiny model: what the gradient depends on, and what it does not."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from srl_agents.models.small import build, character_tokenizer
from srl_agents.nn.score import PlainDecoder, make_decoder
from srl_agents.objectives import GRPO, NLL, Objective
from srl_agents.objectives.batch import Batch, TrainingBatches
from srl_agents.objectives.loss import completion_weights
from srl_agents.objectives.registry import OBJECTIVES as REGISTRY
from srl_agents.runs.config import OptimizerConfig
from srl_agents.training.learner import Learner, TrainingDiverged
from tests.srl_agents import letters

TOKENIZER = character_tokenizer("abcdefgh")


@pytest.fixture(scope="module", params=["llama-1m", "lfm2-0.3m"])
def model(request: pytest.FixtureRequest) -> Any:
    return build(request.param, TOKENIZER, seed=0)


def batch(model: Any, seed: int = 0, rows: int = 12) -> Batch:
    """Completions of 1 to 6 tokens after prompts that repeat and contain one another."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(3, 11, (16,), generator=generator).tolist()
    prompts = [tuple(text[: 4 + 4 * (row % 3)]) for row in range(rows - 1)] + [(5, 3)]
    completions = [
        tuple(torch.randint(3, 11, (1 + row % 6,), generator=generator).tolist())
        for row in range(rows)
    ]
    lengths = torch.tensor([len(ids) for ids in completions])
    plain = Batch(
        tuple(prompts),
        tuple(completions),
        torch.randn(rows, generator=generator, dtype=torch.float64),
        completion_weights(lengths, torch.arange(rows)),
    )
    learner = Learner(model, OptimizerConfig())
    logprobs = learner.logprobs(learner.decoder, plain, 1.0)
    sampled = [tuple(row[:n].tolist()) for row, n in zip(logprobs, lengths, strict=True)]
    return replace(plain, sampler_logprobs=tuple(sampled))


def one(batch: Batch, **options: Any) -> TrainingBatches:
    """An update of one step."""
    return TrainingBatches((batch,), **options)


def gradient(
    model: Any, batch: Batch, objective: Objective, tokens: int, plain: bool = False, **changes: Any
) -> Any:
    """The gradient of one update, all parameters in one vector; the weights stay.

    plain: prompts are not shared, and rows are padded.
    """
    twin = copy.deepcopy(model)
    settings = OptimizerConfig(micro_batch_tokens=tokens, max_grad_norm=1e9)
    learner = Learner(twin, settings, decoder=PlainDecoder(twin) if plain else None, **changes)
    numbers = learner.update(one(batch), objective, lr=0.0)
    flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in learner.parameters]
    return torch.cat([each.flatten() for each in flat]), numbers


OBJECTIVES = [
    GRPO(),
    GRPO(temperature=0.7, entropy=0.01, sampler_correction="token-tis"),
    GRPO(scale="none", aggregation="token", clip_high=0.28),
    NLL(),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=["grpo", "corrected", "token", "nll"])
def test_the_gradient_is_the_same_under_any_micro_batch_split(
    model: Any, objective: GRPO | NLL
) -> None:
    data = batch(model)
    whole, numbers = gradient(model, data, objective, tokens=10_000)
    scale = whole.abs().max()
    assert scale > 1e-3
    for tokens in (1, 17, 40):
        split, same = gradient(model, data, objective, tokens=tokens)
        assert (split - whole).abs().max() < 1e-5 * max(1.0, scale)
        assert same == pytest.approx(numbers, rel=1e-4, abs=1e-5)


# A teacher's gradient is tested with its prompts, in test_teachers.py.
WITHOUT_TEACHER = [kind for kind, cls in REGISTRY.items() if cls().teacher_request is None]


@pytest.mark.parametrize("kind", WITHOUT_TEACHER)
def test_in_float64_every_objectives_gradient_is_the_same_under_any_split_and_padding(
    kind: str,
) -> None:
    twin = letters.base(TOKENIZER).double()
    data, cls, changes = batch(twin), REGISTRY[kind], dict[str, Any]()
    if issubclass(cls, GRPO):
        changes = {"sampler_correction": "sequence-tis", "kl": 0.1}
        off = [tuple(value - 0.1 for value in row) for row in data.sampler_logprobs]
        data = replace(data, sampler_logprobs=tuple(off))
    whole, _ = gradient(twin, data, cls(**changes), 10_000, reference=make_decoder(twin))
    assert whole.norm() > 1e-3
    for tokens, plain in ((1, False), (17, True)):
        split, _ = gradient(twin, data, cls(**changes), tokens, plain, reference=make_decoder(twin))
        assert (split - whole).norm() < 1e-6 * whole.norm()


def test_the_gradient_does_not_depend_on_padding_or_on_sharing_prompts(model: Any) -> None:
    data = batch(model)
    shared, _ = gradient(model, data, GRPO(), tokens=10_000)
    twin = copy.deepcopy(model)
    learner = Learner(twin, OptimizerConfig(max_grad_norm=1e9), decoder=PlainDecoder(twin))
    learner.update(one(data), GRPO(), lr=0.0)
    padded = torch.cat([p.grad.flatten() for p in learner.parameters if p.grad is not None])
    torch.testing.assert_close(padded, shared, atol=1e-5, rtol=1e-4)


def test_the_gradient_does_not_depend_on_the_order_of_the_batch(model: Any) -> None:
    data = batch(model)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1)).tolist()
    turned = Batch(
        tuple(data.prompts[i] for i in order),
        tuple(data.completions[i] for i in order),
        data.advantages[order],
        data.weights[order],
        tuple(data.sampler_logprobs[i] for i in order),
    )
    first, _ = gradient(model, data, GRPO(), tokens=40)
    second, _ = gradient(model, turned, GRPO(), tokens=40)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


def test_the_length_of_an_updates_step_is_its_fraction_of_a_whole_one(model: Any) -> None:
    data, lengths = batch(model), {}
    for fraction in (1.0, 0.5, 0.25, 0.05):
        learner = Learner(copy.deepcopy(model), OptimizerConfig())
        before = torch.cat([p.detach().flatten() for p in learner.parameters])
        numbers = learner.update(one(data, fraction=fraction), GRPO(), lr=1e-3)
        after = torch.cat([p.detach().flatten() for p in learner.parameters])
        lengths[fraction] = float((after - before).norm())
        assert numbers["lr"] == pytest.approx(1e-3 * fraction)
    assert lengths[1.0] > 0.01
    found = {fraction: length / lengths[1.0] for fraction, length in lengths.items()}
    assert found == pytest.approx({fraction: fraction for fraction in found}, rel=1e-3)


def test_the_loss_is_the_weighted_sum_over_tokens(model: Any) -> None:
    data = batch(model)
    learner = Learner(copy.deepcopy(model), OptimizerConfig())
    numbers = learner.update(one(data), NLL(), lr=0.0)
    by_hand = sum(
        -weight * sum(row)
        for weight, row in zip(data.weights.tolist(), data.sampler_logprobs, strict=True)
    )
    assert numbers["loss"] == pytest.approx(by_hand, rel=1e-5)


def test_on_policy_the_loss_is_minus_the_mean_advantage(model: Any) -> None:
    data = batch(model)
    learner = Learner(copy.deepcopy(model), OptimizerConfig())
    numbers = learner.update(one(data), GRPO(), lr=0.0)
    assert numbers["loss"] == pytest.approx(-data.advantages.mean().item(), abs=1e-5)
    assert numbers["sampler_gap"] < 1e-4


def test_context_tokens_are_never_scored_so_they_get_no_gradient_of_their_own(model: Any) -> None:
    data, twin, rows = batch(model), copy.deepcopy(model), []
    learner = Learner(twin, OptimizerConfig())
    twin.get_output_embeddings().register_forward_hook(
        lambda _, inputs, __: rows.append(inputs[0].shape[0])
    )
    learner.update(one(data), GRPO(), lr=0.0)
    assert sum(rows) == data.tokens


def test_completions_of_advantage_zero_move_nothing_at_all(model: Any) -> None:
    silent = replace(batch(model), advantages=torch.zeros(12, dtype=torch.float64))
    flat, _ = gradient(model, silent, GRPO(), tokens=10_000)
    assert flat.abs().max() == 0


def test_only_the_completions_own_log_probs_are_in_the_loss(model: Any) -> None:
    """The gradient equals autograd's through a plain forward pass that masks the context."""
    data = batch(model)
    shared, _ = gradient(model, data, GRPO(), tokens=10_000)
    twin = copy.deepcopy(model)
    loss = torch.zeros(())
    for row, (prompt, completion) in enumerate(zip(data.prompts, data.completions, strict=True)):
        ids = torch.tensor([[*prompt, *completion]])
        logprobs = twin(input_ids=ids).logits.float().log_softmax(-1)[0]
        for at, token in enumerate(completion):
            weight = data.weights[row] * data.advantages[row]
            loss = loss - weight.float() * logprobs[len(prompt) + at - 1, token]
    loss.backward()
    plain = torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None])
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=1e-4)


def test_an_update_makes_good_completions_likelier_and_bad_ones_less_so(model: Any) -> None:
    data = batch(model)
    learner = Learner(copy.deepcopy(model), OptimizerConfig())
    before = learner.logprobs(learner.decoder, data, 1.0).sum(1)
    for _ in range(3):
        learner.update(one(data), GRPO(), lr=1e-3)
    change = learner.logprobs(learner.decoder, data, 1.0).sum(1) - before
    assert torch.corrcoef(torch.stack([change.double(), data.advantages]))[0, 1] > 0.5


def test_later_passes_are_clipped_and_minibatches_are_each_stepped_on(model: Any) -> None:
    data = batch(model)
    learner = Learner(copy.deepcopy(model), OptimizerConfig())
    objective = GRPO(passes=3, clip_low=0.01, clip_high=0.01)
    numbers = learner.update(TrainingBatches((data, data)), objective, lr=1e-2)
    assert numbers["clipped_fraction"] > 0.1
    assert numbers["sampler_gap"] < 1e-4  # before the first step, whatever later ones moved
    steps = {state["step"].item() for state in learner.optimizer.state.values()}
    assert steps == {6.0}


def test_the_kl_to_the_first_weights_is_zero_at_first_and_grows(model: Any) -> None:
    data, twin = batch(model), copy.deepcopy(model)
    learner = Learner(twin, OptimizerConfig(), reference=make_decoder(copy.deepcopy(model)))
    first = learner.update(one(data), GRPO(), lr=1e-2, measure_kl=True)
    later = learner.update(one(data), GRPO(), lr=1e-2, measure_kl=True)
    assert first["kl_to_start"] == pytest.approx(0, abs=1e-5)
    assert later["kl_to_start"] > 1e-3


def test_an_update_that_takes_half_of_a_unanimous_completion_is_halved(
    model: Any,
) -> None:
    data = batch(model)
    data = replace(data, advantages=-data.advantages.abs())

    def updated(max_drop: float | None) -> tuple[torch.Tensor, Any, float]:
        learner = Learner(copy.deepcopy(model), OptimizerConfig())
        then = learner.logprobs(learner.decoder, data, 1.0).sum(1)
        sure = None if max_drop is None else data
        numbers = learner.update(one(data, unanimous=sure), GRPO(max_drop=max_drop), lr=3e-4)
        now = learner.logprobs(learner.decoder, data, 1.0).sum(1)
        weights = torch.cat([p.detach().flatten() for p in learner.parameters])
        return weights, numbers, float(torch.exp(now - then).min())

    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    (whole, free, least), (cut, numbers, kept) = updated(None), updated(0.5)
    assert "step_fraction" not in free
    assert least < 0.5 <= kept
    assert numbers["step_fraction"] in (0.5, 0.25, 0.125, 0.0625)
    torch.testing.assert_close(cut, torch.lerp(before, whole, numbers["step_fraction"]))


def test_an_update_that_takes_little_from_a_unanimous_completion_stays_whole(model: Any) -> None:
    data = batch(model)
    first, second = (Learner(copy.deepcopy(model), OptimizerConfig()) for _ in range(2))
    numbers = first.update(one(data, unanimous=data), GRPO(max_drop=0.5), lr=1e-6)
    assert numbers["step_fraction"] == 1.0
    second.update(one(data), GRPO(), lr=1e-6)
    for guarded, free in zip(first.parameters, second.parameters, strict=True):
        assert torch.equal(guarded, free)


def test_a_loss_that_is_nan_changes_nothing(model: Any) -> None:
    data, twin = batch(model), copy.deepcopy(model)
    learner = Learner(twin, OptimizerConfig())
    bad = replace(data, advantages=data.advantages * float("nan"))
    with pytest.raises(TrainingDiverged, match="loss nan"):
        learner.update(one(bad), GRPO(), lr=1.0)
    for now, before in zip(twin.parameters(), model.parameters(), strict=True):
        assert torch.equal(now, before)


@pytest.mark.parametrize("objective", [GRPO(), NLL()])
def test_weights_that_are_not_finite_are_found(model: Any, objective: GRPO | NLL) -> None:
    learner = Learner(copy.deepcopy(model), OptimizerConfig())
    with pytest.raises(TrainingDiverged, match="weights of norm inf after the step"):
        learner.update(one(batch(model)), objective, lr=1e30)


def test_autocast_in_bfloat16_stays_close(model: Any) -> None:
    data = batch(model)
    exact, _ = gradient(model, data, GRPO(), tokens=10_000)
    coarse, _ = gradient(model, data, GRPO(), tokens=10_000, autocast=True)
    assert torch.nn.functional.cosine_similarity(exact, coarse, dim=0) > 0.95
