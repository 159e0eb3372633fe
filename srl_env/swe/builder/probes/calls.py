"""Which functions of the workspace a test runs, and with which arguments public ones are called."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any

from .literals import NotLiteral, Writer

MAX_CALLS = 30
_VARARGS, _VARKEYWORDS, _GENERATOR = 0x04, 0x08, 0x20 | 0x80 | 0x200


class Recorder:
    """A profile function.

    functions: per test, the functions it ran, as "path:first line".
    calls: of public functions with arguments that can be written down: what to import, the
    expression, and the name of the type that came back.
    """

    def __init__(self, workspace: str, *, calls: bool) -> None:
        self.functions: dict[str, list[str]] = {}
        self.calls: list[dict[str, str]] = []
        self._root = workspace + "/"
        self._record = calls
        self._names: dict[CodeType, str] = {}
        self._ran: dict[str, None] = {}
        self._count: dict[str, int] = {}
        self._seen: set[str] = set()
        self._open: dict[int, dict[str, str]] = {}
        self._made: dict[int, tuple[Any, str, frozenset[str]]] = {}

    def begin(self, test: str) -> None:
        """From here on it is this test that runs."""
        self._ran = {}
        self.functions[test] = []
        self._test = test
        sys.setprofile(self._event)

    def end(self) -> None:
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
            if self._record:
                self._called(frame, bool(name))
        elif event == "return" and id(frame) in self._open:
            self._returned(self._open.pop(id(frame)), code, value)

    def _name(self, code: CodeType) -> str:
        path = code.co_filename
        if not path.startswith(self._root) or code.co_name in ("<module>", "<genexpr>"):
            return ""
        return f"{path[len(self._root) :]}:{code.co_firstlineno}"

    def _called(self, frame: FrameType, ours: bool) -> None:
        code = frame.f_code
        if (
            code.co_name == "__init__"
            and code.co_argcount
            and code.co_varnames[0] in frame.f_locals
        ):
            self._constructed(frame)
        elif ours and not code.co_name.startswith("_") and "<" not in code.co_qualname:
            module = sys.modules.get(frame.f_globals.get("__name__", ""))
            if module is None or "test" in module.__name__:
                return
            if self._count.get(code.co_qualname, 0) >= MAX_CALLS:
                return
            sys.setprofile(None)  # what writing down calls is not the test's doing
            try:
                call = self._written(frame, module)
            except Exception:  # noqa: BLE001  whatever the workspace's own code raises
                call = None
            finally:
                sys.setprofile(self._event)
            if call and call["expression"] not in self._seen:
                self._seen.add(call["expression"])
                self._count[code.co_qualname] = self._count.get(code.co_qualname, 0) + 1
                self._open[id(frame)] = call

    def _returned(self, call: dict[str, str], code: CodeType, value: Any) -> None:
        kind = "generator" if code.co_flags & _GENERATOR else type(value).__name__
        if hasattr(type(value), "__next__"):
            kind = "generator"
        own = type(value).__module__ != "builtins" and "__repr__" in _attributes(type(value))
        self.calls.append({**call, "kind": kind, "shown": "yes" if own else ""})

    def _constructed(self, frame: FrameType) -> None:
        made = frame.f_locals[frame.f_code.co_varnames[0]]
        kind = type(made)
        module = sys.modules.get(kind.__module__)
        if module is None or not str(getattr(module, "__file__", "")).startswith(self._root):
            return
        if "<" in kind.__qualname__ or id(made) in self._made:
            return
        try:
            writer = Writer(self._made)
            text = _arguments(frame, kind.__init__, writer, skip=1)
        except (NotLiteral, KeyError):
            return
        home = _home(module, kind.__qualname__, kind)
        if home:
            needed = f"from {home} import {kind.__qualname__.partition('.')[0]}"
            imports = frozenset({*writer.imports, needed})
            # The object is held, so that nothing else gets its id while this test runs.
            self._made[id(made)] = (made, f"{kind.__qualname__}({text})", imports)

    def _written(self, frame: FrameType, module: Any) -> dict[str, str] | None:
        code, writer = frame.f_code, Writer(self._made)
        names = _argument_names(code)
        if code.co_flags & _GENERATOR and set(frame.f_locals) != set(names):
            return None  # it goes on after a yield
        owner, _, name = code.co_qualname.rpartition(".")
        if not owner:
            function = getattr(module, name, None)
            home = _home(module, name, function)
            if function is None or home is None:
                return None
            text = f"{name}({_arguments(frame, function, writer, skip=0)})"
            imports = {*writer.imports, f"from {home} import {name}"}
            return {"setup": "\n".join(sorted(imports)), "expression": text, "of": name}
        made = self._made.get(id(frame.f_locals.get(names[0]))) if names else None
        if made is None:
            return None
        function = getattr(type(made[0]), name, None)
        if function is None or isinstance(getattr(type(made[0]), name), property):
            text = ""
        else:
            text = f"({_arguments(frame, function, writer, skip=1)})"
        imports = {*writer.imports, *made[2]}
        expression = f"{made[1]}.{name}{text}"
        of = f"{type(made[0]).__qualname__}.{name}"
        return {"setup": "\n".join(sorted(imports)), "expression": expression, "of": of}


def _attributes(kind: type) -> set[str]:
    """What a type defines beyond what every object has."""
    return {name for base in kind.__mro__[:-1] for name in vars(base)}


def _argument_names(code: CodeType) -> list[str]:
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & _VARARGS) + bool(code.co_flags & _VARKEYWORDS)
    return list(code.co_varnames[:count])


def _arguments(frame: FrameType, function: Any, writer: Writer, skip: int) -> str:
    """The arguments of a call as source text, without those that are the defaults.

    Raises NotLiteral, KeyError.
    """
    code, values = frame.f_code, frame.f_locals
    function = getattr(function, "__wrapped__", function)
    plain = code.co_varnames[: code.co_argcount]
    defaults = getattr(function, "__defaults__", None) or ()
    default_of = dict(zip(plain[len(plain) - len(defaults) :], defaults, strict=True))
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    at = code.co_argcount + code.co_kwonlyargcount
    extra: tuple[Any, ...] = ()
    if code.co_flags & _VARARGS:
        extra = values[code.co_varnames[at]]
        at += 1
    parts, skipped = [], False
    for number, name in enumerate(plain):
        if number < skip:
            continue
        if not extra and name in default_of and _same(values[name], default_of[name]):
            skipped = True
            continue
        named = skipped and number >= code.co_posonlyargcount
        parts.append((f"{name}=" if named else "") + writer.write(values[name]))
    parts += [writer.write(value) for value in extra]
    keyword_defaults = getattr(function, "__kwdefaults__", None) or {}
    for name in keywords:
        if name not in keyword_defaults or not _same(values[name], keyword_defaults[name]):
            parts.append(f"{name}={writer.write(values[name])}")
    if code.co_flags & _VARKEYWORDS:
        for name, value in values[code.co_varnames[at]].items():
            parts.append(f"{name}={writer.write(value)}")
    return ", ".join(parts)


def _same(value: Any, default: Any) -> bool:
    return value is default or (
        type(value) is type(default)
        and isinstance(value, bool | int | float | str | bytes)
        and bool(value == default)
    )


def _home(module: Any, qualname: str, value: Any) -> str | None:
    """The shortest public module that a top-level name can be imported from."""
    name = qualname.partition(".")[0]
    if "." in qualname:
        value = getattr(module, name, None)
    parts = module.__name__.split(".")
    for length in range(1, len(parts) + 1):
        place = ".".join(parts[:length])
        if getattr(sys.modules.get(place), name, None) is value and value is not None:
            return place
    return None
