"""The ``.git`` folder of a workspace: one commit of all its files, the same on every machine.

It is written here, byte by byte, so git need not be installed and nothing of this machine or its
user gets in: author and date are fixed, and there are no hooks, remotes or reflogs. git runs only
inside sandboxes. What a policy makes of the folder is never read.

Formats: gitformat-pack(5), gitformat-index(5).
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

GIT_FOLDER: Final = ".git"
COMMITTED_S: Final = 946_684_800
"""When the commit was made, and every file last changed: 2000-01-01, in seconds since 1970."""

_PERSON: Final = "Developer <developer@example.com>"
_CONFIG: Final = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tcheckStat = minimal
[user]
\tname = Developer
\temail = developer@example.com
[gc]
\tauto = 0
"""
# Files are what the commit has, whatever the repository's own .gitattributes says.
_ATTRIBUTES: Final = "* -text -ident -filter !eol !working-tree-encoding\n"
_COMMIT, _TREE, _BLOB = b"commit", b"tree", b"blob"
_TYPES: Final = {_COMMIT: 1, _TREE: 2, _BLOB: 3}

_Tree = dict[bytes, "_Tree | tuple[bytes, bytes]"]


def add_git_folder(folder: Path) -> None:
    """Makes a folder's files the one commit of a git repository. Raises OSError.

    The files get one time of change, so that times do not say which file was edited last.
    """
    objects: dict[bytes, tuple[bytes, bytes]] = {}
    entries, tree = dict[bytes, tuple[bytes, bytes, int]](), _Tree()
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        mode = b"100755" if os.access(path, os.X_OK) else b"100644"
        content = path.read_bytes()
        name, digest = os.fsencode(path.relative_to(folder)), _added(objects, _BLOB, content)
        entries[name] = mode, digest, len(content)
        *above, last = name.split(b"/")
        inner = tree
        for part in above:
            inner = inner.setdefault(part, {})  # type: ignore[assignment]
        inner[last] = mode, digest
    stamp = f"{_PERSON} {COMMITTED_S} +0000"
    text = f"tree {_add_tree(objects, tree).hex()}\nauthor {stamp}\ncommitter {stamp}\n\nInitial\n"
    commit = _added(objects, _COMMIT, text.encode())
    pack, index = _packed(objects)
    pack_name = f"objects/pack/pack-{pack[-20:].hex()}"
    _write(
        folder / GIT_FOLDER,
        {
            "HEAD": b"ref: refs/heads/main\n",
            "config": _CONFIG.encode(),
            "info/attributes": _ATTRIBUTES.encode(),
            "refs/heads/main": commit.hex().encode() + b"\n",
            f"{pack_name}.pack": pack,
            f"{pack_name}.idx": index,
            "index": _index(entries),
        },
    )
    for path in (*folder.rglob("*"), folder):
        if path != folder / GIT_FOLDER / "index":  # newer than the files, so they are as it says
            os.utime(path, (COMMITTED_S, COMMITTED_S))


def _added(objects: dict[bytes, tuple[bytes, bytes]], kind: bytes, content: bytes) -> bytes:
    """Adds an object; returns its SHA-1, as git computes it."""
    digest = hashlib.sha1(b"%s %d\0%s" % (kind, len(content), content), usedforsecurity=False)
    objects[digest.digest()] = kind, content
    return digest.digest()


def _add_tree(objects: dict[bytes, tuple[bytes, bytes]], tree: _Tree) -> bytes:
    """Adds a folder and those below it; returns its SHA-1."""
    lines = []
    for name, item in tree.items():
        if isinstance(item, dict):
            lines.append((name + b"/", b"40000 %s\0%s" % (name, _add_tree(objects, item))))
        else:
            lines.append((name, b"%s %s\0%s" % (item[0], name, item[1])))
    return _added(objects, _TREE, b"".join(line for _, line in sorted(lines)))


def _packed(objects: Mapping[bytes, tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The objects as a pack of version 2, and its index of version 2."""
    pack, places = bytearray(struct.pack(">4sII", b"PACK", 2, len(objects))), {}
    for digest, (kind, content) in objects.items():
        part = bytes(_size(_TYPES[kind], len(content))) + zlib.compress(content)
        places[digest] = zlib.crc32(part), len(pack)
        pack += part
    pack += _sha1(pack)
    names = sorted(places)
    counts = (sum(name[0] <= first for name in names) for first in range(256))
    index = b"\xfftOc" + struct.pack(">257I", 2, *counts) + b"".join(names)
    for column in (0, 1):
        index += struct.pack(f">{len(names)}I", *(places[name][column] for name in names))
    index += pack[-20:]
    return bytes(pack), index + _sha1(index)


def _size(kind: int, size: int) -> Iterator[int]:
    """The type and the size of a packed object: four bits, then seven a byte."""
    byte, size = kind << 4 | size & 15, size >> 4
    while size:
        yield byte | 128
        byte, size = size & 127, size >> 7
    yield byte


def _index(entries: Mapping[bytes, tuple[bytes, bytes, int]]) -> bytes:
    """The index of version 2: path → mode, SHA-1, size. With checkStat minimal, the rest is 0."""
    found = bytearray(struct.pack(">4sII", b"DIRC", 2, len(entries)))
    for name, (mode, digest, size) in sorted(entries.items()):
        times = 0, 0, COMMITTED_S, 0
        entry = struct.pack(">10I", *times, 0, 0, int(mode, 8), 0, 0, size & 0xFFFFFFFF)
        entry += digest + struct.pack(">H", min(len(name), 0xFFF)) + name
        found += entry + bytes(8 - len(entry) % 8)
    return bytes(found + _sha1(found))


def _sha1(content: bytes | bytearray) -> bytes:
    return hashlib.sha1(content, usedforsecurity=False).digest()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
