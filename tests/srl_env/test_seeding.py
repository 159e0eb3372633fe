"""Streams are hashed from their keys and share nothing."""

from __future__ import annotations

import copy
import pickle

import numpy as np

from srl_env.seeding import derive_seed, stream


def numbers(*keys: str | int, count: int = 500) -> list[int]:
    return stream(*keys).integers(10**12, size=count).tolist()


def test_equal_keys_give_equal_streams() -> None:
    assert numbers("env", "train", 42, 0) == numbers("env", "train", 42, 0)


def test_neighbouring_seeds_share_no_number() -> None:
    assert set(numbers("env", "train", 42)).isdisjoint(numbers("env", "train", 43))


def test_seeds_share_nothing_over_their_first_episodes() -> None:
    first = {numbers("env", "train", 42, episode, count=1)[0] for episode in range(500)}
    second = {numbers("env", "train", 43, episode, count=1)[0] for episode in range(500)}
    assert len(first | second) == 1000


def test_train_and_test_share_no_number() -> None:
    assert set(numbers("env", "train", 42)).isdisjoint(numbers("env", "test", 42))


def test_where_a_key_ends_and_what_type_it_has_matters() -> None:
    keys: list[tuple[str | int, ...]] = [
        ("a", "bc"),
        ("ab", "c"),
        ("abc",),
        ("1",),
        (1,),
        (-1,),
        (1, 1),
        (11,),
        ("",),
        ("", ""),
        (),
    ]
    assert len({tuple(numbers(*key, count=2)) for key in keys}) == len(keys)


def test_any_text_is_a_key_lone_surrogates_too() -> None:
    assert numbers("\ud800") != numbers("\udfff")


def test_numpy_integers_are_the_same_keys_as_pythons() -> None:
    assert numbers(int(np.int64(7))) == numbers(7)
    assert derive_seed("x", np.int64(7)) == derive_seed("x", 7)  # type: ignore[arg-type]


def test_streams_are_pinned_across_versions() -> None:
    assert stream("srl", 1).integers(10**6, size=3).tolist() == [894767, 981230, 800802]
    assert derive_seed("srl", 1) == 2726751889285180292


def test_derived_seeds_are_63_bits_and_differ() -> None:
    seeds = [derive_seed("vector", 0, i) for i in range(1000)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_a_stream_can_be_copied_and_pickled() -> None:
    generator = stream("a")
    copies = copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))
    expected = generator.random()
    assert [other.random() for other in copies] == [expected, expected]


def test_bits_are_balanced() -> None:
    bits = np.unpackbits(np.frombuffer(stream("balance").bytes(10_000), dtype=np.uint8))
    assert abs(bits.mean() - 0.5) < 0.01
