"""Language models as policies: prompts, generations, log-probabilities, saving and loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from srl_agents.models.small import bpe_tokenizer, build, character_tokenizer
from srl_agents.nn.score import PlainDecoder
from srl_agents.policies import TransformersPolicy
from srl_agents.policies.tokens import BrokenModel
from srl_env.errors import BadOption, PromptRefused
from srl_env.policy import Generation, Policy, Sampling
from srl_env.text.prompt import Message

ANYTHING = Sampling(temperature=1e3, max_tokens=60)  # all tokens are equally probable
TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def user(*contents: str) -> list[Message]:
    return [{"role": "user", "content": content} for content in contents]


@pytest.fixture
def policy(make_model: Any, tokenizer: Any) -> TransformersPolicy:
    return TransformersPolicy(make_model("lfm2"), tokenizer, seed=3)


def test_it_is_a_policy(policy: TransformersPolicy) -> None:
    assert isinstance(policy, Policy)


def test_without_a_template_contents_stand_next_to_each_other(policy: TransformersPolicy) -> None:
    ids = policy.encode(user("a=3;", "b=4;"))
    assert policy.tokenizer.decode(ids) == "a=3;b=4;"
    assert len(ids) == 8


def test_a_chat_template_makes_the_prompt_where_there_is_one(make_model: Any) -> None:
    tokenizer = character_tokenizer("abcdefghijklmnopqrstuvwxyz[]\n")
    tokenizer.chat_template = TEMPLATE
    policy = TransformersPolicy(build(_llama(), tokenizer, seed=0), tokenizer)
    messages: list[Message] = [
        {"role": "system", "content": "think"},
        {"role": "user", "content": "hello"},
    ]
    text = tokenizer.decode(policy.encode(messages))
    assert text == "[system]think\n[user]hello\n[assistant]"
    assert policy.encode_many([messages, messages]) == [policy.encode(messages)] * 2


def test_a_template_that_refuses_is_a_clear_error() -> None:
    tokenizer = character_tokenizer("ab")
    refusal = "{{ raise_exception('no b') }}"
    tokenizer.chat_template = "{% if messages[0].content == 'b' %}" + refusal + "{% endif %}a"
    policy = TransformersPolicy(build(_llama(), tokenizer, seed=0), tokenizer)
    with pytest.raises(BadOption, match="refuses these messages: no b"):
        policy.encode(user("b"))


def test_a_beginning_token_comes_first_where_the_tokenizer_adds_one() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = bpe_tokenizer(["hello"], 260)
    assert TransformersPolicy(build(_llama(), tokenizer, seed=0), tokenizer).encode(user("h")) != []
    plain = tokenizer.encode("hello")
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    policy = TransformersPolicy(build(_llama(), tokenizer, seed=0), tokenizer)
    assert policy.encode(user("hel", "lo")) == [tokenizer.bos_token_id, *plain]


def test_generations_are_token_exact(policy: TransformersPolicy) -> None:
    batch = [user("a=3;b=4;")] * 5 + [user("c=1;")] * 2
    generations = policy.generate(batch, Sampling(temperature=1.2, max_tokens=30, stop=(";",)))
    assert [list(g.prompt_ids) for g in generations] == policy.encode_many(batch)
    logprobs, mask, _ = PlainDecoder(policy.model).token_logprobs(
        *_as_tree([(g.prompt_ids, g.token_ids) for g in generations]), 1.2
    )
    for row, generation in enumerate(generations):
        expected = logprobs[row][mask[row]].detach()
        torch.testing.assert_close(torch.tensor(generation.logprobs), expected, atol=1e-4, rtol=0)


def _as_tree(pairs: list[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    from srl_agents.nn.score import Continuation

    prompts = [prompt for prompt, _ in pairs]
    return prompts, [Continuation(i, len(p), ids) for i, (p, ids) in enumerate(pairs)]


def test_learned_positions_end_a_completion_and_refuse_a_prompt_that_fills_them() -> None:
    tokenizer = character_tokenizer("ab")
    config = transformers.GPT2Config(n_positions=16, n_embd=16, n_layer=1, n_head=2)
    model = build(config, tokenizer, 0)
    for parameter in model.parameters():
        parameter.data.zero_()  # so that the first token, which ends nothing, is the best
    policy = TransformersPolicy(model, tokenizer)
    batch = [user("a" * count) for count in (4, 12, 16, 20, 15)]
    made = policy.generate(batch, Sampling(temperature=0, max_tokens=6, seeds=(1, 2, 3, 4, 5)))
    assert [isinstance(one, PromptRefused) for one in made] == [False, False, True, True, False]
    assert [len(one.token_ids) for one in made if isinstance(one, Generation)] == [6, 4, 1]
    assert made[4].finish_reason == "length"
    rotary = build("llama-1m", tokenizer, 0)
    rotary.config.max_position_embeddings = 16
    assert isinstance(
        TransformersPolicy(rotary, tokenizer).generate(batch[3:4], ANYTHING)[0], Generation
    )


def test_the_text_ends_with_the_stop_string_and_ids_with_their_token() -> None:
    tokenizer = bpe_tokenizer([";!"] * 9, 262)
    (inside,) = tokenizer.encode(";!")
    model = build(_llama(), tokenizer, seed=0)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    model.lm_head.register_forward_hook(
        lambda _module, _inputs, out: out.index_fill(-1, torch.tensor(inside), 50.0)
    )
    policy = TransformersPolicy(model, tokenizer)
    (generation,) = policy.generate([user("b")], Sampling(max_tokens=5, stop=(";",)))
    assert generation.text == ";"
    assert generation.token_ids == (inside,)
    assert generation.finish_reason == "stop"


def test_the_end_token_is_in_the_ids_and_not_in_the_text(policy: TransformersPolicy) -> None:
    end = policy.tokenizer.eos_token_id
    generations = policy.generate([user("a")] * 64, ANYTHING)
    ended = [g for g in generations if g.finish_reason == "stop"]
    assert ended
    assert all(g.token_ids[-1] == end and "<eos>" not in g.text for g in ended)


def test_every_end_token_of_the_model_counts(make_model: Any, tokenizer: Any) -> None:
    model = make_model("llama")
    model.generation_config.eos_token_id = [7, 8]
    policy = TransformersPolicy(model, tokenizer)
    generations = policy.generate([user("a")] * 64, ANYTHING)
    ends = {g.token_ids[-1] for g in generations if g.finish_reason == "stop"}
    assert ends == {1, 7, 8}


def test_log_probs_can_be_trained_on(policy: TransformersPolicy) -> None:
    prompts = [policy.encode(user("a=3;"))] * 2
    logprobs, mask, entropy = policy.logprobs(prompts, [[3, 4, 5], [6]], 0.9)
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    logprobs.sum().backward()
    assert all(parameter.grad is not None for parameter in policy.model.parameters())
    assert not entropy.requires_grad


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_whose_probabilities_are_no_numbers_writes_nothing(
    policy: TransformersPolicy, temperature: float
) -> None:
    with torch.no_grad():
        next(policy.model.parameters()).fill_(float("nan"))
    with pytest.raises(BrokenModel, match=r"NaN.*use an earlier checkpoint"):
        policy.generate([user("a")], Sampling(max_tokens=2, temperature=temperature))


def test_saved_and_loaded_it_samples_the_same(policy: TransformersPolicy, tmp_path: Path) -> None:
    policy.save(tmp_path / "model")
    again = TransformersPolicy.from_pretrained(tmp_path / "model", device="cpu", seed=3)
    batch, sampling = [user("a=3;b=4;")] * 4, Sampling(max_tokens=20)
    assert again.generate(batch, sampling) == policy.generate(batch, sampling)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft's own
def test_adapters_alone_are_saved_and_loaded(policy: TransformersPolicy, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    policy.save(tmp_path / "base")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    settings = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted = TransformersPolicy(peft.get_peft_model(model, settings), policy.tokenizer)
    for name, parameter in adapted.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    adapted.save(tmp_path / "adapters")
    again = TransformersPolicy.from_pretrained(tmp_path / "adapters", device="cpu")
    assert not (tmp_path / "adapters" / "model.safetensors").exists()
    prompt, completion = [[3, 4, 5]], [[6, 7]]
    expected, _, _ = adapted.logprobs(prompt, completion)
    found, _, _ = again.logprobs(prompt, completion)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert {n for n, p in again.model.named_parameters() if p.requires_grad} == {
        n for n, _ in again.model.named_parameters() if "lora_" in n
    }


def test_autocast_samples_and_scores_in_bfloat16(make_model: Any, tokenizer: Any) -> None:
    model = make_model("qwen3")
    exact = TransformersPolicy(model, tokenizer)
    rounded = TransformersPolicy(model, tokenizer, autocast=True)
    (generation,) = rounded.generate([user("a=3;")], Sampling(max_tokens=8))
    pair = [list(generation.prompt_ids)], [list(generation.token_ids)]
    as_sampled = torch.tensor([generation.logprobs])
    with torch.no_grad():
        assert float((rounded.logprobs(*pair)[0] - as_sampled).abs().max()) < 0.5
        assert float((exact.logprobs(*pair)[0] - as_sampled).abs().max()) > 0


def _llama() -> Any:
    return transformers.LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )


@pytest.fixture
def saved(policy: TransformersPolicy, tmp_path: Path) -> Path:
    policy.save(tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"no folder '.*nowhere'; give a folder that holds config"):
        TransformersPolicy.from_pretrained(tmp_path / "nowhere")


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"holds no config\.json"):
        TransformersPolicy.from_pretrained(tmp_path)


def test_a_folder_without_a_tokenizer_is_an_error(saved: Path) -> None:
    (saved / "tokenizer.json").unlink()
    with pytest.raises(BadOption, match="holds no tokenizer"):
        TransformersPolicy.from_pretrained(saved)


def test_a_folder_without_weights_is_an_error(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(BadOption, match=r"the weights in .* cannot be read"):
        TransformersPolicy.from_pretrained(saved, device="cpu")


def test_damaged_weights_are_an_error(saved: Path) -> None:
    (saved / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BadOption, match=r"the weights in .* cannot be read"):
        TransformersPolicy.from_pretrained(saved, device="cpu")


@pytest.mark.parametrize("family", ["t5", "bert"])
def test_a_model_that_continues_no_text_is_an_error(tmp_path: Path, family: str) -> None:
    config = {"t5": transformers.T5Config, "bert": transformers.BertConfig}[family]()
    config.architectures = [{"t5": "T5ForConditionalGeneration", "bert": "BertForMaskedLM"}[family]]
    config.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BadOption, match=f"'{family}' model"):
        TransformersPolicy.from_pretrained(tmp_path)


def test_a_hub_that_cannot_be_reached_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_args: Any, **_options: Any) -> None:
        raise OSError("We couldn't connect to the hub\nand more")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(BadOption, match=r"'some-model', which is no folder here: We couldn't"):
        TransformersPolicy.from_pretrained("some-model", device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none_is_an_error(saved: Path) -> None:
    with pytest.raises(BadOption, match="finds no CUDA device. Fix: use 'cpu'"):
        TransformersPolicy.from_pretrained(saved, device="cuda")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "abacus"}, "unknown torch device 'abacus'"),
        ({"dtype": "int7"}, "dtype must be one of .* got 'int7'"),
    ],
)
def test_unknown_devices_and_types_are_errors(
    saved: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(BadOption, match=message):
        TransformersPolicy.from_pretrained(saved, **options)
