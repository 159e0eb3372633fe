"""A bug as a model writes it: blocks that replace text, the exceptions of the tests, an example.

    shop/prices.py
    <<<<<<< SEARCH
        return sum(prices) * (1 - discount)
    =======
        return sum(prices) * (1 + discount)
    >>>>>>> REPLACE

    FAILS WITH: AssertionError

    ```python
    from shop.prices import total

    print(total([10, 20], 0.5))
    ```

Nothing of it is trusted. What can be said without running it is checked here.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from srl_env.errors import BadData
from srl_env.swe.builder.mutation import Mutation, Part
from srl_env.swe.builder.source import Edit, Source

MAX_BLOCKS: Final = 6
MAX_CHANGED_LINES: Final = 40
MAX_EXAMPLE: Final = 1_000
_MAX_CHARACTERS: Final = 30_000
_BLOCK: Final = re.compile(
    r"^(?P<path>[^\n]+)\n(?:```[^\n]*\n)?<{7} SEARCH[ ]*\n(?P<old>.*?)^={7}[ ]*\n(?P<new>.*?)"
    r"^>{7} REPLACE[ ]*$",
    re.DOTALL | re.MULTILINE,
)
_FAILS: Final = re.compile(r"^FAILS WITH: *(\w+(?: *, *\w+)*)\.? *$", re.MULTILINE)
_EXAMPLE: Final = re.compile(r"^```(?:python|py)\n((?:(?!^```|^<{7} ).*\n)*?)```", re.MULTILINE)
_CRASHES: Final = frozenset(
    {"SyntaxError", "IndentationError", "NameError", "UnboundLocalError", "ImportError"}
    | {"ModuleNotFoundError", "SystemExit", "KeyboardInterrupt", "MemoryError"}
)
_TELLING: Final = re.compile(
    r"(?<![a-z])(?:bug|fault|inject|mutat|sabotag|broken|wrong|fixme|todo)", re.IGNORECASE
)
_PRIVATE: Final = re.compile(r"(?<![\w\"'])_(?!_)\w")
_NO_FAULT: Final = frozenset(
    {"__import__", "breakpoint", "compile", "eval", "exec", "exit", "globals", "input", "open"}
    | {"quit", "random", "sys", "os", "time", "subprocess"}
)


class Unusable(Exception):
    """An answer is no bug that can be tried; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Block:
    """A text of a file, and what replaces it."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote. fails_with: names of the exceptions with which tests must fail."""

    blocks: tuple[Block, ...]
    fails_with: tuple[str, ...]
    example: str


def read_answer(text: str) -> Answer:
    """The parts of an answer; a thought before them is skipped. Raises Unusable."""
    text = text.rpartition("</think>")[2]
    if len(text) > _MAX_CHARACTERS:
        raise Unusable("the answer is too long")
    text = text.replace("\r\n", "\n") + "\n"
    if text.count("<<<<<<< SEARCH") > MAX_BLOCKS:  # before they are looked for, which takes time
        raise Unusable("the answer has too many blocks")
    blocks = [Block(_path(m["path"]), m["old"], m["new"]) for m in _BLOCK.finditer(text)]
    if not blocks or text.count("<<<<<<< SEARCH") != len(blocks):
        raise Unusable("the answer has no blocks in the format")
    fails = _FAILS.findall(text)
    if len(fails) != 1:
        raise Unusable("the answer does not say with what tests fail")
    names = tuple(re.split(r" *, *", fails[0]))
    if not _CRASHES.isdisjoint(names):
        raise Unusable("the fault is a crash that nobody would commit")
    examples = _EXAMPLE.findall(_BLOCK.sub("", text))
    if not examples:
        raise Unusable("the answer has no example")
    return Answer(tuple(blocks), names, _checked_example(examples[-1]))


def _path(line: str) -> str:
    return line.strip().strip("`*").removeprefix("./")


def _checked_example(script: str) -> str:
    """The script without comments: it will be in the statement. Raises Unusable."""
    try:
        tree = ast.parse(script)
        script = _without_comments(script)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        raise Unusable("the example is invalid Python") from None
    nodes = list(ast.walk(tree))
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    if not any(isinstance(called, ast.Name) and called.id == "print" for called in calls):
        raise Unusable("the example prints nothing")
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    if len(script) > MAX_EXAMPLE or any("test" in ast.unparse(node) for node in imports):
        raise Unusable("the example is too long, or imports tests")
    if _PRIVATE.search(script) or _TELLING.search(script):
        raise Unusable("the example uses private names, or names itself a fault")
    return script


def _without_comments(script: str) -> str:
    lines = script.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(script).readline):
        if token.type == tokenize.COMMENT:
            (row, column), line = token.start, lines[token.start[0] - 1]
            lines[row - 1] = line[:column].rstrip()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"


def read_bug(kind: str, answer: Answer, sources: Mapping[str, Source], function: str) -> Mutation:
    """The bug that the blocks of an answer make.

    sources: of the project, by path. function: the id ("path:name") of the one that was asked for;
    the bug is attributed to it, if it is changed, else to the first. Raises Unusable.
    """
    texts = {path: source.text for path, source in sources.items()}
    for block in answer.blocks:
        if block.path not in texts:
            raise Unusable("a block names no source file of the project")
        end = sources[block.path].line_end
        old, new = (text.replace("\n", end) for text in (block.old, block.new))
        if not old.strip() or texts[block.path].count(old) != 1:
            raise Unusable("a block's text is not exactly once in its file")
        texts[block.path] = texts[block.path].replace(old, new)
    parts = [
        part
        for path in dict.fromkeys(block.path for block in answer.blocks)
        for part in _parts(sources[path], texts[path])
    ]
    if not parts:
        raise Unusable("the change is invalid Python, or changes nothing")
    parts.sort(key=lambda part: f"{part.path}:{part.function}" != function)
    first, *more = parts
    return Mutation(kind, first.path, first.function, first.edits, tuple(more))


def _parts(source: Source, text: str) -> list[Part]:
    """The changed functions of a file, each with its whole new text. Raises Unusable."""
    try:
        changed = Source(text, source.path)
        assert changed.digest
    except (BadData, RecursionError, MemoryError):
        raise Unusable("the change is invalid Python, or changes nothing") from None
    _check_added(source, changed)
    names = [function.name for function in source.functions]
    if names != [function.name for function in changed.functions] or len({*names}) < len(names):
        raise Unusable("the change adds, removes or renames functions")
    parts = []
    for old, new in zip(source.functions, changed.functions, strict=True):
        start, end = source.line_start(old.first), source.line_start(old.last + 1)
        begin, stop = changed.line_start(new.first), changed.line_start(new.last + 1)
        if source.data[start:end] != (written := changed.data[begin:stop]):
            parts.append(Part(source.path, old.name, (Edit(start, end, written.decode()),)))
    if source.edited(edit for part in parts for edit in part.edits) != text:
        raise Unusable("the change is not inside functions")
    return parts


def _check_added(source: Source, changed: Source) -> None:
    """Raises Unusable for a change that shows itself, is no fault, or is large."""
    before, after = (Counter(each.text.splitlines()) for each in (source, changed))
    added, removed = after - before, before - after
    if max(added.total(), removed.total()) > MAX_CHANGED_LINES:
        raise Unusable("the change is too large")
    if _comments(changed) - _comments(source):
        raise Unusable("the change adds or changes comments or docstrings")
    new_words = "\n".join(added)
    if any(word not in source.text for word in _TELLING.findall(new_words)):
        raise Unusable("the change names itself a fault")
    if (_names(changed) - _names(source)) & _NO_FAULT:
        raise Unusable("the change imports, or does what no fault does")


def _comments(source: Source) -> Counter[str]:
    """Comments and texts that are statements."""
    found = Counter[str]()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            found[token.string] += 1
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[repr(node.value.value)] += 1
    return found


def _names(source: Source) -> set[str]:
    """Names that are used or imported in functions; "__import__" for such an import."""
    found = set[str]()
    for node in (node for function in source.functions for node in ast.walk(function.node)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {"__import__", *(alias.name for alias in node.names)}
    return found
