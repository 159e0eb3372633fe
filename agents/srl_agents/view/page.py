"""Runs as one HTML page that needs no network and opens at once.

The page holds its data in parts, each gzip in base64: an index of columns that is read when it
opens; the texts, read when they come into sight or are searched; the tokens, read on request.
Nothing that a policy wrote is ever markup: the parts contain no ``<``, and ``page.js`` puts every
text into the document as text. A content security policy also forbids the network, and every
script and style but the page's own.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from srl_agents.evaluation.contrasts import BASE, TITLES
from srl_agents.runs.episode_rows import Row
from srl_agents.view.curves import AXES, CURVES, Band
from srl_agents.view.index import MOST_STEPS, EpisodeEntry, Index, StepEntry, make_index
from srl_agents.view.sources import ViewedRun, method_curves, methods_of, score_rows
from srl_agents.view.story import Told, ending, result, told
from srl_agents.view.template import content_hash, fill, part
from srl_env.errors import BadOption
from srl_env.text.prompt import message_text

MOST_TOKENS = 5_000_000

_PART_STEPS, _PART_CHARACTERS = 2_000, 1_500_000


def write_page(
    runs: Sequence[ViewedRun], path: Path, *, most_steps: int = MOST_STEPS, tokens: bool = True
) -> Path:
    """The path of the page that shows the runs.

    most_steps: more steps are thinned evenly, by whole groups. tokens: whether the page has token
    ids and log-probs, of the first ``MOST_TOKENS`` tokens. Raises BadOption if the page cannot
    be written.
    """
    text = page(runs, most_steps=most_steps, tokens=tokens)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadOption(
            f"{path} cannot be written ({error.strerror}). Fix: choose another --out"
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
    style, script = part("base.css") + part("page.css"), part("page.js")
    values = {
        "title": html.escape(_title(runs)),
        "script-hash": content_hash(script),
        "style-hash": content_hash(style),
        "style": style,
        "script": script,
        "data": "\n".join(
            f'<script type="application/gzip" id="{name}">{value}</script>'
            for name, value in payload.items()
        ),
    }
    return fill("page.html", values)


def _title(runs: Sequence[ViewedRun]) -> str:
    methods = [method for method in methods_of(runs) if method != BASE]
    envs = list(dict.fromkeys(run.env for run in runs if run.env))
    named = runs[0].name if len(runs) == 1 else ", ".join(methods[:4]) or runs[0].name
    more = f" and {len(methods) - 4} more" if len(methods) > 4 else ""
    return f"{named}{more}{' on ' + ', '.join(envs) if envs else ''}"


def _run(run: ViewedRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "folder": str(run.folder),
        "method": run.method,
        "seed": run.seed,
        "env": run.env,
        "scores": {name: [e.value, e.low, e.high] for name, e in run.scores.items()},
        "updates": run.last.get("update", 0),
        "seconds": run.last.get("seconds"),
        "tokens": run.last.get("tokens"),
        "last": {name: run.last[name] for name in CURVES if run.last.get(name) is not None},
        "events": run.events,
        "notes": run.notes,
        "failures": run.result.failures if run.result else {},
        "settings": json.dumps(run.settings, indent=2, ensure_ascii=False),
    }


def _methods(runs: Sequence[ViewedRun]) -> list[dict[str, Any]]:
    """Each method over its seeds, if any has several."""
    rows = score_rows(runs)
    if all(len(row.seeds) == 1 for row in rows):
        return []
    return [
        {
            "name": f"{row.method} ({len(row.seeds)} run{'s' * (len(row.seeds) > 1)})",
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
            f"{index.left_out:,} steps are not shown, to keep the page quick; srl-env view"
            " --steps N shows more."
        )
    if parts.tokens_left_out:
        notes.append(f"The tokens of {parts.tokens_left_out:,} steps are not in the page.")
    return notes


def _curves(runs: Sequence[ViewedRun]) -> list[dict[str, Any]]:
    """For each number and axis, a band for each method that has it."""
    found = []
    for name, curve in CURVES.items():
        drawn = {axis: method_curves(runs, name, axis) for axis in AXES}
        by_axis = {
            axis: [{"method": method, **_band(band)} for method, band in bands.items()]
            for axis, bands in drawn.items()
            if bands
        }
        if by_axis:
            staged = any(band.changes for bands in drawn.values() for band in bands.values())
            note = "A new stage has another reward." if staged and name == "reward" else ""
            title = curve.title.capitalize()
            found.append({"title": title, "note": note, "zero": curve.zero, "axes": by_axis})
    return found


def _band(band: Band) -> dict[str, Any]:
    rounded = {
        name: [float(f"{value:.5g}") for value in getattr(band, name)]
        for name in ("x", "low", "middle", "high")
    }
    pieces = [[piece.start, piece.stop] for piece in band.pieces]
    changes = [asdict(change) for change in band.changes]
    return {**rounded, "over": band.over, "pieces": pieces, "changes": changes}


def _columns(kind: Any, entries: Sequence[Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """The entries by column; a column of texts is the distinct texts and their numbers."""
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
    """Texts and tokens of the episodes, in parts that are packed when they are full."""

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
        for place, step in enumerate(row["steps"]):
            self._texts["steps"].append(self._step(step, shown, row, result(row["steps"], place)))
            self._tokens.append(self._step_tokens(step["generation"], prompt, episode.run))
            shown = [message_text(message) for message in step["messages"]]
            prompt = step["generation"]["prompt_ids"]
        self._held += episode.count
        self._steps += episode.count

    def close(self) -> None:
        """Packs the last part."""
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

    def _step(self, step: Row, before: Sequence[str], row: Row, observation: str) -> dict[str, Any]:
        """A step's texts as numbers of strings; of messages only the new part."""
        generation, action, expert = step["generation"], step["action"], step.get("expert_action")
        messages = []
        for place, message in enumerate(step["messages"]):
            text = message_text(message)
            shared = _shared(before[place], text) if place < len(before) else 0
            head, rest = text[:shared], text[shared:]
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
            "o": self._string(observation) if observation else None,
            "k": 1 if observation and row["continuation"] == "expert" else None,
            "t": self._told(told(action, observation)),
            "u": None if expert is None else self._told(told(expert, observation)),
        }
        if step is row["steps"][-1] and row["verdict"]:
            found["v"] = self._string(json.dumps(row["verdict"], ensure_ascii=False))
            end = ending(row["verdict"])
            found["w"] = [self._string(end.words), self._string(end.diff), *end.tests]
        if step is row["steps"][-1] and row["failure"] and not step["failure"]:
            found["x"] = self._string(row["failure"]["message"])
        return {name: value for name, value in found.items() if value is not None}

    def _told(self, call: Told | None) -> list[int] | None:
        """The numbers of title, body and diff."""
        if call is None:
            return None
        return [self._string(text) for text in (call.title, call.body, call.diff)]

    def _string(self, text: str) -> int:
        if text not in self._strings:
            self._characters += len(text)
        return self._strings.setdefault(text, len(self._strings))

    def _step_tokens(self, generation: Row, before: Sequence[int], run: int) -> Any:
        """[shared with the last prompt, rest of the prompt, ids, log-probs]; 0 without tokens."""
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
    """The length of the common beginning of two texts or lists."""
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
    """The length of the text in a page's script."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _vocabularies(
    runs: Sequence[ViewedRun], ids: Mapping[int, Iterable[int]]
) -> list[dict[int, str]]:
    """For each run, {token id: its text}; {} without a tokenizer (file or package)."""
    return [
        _token_texts(run.tokenizer, sorted(ids.get(number, ()))) if run.tokenizer else {}
        for number, run in enumerate(runs)
    ]


def _token_texts(file: Path, ids: Iterable[int]) -> dict[int, str]:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return {}
    tokenizer = Tokenizer.from_file(str(file))

    def text(token: int) -> str:
        decoded = tokenizer.decode([token], skip_special_tokens=False)
        return str(decoded or tokenizer.id_to_token(token) or f"⟨{token}⟩")

    return {token: text(token) for token in ids}


def _packed(value: Any) -> str:
    """JSON, gzip, base64: always the same text for the same value."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("ascii"), 6, mtime=0)).decode("ascii")


def _finite(value: Any) -> Any:
    """The value with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.floating):
        return _finite(float(value))
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
