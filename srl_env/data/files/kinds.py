"""What kind of file a file is, by its suffix and its beginning."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from srl_env.errors import BadData

FileKind = Literal["JSON lines", "JSON", "CSV", "XLSX", "Parquet", "Arrow"]

BOM = b"\xef\xbb\xbf"
_START = 1 << 16
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_BINARY: dict[str, FileKind] = {".xlsx": "XLSX", ".parquet": "Parquet", ".arrow": "Arrow"}
_LIST = re.compile(rb"\[\s*\{")
# {"version": 1, "data": [{, but not our own rows or a trajectory, whose lists are parts of one row
LIST_UNDER_KEY = re.compile(
    r"""\s*\{(?:\s*"[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-\d.eE+]+|true|false|null)\s*,)*+
        \s*"(?!steps"|trajector|messages"|history")[^"\\]*"\s*:\s*(?=\[\s*\{)""",
    re.VERBOSE,
)


def kind_of_file(path: Path) -> FileKind:
    """The kind of a file. Raises ``BadData`` for one that cannot be opened or is compressed."""
    suffix = path.suffix.lower()
    if suffix in _BINARY:
        return _BINARY[suffix]
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}; expected a file of data") from error
    packed = next((name for magic, name in _PACKED.items() if start.startswith(magic)), None)
    if packed is not None:
        raise BadData(f"{path} must not be compressed; got {packed}. Fix: unpack it first")
    start = start.removeprefix(BOM).lstrip()
    if suffix in (".csv", ".tsv") and not start.startswith(b"{"):
        return "CSV"
    if suffix == ".traj" or _LIST.match(start):
        return "JSON"
    return "JSON" if suffix == ".json" and start and _is_document(start) else "JSON lines"


def _is_document(start: bytes) -> bool:
    """Whether JSON that begins like this is one list or object, and not one object per line."""
    if start[:1] == b"[" or LIST_UNDER_KEY.match(start.decode("utf-8", "replace")):
        return True
    line, ended, _ = start.partition(b"\n")
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return bool(ended) or len(start) < _START // 2  # else possibly one long line
    return False
