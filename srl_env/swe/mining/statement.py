"""The statement of a mined task: what the commit or its issue says, and what was run.

Nothing in it may contain a line of the patch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from srl_env.errors import BadData
from srl_env.swe.builder.reproduction import Reproduction

MIN_WORDS: Final = 3
_TRAILER: Final = re.compile(r"^(?:[A-Z][A-Za-z-]+-by|Change-Id|Cc|See-also|PiperOrigin[\w-]*): ")
_NUMBER: Final = re.compile(r"#(\d+)\b")
_REFERENCE: Final = re.compile(
    r"\s*\(?(?:\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?|refs?|see)\b)?[:\s]*(?:\bgh-|#)\d+\b\)?",
    re.IGNORECASE,
)
_DANGLING: Final = re.compile(
    r",?(?: as)?(?: (?:discussed|described|mentioned|reported|requested|suggested|proposed))?"
    r" (?:in|by|per|from|via|of|see|at|on)$",
    re.IGNORECASE,
)
# What a message says about tests, documents and servers is no part of the fault.
_CHORE: Final = re.compile(
    r"\btest_\w|\btest (?:case|suite)s?\b|\bunit ?tests?\b|changelog|\.(?:rst|md)\b|travis|\bCI\b"
    r"|^\W*(?:thx|thanks|thank you)\b"
    r"|^\W*(?:add|update|adapt|rewrite|fix)\b.*\b(?:tests?|docs?|documentation|docstrings?)\b",
    re.IGNORECASE,
)
_KIND: Final = re.compile(r"\A(?:feat|fix|perf|refactor|chore|revert)(?:\([^)\n]*\))?!?:\s*")
_CUT: Final = re.compile(r"…[^\w\n]*(?:#\d+\W*)?\n\s*…")  # a long title goes on in the text
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
_ASKED: Final = "The change that is asked for, in its author's words:"
_SHORTEST_LEAK: Final = 8  # characters of a patch's line, without blanks

Issues = Mapping[str, str]
"""{number: the issue's title and text}."""


def read_issues(path: Path) -> Issues:
    """Issues from a JSON file: a list or lines of objects with number, title and body.

    Raises BadData, with the file, for anything else.
    """
    try:
        text = path.read_text("utf-8")
        rows = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else map(json.loads, text.splitlines())
        )
        return {
            str(row["number"]): f"{row['title']}\n\n{row.get('body') or ''}".strip() for row in rows
        }
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(
            f"{path}: issues must be JSON objects with number, title and body; got {error!r}"
        ) from None


def described(message: str, issues: Issues, added: Sequence[str]) -> str:
    """What the issue that a commit names says, else its message.

    Left out: lines of the patch, references, and what is said about tests and documents. What a
    message says after its title is quoted.
    added: the lines that the patch adds. "" where fewer than three words are left.
    """
    number = next((n for n in _NUMBER.findall(message) if n in issues), None)
    text = issues[number] if number else _without_trailers(_without_kind(message))
    text = _CUT.sub("", text, count=1)
    secret = {squeezed for line in added if len(squeezed := _squeezed(line)) >= _SHORTEST_LEAK}
    kept = [
        _without_references(line)
        for line in _without_fences(text, secret).splitlines()
        if not _CHORE.search(line) and not any(part in _squeezed(line) for part in secret)
    ]
    clean = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    if len(re.findall(r"[A-Za-z]{2,}", clean)) < MIN_WORDS:
        return ""
    return clean if number else _quoted_body(clean)


def write_statement(told: str, shown: Sequence[Reproduction], code: str, failure: str) -> str:
    """The statement from its parts, each of them empty where there is none.

    told: as ``described`` returns it. shown: scripts with their two results. Used where no script
    shows the fault: code, what a test does until it fails; failure, what it reported.
    """
    parts = [told] if told else []
    if shown and shown[0].subject and not told:
        parts.append(f"`{shown[0].subject}` does not do what it should")
    for number, one in enumerate(shown):
        head = "Another example" if number else "To reproduce"
        parts.append(f"{head}:\n\n```python\n{one.script.strip()}\n```")
        parts.append(f"Actual result:\n\n```\n{one.actual.text or '(nothing)'}\n```")
        parts.append(f"Expected result:\n\n```\n{one.expected.text or '(nothing)'}\n```")
    if failure and not shown:
        if code:
            parts.append(f"A check of this behaviour fails:\n\n```python\n{code}\n```")
        said = "It ends with" if code else "A check of this behaviour fails"
        parts.append(f"{said}:\n\n```\n{_ADDRESS.sub('', failure)}\n```")
    return "\n\n".join(parts) + "\n"


def _quoted_body(message: str) -> str:
    """A message whose paragraphs after the title are a quotation: they speak of the code after."""
    title, _, body = message.partition("\n\n")
    if not body:
        return message
    quoted = "\n".join(f"> {line}".rstrip() for line in body.splitlines())
    return f"{title}\n\n{_ASKED}\n\n{quoted}"


def _without_kind(message: str) -> str:
    """A message without a first word such as "fix:"."""
    text = _KIND.sub("", message)
    return message if text == message else text[:1].upper() + text[1:]


def _without_references(line: str) -> str:
    shorter = _REFERENCE.sub("", line).rstrip()
    if shorter != line.rstrip():
        shorter = re.sub(r"(?<=[.!?])[\s.]+$", "", _DANGLING.sub("", shorter))
    return line if shorter == line else re.sub(r"^[\s:;,.-]+(?=\w)", "", shorter)


def _without_trailers(message: str) -> str:
    return "\n".join(line for line in message.splitlines() if not _TRAILER.match(line))


def _without_fences(text: str, secret: set[str]) -> str:
    """The text without fenced blocks that hold a line of the patch or a diff."""

    def kept(match: re.Match[str]) -> str:
        block = match[0]
        leaks = any(part in _squeezed(line) for line in block.splitlines() for part in secret)
        return "" if leaks or re.search(r"^(?:diff --git|@@ |\+\+\+ )", block, re.M) else block

    return re.sub(r"^```.*?^```[ \t]*$", kept, text, flags=re.M | re.S)


def _squeezed(line: str) -> str:
    return re.sub(r"\s+", "", line)
