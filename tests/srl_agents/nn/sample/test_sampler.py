"""Samples, their log-probabilities, where they end, and what is reused between calls."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from srl_agents.models.small import bpe_tokenizer, build
from srl_agents.nn.sample import Completion, Sampler
from srl_agents.nn.sample.sampler import _Randoms, choose
from srl_agents.nn.score import Continuation, Decoder, PlainDecoder, make_decoder
from srl_env.errors import BadOption
from srl_env.policy import Sampling

EOS = 1
Ids = tuple[int, ...]
LONG = Sampling(temperature=1.3, max_tokens=40, stop=(";", "ab"))


def some_ids(length: int, seed: int = 0) -> Ids:
    source = random.Random(f"{length} {seed}")
    return tuple(source.randrange(3, 50) for _ in range(length))


def groups_of_prompts() -> list[Ids]:
    """Five prompts of five lengths, one of a single token, in groups of several sizes."""
    prompts = [some_ids(length) for length in (9, 14, 3, 1, 20)]
    return [prompts[i] for i in (0, 0, 0, 1, 2, 2, 1, 1, 0, 3, 4)]


def worst_error(
    decoder: Decoder, prompts: Sequence[Ids], found: Sequence[Completion], temperature: float
) -> float:
    """Largest difference from the decoder's own log-probabilities, in nats."""
    continuations = [
        Continuation(i, len(p), c.token_ids)
        for i, (p, c) in enumerate(zip(prompts, found, strict=True))
    ]
    with torch.no_grad():
        expected, mask, _ = decoder.token_logprobs(prompts, continuations, temperature)
    rows = [torch.tensor(completion.logprobs) for completion in found]
    return max(float((expected[i][mask[i]] - row).abs().max()) for i, row in enumerate(rows))


def plain(make_model: Any, family: str) -> tuple[Any, PlainDecoder]:
    model = make_model(family)
    return model, PlainDecoder(model)


def test_log_probs_are_those_of_a_plain_forward_pass(
    make_model: Any, tokenizer: Any, family: str
) -> None:
    model, reference = plain(make_model, family)
    sampler = Sampler(make_decoder(model), tokenizer, stop_ids=[EOS], seed=5)
    prompts = groups_of_prompts()
    found = sampler.sample(prompts, LONG)
    assert worst_error(reference, prompts, found, 1.3) < 1e-4
    assert len({len(completion.token_ids) for completion in found}) > 1


def test_the_plain_engine_draws_the_same_samples(
    make_model: Any, tokenizer: Any, family: str
) -> None:
    model, reference = plain(make_model, family)
    model.double()  # so that no draw falls between two roundings
    prompts = groups_of_prompts()
    fast = Sampler(make_decoder(model), tokenizer, stop_ids=[EOS], seed=5).sample(prompts, LONG)
    slow = Sampler(reference, tokenizer, stop_ids=[EOS], seed=5).sample(prompts, LONG)
    assert [c.token_ids for c in fast] == [c.token_ids for c in slow]
    model.float()  # eager attention in fp64 makes NaN of rows of padding
    assert worst_error(reference, prompts, slow, 1.3) < 1e-4


def test_greedy_tokens_are_those_of_generate(make_model: Any, tokenizer: Any, family: str) -> None:
    model = make_model(family).double()
    prompt = some_ids(12)
    found = Sampler(make_decoder(model), tokenizer).sample(
        [prompt], Sampling(temperature=0, max_tokens=16)
    )
    ids = torch.tensor([prompt])
    written = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=16,
        eos_token_id=None,
    )
    assert list(found[0].token_ids) == written[0, len(prompt) :].tolist()


def test_other_architectures_are_sampled_too(tokenizer: Any) -> None:
    import transformers

    config = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, initializer_range=0.3)
    decoder = make_decoder(build(config, tokenizer, seed=0))
    prompts = groups_of_prompts()
    found = Sampler(decoder, tokenizer, stop_ids=[EOS], seed=5).sample(prompts, LONG)
    assert worst_error(decoder, prompts, found, 1.3) < 1e-4


def count_fed(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A function that says how many prompt tokens were computed since it was last called."""
    from srl_agents.nn.sample import shared_prefix

    fed: list[int] = []
    original = shared_prefix.prefill

    def prefill(network: Any, prefixes: Any, known: Any, device: Any) -> Any:
        fed.append(sum(map(len, prefixes)) - sum(each.length for each in known if each))
        return original(network, prefixes, known, device)

    monkeypatch.setattr(shared_prefix, "prefill", prefill)

    def since() -> int:
        total = sum(fed)
        fed.clear()
        return total

    return since


def test_equal_prompts_are_computed_once(
    make_model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Sampler(make_decoder(make_model("llama")), tokenizer)
    fed = count_fed(sampler, monkeypatch)
    sampler.sample(groups_of_prompts(), Sampling(max_tokens=2))
    assert fed() == 9 + 14 + 3 + 1 + 20


def test_prompts_that_begin_one_another_are_computed_once_in_one_call(
    make_model: Any, tokenizer: Any, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, reference = plain(make_model, family)
    sampler = Sampler(make_decoder(model), tokenizer, stop_ids=[EOS], seed=5)
    fed = count_fed(sampler, monkeypatch)
    first, second = some_ids(20), some_ids(9)
    prompts = [first[:7], first, first, second, first[:1], first[:19], second[:8], first[:7]]
    found = sampler.sample(prompts, LONG)
    assert fed() == 20 + 9
    assert worst_error(reference, prompts, found, 1.3) < 1e-4
    longer = [(*prompt, 5, 6) for prompt in prompts]
    found = sampler.sample(longer, LONG)
    assert worst_error(reference, longer, found, 1.3) < 1e-4


def test_a_longer_prompt_reuses_the_one_it_extends(
    make_model: Any, tokenizer: Any, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, reference = plain(make_model, family)
    sampler = Sampler(make_decoder(model), tokenizer, stop_ids=[EOS], seed=5)
    fed = count_fed(sampler, monkeypatch)
    first = groups_of_prompts()
    sampler.sample(first, LONG)
    fed()
    longer = [prompt + some_ids(1 + i % 4, i) for i, prompt in enumerate(first)]
    found = sampler.sample(longer, LONG)
    assert fed() == sum(1 + i % 4 for i in range(len(longer)))
    assert worst_error(reference, longer, found, 1.3) < 1e-4
    third = [prompt + some_ids(2, i) for i, prompt in enumerate(longer)]
    found = sampler.sample(third, LONG)
    assert fed() == 2 * len(third)
    assert worst_error(reference, third, found, 1.3) < 1e-4


def test_a_prompt_that_turns_off_reuses_what_is_common(
    make_model: Any, tokenizer: Any, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, reference = plain(make_model, family)
    sampler = Sampler(make_decoder(model), tokenizer, seed=5)
    fed = count_fed(sampler, monkeypatch)
    common = some_ids(19)
    sampler.sample([(*common, 5, 6)], Sampling(max_tokens=3))
    fed()
    turned = [(*common, 7, 8, 9)]
    found = sampler.sample(turned, Sampling(max_tokens=3))
    assert fed() == 3
    assert worst_error(reference, turned, found, 1.0) < 1e-4


def test_reuse_draws_the_samples_of_a_fresh_sampler(
    make_model: Any, tokenizer: Any, family: str
) -> None:
    decoder = make_decoder(make_model(family).double())  # no draw falls between two roundings
    sampler = Sampler(decoder, tokenizer, stop_ids=[EOS])
    sampler.sample(groups_of_prompts(), LONG)
    longer = [prompt + some_ids(3) for prompt in groups_of_prompts()]
    sampler.generator.manual_seed(9)
    reused = sampler.sample(longer, LONG)
    fresh = Sampler(decoder, tokenizer, stop_ids=[EOS], seed=9).sample(longer, LONG)
    assert [c.token_ids for c in reused] == [c.token_ids for c in fresh]


def test_an_optimiser_step_makes_earlier_prompts_useless(
    make_model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, reference = plain(make_model, "lfm2")
    sampler = Sampler(make_decoder(model), tokenizer)
    fed = count_fed(sampler, monkeypatch)
    prompts = [some_ids(12)]
    sampler.sample(prompts, Sampling(max_tokens=4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    reference.token_logprobs(prompts, [Continuation(0, 12, [3])])[0].sum().backward()
    optimizer.step()
    found = sampler.sample(prompts, Sampling(max_tokens=4))
    assert fed() == 24
    assert worst_error(reference, prompts, found, 1.0) < 1e-4


def test_a_change_that_autograd_does_not_see_is_noticed(make_model: Any, tokenizer: Any) -> None:
    model, reference = plain(make_model, "llama")
    sampler = Sampler(make_decoder(model), tokenizer)
    prompts = [some_ids(12)]
    sampler.sample(prompts, Sampling(max_tokens=4))
    model.model.layers[1].mlp.down_proj.weight.data.mul_(1.5)
    found = sampler.sample(prompts, Sampling(max_tokens=4))
    assert worst_error(reference, prompts, found, 1.0) < 1e-4


def test_memory_for_earlier_prompts_is_bounded(
    make_model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_per_token = 3 * 2 * 2 * 8 * 4  # layers, keys and values, key heads, head size, fp32
    sampler = Sampler(
        make_decoder(make_model("llama")), tokenizer, cache_bytes=25 * bytes_per_token
    )
    fed = count_fed(sampler, monkeypatch)
    for seed in (1, 2):  # the second pushes the first out, and both are more than there is room for
        sampler.sample([some_ids(20, seed)], Sampling(max_tokens=1))
    fed()
    sampler.sample([some_ids(20, 2)], Sampling(max_tokens=1))
    assert fed() == 1
    sampler.sample([some_ids(20, 1)], Sampling(max_tokens=1))
    assert fed() == 20


def test_a_row_with_a_seed_draws_the_same_numbers_in_every_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    pair, other = _Randoms(generator, 2, (8, 9)), _Randoms(generator, 3, (9, 1, 2))
    drawn = [(pair.at(step), other.at(step)) for step in range(70)]
    assert all(two[1] == three[0] for two, three in drawn)
    assert len({float(two[1]) for two, _ in drawn}) == 70
    assert all(0 <= float(number) < 1 for two, _ in drawn for number in two)
    assert torch.equal(generator.get_state(), before)


def test_seeds_are_one_for_each_prompt(make_model: Any, tokenizer: Any) -> None:
    sampler = Sampler(make_decoder(make_model("llama")), tokenizer)
    with pytest.raises(BadOption, match="seeds must be one for each of 2 prompts; got 1"):
        sampler.sample([(5,), (6,)], Sampling(seeds=(1,)))


def test_equal_seeds_give_equal_samples_and_state_can_be_set_back(
    make_model: Any, tokenizer: Any
) -> None:
    decoder = make_decoder(make_model("qwen3"))
    first, second = (Sampler(decoder, tokenizer, seed=4) for _ in range(2))
    other = Sampler(decoder, tokenizer, seed=5)
    prompts, sampling = groups_of_prompts(), Sampling(max_tokens=10)
    one = first.sample(prompts, sampling)
    assert one == second.sample(prompts, sampling)
    assert one != other.sample(prompts, sampling)
    state = first.generator.get_state()
    two = first.sample(prompts, sampling)
    assert two != one
    first.generator.set_state(state)
    assert first.sample(prompts, sampling) == two


def test_the_global_generator_is_left_alone(make_model: Any, tokenizer: Any) -> None:
    sampler = Sampler(make_decoder(make_model("llama")), tokenizer)
    before = torch.get_rng_state()
    sampler.sample(groups_of_prompts(), Sampling(max_tokens=5))
    assert torch.equal(before, torch.get_rng_state())


def test_many_rows_are_sampled_in_parts(make_model: Any, tokenizer: Any) -> None:
    model, reference = plain(make_model, "qwen2")
    sampler = Sampler(make_decoder(model), tokenizer, rows=4)
    prompts = groups_of_prompts()
    found = sampler.sample(prompts, LONG)
    assert len(found) == len(prompts)
    assert worst_error(reference, prompts, found, 1.3) < 1e-4


def test_temperature_zero_takes_the_most_probable_token(make_model: Any, tokenizer: Any) -> None:
    model, reference = plain(make_model, "llama")
    sampler = Sampler(make_decoder(model), tokenizer)
    prompt = some_ids(6)
    (found,) = sampler.sample([prompt], Sampling(temperature=0.0, max_tokens=5))
    ids = list(prompt)
    for token in found.token_ids:
        assert token == int(model(torch.tensor([ids])).logits[0, -1].argmax())
        ids.append(token)
    assert worst_error(reference, [prompt], [found], 1.0) < 1e-4


def test_samples_have_the_frequencies_of_the_distribution() -> None:
    probabilities = torch.tensor([0.5, 0.0, 0.2, 0.3])
    logits = probabilities.log().expand(40_000, 4)
    random_numbers = torch.rand(40_000, generator=torch.Generator().manual_seed(0))
    tokens, logprobs = choose(logits, 1.0, random_numbers)
    shares = torch.bincount(tokens, minlength=4) / len(tokens)
    # four standard deviations of a share of 0.5 in 40,000 draws
    torch.testing.assert_close(shares, probabilities, atol=0.01, rtol=0)
    torch.testing.assert_close(logprobs, probabilities.log()[tokens], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("random_number", "token"), [(0.0, 1), (0.24, 1), (0.26, 2), (1 - 2**-24, 2)]
)
def test_a_draw_inverts_the_cumulative_distribution(random_number: float, token: int) -> None:
    logits = torch.tensor([[-math.inf, 0.0, math.log(3.0), -math.inf]])  # 0, 1/4, 3/4, 0
    tokens, logprobs = choose(logits, 1.0, torch.tensor([random_number]))
    assert tokens.tolist() == [token]
    assert logprobs.item() == pytest.approx(math.log([0, 0.25, 0.75][token]), abs=1e-5)


def test_temperature_divides_the_logits() -> None:
    logits = torch.tensor([[0.0, 2 * math.log(3.0)]])  # at temperature 2: 1/4, 3/4
    tokens, logprobs = choose(logits, 2.0, torch.tensor([0.5]))
    assert tokens.tolist() == [1]
    assert logprobs.item() == pytest.approx(math.log(0.75), abs=1e-5)


def test_completions_end_with_their_stop_token_or_string(make_model: Any, tokenizer: Any) -> None:
    sampler = Sampler(make_decoder(make_model("llama")), tokenizer, stop_ids=[EOS], seed=1)
    prompts = [some_ids(5)] * 64
    for completion in sampler.sample(prompts, Sampling(1.5, 60, stop=(";", "ab"))):
        text = tokenizer.decode(completion.token_ids, skip_special_tokens=True)
        ended = completion.token_ids[-1] == EOS or text.endswith((";", "ab"))
        assert ended == (completion.finish_reason == "stop")
        assert ended or len(completion.token_ids) == 60
        assert EOS not in completion.token_ids[:-1]
        assert ";" not in text[:-1]
        assert "ab" not in text[:-1]
        assert len(completion.logprobs) == len(completion.token_ids)


def test_weights_in_training_mode_stay_in_training_mode(make_model: Any, tokenizer: Any) -> None:
    model = make_model("llama").train()
    Sampler(make_decoder(model), tokenizer).sample([some_ids(3)], Sampling(max_tokens=1))
    assert model.training


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft's own
@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"lora_bias": True}])
def test_lora_adapters_take_part(make_model: Any, tokenizer: Any, options: Any) -> None:
    peft = pytest.importorskip("peft")
    family = "llama, biases, tied, llama3 rope"
    settings = peft.LoraConfig(
        r=4, target_modules=["q_proj", "up_proj", "o_proj"], task_type="CAUSAL_LM", **options
    )
    model = peft.get_peft_model(make_model(family), settings)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    sampler = Sampler(make_decoder(model), tokenizer)
    prompts = groups_of_prompts()
    found = sampler.sample(prompts, LONG)
    assert worst_error(PlainDecoder(model), prompts, found, 1.3) < 1e-4
    with model.disable_adapter():
        sampler.weights_changed()
        found = sampler.sample(prompts, LONG)
        assert worst_error(PlainDecoder(model), prompts, found, 1.3) < 1e-4


def test_large_models_keep_their_own_modules(
    make_model: Any, tokenizer: Any, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srl_agents.nn.network._FUSE_BELOW", 0)
    model, reference = plain(make_model, family)
    prompts = groups_of_prompts()
    found = Sampler(make_decoder(model), tokenizer).sample(prompts, LONG)
    assert worst_error(reference, prompts, found, 1.3) < 1e-4


def test_bfloat16_models_are_sampled(make_model: Any, tokenizer: Any, family: str) -> None:
    model = make_model(family).to(torch.bfloat16)
    prompts = groups_of_prompts()
    decoder = make_decoder(model)
    found = Sampler(decoder, tokenizer).sample(prompts, Sampling(max_tokens=5))
    assert worst_error(decoder, prompts, found, 1.0) < 1.5


def test_under_autocast_samples_are_those_of_autocast(
    make_model: Any, tokenizer: Any, family: str
) -> None:
    decoder = make_decoder(make_model(family))
    prompts = groups_of_prompts()
    sampler = Sampler(decoder, tokenizer)
    with torch.autocast("cpu", torch.bfloat16):
        found = sampler.sample(prompts, Sampling(max_tokens=5))
        assert worst_error(decoder, prompts, found, 1.0) < 1.5


@pytest.mark.parametrize(
    ("prompts", "sampling", "message"),
    [
        ([()], Sampling(), "prompt 0 must have at least one token"),
        (
            [(3,)],
            Sampling(temperature=-1.0),
            r"temperature must be a finite number >= 0 .* got -1\.0",
        ),
        ([(3,)], Sampling(max_tokens=0), "max_tokens must be at least 1; got 0"),
    ],
)
def test_what_cannot_be_sampled_is_an_error(
    make_model: Any, tokenizer: Any, prompts: list[Ids], sampling: Sampling, message: str
) -> None:
    sampler = Sampler(make_decoder(make_model("llama")), tokenizer)
    with pytest.raises(BadOption, match=message):
        sampler.sample(prompts, sampling)


def test_no_prompts_give_no_completions(make_model: Any, tokenizer: Any) -> None:
    assert Sampler(make_decoder(make_model("llama")), tokenizer).sample([], Sampling()) == []


def test_byte_level_tokens_stop_at_characters_split_over_them(make_model: Any) -> None:
    import transformers

    tokenizer = bpe_tokenizer(["a 😀 b"], 262)
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    model = build(config, tokenizer, seed=0)
    wanted = tokenizer.encode("x😀y")
    assert len(wanted) > 3  # the smiley is spread over several tokens

    with torch.no_grad():  # a model that writes this text, whatever comes before
        model.lm_head.weight.zero_()
        model.model.embed_tokens.weight.zero_()
    script = iter(wanted)
    model.lm_head.register_forward_hook(
        lambda _module, _inputs, out: out.index_fill(-1, torch.tensor(next(script)), 50.0)
    )
    sampler = Sampler(PlainDecoder(model), tokenizer)
    (found,) = sampler.sample([(5,)], Sampling(max_tokens=20, stop=("😀",)))
    assert tokenizer.decode(found.token_ids) == "x😀"
    assert found.finish_reason == "stop"
