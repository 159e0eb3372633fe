"""Which earlier prompt a new one begins like."""

from __future__ import annotations

import random

import torch

from srl_agents.nn.sample.prefix_cache import Ids, Prefilled, PrefixCache


def prefilled(*prompts: Ids) -> Prefilled:
    """Prompts with one layer of 4 bytes per token of the longest."""
    return Prefilled(prompts, ((torch.zeros(1, len(prompts), max(map(len, prompts)), 1),),))


def found(cache: PrefixCache, prompt: Ids) -> int:
    """How many tokens of the prompt are known; checks that they are those of the source."""
    prefix = cache.find(prompt, len(prompt))
    if prefix is None:
        return 0
    assert prefix.source.prompts[prefix.row][: prefix.length] == prompt[: prefix.length]
    return prefix.length


def test_a_prompt_that_goes_on_is_known_up_to_its_earlier_end() -> None:
    cache = PrefixCache(10**6)
    prompts = [tuple(range(length)) for length in (1, 7, 8, 9, 23)]
    for prompt in prompts:
        fresh = PrefixCache(10**6)
        fresh.add(prefilled(prompt))
        assert found(fresh, (*prompt, 99, 98)) == len(prompt)
    cache.add(prefilled(*prompts))
    assert found(cache, (*range(30),)) == 23


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    cache = PrefixCache(10**6)
    cache.add(prefilled(tuple(range(16))))
    assert found(cache, tuple(range(16))) == 15
    assert found(cache, (0,)) == 0


def test_prompts_that_turn_off_share_at_least_their_whole_blocks() -> None:
    source = random.Random(0)
    cache = PrefixCache(10**6)
    known = [tuple(source.choices(range(2), k=source.randrange(1, 40))) for _ in range(200)]
    cache.add(prefilled(*known))
    for _ in range(500):
        base = source.choice(known)
        turn = source.randrange(len(base) + 1)
        prompt = base[:turn] + tuple(source.choices(range(2), k=source.randrange(1, 9)))
        assert found(cache, prompt) >= min(turn // 8 * 8, len(prompt) - 1)


def test_nothing_in_common_is_nothing_known() -> None:
    cache = PrefixCache(10**6)
    cache.add(prefilled(tuple(range(16))))
    assert found(cache, (5, 6, 7)) == 0
    cache.clear()
    assert found(cache, tuple(range(16))) == 0


def test_the_oldest_prompts_are_forgotten_beyond_the_limit() -> None:
    cache = PrefixCache(limit_bytes=2 * 20 * 4)
    prompts = [tuple(range(start, start + 20)) for start in (0, 100, 200)]
    for prompt in prompts:
        cache.add(prefilled(prompt))
    assert [found(cache, prompt) for prompt in prompts] == [0, 19, 19]


def test_what_is_larger_than_the_limit_is_not_kept() -> None:
    cache = PrefixCache(limit_bytes=20 * 4)
    cache.add(prefilled(tuple(range(10))))
    cache.add(prefilled(tuple(range(100, 130))))
    assert found(cache, tuple(range(10))) == 9
    assert found(cache, tuple(range(100, 130))) == 0
