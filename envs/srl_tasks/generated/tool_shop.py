"""``srl/ToolShop-v0``: orders of a shop, answered with a database and a calculator as tools."""

from __future__ import annotations

import ast
import operator
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

from srl_env.problem import ExpertStep, Problem
from srl_env.rewards import Measure, StepRecord
from srl_env.rewards.measures.json_calls import JsonCallMeasure
from srl_env.text.prompt import PromptStyle
from srl_env.text.registry import MakeFormat
from srl_env.text.tool_calls import CallError
from srl_env.text.tools import Call, JsonCalls, Parameter, Tool
from srl_env.verifiers.base import AnswerVerifier
from srl_tasks.generated.family import (
    NOMINAL_SIZE,
    Difficulty,
    GeneratedEnv,
    GeneratedSource,
    Split,
)

PRODUCTS: Final = [
    "lamp", "chair", "table", "mug", "plate", "bowl", "clock", "vase", "shelf", "stool",
    "mirror", "basket",
]  # fmt: skip
CUSTOMERS: Final = [
    "Nora", "Emil", "Ada", "Hugo", "Ines", "Karl", "Lena", "Milo", "Olga", "Paul", "Rosa",
    "Theo",
]  # fmt: skip
CITIES: Final = ["Bergen", "Cadiz", "Delft", "Essen", "Gent", "Jena", "Lyon", "Malmo"]
MAX_DIGITS: Final = 12
MAX_EXPRESSION: Final = 200

LOOKUP = Tool(
    "lookup",
    "Reads one field of one row of the shop's database.",
    {
        "table": Parameter("string", choices=("products", "customers", "cities")),
        "key": Parameter("string", "name of the product, customer or city"),
        "field": Parameter(
            "string",
            "products have a price in cents; customers a discount in per cent and a city; cities a"
            " shipping fee in cents",
            choices=("price", "discount", "city", "shipping"),
        ),
    },
)
CALCULATE = Tool(
    "calculate",
    "Calculates with whole numbers.",
    {"expression": Parameter("string", "numbers, + - * // and brackets")},
)
ANSWER = Tool("answer", "Ends the task.", {"value": Parameter("integer", "the total in cents")})
FORMAT: Final = JsonCalls.of(LOOKUP, CALCULATE, ANSWER)

_OPERATIONS: Final[Mapping[type, Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
_TASK: Final = (
    "You work for a shop. Find out what an order costs, with one call of a tool in each turn. The"
    " discount of a customer applies to the goods, and not to the shipping."
)


class ToolShopEnv(GeneratedEnv):
    """What does an order cost? A database must be asked, and a calculator is there.

    **Task.** An order of ``difficulty`` products, each with a count. From difficulty 2 on, the
    customer has a discount; from difficulty 3 on, shipping to the customer's city is added. All
    prices are whole cents.

    **Observation.** The tools with their JSON schemas, the order, the calls so far, and what they
    returned.

    **Action.** A thought in think tags, which may be left out, then one call in ``<tool_call>``
    tags: ``lookup(table, key, field)``, ``calculate(expression)`` or ``answer(value)``. A text that
    is no valid call breaks the format; the observation says what is wrong.

    **Expert.** Looks up each price, the discount and the shipping, then calculates and answers:
    3 to 15 calls, all with their observations.

    **Reward.** By the reward mode. "srl" compares calls argument by argument
    (``srl_env.rewards.measures.json_calls``): a reward for each call. With ``measure="accepts"``,
    any call that brings the solution forward is worth 1. "rlvr" rewards the answer.

    **Episode end.** After the expert's last step (continuation "expert") or the first ``answer``
    (continuation "policy"); cut off after ``max_steps``.

    **Info.** That of ``ReasoningEnv``. ``legal`` is True for a look-up that the order needs, or the
    expert's calculation or answer, that was not made yet and whose inputs were all asked for.

    **Data.** Generated (``srl_tasks.generated``), no licence needed. Every problem has its own
    database; splits are disjoint.

    **Versions.** v0: first.
    """

    granularities = ("step",)
    tools: ClassVar[tuple[Tool, ...]] = FORMAT.tools
    measure = "tool-calls"
    measures: ClassVar[Mapping[str, Measure]] = {"tool-calls": JsonCallMeasure(FORMAT)}
    formats: ClassVar[Mapping[str, MakeFormat]] = {"tool-calls": partial(JsonCalls, FORMAT.tools)}

    def __init__(
        self,
        *,
        difficulty: Difficulty = 2,
        split: Split = "train",
        max_problems: int = NOMINAL_SIZE,
        **options: Any,
    ) -> None:
        """difficulty: products in an order, 1 to 6. options: those of ``ReasoningEnv``."""
        own: dict[str, Any] = {
            "format": FORMAT,
            "style": PromptStyle(step_task=_TASK, problem="Order:\n{problem}"),
            "max_steps": 24,
        }
        problems = ToolShopSource(difficulty, split, max_problems)
        super().__init__(problems, AnsweredTotal(), **own | options)

    def world_step(self, action: str) -> str:
        """What the tool returns."""
        try:
            call = FORMAT.read(action)
        except CallError as error:
            return f"error: {error}"
        return run_tool(self.world, call)

    def accepts(self, action: str, context: StepRecord) -> float:
        """1 for a call that follows from what is known and brings the solution forward, else 0.

        - A look-up that the order needs, with the city known, which was not made before.
        - A calculation with numbers of the order and of earlier results, whose result is new, and a
          value that the expert's calculations have on their way.
        - The answer, once it was calculated.
        """
        try:
            call = FORMAT.read(action)
        except CallError:
            return 0.0
        facts, known = context.problem.metadata["facts"], _known(context)
        if call.tool == CALCULATE.name:
            return float(_brings_forward(str(call.arguments["expression"]), facts, known))
        if call.tool == ANSWER.name:
            value = call.arguments["value"]
            return float(value in known and str(value) == context.problem.answer)
        made = set(context.actions)
        return float(action in facts and action not in made and made.issuperset(facts[action]))


def _known(context: StepRecord) -> set[int]:
    """The numbers of the order, the results so far, and 100, of which discounts are parts."""
    world, seen = context.problem.metadata["world"], [context.problem.prompt, "100"]
    for action in context.actions:
        try:
            seen.append(run_tool(world, FORMAT.read(action)))
        except CallError:
            continue
    return {int(number) for text in seen for number in re.findall(r"-?[0-9]+", text)}


def _brings_forward(expression: str, facts: Mapping[str, Any], known: set[int]) -> bool:
    """Whether known numbers give a new value, one on the way of the expert's calculations."""
    values, numbers = _values(expression)
    if not values or not known.issuperset(numbers) or values[-1] in known:
        return False
    calls = [FORMAT.read(fact) for fact in facts]
    return any(
        values[-1] in _values(str(call.arguments["expression"]))[0]
        for call in calls
        if call.tool == CALCULATE.name
    )


def _values(expression: str) -> tuple[list[int], set[int]]:
    """The values of all operations, the whole one last, and the numbers; empty for an error."""
    if len(expression) > MAX_EXPRESSION:
        return [], set()
    try:
        tree = ast.parse(expression, mode="eval").body
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
        values = [_value(node) for node in reversed(nodes)]
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return [], set()
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return values if values and nodes[0] is tree else [], constants  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class AnsweredTotal(AnswerVerifier):
    """Correct if the last call is ``answer`` with the right total."""

    def extract(self, text: str) -> str | None:
        """The value of an ``answer`` call; None for any other text."""
        try:
            call = FORMAT.read(text)
        except CallError:
            return None
        return str(call.arguments["value"]) if call.tool == ANSWER.name else None

    def equal(self, answer: str, expected: str) -> bool:
        """Whether the totals are equal."""
        return answer == expected


class Opening(NamedTuple):
    """An order: its products in sorted order, and how many of each."""

    products: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ToolShopSource(GeneratedSource[Opening]):
    """Orders of ``difficulty`` products, each with a database of its own and one expert."""

    family: ClassVar[str] = "tool_shop"
    limits: ClassVar[tuple[int, int]] = (1, 6)

    def open(self, rng: random.Random, level: int) -> Opening:
        """The products and their counts."""
        products = tuple(sorted(rng.sample(PRODUCTS, level)))
        return Opening(products, tuple(rng.randint(1, 9) for _ in products))

    def write(self, rng: random.Random, level: int, opening: Opening, problem_id: str) -> Problem:
        """The order with its database, and the expert's calls."""
        world = _database(rng)
        customer = rng.choice(CUSTOMERS)
        order = list(zip(opening.products, opening.counts, strict=True))
        rng.shuffle(order)
        expert = _Expert(world)
        goods = " + ".join(f"{n} * {expert.ask('products', p, 'price')}" for p, n in order)
        prices = list(expert.facts)
        total = expert.calculate(goods, prices)
        if level > 1:
            discount = expert.ask("customers", customer, "discount")
            needs = [expert.last, expert.calculated]
            total = expert.calculate(f"{total} * (100 - {discount}) // 100", needs)
        if level > 2:
            city = expert.ask("customers", customer, "city")
            fee = expert.ask("cities", city, "shipping", [expert.last])
            total = expert.calculate(f"{total} + {fee}", [expert.last, expert.calculated])
        expert.answer(int(total))
        listed = ", ".join(f"{count} {product}{'s' * (count > 1)}" for product, count in order)
        text = f"{listed}." + (f" Customer: {customer}." if level > 1 else "")
        text += " Shipping to the customer's city is added." if level > 2 else ""
        prompt, facts = f"{text} What does it cost in cents?", expert.facts
        return self.solved(
            problem_id, prompt, total, expert.steps, difficulty=level, world=world, facts=facts
        )


class _Expert:
    """Makes calls, and keeps them as steps and facts."""

    def __init__(self, world: Mapping[str, Any]) -> None:
        self._world = world
        self.steps: list[ExpertStep] = []
        self.facts: dict[str, list[str]] = {}
        self.last = self.calculated = ""

    def ask(self, table: str, key: str, field: str, needs: list[str] | None = None) -> str:
        """What the database holds."""
        call = Call(LOOKUP.name, {"table": table, "key": key, "field": field})
        return self._do(call, f"I need the {field} of {key}.", needs or [])

    def calculate(self, expression: str, needs: list[str]) -> str:
        """The result of an expression."""
        call = Call(CALCULATE.name, {"expression": expression})
        found = self._do(call, f"I calculate {expression}.", needs)
        self.calculated = self.last
        return found

    def answer(self, value: int) -> None:
        """Ends the task."""
        thought = f"The order costs {value} cents."
        self._do(Call(ANSWER.name, {"value": value}), thought, [self.calculated])

    def _do(self, call: Call, thought: str, needs: list[str]) -> str:
        observation = run_tool(self._world, call)
        self.last = call.render()
        self.facts[self.last] = needs
        self.steps.append(ExpertStep(self.last, thought=thought, observation=observation))
        return observation


def run_tool(world: Mapping[str, Any], call: Call) -> str:
    """What a tool returns, errors included."""
    match call.tool:
        case "lookup":
            table, key, name = (str(call.arguments[k]) for k in ("table", "key", "field"))
            row = world[table].get(key)
            if row is None:
                return f"error: no row {key!r:.80} in {table}"
            return str(row[name]) if name in row else f"error: {table} have no field {name!r}"
        case "calculate":
            expression = str(call.arguments["expression"])
            if len(expression) > MAX_EXPRESSION:  # the parser must not meet deep nesting
                return f"error: an expression has at most {MAX_EXPRESSION} characters"
            try:
                return str(_value(ast.parse(expression, mode="eval").body))
            except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
                return "error: give whole numbers, + - * // and brackets"
    return "The answer was recorded."


def _value(node: ast.expr) -> int:
    """The value of an expression. Raises ValueError for anything but small whole numbers."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        found = node.value
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        found = _OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        found = -_value(node.operand)
    else:
        raise ValueError("not a whole-number expression")
    if abs(found) >= 10**MAX_DIGITS:
        raise ValueError("too large")
    return found


def _database(rng: random.Random) -> dict[str, Any]:
    """Prices are multiples of 20 cents and discounts of 5 per cent, so that cents stay whole."""
    cities = {city: {"shipping": 10 * rng.randint(20, 90)} for city in CITIES}
    return {
        "products": {name: {"price": 20 * rng.randint(5, 200)} for name in PRODUCTS},
        "customers": {
            name: {"discount": 5 * rng.randint(1, 6), "city": rng.choice(CITIES)}
            for name in CUSTOMERS
        },
        "cities": cities,
    }
