"""Checks a model's name without torch: a folder that holds a model, or a hub name.

Hub names are not checked in advance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from srl_env.errors import BadOption

ADAPTER = "adapter_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_MOST_NAMED = 6
_FOLDERS = (".", "/", "~", "models/", "runs/")  # the last two are where our own models lie


def model_folder(source: str) -> str:
    """The model's folder in that of a finished run; every other name as it is."""
    model = Path(source).expanduser() / "model"
    return str(model) if _is_run(model.parent) and model.is_dir() else source


def check_model(source: str) -> None:
    """Raises BadOption for a GGUF file, a missing folder, or one without model or tokenizer."""
    folder = Path(source).expanduser()
    if source.endswith(".gguf"):
        raise BadOption(
            f"{source} is a GGUF file, whose weights are quantised and cannot be trained. Fix:"
            f" srl-env fetch {source} --out models/NAME, then name that folder"
        )
    if folder.is_dir():
        _check_folder(folder)
    elif looks_like_a_folder(source):
        raise BadOption(
            f"no folder {source!r}; give a folder that holds config.json and the weights, "
            "or a hub name like 'Qwen/Qwen3-0.6B'"
        )


def looks_like_a_folder(source: str) -> bool:
    """Whether a model's name can only be a folder's: the hub has none like it."""
    return source.startswith(_FOLDERS) or source.count("/") > 1 or "\\" in source


def weights_digest(source: str) -> str:
    """A hash of the bytes of a model's weights, in its folder or in the hub's cache.

    "" if neither has any.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir() and not looks_like_a_folder(source):
        folder = _cached(source)
    digest, files = hashlib.blake2b(digest_size=16), sorted(folder.glob("*.safetensors"))
    files = files or sorted(folder.glob("*.bin"))
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest() if files else ""


def _cached(name: str) -> Path:
    """Where the hub's cache has a model, or a folder that does not exist."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return Path(name)


def _check_base(folder: Path) -> None:
    """Raises BadOption for adapters whose base model is not where they say."""
    try:
        base = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadOption(
            f"{folder / ADAPTER} must name a base model; got {error!r}. Fix: save the adapters"
            " again"
        ) from error
    if not base or (looks_like_a_folder(base) and not Path(base).expanduser().is_dir()):
        raise BadOption(
            f"{folder} holds adapters, whose base model must be there; got {base!r}, which is no"
            f" folder here. Fix: put it there, or change base_model_name_or_path in {ADAPTER}"
        )


def _is_run(folder: Path) -> bool:
    """Whether a training wrote the folder."""
    try:
        return "budget" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _models_below(folder: Path) -> str:
    """The models of the runs of a comparison or of another folder of runs; "" without any."""
    found = sorted(path.parent for depth in (2, 3, 4) for path in _configs(folder, depth))
    named = [str(path) for path in found[:_MOST_NAMED]]
    more = f" or one of {len(found) - _MOST_NAMED} more" if found[_MOST_NAMED:] else ""
    return " or ".join(named) + more


def _configs(folder: Path, depth: int) -> Iterator[Path]:
    return folder.glob("/".join(["*"] * (depth - 1) + ["model", "config.json"]))


def _check_folder(folder: Path) -> None:
    if (folder / "model" / "config.json").is_file():
        raise BadOption(f"{folder} is a run, not a model; did you mean {folder / 'model'}?")
    if _is_run(folder):
        saved = sorted((folder / "checkpoints").glob("update-*"))
        other = f", or give its last checkpoint, {saved[-1]}" if saved else ""
        raise BadOption(
            f"{folder} is a run that has not finished; resume it (srl-env train --resume {folder})"
            f"{other}"
        )
    if not (folder / "config.json").is_file() and (files := sorted(folder.glob("*.gguf"))):
        check_model(str(files[0]))  # raises
    if (folder / ADAPTER).is_file():
        _check_base(folder)
    elif not (folder / "config.json").is_file():
        raise BadOption(
            f"{folder} holds no config.json; it is not a Hugging Face checkpoint. Give"
            f" {_models_below(folder) or 'the folder that save_pretrained wrote'}"
        )
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise BadOption(
            f"{folder} holds no tokenizer ({', '.join(_TOKENIZER_FILES[:3])} …); "
            "save one there: tokenizer.save_pretrained(folder)"
        )
