"""Runs as one HTML page that needs no network and opens at once.

The page holds what it shows in parts, each gzip in base64: an index of columns that is read when
it opens; the texts, read as they come into sight or are searched; the tokens, read on request.
Nothing that a policy wrote is ever markup: the parts hold no ``<``, and ``page.js`` puts every
text into the document as text. A content security policy besides forbids the network, and every
script and style but the page's own.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from srl_agents.evaluation.contrasts import BASE, TITLES
from srl_agents.view.curves import (
    AXES,
    FRACTIONS,
    Band,
    StageChange,
    band,
    pieces,
    stage_changes,
)
from srl_agents.view.index import EpisodeEntry, Index, Row, StepEntry, make_index
from srl_agents.view.sources import ViewedRun, run_series, score_rows
from srl_env.errors import BadOption

MOST_STEPS = 200_000
MOST_TOKENS = 5_000_000

CURVES = {
    "reward": "Mean reward in training",
    "success": "Right answers in training",
    "dev": "Right answers on problems held back, during training",
    "groups/informative_fraction": "Groups that carry a signal",
    "length": "Tokens of a completion",
    "loss": "Loss",
}
"""The curves that are drawn where a run has them ("dev" is a comparison's own)."""

_PART_STEPS, _PART_CHARACTERS = 2_000, 1_500_000


def write_page(
    runs: Sequence[ViewedRun], path: Path, *, most_steps: int = MOST_STEPS, tokens: bool = True
) -> Path:
    """The path of the page that shows the runs.

    most_steps: of more, whole groups are left out, evenly. tokens: whether token ids and
    log-probs are in it, of the first ``MOST_TOKENS`` tokens. Raises BadOption where the page
    cannot be written.
    """
    text = page(runs, most_steps=most_steps, tokens=tokens)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadOption(
            f"{path} cannot be written ({error.strerror}); choose another --out"
        ) from error
    return path


def page(runs: Sequence[ViewedRun], *, most_steps: int = MOST_STEPS, tokens: bool = True) -> str:
    """The whole page, as ``write_page`` writes it."""
    parts = _Parts(MOST_TOKENS if tokens else 0)
    index = make_index(runs, most_steps=most_steps, on_episode=parts.add)
    parts.close()
    head = {
        "runs": [_run(run) for run in runs],
        "methods": _methods(runs),
        "titles": TITLES,
        "base": BASE,
        "axes": AXES,
        "curves": _curves(runs),
        "episodes": _columns(EpisodeEntry, index.episodes, without=("number", "place")),
        "steps": _columns(StepEntry, index.steps),
        "parts": parts.begins,
        "vocabularies": _vocabularies(runs, parts.ids),
        "notes": _notes(index, parts),
    }
    payload = {"index": _packed(_finite(head)), **parts.made}
    return _filled(_title(runs), payload)


def _title(runs: Sequence[ViewedRun]) -> str:
    methods = list(dict.fromkeys(run.method for run in runs if run.method != BASE))
    envs = list(dict.fromkeys(run.env for run in runs if run.env))
    named = runs[0].name if len(runs) == 1 else ", ".join(methods[:4]) or runs[0].name
    more = f" and {len(methods) - 4} more" if len(methods) > 4 else ""
    return f"{named}{more}{' on ' + ', '.join(envs) if envs else ''}"


def _run(run: ViewedRun) -> dict[str, Any]:
    last = run.updates[-1] if run.updates else {}
    return {
        "name": run.name,
        "folder": str(run.folder),
        "method": run.method,
        "seed": run.seed,
        "env": run.env,
        "scores": {name: [e.value, e.low, e.high] for name, e in run.scores.items()},
        "updates": last.get("update", 0),
        "seconds": last.get("seconds"),
        "tokens": last.get("tokens"),
        "last": {name: last[name] for name in CURVES if last.get(name) is not None},
        "events": run.events,
        "notes": run.notes,
        "failures": run.result.failures if run.result else {},
        "settings": json.dumps(run.settings, indent=2, ensure_ascii=False),
    }


def _methods(runs: Sequence[ViewedRun]) -> list[dict[str, Any]]:
    """Each method over its seeds, where any has several."""
    rows = score_rows(runs)
    if all(len(row.seeds) == 1 for row in rows):
        return []
    return [
        {
            "name": f"{row.method} ({len(row.seeds)} runs)",
            "scores": {name: [e.value, e.low, e.high] for name, e in row.scores.items()},
            "updates": round(row.updates),
            "seconds": row.seconds,
            "tokens": None,
            "failures": {"in all": row.failures} if row.failures else {},
        }
        for row in rows
    ]


def _notes(index: Index, parts: _Parts) -> list[str]:
    notes = []
    if index.left_out:
        notes.append(
            f"{index.left_out:,} steps are left out, evenly, so that the page stays quick;"
            " srl-env view --steps N shows more."
        )
    if parts.tokens_left_out:
        notes.append(f"The tokens of {parts.tokens_left_out:,} steps are left out.")
    return notes


def _curves(runs: Sequence[ViewedRun]) -> list[dict[str, Any]]:
    """For each number and axis, a band for each method that has it."""
    found = []
    methods = list(dict.fromkeys(run.method for run in runs))
    for name, title in CURVES.items():
        by_axis: dict[str, list[dict[str, Any]]] = {}
        for axis in AXES:
            bands = []
            for method in methods:
                of = [run for run in runs if run.method == method]
                known = [s for run in of if (s := run_series(run, name, axis)) is not None]
                if known:
                    changes = stage_changes([run.updates for run in of], axis)
                    bands.append({"method": method, **_band_json(band(known), changes)})
            if bands:
                by_axis[axis] = bands
        if by_axis:
            staged = any(of["changes"] for bands in by_axis.values() for of in bands)
            note = "A new stage has another reward." if staged and name == "reward" else ""
            zero = FRACTIONS.get(name, "")
            found.append({"title": title, "note": note, "zero": zero, "axes": by_axis})
    return found


def _band_json(found: Band, changes: Sequence[StageChange]) -> dict[str, Any]:
    rounded = {
        name: [float(f"{value:.5g}") for value in getattr(found, name)]
        for name in ("x", "low", "middle", "high")
    }
    parts = [[part.start, part.stop] for part in pieces(found.x, changes)]
    marks = [asdict(change) for change in changes]
    return {**rounded, "over": found.over, "pieces": parts, "changes": marks}


def _columns(kind: Any, entries: Sequence[Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """The entries column by column; a column of text is numbers and the texts they stand for."""
    columns: dict[str, Any] = {}
    for name in (field.name for field in fields(kind)):
        if name in without:
            continue
        values = [getattr(entry, name) for entry in entries]
        if any(isinstance(value, str) for value in values):
            known = {text: i for i, text in enumerate(dict.fromkeys(values))}
            columns[name] = {"texts": list(known), "at": [known[value] for value in values]}
        else:
            columns[name] = [_short(value) for value in values]
    return columns


def _short(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return round(value, 5) if isinstance(value, float) else value


class _Parts:
    """Texts and tokens of the episodes, in parts that are packed as soon as they are full."""

    def __init__(self, most_tokens: int) -> None:
        self.made: dict[str, str] = {}
        self.begins: list[int] = []  # the first step of each part
        self.ids: dict[int, set[int]] = {}  # of each run
        self.tokens_left, self.tokens_left_out = most_tokens, 0
        self._steps = 0
        self._open()

    def add(self, episode: EpisodeEntry, row: Row) -> None:
        """Adds an episode's steps."""
        if self._held >= _PART_STEPS or self._characters >= _PART_CHARACTERS:
            self._pack()
        shown: list[str] = []
        prompt: list[int] = []
        for step in row["steps"]:
            self._texts["steps"].append(self._step(step, shown, row))
            self._tokens.append(self._step_tokens(step["generation"], prompt, episode.run))
            shown = [message["content"] for message in step["messages"]]
            prompt = step["generation"]["prompt_ids"]
        self._held += episode.count
        self._steps += episode.count

    def close(self) -> None:
        """Packs what is left."""
        if self._held or not self.begins:
            self._pack()

    def _open(self) -> None:
        self._strings: dict[str, int] = {}
        self._texts: dict[str, Any] = {"steps": []}
        self._tokens: list[Any] = []
        self._held = self._characters = 0
        self._begin = self._steps

    def _pack(self) -> None:
        number = len(self.begins)
        self._texts["strings"] = list(self._strings)
        self.made[f"texts-{number}"] = _packed(self._texts)
        if any(self._tokens):
            self.made[f"tokens-{number}"] = _packed(self._tokens)
        self.begins.append(self._begin)
        self._open()

    def _step(self, step: Row, before: Sequence[str], row: Row) -> dict[str, Any]:
        """A step's texts as numbers of strings; messages without what the last step showed."""
        generation, action, expert = step["generation"], step["action"], step.get("expert_action")
        messages = []
        for place, message in enumerate(step["messages"]):
            shared = 0
            if place < len(before):
                shared = _shared(before[place], message["content"])
            head, rest = message["content"][:shared], message["content"][shared:]
            messages.append([message["role"], _utf16_length(head), self._string(rest)])
        found = {
            "a": self._string(action),
            "e": None if expert is None else self._string(expert),
            "c": None if generation["text"] == action else self._string(generation["text"]),
            "m": messages,
            "r": {name: _short(value) for name, value in step["reward_parts"].items()},
            "x": step["failure"] and self._string(step["failure"]["message"]),
            "f": generation["finish_reason"],
            "n": len(generation["token_ids"]),
        }
        if step is row["steps"][-1] and row["verdict"]:
            found["v"] = self._string(json.dumps(row["verdict"], ensure_ascii=False))
        if step is row["steps"][-1] and row["failure"] and not step["failure"]:
            found["x"] = self._string(row["failure"]["message"])
        return {name: value for name, value in found.items() if value is not None}

    def _string(self, text: str) -> int:
        if text not in self._strings:
            self._characters += len(text)
        return self._strings.setdefault(text, len(self._strings))

    def _step_tokens(self, generation: Row, before: Sequence[int], run: int) -> Any:
        """[shared with the last prompt, rest of the prompt, ids, log-probs], or 0 for none."""
        ids, prompt = generation["token_ids"], generation["prompt_ids"]
        if not ids:
            return 0
        shared = _shared(before, prompt)
        rest = prompt[shared:]
        if self.tokens_left < len(rest) + len(ids):
            self.tokens_left_out += 1
            return 0
        self.tokens_left -= len(rest) + len(ids)
        self.ids.setdefault(run, set()).update(ids, rest)
        logprobs = [round(v, 4) if math.isfinite(v) else None for v in generation["logprobs"]]
        return [shared, rest, ids, logprobs]


def _shared(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How long the common beginning of two texts or lists is."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _utf16_length(text: str) -> int:
    """Its length as scripts in a page count it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _vocabularies(
    runs: Sequence[ViewedRun], ids: Mapping[int, Iterable[int]]
) -> list[dict[int, str]]:
    """For each run, the text of every token id in it; {} where there is no tokenizer."""
    found = []
    for number, run in enumerate(runs):
        decode = token_decoder(run)
        found.append({i: decode(i) for i in sorted(ids.get(number, ()))} if decode else {})
    return found


def token_decoder(run: ViewedRun) -> Callable[[int], str] | None:
    """A function from a token id to its text; None without a tokenizer (file or package)."""
    if run.tokenizer is None:
        return None
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    tokenizer = Tokenizer.from_file(str(run.tokenizer))

    def decode(token: int) -> str:
        text = tokenizer.decode([token], skip_special_tokens=False)
        return str(text or tokenizer.id_to_token(token) or f"⟨{token}⟩")

    return decode


def _packed(value: Any) -> str:
    """JSON, gzip, base64: the same text for the same value, whenever it is made."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("ascii"), 6, mtime=0)).decode("ascii")


def _finite(value: Any) -> Any:
    """The value with null for NaN and infinities, which JSON has no words for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.floating):
        return _finite(float(value))
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def _filled(title: str, payload: Mapping[str, str]) -> str:
    """The template with everything in its place."""
    folder = resources.files("srl_agents.view")
    script, style, frame = (
        (folder / f"page.{kind}").read_text(encoding="utf-8") for kind in ("js", "css", "html")
    )
    data = "\n".join(
        f'<script type="application/gzip" id="{name}">{value}</script>'
        for name, value in payload.items()
    )
    values = {
        "title": html.escape(title),
        "script-hash": _hash(script),
        "style-hash": _hash(style),
        "style": style,
        "script": script,
        "data": data,
    }
    head, *rest = frame.split("{{")
    pieces: list[str] = [head]
    for piece in rest:
        name, _, after = piece.partition("}}")
        pieces += [values[name], after]
    return "".join(pieces)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
