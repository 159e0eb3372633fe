"""A small language model from nothing: what the examples begin with, in place of a download."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console

from srl_agents.decoder import make_decoder
from srl_agents.small_models import bpe_tokenizer, build

console = Console()


def pretrain(
    texts: Sequence[str],
    seconds: float,
    seed: int,
    folder: Path,
    *,
    vocabulary: int = 1024,
    batch_tokens: int = 6_000,
) -> Path:
    """The folder of a tokenizer and a small model trained for so long to continue the texts.

    batch_tokens: roughly how many tokens an update sees; texts of similar length go together.
    """
    tokenizer = bpe_tokenizer(texts, vocabulary)
    model = build("lfm2-0.3m", tokenizer, seed)
    decoder = make_decoder(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    ids = tokenizer(list(texts))["input_ids"]
    began, shown = time.perf_counter(), 0.0
    for batch in _batches(ids, random.Random(seed), batch_tokens):
        passed = (time.perf_counter() - began) / seconds
        if passed >= 1:
            break
        optimizer.param_groups[0]["lr"] = 4e-3 * min(1.0, 20 * passed, 2 * (1 - passed))
        logprobs, mask = decoder.trunk_logprobs(batch)
        loss = -logprobs.sum() / mask.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if passed - shown >= 0.1:
            shown = passed
            console.print(f"  {100 * passed:3.0f} %  loss {loss.item():.2f} nats a token")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _batches(
    ids: Sequence[list[int]], rng: random.Random, most_tokens: int
) -> Iterator[list[list[int]]]:
    """Batches of texts of similar length, without end."""
    while True:
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]) + rng.uniform(0, 20))
        batches: list[list[int]] = [[]]
        for i in order:
            if batches[-1] and (len(batches[-1]) + 1) * len(ids[i]) > most_tokens:
                batches.append([])
            batches[-1].append(i)
        rng.shuffle(batches)
        for batch in batches:
            yield [ids[i] for i in batch]
