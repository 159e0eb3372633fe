"""Faults that span functions and files, as an unfinished change leaves them behind.

- A changed contract: a function takes its parameters in another order, no longer tidies an
  argument, or has another default; its callers are adapted, and one is forgotten.
- A broken invariant: two methods of a class no longer keep an attribute up to date.
- A missing case: two functions no longer know a value that both handled.
- A shared rule (``shared_rules``): what several functions do alike is wrong in all of them.

A changed contract is one bug. The others are two or three, and the report shows each.

Calls are resolved by name: only names that the project defines once. Whether a fault makes a test
fail is not known here.
"""

from __future__ import annotations

import ast
import builtins
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from srl_env.seeding import stream
from srl_env.swe.builder.coherent.places import Bugs, Place, bug_at
from srl_env.swe.builder.coherent.shared_rules import shared_argument, shared_rule
from srl_env.swe.builder.kinds.operators import other_constants
from srl_env.swe.builder.mutation import Part
from srl_env.swe.builder.plan import Candidate, split_of
from srl_env.swe.builder.project import Project, Target
from srl_env.swe.builder.source import Edit, Function, FunctionNode, Source, sites

MAX_TRIES: Final = 100
_METHODS: Final = frozenset(
    name for kind in (str, list, dict, set, bytes, tuple, int, float) for name in dir(kind)
)
_KEEPS: Final = frozenset(
    {"append", "add", "discard", "remove", "pop", "clear", "update", "insert"}
)


def coherent_bugs(project: Project, seed: int) -> dict[str, list[Candidate]]:
    """Candidates of bugs in several places that belong together, by kind, at most MAX_TRIES each.

    Their split is that of the first function.
    """
    targets = {target.id: target for target in project.targets}
    kinds = {}
    for name, find in FINDERS.items():
        found = [_candidate(project, targets, bugs) for bugs in find(project.sources)]
        kept = [candidate for candidate in found if candidate is not None]
        order = stream("coherent", project.name, name, seed).permutation(len(kept))
        kinds[name] = [kept[number] for number in order[:MAX_TRIES]]
    return kinds


def _candidate(project: Project, targets: Mapping[str, Target], bugs: Bugs) -> Candidate | None:
    """The bugs at the functions where they show; None if no test runs one."""
    found = [targets.get(f"{bug.path}:{bug.function}") for bug in bugs]
    shown = tuple(target for target in found if target is not None)
    if len(shown) < len(bugs):
        return None
    candidate = Candidate(bugs, shown, split_of(project.name, shown[0].id))
    return candidate if len(candidate.changed) > 1 else None


# -- a changed contract --------------------------------------------------------------------


def _parameter_order(sources: Mapping[str, Source]) -> Iterator[Bugs]:
    """Two parameters change places; all calls are adapted but one."""
    for callee, calls in _called(sources):
        names = _plain_parameters(callee.function)
        for number, (one, other) in enumerate(itertools.pairwise(names)):
            swapped = [(c, _two_arguments(c, number)) for c in calls]
            if any(pair is None for _, pair in swapped):
                continue
            signature = _swap(callee, one, other)
            fixed = [_swap(call, *pair) for call, pair in swapped if pair is not None]
            yield from _all_but_one("parameter_order", signature, calls, fixed)


def _moved_step(sources: Mapping[str, Source]) -> Iterator[Bugs]:
    """What a function did to an argument first is done by its callers; by all but one."""
    for callee, calls in _called(sources):
        names = [node.arg for node in _plain_parameters(callee.function)]
        body = _without_docstring(callee.function.node.body)
        if len(body) < 2 or not isinstance(first := body[0], ast.Assign):
            continue
        (target, *more), value = first.targets, first.value
        if more or not isinstance(target, ast.Name) or target.id not in names:
            continue
        used = [node for node in ast.walk(value) if isinstance(node, ast.Name)]
        if any(node.id != target.id and not hasattr(builtins, node.id) for node in used):
            continue
        number = names.index(target.id)
        given = [_argument(call, number) for call in calls]
        if not all(given):
            continue
        template = callee.source.of(value)
        uses = [callee.source.span(node) for node in used if node.id == target.id]
        begin = callee.source.span(value)[0]
        fixed = [
            call.part(Edit(*call.source.span(node), _put(template, uses, begin, call, node)))
            for call, node in zip(calls, given, strict=True)
            if node is not None
        ]
        if removed := _line_removed(callee.source, first):
            yield from _all_but_one("moved_step", callee.part(removed), calls, fixed)


def _moved_default(sources: Mapping[str, Source]) -> Iterator[Bugs]:
    """A parameter has another default; calls that relied on it pass the old one, all but one."""
    for callee, calls in _called(sources):
        arguments = callee.function.node.args
        with_default = arguments.args[len(arguments.args) - len(arguments.defaults) :]
        for parameter, default in zip(with_default, arguments.defaults, strict=True):
            if not isinstance(default, ast.Constant):
                continue
            number = arguments.args.index(parameter) - _is_method(callee.function)
            relying = [call for call in calls if not _gives(call, number, parameter.arg)]
            old = callee.source.of(default)
            for text in itertools.islice(other_constants(default, old), 2):
                changed = callee.part(Edit(*callee.source.span(default), text))
                fixed = [_with_keyword(call, parameter.arg, old) for call in relying]
                yield from _all_but_one("moved_default", changed, relying, fixed)


def _all_but_one(
    kind: str, contract: Part, calls: Sequence[Place], fixed: Sequence[Part]
) -> Iterator[Bugs]:
    """One bug for each call that is forgotten."""
    if len(calls) < 2:
        return
    for number, forgotten in enumerate(calls):
        others = [part for place, part in enumerate(fixed) if place != number]
        bug = bug_at(kind, forgotten.part(), contract, *others)
        yield (replace(bug, completion=fixed[number]),)


def _called(sources: Mapping[str, Source]) -> Iterator[tuple[Place, list[Place]]]:
    """Functions whose name the project defines once, and all calls of each in functions."""
    defined: dict[str, list[Place]] = defaultdict(list)
    calls: dict[str, list[Place]] = defaultdict(list)
    mentioned = Counter[str]()
    for source in sources.values():
        for function in source.functions:
            defined[function.node.name].append(Place(source, function, function.node))
            for site in sites(source, function):
                if isinstance(site.node, ast.Call) and (name := _name(site.node.func)):
                    calls[name].append(Place(source, function, site.node))
        for node in ast.walk(source.tree):
            mentioned[_name(node)] += 1
    for name, places in defined.items():
        if len(places) != 1 or name in _METHODS or name.startswith("__"):
            continue
        (callee,) = places
        if callee.function.node.decorator_list or len(calls[name]) != mentioned[name]:
            continue  # a property, or used as a value
        others = [call for call in calls[name] if call.function is not callee.function]
        if others and all(not _starred(call) for call in others):
            yield callee, others


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _starred(call: Place) -> bool:
    node = call.node
    assert isinstance(node, ast.Call)
    return any(isinstance(arg, ast.Starred) for arg in node.args) or any(
        keyword.arg is None for keyword in node.keywords
    )


def _is_method(function: Function) -> bool:
    return "." in function.name


def _plain_parameters(function: Function) -> list[ast.arg]:
    """The parameters without a default, and without self."""
    given = function.node.args
    names = given.args[: len(given.args) - len(given.defaults)]
    return [] if given.posonlyargs else names[_is_method(function) :]


def _argument(call: Place, number: int) -> ast.expr | None:
    """A positional argument of a call; None if it is passed by name."""
    node = call.node
    assert isinstance(node, ast.Call)
    return node.args[number] if number < len(node.args) else None


def _two_arguments(call: Place, number: int) -> tuple[ast.expr, ast.expr] | None:
    one, other = _argument(call, number), _argument(call, number + 1)
    return None if one is None or other is None else (one, other)


def _gives(call: Place, number: int, name: str) -> bool:
    node = call.node
    assert isinstance(node, ast.Call)
    return number < len(node.args) or any(keyword.arg == name for keyword in node.keywords)


def _swap(place: Place, one: ast.AST, other: ast.AST) -> Part:
    source = place.source
    return place.part(
        Edit(*source.span(one), source.of(other)), Edit(*source.span(other), source.of(one))
    )


def _put(
    template: str, uses: Sequence[tuple[int, int]], begin: int, call: Place, argument: ast.expr
) -> str:
    """An expression with an argument in place of its parameter."""
    text, data, at = "", template.encode(), 0
    given = call.source.of(argument)
    if not isinstance(argument, ast.Name | ast.Constant | ast.Call | ast.Attribute):
        given = f"({given})"
    for start, end in sorted(uses):
        text += data[at : start - begin].decode() + given
        at = end - begin
    return text + data[at:].decode()


def _with_keyword(call: Place, name: str, value: str) -> Part:
    """A call with one more argument, before its closing bracket."""
    node = call.node
    assert isinstance(node, ast.Call)
    end = call.source.span(node)[1] - 1
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    if not given:
        return call.part(Edit(end, end, f"{name}={value}"))
    if isinstance(given[0], ast.GeneratorExp):  # without brackets of its own
        start, end = call.source.span(given[0])
        return call.part(Edit(start, start, "("), Edit(end, end, f", {name}={value})"))
    last = max(call.source.span(part)[1] for part in given)
    return call.part(Edit(last, last, f", {name}={value}"))


def _without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    first = body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_text else body


# -- a broken invariant --------------------------------------------------------------------


def _invariant(sources: Mapping[str, Source]) -> Iterator[Bugs]:
    """Two methods of a class no longer keep an attribute up to date."""
    for source in sources.values():
        kept: dict[tuple[str, str], list[Place]] = defaultdict(list)
        for function in source.functions:
            owner = function.name.rpartition(".")[0]
            if not owner or function.node.name == "__init__":
                continue
            for statement in _statements(function.node):
                if attribute := _upkeep(statement):
                    kept[owner, attribute].append(Place(source, function, statement))
        for places in kept.values():
            for one, other in itertools.combinations(places, 2):
                if one.function is not other.function:
                    cuts = [(p, _line_removed(source, p.node)) for p in (one, other)]
                    parts = [bug_at("invariant", place.part(cut)) for place, cut in cuts if cut]
                    if len(parts) == 2:
                        yield tuple(parts)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    return (child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node)


def _upkeep(node: ast.stmt) -> str:
    """The attribute of self that a statement keeps up to date, or ""."""
    target: ast.AST | None = None
    if isinstance(node, ast.AugAssign):
        target = node.target
    elif (isinstance(node, ast.Assign) and len(node.targets) == 1) or (
        isinstance(node, ast.Delete) and len(node.targets) == 1
    ):
        target = node.targets[0]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func
        if isinstance(called, ast.Attribute) and called.attr in _KEEPS:
            target = called.value
    while isinstance(target, ast.Subscript):
        target = target.value
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return target.attr if target.value.id == "self" else ""
    return ""


def _line_removed(source: Source, node: ast.AST) -> Edit | None:
    """The edit that removes a statement with its lines; None if it is alone in its body."""
    first, last = node.lineno, node.end_lineno or node.lineno  # type: ignore[attr-defined]
    start, _ = source.span(node)
    begin = source.line_start(first)
    alone = any(
        isinstance(body := getattr(parent, name, None), list) and body == [node]
        for parent in ast.walk(source.tree)
        for name in ("body", "orelse", "finalbody")
    )
    if alone or source.data[begin:start].strip():
        return None
    return Edit(begin, source.line_start(last + 1), "")


# -- a missing case ------------------------------------------------------------------------


def _missing_case(sources: Mapping[str, Source]) -> Iterator[Bugs]:
    """Two functions no longer know a value that both handled in a branch or an entry."""
    known: dict[str, list[tuple[Place, Edit]]] = defaultdict(list)
    for source in sources.values():
        for function in source.functions:
            for value, node, edit in _cases(source, function.node):
                known[value].append((Place(source, function, node), edit))
    for handled in known.values():
        for (one, cut), (other, cut_too) in itertools.combinations(handled, 2):
            if one.function is not other.function:
                yield (
                    bug_at("missing_case", one.part(cut)),
                    bug_at("missing_case", other.part(cut_too)),
                )


def _cases(source: Source, function: FunctionNode) -> Iterator[tuple[str, ast.AST, Edit]]:
    """(the value, the node that handles it, the edit that removes the handling)."""
    for node in ast.walk(function):
        if isinstance(node, ast.If):
            value, cut = _compared(node.test), _branch_removed(source, node)
            if value and cut:
                yield value, node, cut
        elif isinstance(node, ast.Dict):
            yield from _entries(source, node)
        elif collection := _choices(node):
            for choice, cut in _elements(source, collection):
                yield choice, node, cut
        if isinstance(node, ast.Match):
            for case in node.cases[:-1]:
                if isinstance(case.pattern, ast.MatchValue) and (v := _value(case.pattern.value)):
                    first, last = case.pattern.lineno, case.body[-1].end_lineno or 0
                    begin, end = source.line_start(first), source.line_start(last + 1)
                    yield v, case, Edit(begin, end, "")


def _branch_removed(source: Source, node: ast.If) -> Edit | None:
    """The edit that removes a branch: a whole statement, or one of a chain."""
    start, _ = source.span(node)
    if source.data[start : start + 4] == b"elif":
        last = node.body[-1].end_lineno or node.lineno
        return Edit(source.line_start(node.lineno), source.line_start(last + 1), "")
    if not node.orelse:
        return _line_removed(source, node)
    following, _ = source.span(node.orelse[0])
    if source.data[following : following + 4] != b"elif":
        return None  # what is under "else" would have to move
    return Edit(start, following + len("el"), "")


def _choices(node: ast.AST) -> ast.Tuple | ast.List | ast.Set | None:
    """The collection of values that a condition compares with."""
    given: ast.AST | None = None
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.In):
        given = node.comparators[0]
    elif isinstance(node, ast.Call) and _name(node.func) == "isinstance" and len(node.args) == 2:
        given = node.args[1]
    return given if isinstance(given, ast.Tuple | ast.List | ast.Set) else None


def _elements(source: Source, node: ast.Tuple | ast.List | ast.Set) -> Iterator[tuple[str, Edit]]:
    """(a value of a collection, the edit that removes it); two others are left."""
    if len(node.elts) < 3:
        return
    spans = [source.span(element) for element in node.elts]
    for number, element in enumerate(node.elts):
        value = _value(element) or (ast.unparse(element) if isinstance(element, ast.Name) else "")
        if value and number + 1 < len(spans):
            yield value, Edit(spans[number][0], spans[number + 1][0], "")
        elif value:
            yield value, Edit(spans[number - 1][1], spans[number][1], "")


def _entries(source: Source, node: ast.Dict) -> Iterator[tuple[str, ast.AST, Edit]]:
    """The entries of a dictionary but its last."""
    for key, following in itertools.pairwise(node.keys):
        if key is not None and following is not None and (value := _value(key)):
            yield value, key, Edit(source.span(key)[0], source.span(following)[0], "")


def _compared(test: ast.expr) -> str:
    """The value that a condition compares with, as text; "" if it is no such condition."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if isinstance(test.ops[0], ast.Eq | ast.Is):
            return _value(test.comparators[0])
    elif isinstance(test, ast.Call) and _name(test.func) == "isinstance" and len(test.args) == 2:
        return ast.unparse(test.args[1])
    return ""


def _value(node: ast.expr) -> str:
    """A text, or the member of an enumeration, as source text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        return repr(node.value)
    is_member = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return ast.unparse(node) if is_member and ast.unparse(node)[0].isupper() else ""


Finder = Callable[[Mapping[str, Source]], Iterable[Bugs]]
FINDERS: Final[Mapping[str, Finder]] = {
    "parameter_order": _parameter_order,
    "moved_step": _moved_step,
    "moved_default": _moved_default,
    "invariant": _invariant,
    "missing_case": _missing_case,
    "shared_rule": shared_rule,
    "shared_argument": shared_argument,
}
"""The kinds by name."""
