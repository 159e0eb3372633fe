"""How much memory a model needs, from its files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from srl_agents.models import loading, room
from srl_agents.models.room import TRAINED, check_room, free_memory, weight_bytes
from srl_agents.models.small import character_tokenizer
from srl_agents.policies.trained import load_policy
from srl_agents.runs.config import LoraConfig, ModelConfig
from srl_env.errors import BadOption
from tests.srl_agents.letters import save_base


def save_weights(folder: Path, **tensors: tuple[str, list[int]]) -> None:
    """A safetensors file without the weights themselves."""
    head = {
        name: {"dtype": d, "shape": s, "data_offsets": [0, 0]} for name, (d, s) in tensors.items()
    }
    text = json.dumps(head | {"__metadata__": {"format": "pt"}}).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)


def test_weights_are_counted_in_the_dtype_that_they_will_have(tmp_path: Path) -> None:
    save_weights(tmp_path, a=("BF16", [10, 20]), b=("F32", [50]))
    assert weight_bytes(tmp_path, "float32") == 4 * 250
    assert weight_bytes(tmp_path, "bfloat16") == 2 * 250
    assert weight_bytes(tmp_path, "auto") == 2 * 200 + 4 * 50
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    assert weight_bytes(tmp_path, "float32") == 0


def test_a_model_that_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    save_weights(tmp_path, a=("BF16", [2**14, 2**14]))  # 1 GiB in float32
    check_room(tmp_path, "float32", 1, 2**30, "here")
    with pytest.raises(
        BadOption, match=r"got 1\.0 GiB \(weights in float32\) for 0\.5 GiB free here"
    ):
        check_room(tmp_path, "float32", 1, 2**29, "here")
    with pytest.raises(BadOption, match=r"4\.0 GiB \(weights, gradient and optimizer.*model\.lora"):
        check_room(tmp_path, "float32", TRAINED, 2**30, "here")


def test_free_memory_is_at_most_that_of_the_machine() -> None:
    pages = Path("/proc/meminfo").read_text(encoding="utf-8").split("MemTotal:")[1].split()[0]
    assert 0 < free_memory() <= int(pages) * 1024


def test_a_control_group_limits_what_is_free(tmp_path: Path) -> None:
    for name, text in (
        ("max", "1000\n"),
        ("current", "700\n"),
        ("stat", "anon 1\nactive_file 50\n"),
    ):
        (tmp_path / f"memory.{name}").write_text(text)
    assert room._left_in_group(tmp_path) == 1000 - 700 + 50
    (tmp_path / "memory.max").write_text("max\n")
    assert room._left_in_group(tmp_path) is None
    assert room._left_in_group(tmp_path / "none") is None


def test_training_all_weights_needs_more_than_training_adapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_base(tmp_path)
    monkeypatch.setattr(loading, "free_memory", lambda: 2 * weight_bytes(folder, "float32"))
    settings = ModelConfig(path=str(folder), device="cpu")
    with pytest.raises(BadOption, match="weights, gradient and optimizer"):
        load_policy(settings, 0, None)
    pytest.importorskip("peft")
    load_policy(settings.model_copy(update={"lora": LoraConfig(rank=1)}), 0, None)


def test_a_vocabulary_larger_than_the_embedding_is_refused(tmp_path: Path) -> None:
    folder = save_base(tmp_path)
    larger: Any = character_tokenizer("abcdefgh#")
    rows = transformers.AutoConfig.from_pretrained(folder).vocab_size
    larger.save_pretrained(folder)
    expected = rf"embedding of {rows} rows; got ids up to {len(larger) - 1}\. Fix.*{len(larger)}\)"
    with pytest.raises(BadOption, match=expected):
        loading.load(str(folder), "cpu", "float32")


def test_a_hub_name_that_cannot_be_found_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    expected = "no model can be read from 'nobody/nothing-at-all'.*Fix: check the name"
    with pytest.raises(BadOption, match=expected) as caught:
        loading.load("nobody/nothing-at-all", "cpu", "float32")
    assert "\n" not in str(caught.value)
