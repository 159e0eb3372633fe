"""Groups with expert rows, and losses of several terms: by hand, and in a learner."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from srl_agents.models.small import build, character_tokenizer
from srl_agents.nn.score import PlainDecoder, make_decoder
from srl_agents.objectives import GRPO
from srl_agents.objectives.base import Scores
from srl_agents.objectives.batch import Batch, TrainingBatches, unanimous
from srl_agents.objectives.groups import Group
from srl_agents.objectives.loss import (
    mixture_policy_gradient,
    shaped_policy_gradient,
    weighted_sum,
)
from srl_agents.objectives.mixed.objective import Mixed
from srl_agents.objectives.mixed.rows import GroupRows
from srl_agents.objectives.mixed.terms import Gate, LossTerm, gate_opens
from srl_agents.objectives.requests import Collected
from srl_agents.runs.config import OptimizerConfig, make_config
from srl_agents.training.learner import Learner
from srl_env.errors import BadOption, UnknownName
from srl_env.policy import Generation
from srl_env.rollout import Episode, Step

FAILURE = {"type": "VerifierTimeout", "message": "too late"}
WRONG = {"correct": False}
COMPARED = GroupRows("compared")
BESIDE = GroupRows("beside")
IMITATE = LossTerm("nll", rows="expert", when="all-failed")


def step(index: int, ids: tuple[int, ...], reward: float = 0.0, sampled: bool = True) -> Step:
    logprobs = tuple(-0.5 for _ in ids) if sampled else ()
    generation = Generation("x", ids, logprobs, (1, 2, index))
    return Step((), generation, "x", index, reward, {}, True, None, None, "x")


def episode(
    correct: bool | None, *lengths: int, start: int = 0, sampled: bool = True, reward: float = -1
) -> Episode:
    """An episode whose steps have so many tokens; None is an infrastructure failure."""
    value = reward if reward >= 0 else float(bool(correct))
    steps = tuple(
        step(start + i, (5,) * n, value if i == len(lengths) - 1 else 0.0, sampled)
        for i, n in enumerate(lengths)
    )
    verdict = None if correct is None else {"correct": correct}
    failure = FAILURE if correct is None else None
    return Episode("p", start, "rlvr", "policy", "step", steps, verdict, failure, group=0)


def expert(*lengths: int, correct: bool | None = True) -> Episode:
    return episode(correct, *lengths, sampled=False)


def group(objective: Mixed, *episodes: Episode, shown: Episode | None) -> Group:
    (found,) = objective.form(episodes, {} if shown is None else {0: shown})
    return found


# Rows


def test_a_compared_demonstration_is_a_member_with_the_verifiers_reward() -> None:
    failed = episode(False, 2)
    found = group(Mixed(rows=COMPARED), failed, failed, failed, shown=expert(3))
    assert [member.reward for member in found.members] == [0, 0, 0, 1]
    assert [member.expert for member in found.members] == [False, False, False, True]
    # The mean is 1/4 and the std sqrt(3)/4, so A = 3/4 / (sqrt(3)/4) = sqrt(3) for the expert.
    batch = Mixed(rows=COMPARED).make_batch([found], 4)
    terms = Mixed(rows=COMPARED, terms=(LossTerm(rows="all"),)).make_batch([found], 4)
    third = 1 / math.sqrt(3)
    assert terms.advantages.tolist() == pytest.approx([-third, -third, -third, 3 * third], abs=1e-4)
    assert len(batch.completions) == 3  # no term reads the expert's row


def test_whether_a_lone_demonstration_makes_a_group_informative_is_the_methods_choice() -> None:
    failed = episode(False, 2)
    counted = group(Mixed(rows=COMPARED), failed, failed, shown=expert(3))
    quiet = Mixed(rows=replace(COMPARED, counts=False))
    uncounted = group(quiet, failed, failed, shown=expert(3))
    assert (counted.informative(1e-4), uncounted.informative(1e-4)) == (True, False)
    mixed = group(quiet, failed, episode(True, 2), shown=expert(3))
    assert mixed.informative(1e-4)
    assert mixed.std == 0.5  # of the policy's own


def test_a_demonstration_beside_the_members_changes_no_advantage() -> None:
    terms = (LossTerm(), LossTerm("nll", rows="expert"))
    objective = Mixed(rows=BESIDE, terms=terms, scale="none")
    found = group(objective, episode(False, 2), episode(True, 2), shown=expert(4))
    batch = objective.make_batch([found], 4)
    assert batch.advantages.tolist() == [-0.5, 0.5, 0.0]
    assert batch.given == (0, 0, 4)
    # Each term is normalised by its own tokens: two sequences of the policy, one of the expert.
    assert batch.weights.tolist() == [[0.25, 0.0], [0.25, 0.0], [0.0, 0.25]]
    assert batch.sampler_logprobs == ((-0.5, -0.5), (-0.5, -0.5), ())


def test_a_demonstration_that_is_rejected_or_lost_is_left_out() -> None:
    own = [episode(False, 2), episode(True, 2)]
    for shown in (expert(3, correct=False), expert(3, correct=None), None):
        assert len(group(Mixed(rows=COMPARED), *own, shown=shown).members) == 2
    assumed = Mixed(rows=replace(COMPARED, reward=1.0))
    members = group(assumed, *own, shown=expert(3, correct=False)).members
    assert [member.reward for member in members] == [0, 1, 1]


def test_a_continued_prefix_is_trained_on_with_the_policys_own_steps() -> None:
    terms = (LossTerm(), LossTerm(rows="expert", ratio="none"))
    objective = Mixed(rows=GroupRows(continued=1), terms=terms, scale="none")
    continued = episode(True, 2, start=2)
    found = group(objective, episode(False, 1, 3), continued, shown=expert(5, 4, 3))
    assert [member.given for member in found.members] == [(), (5, 4, 0)]
    batch = objective.make_batch([found], 4)
    assert batch.given == (0, 0, 5, 4, 0)
    assert batch.advantages.tolist() == [-0.5, -0.5, 0.5, 0.5, 0.5]
    # Own tokens: 4 of the first row and 2 of the second. The prefix is one sequence of 9 tokens.
    own = [1 / 8, 1 / 8, 0, 0, 1 / 4]
    assert batch.weights[:, 0].tolist() == own
    assert batch.weights[:, 1].tolist() == pytest.approx([0, 0, 1 / 9, 1 / 9, 0])
    assert batch.sampled_tokens == 6
    assert found.std == 0.5


def whole(episode: Episode, prompt: tuple[int, ...], ids: tuple[int, ...]) -> Episode:
    """The episode with one completion that is a whole solution."""
    (only,) = episode.steps
    generation = replace(only.generation, prompt_ids=prompt, token_ids=ids)
    return replace(episode, granularity="solution", steps=(replace(only, generation=generation),))


def test_a_continued_solution_is_one_completion_of_both_origins() -> None:
    shown = whole(expert(4), (1, 2), (7, 8, 9, 10))
    plain = whole(episode(False, 2), (1, 2), (5, 5))
    continued = whole(episode(True, 2), (1, 2, 7, 8, 9), (6, 6))
    objective = Mixed(rows=GroupRows(continued=1), terms=(LossTerm(), LossTerm(rows="expert")))
    found = group(objective, plain, continued, shown=shown)
    batch = objective.make_batch([found], 1)
    assert batch.prompts == ((1, 2), (1, 2))
    assert batch.completions == ((5, 5), (7, 8, 9, 6, 6))
    assert batch.given == (0, 3)
    assert batch.sampler_logprobs == ((-0.5, -0.5), (0, 0, 0, -0.5, -0.5))
    assert batch.weights.tolist() == [[0.25, 0.0], [0.25, pytest.approx(1 / 3)]]


def test_forced_ids_stay_context_after_the_beginning_of_a_solution() -> None:
    shown = whole(expert(4), (1, 2), (6, 7, 8, 9))
    own = whole(episode(False, 5), (1, 2, 6, 7), (5, 5, 3, 3, 4))
    generation = replace(own.steps[0].generation, logprobs=(-0.5,) * 5, forced=(2, 4))
    closed = replace(own, steps=(replace(own.steps[0], generation=generation),))
    objective = Mixed(rows=GroupRows(continued=2), aggregation="token")
    found = objective.make_batch([group(objective, closed, own, shown=shown)], 1)
    assert found.prompts[:2] == ((1, 2), (1, 2, 6, 7, 5, 5, 3, 3))
    assert found.completions[:2] == ((6, 7, 5, 5), (4,))
    assert found.given[:2] == (2, 0)


def test_a_truncated_continuation_of_a_solution_is_masked() -> None:
    shown = whole(expert(4), (1, 2), (6, 7, 8, 9))
    own = whole(episode(True, 2), (1, 2, 6, 7), (5, 5))
    cut = replace(own.steps[0].generation, finish_reason="length")
    truncated = replace(own, steps=(replace(own.steps[0], generation=cut),), verdict=WRONG)
    objective = Mixed(rows=GroupRows(continued=2), mask_truncated=True)
    batch = objective.make_batch([group(objective, own, truncated, shown=shown)], 1)
    assert (batch.completions, batch.given) == (((6, 7, 5, 5),), (2,))


def test_the_beginning_of_an_expert_is_no_part_of_what_max_drop_protects() -> None:
    objective = Mixed(rows=GroupRows(continued=2))
    shown = whole(expert(4), (1, 2), (6, 7, 8, 9))
    own = whole(episode(True, 2), (1, 2, 6, 7), (5, 5))
    found = unanimous([group(objective, own, own, shown=shown)])
    assert found is not None
    assert (found.prompts, found.completions) == (((1, 2, 6, 7),), ((5, 5),))
    assert found.sampler_logprobs == ((-0.5, -0.5),)
    steps = episode(True, 3, start=1)
    after = unanimous([group(objective, steps, steps, shown=expert(2, 1))])
    assert after is not None
    assert (after.completions, after.sampler_logprobs) == (((5,) * 3,), ((-0.5,) * 3,))


def test_an_expert_with_too_few_steps_leaves_the_continuation_as_it_is() -> None:
    objective = Mixed(rows=GroupRows(continued=1))
    found = group(objective, episode(False, 1), episode(True, 2, start=2), shown=expert(5))
    assert [member.given for member in found.members] == [(), ()]


# Gates


def opens(gate: Gate, *verdicts: bool | None) -> bool:
    found = Mixed().form([episode(verdict, 2) for verdict in verdicts], {})
    return any(gate_opens(gate, each) for each in found)


def test_gates_read_the_verdicts_of_the_policys_episodes() -> None:
    assert opens("all-failed", False, False)
    assert not opens("all-failed", False, True)
    assert opens("any-correct", False, True)
    assert not opens("any-correct", False, False)
    assert opens("always", False, False)


def test_an_infrastructure_failure_opens_nothing_and_does_not_count_as_a_wrong_answer() -> None:
    assert opens("any-correct", None, True, False)
    assert not opens("all-failed", None, True, True)
    for gate in ("all-failed", "any-correct"):
        assert not opens(gate, None, None, True)  # one member left: no group


def test_a_reward_of_zero_is_no_verdict() -> None:
    right = [episode(True, 2, reward=0.0) for _ in range(2)]  # e.g. for a broken format
    (found,) = Mixed().form(right, {})
    assert not gate_opens("all-failed", found)
    wrong = [episode(False, 2, reward=0.3) for _ in range(2)]
    (found,) = Mixed().form(wrong, {})
    assert gate_opens("all-failed", found)


def test_a_demonstration_does_not_open_the_gate_for_a_correct_episode() -> None:
    failed = episode(False, 2)
    found = group(Mixed(rows=COMPARED), failed, failed, shown=expert(3))
    assert not gate_opens("any-correct", found)
    assert gate_opens("all-failed", found)


def test_groups_that_an_open_term_imitates_are_trained_on_without_a_spread() -> None:
    objective = Mixed(rows=BESIDE, terms=(LossTerm(when="any-correct"), IMITATE))
    failed, right = episode(False, 2), episode(True, 2)
    hard = group(objective, failed, failed, shown=expert(3))
    mixed = replace(group(objective, failed, right, shown=expert(3)), start=1)
    easy = replace(group(objective, right, right, shown=expert(3)), start=2)
    alone = replace(group(objective, failed, failed, shown=None), start=3)
    collected = Collected(4, 1e-4, [failed], [hard, mixed, easy, alone])
    assert collected.outcomes == ["trained", "trained", "zero_std", "zero_std"]
    data = objective.training_batches(collected, 4, 4)
    assert data is not None
    (batch,) = data.batches
    # Of the first group only the demonstration is left, of the second only the policy's episodes.
    assert batch.given == (0, 0, 3)
    assert batch.weights.flatten().tolist() == pytest.approx([0.25, 0, 0.25, 0, 0, 1 / 3])


def test_a_batch_without_a_token_for_any_term_is_no_batch() -> None:
    objective = Mixed(terms=(LossTerm(when="any-correct"),), reward_mode="score")
    wrong = [episode(False, 2, reward=reward) for reward in (0.1, 0.9)]
    groups = objective.form(wrong, {})
    assert objective.training_batches(Collected(1, 1e-4, wrong, groups), 1, 4) is None


# Terms


def scores(probs: list[float], expert: list[bool], advantage: float = 1.0, **more: Any) -> Scores:
    logprobs = torch.tensor([probs], dtype=torch.float64).log().requires_grad_()
    mask = torch.ones(1, len(probs), dtype=torch.bool)
    advantages = torch.tensor([advantage], dtype=torch.float64)
    return Scores(logprobs, mask, advantages, expert=torch.tensor([expert]), **more)


def test_shaping_learns_unlikely_tokens_faster() -> None:
    given = scores([0.1, 0.9], [True, True], advantage=2.0)
    loss = shaped_policy_gradient(given.logprobs, given.advantages)
    # f(0.1) = 0.1 / 0.2 = 0.5 and f(0.9) = 0.9.
    assert loss.tolist() == [pytest.approx([-1.0, -1.8])]
    (slope,) = torch.autograd.grad(loss.sum(), given.logprobs)
    # d f / d log p = p · 0.1 / (p + 0.1)²: 0.01 / 0.04 = 0.25, and 0.09 / 1 = 0.09.
    assert slope.tolist() == [pytest.approx([-0.5, -0.18])]


def test_the_mixture_bounds_the_ratio_and_favours_unlikely_tokens() -> None:
    given = scores([0.5], [True])
    old = torch.tensor([[0.2]], dtype=torch.float64).log()
    loss = mixture_policy_gradient(given.logprobs, given.advantages, old, gamma=2.0)
    # 2 · 0.5 / (0.6 + 0.2) = 1.25, times (1 − 0.5)² = 0.25.
    assert loss.item() == pytest.approx(-0.3125)
    (slope,) = torch.autograd.grad(loss.sum(), given.logprobs)
    assert slope.item() == pytest.approx(-0.3125)  # (1 − π) has no gradient
    unchanged = mixture_policy_gradient(given.logprobs, given.advantages, gamma=0.0)
    assert unchanged.item() == pytest.approx(-1 / 1.25)  # π_old = 0.5: 1 / (0.75 + 0.5)


def test_a_term_reads_its_own_tokens_alone() -> None:
    given = scores([0.5, 0.5, 0.5], [True, False, False], advantage=2.0)
    terms = (
        LossTerm(rows="own", weight=3.0),
        LossTerm("nll", rows="expert"),
        LossTerm(rows="all", ratio="none"),
    )
    first, second, third = Mixed(terms=terms).loss_terms(given)
    log2 = math.log(2)
    assert first.tolist() == [[0.0, -6.0, -6.0]]  # the ratio is 1
    assert second.tolist() == [pytest.approx([log2, 0.0, 0.0])]
    assert third.tolist() == [pytest.approx([2 * log2] * 3)]


def test_an_expert_token_that_the_policy_never_writes_leaves_gradients_finite() -> None:
    logprobs = torch.tensor([[-100.0, -1.0]], requires_grad=True)
    found = scores([0.5, 0.5], [True, False], reference=torch.full((1, 2), -1.0))
    found = replace(found, logprobs=logprobs)
    objective = Mixed(kl=0.1, terms=(LossTerm(), LossTerm("nll", rows="expert")))
    torch.stack(list(objective.loss_terms(found))).sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-1.0, -1.0]]  # exp(99) is infinite, and its token not own


def test_the_tokens_of_highest_entropy_are_chosen_in_each_completion() -> None:
    entropy = torch.tensor([[0.3, 9.0, 0.1, 0.5, 0.2, 0.4]])
    given = scores([0.5] * 6, [True, False, True, True, True, True], entropy=entropy)
    term = LossTerm(rows="expert", top_entropy=0.4)
    assert term.chosen(given).tolist() == [[False, False, False, True, False, True]]
    (found,) = Mixed().form([episode(False, 6), episode(True, 6)], {})
    assert term.tokens(found, 6, 5) == 2  # 0.4 of 5
    assert term.tokens(found, 6, 1) == 1
    assert term.tokens(found, 6, 0) == 0
    assert LossTerm(rows="all", top_entropy=0.2).tokens(found, 15, 0) == 3


def test_terms_with_a_column_of_weights_each_are_normalised_apart() -> None:
    terms = [torch.full((2, 2), 1.0), torch.full((2, 2), 10.0)]
    mask = torch.tensor([[True, True], [True, False]])
    assert weighted_sum(terms, mask, torch.tensor([0.5, 1.0])).item() == 22.0
    weights = torch.tensor([[0.5, 0.0], [0.0, 1.0]])
    assert weighted_sum(terms, mask, weights).item() == 1.0 + 10.0


# In a learner


def mixed_data(model: Any) -> Batch:
    """Completions of both origins; the last one begins with two tokens of the expert."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(3, 11, (16,), generator=generator).tolist()
    prompts = tuple(tuple(text[: 4 + 4 * (row % 3)]) for row in range(8))
    completions = tuple(
        tuple(torch.randint(3, 11, (1 + row % 6,), generator=generator).tolist())
        for row in range(8)
    )
    given = (0, 0, 3, 0, 5, 6, 0, 0)
    given = (*given[:5], 2, *given[6:])
    lengths = [len(ids) for ids in completions]
    terms = torch.rand(8, 3, generator=generator, dtype=torch.float64)
    decoder = make_decoder(model)
    plain = Batch(prompts, completions, torch.randn(8, generator=generator).double(), terms)
    logprobs = Learner(model, OptimizerConfig(), decoder=decoder).logprobs(decoder, plain, 1.0)
    sampled = tuple(
        () if shown == size else (*([0.0] * shown), *row[shown:size].tolist())
        for row, size, shown in zip(logprobs, lengths, given, strict=True)
    )
    return replace(plain, sampler_logprobs=sampled, given=given)


TERMS = (
    LossTerm(),
    LossTerm(rows="expert", ratio="mixture", gamma=0.5, top_entropy=0.5),
    LossTerm(rows="expert", ratio="shaped"),
)


@pytest.fixture(scope="module")
def model() -> Any:
    return build("llama-1m", character_tokenizer("abcdefgh"), seed=0).double()


def gradient(model: Any, data: Batch, tokens: int, plain: bool = False, **changes: Any) -> Any:
    twin = copy.deepcopy(model)
    settings = OptimizerConfig(micro_batch_tokens=tokens, max_grad_norm=1e9)
    learner = Learner(twin, settings, decoder=PlainDecoder(twin) if plain else None)
    objective = Mixed(terms=TERMS, **changes)
    numbers = learner.update(TrainingBatches((data,)), objective, lr=0.0)
    flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in learner.parameters]
    return torch.cat([each.flatten() for each in flat]), numbers


@pytest.mark.parametrize("correction", [None, "token-tis", "sequence-mis"])
def test_the_gradient_of_both_origins_does_not_depend_on_micro_batches(
    model: Any, correction: str | None
) -> None:
    data = mixed_data(model)
    whole, numbers = gradient(model, data, 10_000, sampler_correction=correction)
    assert whole.norm() > 1e-3
    for tokens, plain in ((1, False), (17, False), (40, False), (17, True)):
        split, same = gradient(model, data, tokens, plain, sampler_correction=correction)
        assert (split - whole).norm() < 1e-6 * whole.norm()
        assert same == pytest.approx(numbers, rel=1e-5, abs=1e-7)


def test_old_log_probs_of_expert_tokens_are_computed_and_stay_out_of_the_sampler_gap(
    model: Any,
) -> None:
    data = mixed_data(model)
    shifted = tuple(
        tuple(value - 0.25 if at >= shown else value for at, value in enumerate(row))
        for row, shown in zip(data.sampler_logprobs, data.given, strict=True)
    )
    _, numbers = gradient(
        model, replace(data, sampler_logprobs=shifted), 40, sampler_correction="token-tis"
    )
    # Every sampled token is 0.25 nats off; expert tokens, of which the sampler knows nothing, count
    # neither in the sum nor in the number of tokens.
    assert numbers["sampler_gap"] == pytest.approx(0.25, rel=1e-5)


def test_the_sampler_correction_leaves_expert_tokens_as_they_are(model: Any) -> None:
    data = mixed_data(model)
    captured: list[Scores] = []

    class Noting(Mixed):
        __slots__ = ()

        def loss_terms(self, scores: Scores) -> Any:
            captured.append(scores)
            return Mixed.loss_terms(self, scores)

    learner = Learner(copy.deepcopy(model), OptimizerConfig())
    learner.update(
        TrainingBatches((data,)), Noting(terms=TERMS, sampler_correction="token-tis"), lr=0.0
    )
    (found,) = captured
    assert found.old is not None
    assert found.sampled is not None
    assert found.expert is not None
    assert found.expert.sum() == sum(data.given)
    assert torch.equal(found.sampled[found.expert], found.old[found.expert])
    assert (found.old[found.expert] < 0).all()  # computed by a forward pass


def test_context_tokens_get_exactly_zero_gradient(model: Any) -> None:
    """With no weight on any token, not a single parameter moves; only completions are scored."""
    data, scored = mixed_data(model), list[int]()
    twin = copy.deepcopy(model)
    learner = Learner(twin, OptimizerConfig())
    twin.get_output_embeddings().register_forward_hook(
        lambda _, inputs, __: scored.append(inputs[0].shape[0])
    )
    learner.update(TrainingBatches((data,)), Mixed(terms=TERMS), lr=0.0)
    assert sum(scored) == data.tokens
    silent = replace(data, weights=torch.zeros_like(data.weights))
    flat, _ = gradient(model, silent, 10_000)
    assert flat.abs().max() == 0


# Settings


def configured(**objective: Any) -> Any:
    tree: dict[str, Any] = {"out": "x", "env": {"id": "srl/GSM8K-v0"}, "model": {"path": "m"}}
    tree |= {"budget": {"updates": 1}, "method": "rlvr"}
    return make_config({**tree, "stages": {"rlvr": {"objective": {"kind": "mixed", **objective}}}})


def test_rows_and_terms_are_set_in_toml() -> None:
    config = configured(
        rows={"demonstration": "beside"},
        terms=[{}, {"kind": "nll", "rows": "expert", "when": "all-failed"}],
    )
    (stage,) = config.resolved_method.stages
    assert stage.objective.rows == BESIDE
    assert stage.objective.terms == (LossTerm(), IMITATE)
    assert stage.needs == {"demonstrations", "verifier"}


def test_mistakes_in_rows_and_terms_name_the_key() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'stages.rlvr.objective.terms.0.kind'"):
        configured(terms=[{"knd": "nll"}])
    with pytest.raises(BadOption, match="terms.1.ratio must be 'clipped', 'none'"):
        configured(terms=[{}, {"ratio": "clip"}])
    with pytest.raises(BadOption, match="needs continuation 'policy'"):
        configured(rows={"demonstration": "compared"}, reward_mode="srl")
    with pytest.raises(BadOption, match="must have at least one term"):
        configured(terms=[])


def test_without_expert_rows_one_clipped_term_is_grpo() -> None:
    own = [episode(False, 2, 3), episode(True, 1), episode(True, 4)]
    mixed, plain = Mixed(), GRPO()
    ours, theirs = (
        each.make_batch(each.form(own, {}), 4)  # type: ignore[attr-defined]
        for each in (mixed, plain)
    )
    assert ours.weights[:, 0].tolist() == theirs.weights.tolist()
    assert ours.advantages.tolist() == theirs.advantages.tolist()
    assert (ours.completions, ours.given) == (theirs.completions, ())
