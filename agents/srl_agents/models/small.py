"""Small models with random weights, and tokenizers from an alphabet or from texts.

They are ordinary Hugging Face objects: ``save_pretrained`` of both into one folder makes a
checkpoint that any tool reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from srl_env.errors import BadOption, UnknownName

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"


def character_tokenizer(alphabet: str) -> Any:
    """A tokenizer with one token per character of ``alphabet``, in its order.

    Ids 0, 1, 2 are padding, end of text and unknown. Raises BadOption for an empty alphabet.
    """
    letters = list(dict.fromkeys(alphabet))
    if not letters:
        raise BadOption("alphabet must hold every character of the texts; it is empty")
    vocabulary = {token: i for i, token in enumerate([PAD, EOS, UNKNOWN, *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _wrapped(tokenizer, unk_token=UNKNOWN)


def bpe_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer learned from texts; digits stay single, any text encodes.

    Ids 0 and 1 are padding and end of text. Raises BadOption if ``vocab_size`` is below 258, the
    256 bytes and these two.
    """
    if vocab_size < 258:
        raise BadOption(f"vocab_size must be at least 258; got {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer)


def build(config: str | Any, tokenizer: Any, seed: int) -> Any:
    """A causal language model in fp32 with random weights drawn from ``seed``.

    config: the name of one of CONFIGS, or a Hugging Face configuration; its vocabulary and
    special tokens are set to the tokenizer's. Raises UnknownName for another name.
    """
    if isinstance(config, str):
        if config not in CONFIGS:
            raise UnknownName("small model", config, CONFIGS)
        config = CONFIGS[config]()
    config.vocab_size = len(tokenizer)
    config.pad_token_id = tokenizer.pad_token_id
    config.eos_token_id = tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.eval()


def _wrapped(tokenizer: Tokenizer, **special: str) -> Any:
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        **special,
    )


def _lfm2() -> Any:
    """0.3 M parameters: a short convolution first, then attention; learns value look-up."""
    return transformers.Lfm2Config(
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        layer_types=["conv", "full_attention", "full_attention"],
        block_auto_adjust_ff_dim=False,
        conv_L_cache=3,
        tie_word_embeddings=True,
        initializer_range=0.06,  # 0.02 is too small at this width
    )


def _llama(width: int, layers: int, heads: int) -> Callable[[], Any]:
    def config() -> Any:
        return transformers.LlamaConfig(
            hidden_size=width,
            intermediate_size=width * 8 // 3,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            tie_word_embeddings=True,
            initializer_range=0.04,
        )

    return config


CONFIGS: dict[str, Callable[[], Any]] = {
    "lfm2-0.3m": _lfm2,
    "llama-1m": _llama(width=128, layers=5, heads=4),
    "llama-5m": _llama(width=256, layers=6, heads=8),
}
