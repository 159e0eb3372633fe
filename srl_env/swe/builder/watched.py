"""What an expression gives where it stands, and what the correct one would give there.

An expert that has read a function checks a suspicion: it runs the example again, and prints both
expressions with the values of the moment.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Final

from srl_env.swe.builder.source import Function, FunctionNode, Source

_LONGEST: Final = 80
_BUILTINS: Final = (
    "abs all any bool bytes dict divmod enumerate float frozenset getattr hasattr int"
    " isinstance issubclass len list max min ord range repr reversed round set sorted str sum"
    " tuple type zip"
)
_METHODS: Final = (
    "casefold copy count endswith find get index isalnum isalpha isdigit islower"
    " isspace isupper items join keys ljust lower lstrip partition replace rfind rjust rpartition"
    " rsplit rstrip split splitlines startswith strip title upper values zfill"
)
_HAS_EFFECT: Final = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.Lambda)
_SCOPES: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
_TELLING: Final = (
    ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Call, ast.Subscript, ast.IfExp,
)  # fmt: skip
_WATCH: Final = """\
import sys

def watch(frame, event, _):
    if frame.f_code.co_filename.endswith({path!r}):
        if event == "line" and frame.f_lineno == {line}:
            names = {{**frame.f_globals, **frame.f_locals}}
            for text in ({old!r}, {new!r}):
                print(text, "->", f"{{eval(text, names)!r:.80}}", file=sys.stderr)
        return watch

"""


@dataclass(frozen=True, slots=True)
class Watched:
    """An expression on a line of a file, and the one that must be there."""

    path: str
    line: int
    old: str
    new: str

    def script(self, script: str) -> str:
        """A script that prints both expressions whenever the line runs."""
        after = 0
        for node in ast.parse(script).body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                break
            after = node.end_lineno or node.lineno
        head = _WATCH.format(path=self.path, line=self.line, old=self.old, new=self.new)
        lines = script.splitlines()
        return head + "\n".join([*lines[:after], "sys.settrace(watch)", *lines[after:]])

    def values(self, observed: str) -> tuple[str, str] | None:
        """The first two values that differ, as the script printed them."""
        printed = self._printed(self.old, observed), self._printed(self.new, observed)
        found = zip(*printed, strict=False)
        return next(((old, new) for old, new in found if old != new), None)

    def _printed(self, text: str, observed: str) -> list[str]:
        return re.findall(rf"^{re.escape(text)} -> (.*)$", observed, re.M)


def watched(before: Source, after: Source, function: Function) -> Watched | None:
    """The one expression in which a function differs, if it can be evaluated without effects."""
    other = next((f for f in after.functions if f.name == function.name), None)
    if other is None:
        return None
    found = _difference(function.node, other.node)
    if found is None:
        return None
    line, old, new = found
    texts = ast.unparse(old), ast.unparse(new)
    if any(len(text) > _LONGEST for text in texts) or not all(map(_is_pure, (old, new))):
        return None
    return Watched(before.path, line, *texts)


def _difference(one: ast.AST, other: ast.AST) -> tuple[int, ast.expr, ast.expr] | None:
    """(line of its statement, expression, expression): the smallest that is telling."""
    if type(one) is not type(other):
        return None
    pairs = [pair for pair in _children(one, other) if ast.dump(pair[0]) != ast.dump(pair[1])]
    if len(pairs) != 1 or len(list(ast.iter_child_nodes(one))) != len(
        list(ast.iter_child_nodes(other))
    ):
        return None
    left, right = pairs[0]
    if isinstance(left, ast.stmt | ast.ExceptHandler | ast.match_case):
        return _difference(left, right)
    if not isinstance(one, ast.stmt) or isinstance(one, FunctionNode | ast.ClassDef):
        return None
    if not isinstance(left, ast.expr) or not isinstance(right, ast.expr):
        return None
    return (one.lineno, *_smallest(left, right))


def _smallest(left: ast.expr, right: ast.expr) -> tuple[ast.expr, ast.expr]:
    """The smallest differing expressions that are more than a name or a constant."""
    if type(left) is type(right) and not isinstance(left, _SCOPES):
        pairs = [p for p in _children(left, right) if ast.dump(p[0]) != ast.dump(p[1])]
        if len(pairs) == 1:
            one, other = pairs[0]
            if isinstance(one, _TELLING) and isinstance(other, ast.expr):
                return _smallest(one, other)
    return left, right


def _children(one: ast.AST, other: ast.AST) -> list[tuple[ast.AST, ast.AST]]:
    return list(zip(ast.iter_child_nodes(one), ast.iter_child_nodes(other), strict=False))


def _is_pure(node: ast.expr) -> bool:
    """Whether evaluating an expression once more changes nothing, as far as its text shows."""
    for part in ast.walk(node):
        if isinstance(part, _HAS_EFFECT):
            return False
        if isinstance(part, ast.Call):
            name = part.func
            if not (isinstance(name, ast.Name) and name.id in _BUILTINS.split()) and not (
                isinstance(name, ast.Attribute) and name.attr in _METHODS.split()
            ):
                return False
    return True
