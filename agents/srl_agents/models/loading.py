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
from srl_env.errors import BadOption, MissingExtra
from srl_env.hub import hub_or_cache

_DTYPES = ("float32", "bfloat16", "float16", "auto")


def load(source: str, device: str | torch.device | None, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer.

    source: a folder, one with LoRA adapters alone too, or a name on the hub. device: "cpu",
    "cuda", "cuda:1"; None for CUDA where there is one. dtype: of the parameters, or "auto" for
    the checkpoint's. Raises BadOption where that cannot be loaded, with the reason.
    """
    if dtype not in _DTYPES:
        raise BadOption(f"dtype {dtype!r} is not one of {', '.join(_DTYPES)}")
    place = find_device(device)
    check_model(source)
    folder = Path(source).expanduser()
    if folder.is_dir():
        source = str(folder)
    if not (folder / ADAPTER).is_file():
        _check_architecture(source)
    # What comes from the hub may take minutes; its bars are wanted.
    with without_notices() if folder.is_dir() else nullcontext():
        model = _model(source, dtype, adapters=(folder / ADAPTER).is_file())
        return model.to(place).eval(), _tokenizer(source)


@contextmanager
def without_notices() -> Iterator[None]:
    """Silences transformers' bars and notices, which come with every load and save of weights."""
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
    """The device of that name, checked; None is CUDA where there is one, else the CPU."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadOption(f"device {name!r} is none that torch knows; try 'cpu' or 'cuda'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadOption(
            f"device {str(name)!r} was asked for, but torch {torch.__version__} sees no CUDA "
            "device; use 'cpu', or install a CUDA build of torch on a machine with a GPU"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadOption(
            f"device {str(name)!r} was asked for, but there are {torch.cuda.device_count()}"
        )
    return device


def _check_architecture(source: str) -> None:
    """BadOption unless the configuration is that of a causal language model."""
    try:
        with nullcontext() if Path(source).is_dir() else hub_or_cache():
            config = transformers.AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise BadOption(
            f"no model can be read from {source!r}, which is no folder here: {_first_line(error)}"
            if not Path(source).is_dir()
            else f"no model can be read from {source!r}: {_first_line(error)}"
        ) from error
    known = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    made_for = config.architectures or [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)]
    if not known.intersection(made_for):
        raise BadOption(
            f"{source!r} is a {config.model_type!r} model ({', '.join(map(str, made_for))}), "
            "not a causal language model; give one that continues text"
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


def _tokenizer(source: str) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, ImportError) as error:
        raise BadOption(
            f"the tokenizer in {source!r} cannot be read: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
