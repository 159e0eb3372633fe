"""Named formulas that use one another."""

from __future__ import annotations

from collections.abc import Mapping

from formulate.errors import CycleError, EvaluationError, UnknownName
from formulate.evaluator import evaluate
from formulate.nodes import Node, Value, names_in
from formulate.parser import parse
from formulate.printer import to_text


class Sheet:
    """Cells with formulas; values are worked out when asked for and kept until they are stale."""

    def __init__(self, inputs: Mapping[str, Value] | None = None) -> None:
        self._inputs = dict(inputs or {})
        self._formulas: dict[str, Node] = {}
        self._values: dict[str, Value] = {}
        self.evaluations = 0

    def set(self, name: str, source: str) -> None:
        """Gives a cell a formula. Raises SyntaxFault; CycleError leaves the sheet as it was."""
        node = parse(source)
        before = self._formulas.get(name)
        self._formulas[name] = node
        try:
            self._check_cycle(name)
        except CycleError:
            self._restore(name, before)
            raise
        self._forget(name)

    def set_input(self, name: str, value: Value) -> None:
        """Gives an input another value."""
        self._inputs[name] = value
        self._forget(name)

    def remove(self, name: str) -> None:
        """Removes a cell. Raises UnknownName."""
        if name not in self._formulas:
            raise UnknownName("cell", name)
        self._forget(name)
        del self._formulas[name]

    def value(self, name: str) -> Value:
        """The value of a cell or an input. Raises UnknownName, EvaluationError."""
        if name not in self._formulas:
            if name in self._inputs:
                return self._inputs[name]
            raise UnknownName("cell", name)
        if name not in self._values:
            node = self._formulas[name]
            needed = {other: self.value(other) for other in names_in(node)}
            self._values[name] = evaluate(node, needed)
            self.evaluations += 1
        return self._values[name]

    def values(self) -> dict[str, Value | None]:
        """The values of all cells by name; None for those that have none."""
        found: dict[str, Value | None] = {}
        for name in self._formulas:
            try:
                found[name] = self.value(name)
            except EvaluationError:
                found[name] = None
        return found

    def text(self, name: str) -> str:
        """The formula of a cell. Raises UnknownName."""
        if name not in self._formulas:
            raise UnknownName("cell", name)
        return to_text(self._formulas[name])

    def dependents(self, name: str) -> list[str]:
        """The cells that change when this one does, directly or not, sorted."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            for other, node in self._formulas.items():
                if other not in found and current in names_in(node):
                    found.add(other)
                    waiting.append(other)
        return sorted(found)

    def order(self) -> list[str]:
        """All cells, each after those it needs, otherwise as they were set."""
        ordered: list[str] = []
        for name in self._formulas:
            self._visit(name, ordered)
        return ordered

    def _visit(self, name: str, ordered: list[str]) -> None:
        if name in ordered or name not in self._formulas:
            return
        for other in names_in(self._formulas[name]):
            self._visit(other, ordered)
        ordered.append(name)

    def _check_cycle(self, start: str) -> None:
        """Raises CycleError where a cell needs itself."""
        paths = [[start]]
        seen: set[str] = set()
        while paths:
            path = paths.pop()
            node = self._formulas.get(path[-1])
            for other in names_in(node) if node is not None else ():
                if other == start:
                    raise CycleError([*path, start])
                if other not in seen:
                    seen.add(other)
                    paths.append([*path, other])

    def _restore(self, name: str, before: Node | None) -> None:
        if before is None:
            del self._formulas[name]
        else:
            self._formulas[name] = before

    def _forget(self, name: str) -> None:
        for stale in [name, *self.dependents(name)]:
            self._values.pop(stale, None)
