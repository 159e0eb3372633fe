"""The base models of the comparison: small models that fail on its problems and keep the form.

    python examples/study/bases.py                      # what each is, and whether it is intact
    python examples/study/bases.py --make chains-0      # trains it again, in minutes on one core

Each family has three bases, which differ in the seed, and a fourth, "-tuning", on which learning
rates are chosen. ``bases/NAME`` holds the weights in 16 bits, the tokenizer, and ``recipe.json``:
the recipe, and the hash of the weights. Training is chaotic, so another processor makes another
base from the same recipe; the committed weights are the bases of the study.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from examples.demo import base as symbols
from examples.study import text_base as texts
from examples.study.text_base import TextRecipe

FOLDER = Path(__file__).parent / "bases"
RECIPE, WEIGHTS = "recipe.json", "model.safetensors"

CALLS = (
    r'<tool_call>\n[^:]*: "[a-z]+", "arguments": \{"[a-z]+": "?|[a-z]+", "key": "'
    r'|[A-Za-z]+", "field": "|[a-z]*"?\}+\n</tool_call>|[0-9]|\n|</?think>|[^0-9\n<,.]+[,.]?|.'
)
"""The tokens of ``srl/ToolShop-v0``: the parts of a call around its arguments, and digits."""


def _chains(seed: int) -> symbols.Recipe:
    return symbols.Recipe(seed=seed)


def _graphs(seed: int) -> symbols.Recipe:
    return symbols.Recipe(seed=seed, family="definition_graph")


def _stories(seed: int) -> TextRecipe:
    options = {"difficulty": [1, 3], "largest": 20}
    return TextRecipe("srl/WordProblem-v0", options, seed=seed, updates=800)


def _orders(seed: int) -> TextRecipe:
    return TextRecipe(
        "srl/ToolShop-v0",
        {"difficulty": [1, 3]},
        pieces=CALLS,
        clause_ends=",.>\n",
        seed=seed,
        rows=8,
        updates=800,
    )


BASES: dict[str, symbols.Recipe | TextRecipe] = {
    "chains-0": _chains(0),
    "chains-1": _chains(2),
    "chains-2": _chains(4),
    "chains-tuning": _chains(6),
    "graphs-0": _graphs(0),
    "graphs-1": _graphs(1),
    "graphs-2": _graphs(2),
    "graphs-tuning": _graphs(3),
    "stories-0": _stories(0),
    "stories-1": _stories(2),
    "stories-2": _stories(3),
    "stories-tuning": _stories(1),
    "orders-0": _orders(0),
    "orders-1": _orders(1),
    "orders-2": _orders(2),
    "orders-tuning": _orders(3),
}


def make(name: str, folder: Path) -> Path:
    """Trains the base of that name and saves it; returns its folder."""
    recipe, began = BASES[name], time.perf_counter()

    def show(update: int, loss: float) -> None:
        if update % 100 == 0:
            minutes = (time.perf_counter() - began) / 60
            print(f"{name}: update {update}, loss {loss:.3f}, {minutes:.1f} minutes", flush=True)

    if isinstance(recipe, TextRecipe):
        model, tokenizer = texts.train_base(recipe, show)
    else:
        model, tokenizer = symbols.train_base(recipe, show)
    return save(name, model, tokenizer, folder)


def save(name: str, model: Any, tokenizer: Any, folder: Path) -> Path:
    """Writes the model in 16 bits, its tokenizer, its recipe and its hash."""
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    made = {"recipe": asdict(BASES[name]), "weights": weights_hash(folder)}
    (folder / RECIPE).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    return folder


def weights_hash(folder: Path) -> str:
    """The hash of the bytes of a base's weights."""
    return hashlib.blake2b((folder / WEIGHTS).read_bytes(), digest_size=16).hexdigest()


def fault(name: str) -> str | None:
    """What is wrong with a base; None if its files are there and belong to its recipe."""
    folder = FOLDER / name
    if not (folder / WEIGHTS).exists() or not (folder / RECIPE).exists():
        return f"missing. Fix: python examples/study/bases.py --make {name}"
    made = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    if made["recipe"] != json.loads(json.dumps(asdict(BASES[name]))):
        return "made by another recipe. Fix: delete its folder, then make it again"
    if made["weights"] != weights_hash(folder):
        return "its weights are not those that were saved. Fix: restore the file"
    return None


def main() -> int:
    """Lists the bases, or makes some; the process's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--make", nargs="+", choices=BASES, default=[], metavar="NAME")
    parser.add_argument("--out", type=Path, default=FOLDER, help="Folder of the bases.")
    args = parser.parse_args()
    for name in args.make:
        print(make(name, args.out / name))
    if args.make:
        return 0
    faults = {name: fault(name) for name in BASES}
    for name, found in faults.items():
        print(f"{name}: {found or 'intact'}")
    return int(any(faults.values()))


if __name__ == "__main__":
    sys.exit(main())
