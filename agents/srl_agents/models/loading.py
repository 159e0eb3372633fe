"""A causal language model and its tokenizer from a folder or the hub, or a clear error."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from srl_agents.models.folder import ADAPTER, check_model
from srl_agents.models.room import check_room, free_memory
from srl_env.errors import BadOption, MissingExtra
from srl_env.hub import hub_or_cache

_DTYPES = ("float32", "bfloat16", "float16", "auto")


def load(
    source: str, device: str | torch.device | None, dtype: str, copies: int = 1
) -> tuple[Any, Any]:
    """Model and tokenizer.

    source: a folder (LoRA adapters alone will do) or a hub name. device: "cpu", "cuda", "cuda:1";
    None for CUDA if there is one. dtype: of the parameters, or "auto" for the checkpoint's.
    copies: how many numbers will be kept for each weight (``models.room``). Raises BadOption with
    the reason if they cannot be loaded.
    """
    if dtype not in _DTYPES:
        raise BadOption(f"dtype must be one of {', '.join(_DTYPES)}; got {dtype!r}")
    place = find_device(device)
    check_model(source)
    folder = Path(source).expanduser()
    if folder.is_dir():
        source = str(folder)
    if not (folder / ADAPTER).is_file():
        _check_architecture(source)
    _check_room(folder, dtype, copies, place)
    # Downloads from the hub may take minutes, so they show their progress bars.
    with without_notices() if folder.is_dir() else nullcontext():
        model = _model(source, dtype, adapters=(folder / ADAPTER).is_file())
        tokenizer = load_tokenizer(source)
        _check_vocabulary(model, tokenizer, source)
        return model.to(place).eval(), tokenizer


@contextmanager
def without_notices() -> Iterator[None]:
    """Silences transformers' progress bars and notices while weights are loaded or saved."""
    logging = transformers.utils.logging
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def find_device(name: str | torch.device | None) -> torch.device:
    """The device of that name, checked; None is CUDA if there is one, else the CPU."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadOption(f"unknown torch device {name!r}. Fix: use 'cpu' or 'cuda'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadOption(
            f"unknown device {str(name)!r}: torch {torch.__version__} finds no CUDA device. "
            "Fix: use 'cpu', or install a CUDA build of torch on a machine with a GPU"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadOption(
            f"unknown device {str(name)!r}: torch finds {torch.cuda.device_count()} CUDA devices"
        )
    return device


def _check_room(folder: Path, dtype: str, copies: int, place: torch.device) -> None:
    """BadOption if the folder's weights do not fit."""
    if place.type == "cuda":
        check_room(folder, dtype, copies, torch.cuda.mem_get_info(place)[0], f"on {place}")
    elif place.type == "cpu":
        check_room(folder, dtype, copies, free_memory(), "on this machine")


def _check_vocabulary(model: Any, tokenizer: Any, source: str) -> None:
    """BadOption if the tokenizer has ids for which the model has no embedding."""
    rows, highest = len(model.get_input_embeddings().weight), max(tokenizer.get_vocab().values())
    if highest >= rows:
        raise BadOption(
            f"the tokenizer in {source!r} must fit the model's embedding of {rows} rows; got ids up"
            f" to {highest}. Fix: use the model's own tokenizer, or call"
            f" model.resize_token_embeddings({highest + 1}) and save both"
        )


def _check_architecture(source: str) -> None:
    """BadOption unless the configuration belongs to a causal language model."""
    try:
        with nullcontext() if Path(source).is_dir() else hub_or_cache():
            config = transformers.AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        said = _first_line(error).rstrip(".")
        raise BadOption(
            f"no model can be read from {source!r}, which is no folder here: {said}. Fix: check the"
            " name and the network, or give a folder that holds config.json and the weights"
            if not Path(source).is_dir()
            else f"no model can be read from {source!r}: {said}"
        ) from error
    known = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    made_for = config.architectures or [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)]
    if not known.intersection(made_for):
        raise BadOption(
            f"model must be a causal language model; got {source!r}, a {config.model_type!r} model "
            f"({', '.join(map(str, made_for))})"
        )


def _model(source: str, dtype: str, adapters: bool) -> Any:
    wanted: Any = "auto" if dtype == "auto" else getattr(torch, dtype)
    try:
        if not adapters:
            return transformers.AutoModelForCausalLM.from_pretrained(source, dtype=wanted)
        try:
            peft = importlib.import_module("peft")
        except ImportError:
            raise MissingExtra("peft", "train") from None
        return peft.AutoPeftModelForCausalLM.from_pretrained(
            source, dtype=wanted, is_trainable=True
        )
    except MissingExtra:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise BadOption(
            f"the weights in {source!r} cannot be read: {_first_line(error)}"
        ) from error


def load_tokenizer(source: str) -> Any:
    """A model's tokenizer; BadOption if it cannot be read."""
    try:
        return transformers.AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, ImportError) as error:
        raise BadOption(
            f"the tokenizer in {source!r} cannot be read: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
