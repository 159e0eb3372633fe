"""Of which kind a file is by its beginning, and what to do with one that cannot be read."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

BOM = b"\xef\xbb\xbf"
START = 1 << 16
"""Bytes of a file by which its kind is known."""
_LIST = re.compile(rb"\s*\[\s*\{")
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def no_json_lines(path: Path, start: bytes) -> str | None:
    """What a file that begins so is instead of JSON lines, and what to do; None where it may be
    some."""
    if advice := unreadable(path, start):
        return advice
    start = start.removeprefix(BOM)
    kind = None
    text_table = path.suffix.lower() in (".csv", ".tsv") and not start.lstrip().startswith(b"{")
    if text_table or path.suffix.lower() in (".parquet", ".arrow", ".xlsx"):
        kind = "a table"
    elif _LIST.match(start):
        kind = "a JSON list"
    elif path.suffix == ".json" and start.strip() and not is_lines(start):
        kind = "JSON over several lines"
    if kind is None:
        return None
    return (
        f"{kind}; expected JSON lines, an object on each. Convert it, and read what comes out: "
        f"srl-env data convert {shlex.quote(str(path))} -o OUT.jsonl, then steps:OUT.jsonl"
    )


def unreadable(path: Path, start: bytes) -> str | None:
    """What is to be done with a file that begins so before anything here can read it."""
    if path.suffix == ".xlsx":  # an archive of its own
        return None
    packed = next((name for magic, name in _PACKED.items() if start.startswith(magic)), None)
    if packed is not None:
        return f"a file packed by {packed}, which is not read; unpack it first"
    return None


def is_lines(start: bytes) -> bool:
    """Whether a file that begins so has JSON on its first line, or a line that is longer."""
    line, ended, _ = start.lstrip().partition(b"\n")
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        # perhaps one long line, of which this is the start
        return not ended and len(start) >= START - len(BOM)
    return True
