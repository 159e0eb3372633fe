"""A small language model trained from scratch: the examples start from it, not from a download."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from srl_agents.models import bpe_tokenizer, build
from srl_agents.nn import make_decoder


def pretrain(
    texts: Sequence[str],
    updates: int,
    seed: int,
    folder: Path,
    *,
    vocabulary: int = 1024,
    batch_tokens: int = 6_000,
) -> Path:
    """The folder of a tokenizer and a small model, trained to continue the texts.

    batch_tokens: roughly how many tokens an update sees; texts of similar length go together.
    """
    tokenizer = bpe_tokenizer(texts, vocabulary)
    model = build("lfm2-0.3m", tokenizer, seed)
    decoder = make_decoder(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    batches = _batches(tokenizer(list(texts))["input_ids"], random.Random(seed), batch_tokens)
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("pretraining", total=updates)
        for update, batch in enumerate(islice(batches, updates)):
            passed = update / updates
            optimizer.param_groups[0]["lr"] = 4e-3 * min(1.0, 20 * passed, 2 * (1 - passed))
            logprobs, mask = decoder.sequence_logprobs(batch)
            loss = -logprobs.sum() / mask.sum()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            shown = f"pretraining: {loss.item():.2f} nats a token"
            bar.update(task, advance=1, description=shown)
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
