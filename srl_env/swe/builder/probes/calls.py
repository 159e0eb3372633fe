"""Which functions of the workspace a test runs, and with which arguments public ones are called."""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from types import CodeType, FrameType
from typing import Any

from .literals import NotLiteral, Writer

MAX_CALLS = 30
_GENERATOR = 0x20 | 0x80 | 0x200


class Recorder:
    """A profile function.

    functions: per test, the functions it ran, as "path:first line".
    calls: of public functions, with arguments that can be written as source text: what to import
    ("setup"), the "expression", the name of the function ("of"), and the type of the result.
    """

    def __init__(self, workspace: str) -> None:
        self.functions: dict[str, list[str]] = {}
        self.calls: list[dict[str, str]] = []
        self._root = workspace + "/"
        self._names: dict[CodeType, str] = {}
        self._ran: dict[str, None] = {}
        self._count: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._open: dict[int, dict[str, str]] = {}
        self._made: dict[int, tuple[Any, str, frozenset[str]]] = {}

    def begin(self, test: str) -> None:
        """A test starts."""
        self._test, self._ran = test, {}
        sys.setprofile(self._event)

    def end(self) -> None:
        """The test has ended."""
        sys.setprofile(None)
        self.functions[self._test] = list(self._ran)
        self._open.clear()
        self._made.clear()

    def _event(self, frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if event == "call":
            name = self._names.get(code)
            if name is None:
                name = self._names[code] = self._name(code)
            if name:
                self._ran[name] = None
            if code.co_name == "__init__":
                self._constructed(frame)
            elif name and not code.co_name.startswith("_") and "<" not in code.co_qualname:
                self._called(frame)
        elif event == "return" and id(frame) in self._open:
            self._returned(self._open.pop(id(frame)), code, value)

    def _name(self, code: CodeType) -> str:
        path = code.co_filename
        if not path.startswith(self._root) or code.co_name in ("<module>", "<genexpr>"):
            return ""
        return f"{path[len(self._root) :]}:{code.co_firstlineno}"

    def _called(self, frame: FrameType) -> None:
        name = frame.f_code.co_qualname
        if self._count[name] >= MAX_CALLS:
            return
        try:
            call = self._written(frame)
        except Exception:  # noqa: BLE001  anything that the workspace's code raises
            return
        if call["expression"] not in self._seen:
            self._seen.add(call["expression"])
            self._count[name] += 1
            self._open[id(frame)] = call

    def _returned(self, call: dict[str, str], code: CodeType, value: Any) -> None:
        kind = type(value)
        generator = code.co_flags & _GENERATOR or hasattr(kind, "__next__")
        own = kind.__module__ != "builtins" and "__repr__" in _attributes(kind)
        name = "generator" if generator else kind.__name__
        self.calls.append({**call, "kind": name, "shown": "yes" if own else ""})

    def _constructed(self, frame: FrameType) -> None:
        """Notes how an object of the workspace's types is made."""
        try:
            made = frame.f_locals[frame.f_code.co_varnames[0]]
            kind = type(made)
            module = sys.modules[kind.__module__]
            ours = str(getattr(module, "__file__", "")).startswith(self._root)
            if not ours or "<" in kind.__qualname__ or id(made) in self._made:
                return
            writer = Writer(self._made)
            text = f"{kind.__qualname__}({_arguments(frame, kind.__init__, writer, skip=1)})"
            needed = _import(module, kind.__qualname__.partition(".")[0])
        except Exception:  # noqa: BLE001  anything that the workspace's code raises
            return
        # The object is held, so that nothing else gets its id while this test runs.
        self._made[id(made)] = (made, text, frozenset({*writer.imports, needed}))

    def _written(self, frame: FrameType) -> dict[str, str]:
        """The call as source text. Raises NotLiteral, KeyError and others where it has none."""
        code, writer = frame.f_code, Writer(self._made)
        module = sys.modules[frame.f_globals["__name__"]]
        given = inspect.getargs(code)
        names = [name for name in (*given.args, given.varargs, given.varkw) if name]
        resumed = code.co_flags & _GENERATOR and set(frame.f_locals) != set(names)
        if resumed or "test" in module.__name__:
            raise NotLiteral("not a call of the library")
        owner, _, name = code.co_qualname.rpartition(".")
        if owner:
            made, text, imports = self._made[id(frame.f_locals[names[0]])]
            function = getattr(type(made), name, None)
            text, owner = f"{text}.{name}", f"{type(made).__qualname__}."
        else:
            function, text = getattr(module, name), name
            imports = frozenset({_import(module, name)})
        if callable(function):  # not a property
            text += f"({_arguments(frame, function, writer, skip=1 if owner else 0)})"
        setup = "\n".join(sorted({*writer.imports, *imports}))
        return {"setup": setup, "expression": text, "of": f"{owner}{name}"}


def _attributes(kind: type) -> set[str]:
    """What a type defines beyond what every object has."""
    return {name for base in kind.__mro__[:-1] for name in vars(base)}


def _arguments(frame: FrameType, function: Any, writer: Writer, skip: int) -> str:
    """The arguments of a call as source text, without those that are the defaults.

    Raises NotLiteral, and KeyError for a function that is not the frame's.
    """
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    values = frame.f_locals
    extra = any(p.kind is p.VAR_POSITIONAL and values[p.name] for p in parameters)
    parts, skipped = list[str](), False
    for parameter in parameters:
        name, value, kind = parameter.name, values[parameter.name], parameter.kind
        if kind is parameter.VAR_POSITIONAL:
            parts += map(writer.write, value)
        elif kind is parameter.VAR_KEYWORD:
            parts += [f"{key}={writer.write(item)}" for key, item in value.items()]
        elif _same(value, parameter.default) and (kind is parameter.KEYWORD_ONLY or not extra):
            skipped = True
        else:
            keyword = kind is parameter.KEYWORD_ONLY
            keyword |= skipped and kind is not parameter.POSITIONAL_ONLY
            parts.append((f"{name}=" if keyword else "") + writer.write(value))
    return ", ".join(parts)


def _same(value: Any, default: Any) -> bool:
    return value is default or (
        type(value) is type(default)
        and isinstance(value, bool | int | float | str | bytes)
        and bool(value == default)
    )


def _import(module: Any, name: str) -> str:
    """The import of a name from the shortest public module that has it; raises NotLiteral."""
    value = getattr(module, name, None)
    parts = module.__name__.split(".")
    for length in range(1, len(parts) + 1):
        place = ".".join(parts[:length])
        if value is not None and getattr(sys.modules.get(place), name, None) is value:
            return f"from {place} import {name}"
    raise NotLiteral(f"{name} cannot be imported")
