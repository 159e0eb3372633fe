"""The decoder against the plain forward pass: values, gradients, shapes, choices."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from srl_agents.nn.score import (
    Continuation,
    Other,
    PlainDecoder,
    SharedPrefixDecoder,
    make_decoder,
    tree_of,
)
from srl_env.errors import BadOption

TOKENS = 50


def some_ids(length: int, seed: int = 0) -> list[int]:
    source = random.Random(f"{length} {seed}")
    return [source.randrange(TOKENS) for _ in range(length)]


def ragged() -> tuple[list[list[int]], list[Continuation]]:
    """Prefixes of three lengths, continuations of many, from the first token on to the last."""
    prefixes = [some_ids(9), some_ids(14), some_ids(3)]
    shapes = [(1, 14, 5), (0, 9, 3), (1, 1, 7), (1, 5, 1), (0, 4, 0), (1, 13, 2), (2, 3, 12)]
    return prefixes, [
        Continuation(t, start, some_ids(n, i)) for i, (t, start, n) in enumerate(shapes)
    ]


def forward_logprobs(model: Any, ids: list[int], temperature: float = 1.0) -> Tensor:
    """(len(ids) - 1,) by the model's own forward pass on this one sequence."""
    logits = model(input_ids=torch.tensor([ids])).logits[0, :-1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def test_continuations_get_the_log_probs_of_a_plain_forward_pass(
    make_model: Any, family: str
) -> None:
    model = make_model(family)
    prefixes, continuations = ragged()
    with torch.no_grad():
        found, mask, _ = make_decoder(model).token_logprobs(prefixes, continuations, 1.3)
        for row, continuation in enumerate(continuations):
            whole = prefixes[continuation.prefix][: continuation.start] + list(continuation.ids)
            expected = forward_logprobs(model, whole, 1.3)[continuation.start - 1 :]
            torch.testing.assert_close(found[row][mask[row]], expected, atol=2e-5, rtol=1e-5)


def test_every_family_shares_prefixes(make_model: Any, family: str) -> None:
    assert isinstance(make_decoder(make_model(family)), SharedPrefixDecoder)


def test_gradients_are_those_of_a_plain_forward_pass(make_model: Any, family: str) -> None:
    model = make_model(family)
    prefixes, continuations = ragged()
    weights = [torch.linspace(-1, 2, len(continuation.ids)) for continuation in continuations]

    logprobs, mask, _ = make_decoder(model).token_logprobs(prefixes, continuations)
    sum((logprobs[i][mask[i]] * w).sum() for i, w in enumerate(weights)).backward()
    found = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    for continuation, w in zip(continuations, weights, strict=True):
        whole = prefixes[continuation.prefix][: continuation.start] + list(continuation.ids)
        (forward_logprobs(model, whole)[continuation.start - 1 :] * w).sum().backward()
    for gradient, parameter in zip(found, model.parameters(), strict=True):
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(gradient, parameter.grad, atol=2e-5 * scale, rtol=1e-4)


def test_whole_solutions_are_scored_on_prefixes(make_model: Any, family: str) -> None:
    model = make_model(family)
    prefixes, _ = ragged()
    with torch.no_grad():
        found, mask = make_decoder(model).sequence_logprobs(prefixes)
        for row, ids in enumerate(prefixes):
            expected = forward_logprobs(model, ids)
            torch.testing.assert_close(found[row][mask[row]], expected, atol=2e-5, rtol=1e-5)
    assert mask.sum(1).tolist() == [8, 13, 2]
    assert not mask[:, 0].any()


def test_prefixes_and_continuations_are_scored_together(make_model: Any, family: str) -> None:
    decoder = make_decoder(make_model(family))
    prefixes, continuations = ragged()
    with torch.no_grad():
        both = decoder.score(tree_of(prefixes, continuations, score_prefix=True))
        alone, _, _ = decoder.token_logprobs(prefixes, continuations)
        prefix_alone, _ = decoder.sequence_logprobs(prefixes)
    torch.testing.assert_close(both.logprobs, alone, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(both.prefix_logprobs, prefix_alone, atol=2e-5, rtol=1e-5)


def test_scores_are_zero_where_not_asked_for(make_model: Any) -> None:
    prefixes, continuations = ragged()
    tree = tree_of(prefixes, continuations)
    only_last = torch.zeros_like(tree.continuation_ids, dtype=torch.bool)
    only_last[torch.arange(len(continuations)), (tree.continuation_lengths - 1).clamp(min=0)] = True
    asked = replace(tree, score_continuation=only_last)
    decoder = make_decoder(make_model("llama"))
    with torch.no_grad():
        some, every = decoder.score(asked), decoder.score(tree)
    assert some.mask.sum(1).tolist() == [1, 1, 1, 1, 0, 1, 1]
    torch.testing.assert_close(some.logprobs, every.logprobs * some.mask, atol=2e-5, rtol=1e-5)
    assert not some.prefix_mask.any()
    assert not some.prefix_logprobs.any()


def test_entropies_are_those_of_the_distribution(make_model: Any) -> None:
    model = make_model("qwen3")
    with torch.no_grad():
        _, _, entropy = make_decoder(model).token_logprobs(
            [some_ids(6)], [Continuation(0, 6, some_ids(2, 1))], 0.7
        )
        logits = model(input_ids=torch.tensor([some_ids(6) + some_ids(2, 1)])).logits[0, 5:7] / 0.7
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy[0], expected, atol=2e-5, rtol=1e-5)


def test_given_positions_are_those_of_the_forward_pass(make_model: Any, family: str) -> None:
    model = make_model(family)
    prefix, ids = some_ids(8), some_ids(4, 1)
    prefix_at, continuation_at = [0, 1, 2, 9, 10, 11, 20, 21], [15, 16, 30, 31]
    whole = torch.tensor([prefix[:5] + ids])
    positions = torch.tensor([prefix_at[:5] + continuation_at])
    with torch.no_grad():
        tree = replace(
            tree_of([prefix], [Continuation(0, 5, ids)]),
            prefix_positions=torch.tensor([prefix_at]),
            continuation_positions=torch.tensor([continuation_at]),
        )
        found = make_decoder(model).score(tree).logprobs
        # without a mask transformers takes a jump in positions for the start of a new text
        mask = torch.ones_like(whole)
        logits = model(whole, attention_mask=mask, position_ids=positions).logits[0, 4:-1]
    expected = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
    torch.testing.assert_close(found[0], expected, atol=2e-5, rtol=1e-5)


def test_padding_and_neighbours_change_nothing(make_model: Any, family: str) -> None:
    decoder = make_decoder(make_model(family))
    prefixes, continuations = ragged()
    with torch.no_grad():
        together, _, _ = decoder.token_logprobs(prefixes, continuations)
        for row, continuation in enumerate(continuations):
            if continuation.ids:
                own = Continuation(0, continuation.start, continuation.ids)
                alone, _, _ = decoder.token_logprobs([prefixes[continuation.prefix]], [own])
                expected = together[row, : len(continuation.ids)]
                torch.testing.assert_close(alone[0], expected, atol=2e-5, rtol=1e-5)


def test_prefix_tokens_after_every_start_have_no_gradient(make_model: Any) -> None:
    model = make_model("lfm2")
    prefix = [*range(10, 20), 48]
    decoder = make_decoder(model)
    inputs = decoder.causal_lm.get_input_embeddings()
    logprobs, _, _ = decoder.token_logprobs([prefix], [Continuation(0, 10, [20, 21])])
    # one layer's input only: the tied head gives every row a gradient of its own
    (gradient,) = torch.autograd.grad(logprobs.sum(), inputs.weight)
    model.zero_grad()
    prefix[-1] = 47
    logprobs, _, _ = decoder.token_logprobs([prefix], [Continuation(0, 10, [20, 21])])
    (other,) = torch.autograd.grad(logprobs.sum(), inputs.weight)
    torch.testing.assert_close(gradient, other, atol=0, rtol=0)


def test_bfloat16_autocast_is_close_to_fp32(make_model: Any, family: str) -> None:
    decoder = make_decoder(make_model(family))
    prefixes, continuations = ragged()
    with torch.no_grad():
        exact, _, _ = decoder.token_logprobs(prefixes, continuations)
        with torch.autocast("cpu", torch.bfloat16):
            rounded, _, _ = decoder.token_logprobs(prefixes, continuations)
    assert rounded.dtype == torch.float32
    assert float((exact - rounded).abs().mean()) < 0.2


def test_recomputed_activations_give_the_same_gradient(make_model: Any) -> None:
    model = make_model("qwen2")
    prefixes, continuations = ragged()
    make_decoder(model).token_logprobs(prefixes, continuations)[0].sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model.activation_checkpointing_enable()
    make_decoder(model).token_logprobs(prefixes, continuations)[0].sum().backward()
    for gradient, parameter in zip(expected, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=2e-5, rtol=1e-4)


def test_a_large_vocabulary_is_scored_in_parts(
    make_model: Any, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(family)
    prefixes, continuations = ragged()
    for decoder in (make_decoder(model), PlainDecoder(model)):
        monkeypatch.setattr("srl_agents.nn.head.LOGITS_AT_ONCE", 10**9)
        whole, _, entropy = decoder.token_logprobs(prefixes, continuations, 0.7)
        whole.sum().backward()
        gradients = [parameter.grad.clone() for parameter in model.parameters()]
        model.zero_grad()
        monkeypatch.setattr("srl_agents.nn.head.LOGITS_AT_ONCE", 150)
        parts, _, entropy_of_parts = decoder.token_logprobs(prefixes, continuations, 0.7)
        parts.sum().backward()
        torch.testing.assert_close(parts, whole, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(entropy_of_parts, entropy, atol=2e-5, rtol=1e-5)
        for gradient, parameter in zip(gradients, model.parameters(), strict=True):
            scale = float(gradient.abs().max())
            torch.testing.assert_close(parameter.grad, gradient, atol=2e-5 * scale, rtol=1e-4)
        model.zero_grad()


def test_the_plain_path_makes_no_logits_beyond_the_parts(
    make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("granite")
    rows: list[int] = []
    decoder = PlainDecoder(model)
    monkeypatch.setattr("srl_agents.nn.head.LOGITS_AT_ONCE", 150)
    prefixes, continuations = ragged()
    decoder.token_logprobs(prefixes, continuations)
    model.lm_head.register_forward_hook(lambda *args: rows.append(args[2].shape[:-1].numel()))
    decoder.token_logprobs(prefixes, continuations)
    assert rows[0] == 1
    assert max(rows) <= 150 // TOKENS


def test_a_head_that_is_not_the_last_step_is_not_done_in_parts(
    make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("llama")
    forward = model.forward

    def doubled(*args: Any, **options: Any) -> Any:
        out = forward(*args, **options)
        out.logits = out.logits * 2
        return out

    monkeypatch.setattr(model, "forward", doubled)
    prefixes, continuations = ragged()
    decoder = PlainDecoder(model)
    with torch.no_grad():
        whole, _, _ = decoder.token_logprobs(prefixes, continuations)
        monkeypatch.setattr("srl_agents.nn.head.LOGITS_AT_ONCE", 150)
        parts, _, _ = decoder.token_logprobs(prefixes, continuations)
    torch.testing.assert_close(parts, whole, atol=2e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft's own
def test_lora_adapters_take_part_and_alone_are_trained(make_model: Any) -> None:
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(make_model("llama"), settings)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    decoder = make_decoder(model)
    assert isinstance(decoder, SharedPrefixDecoder)
    prefixes, continuations = ragged()
    found, mask, _ = decoder.token_logprobs(prefixes, continuations)
    expected = forward_logprobs(model, prefixes[1] + list(continuations[0].ids))[13:]
    torch.testing.assert_close(found[0][mask[0]], expected, atol=2e-5, rtol=1e-5)
    found.sum().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in model.named_parameters() if "lora_" in name}


def test_other_architectures_use_their_own_forward_pass() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=TOKENS, n_embd=16, n_layer=2, n_head=2)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    decoder = make_decoder(model)
    assert isinstance(decoder, PlainDecoder)
    assert decoder.path.endswith("which repeats shared prompts: its architecture is 'gpt2'")
    prefixes, continuations = ragged()
    found, mask, _ = decoder.token_logprobs(prefixes, continuations)
    expected = forward_logprobs(model, prefixes[1] + list(continuations[0].ids))[13:]
    torch.testing.assert_close(found[0][mask[0]], expected, atol=2e-5, rtol=1e-5)


def test_a_model_changed_inside_falls_back_with_a_warning(make_model: Any) -> None:
    model = make_model("llama")
    model.model.layers[1].mlp.register_forward_hook(lambda _module, _inputs, out: 2 * out)
    with pytest.warns(UserWarning, match="differs from this model's forward pass"):
        decoder = make_decoder(model)
    assert isinstance(decoder, PlainDecoder)


@pytest.mark.parametrize(
    ("continuation", "message"),
    [
        (
            Continuation(0, 0, [1]),
            "start of continuation 0 must be 1 to the 4 tokens of its prefix; got 0",
        ),
        (Continuation(0, 5, [1]), "1 to the 4 tokens of its prefix; got 5"),
        (Continuation(2, 1, [1]), "prefix of continuation 0 must be below 1; got 2"),
    ],
)
def test_a_continuation_outside_its_prefix_is_an_error(
    continuation: Continuation, message: str
) -> None:
    with pytest.raises(BadOption, match=message):
        tree_of([[1, 2, 3, 4]], [continuation])


def test_no_continuations_and_empty_continuations_are_fine(make_model: Any) -> None:
    decoder = make_decoder(make_model("lfm2"))
    logprobs, mask, _ = decoder.token_logprobs([[1, 2, 3]], [Continuation(0, 3, [])])
    assert logprobs.shape == mask.shape == (1, 0)
    logprobs, mask, _ = decoder.token_logprobs([[1, 2, 3]], [])
    assert logprobs.shape == (0, 0)


@pytest.mark.parametrize("parts", [1, 1000])
def test_divergences_are_those_of_the_logits_however_they_are_split(
    make_model: Any, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("llama")
    vocabulary = model.config.vocab_size
    monkeypatch.setattr("srl_agents.nn.head.LOGITS_AT_ONCE", parts * 2 * vocabulary)
    plain, hinted = [1, 2, 3], [7, 8, 1, 2, 3]
    ids = [4, 5, 6]
    decoder = make_decoder(model)
    with torch.no_grad():
        theirs = decoder.states(tree_of([hinted], [Continuation(0, 5, ids)]))

    def measure(ours: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return (expected.exp() * (expected - ours)).sum(-1)

    tree = tree_of([plain], [Continuation(0, 3, ids)])
    found = decoder.score(tree, 1.3, Other(theirs, measure)).divergence
    assert found is not None

    def rows(prompt: list[int]) -> torch.Tensor:
        logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        return torch.log_softmax(logits / 1.3, -1)

    target = rows(hinted).detach()
    wanted = (target.exp() * (target - rows(plain))).sum(-1)
    torch.testing.assert_close(found[0], wanted, rtol=1e-4, atol=1e-6)
    (expected,) = torch.autograd.grad(wanted.sum(), [model.lm_head.weight])
    (gradient,) = torch.autograd.grad(found.sum(), [model.lm_head.weight])
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)
